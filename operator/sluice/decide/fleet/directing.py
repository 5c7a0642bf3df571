"""What each member is to have, by where it is in the current or last run. Pure."""

from __future__ import annotations

from typing import Any

from sluice.api.fleet import BatchStage, ClusterPhase, FleetRunSpec, RunBatch
from sluice.decide.fleet import parts
from sluice.decide.fleet.course import Course
from sluice.decide.fleet.joining import Gate
from sluice.decide.fleet.model import Directive

_OF_THE_RUN = frozenset({ClusterPhase.MOVING, ClusterPhase.DONE, ClusterPhase.COMPLETED})
_NO_PART = Directive(None)


def direct(course: Course) -> None:
    """Say for every cluster of the fleet what it is to have; one for which nothing is clear keeps what it has.

    What a run gives was held, and approved, before. Outside of it policies may keep a cluster from joining: it is to
    have nothing then, also by an order from before that has not come there yet.
    """
    spec, given = course.run_spec, _Given(course)
    wave = frozenset(course.wave)
    gate = Gate(course)
    placed = {name: batch for batch in spec.batches for name in batch.clusters} if spec is not None else {}
    for name in course.observed.members:
        phase = course.phases.get(name)
        if course.unread and name in placed:
            continue
        if course.refusal(name) and not _goes_back(course, phase):
            continue
        if spec is not None and name in placed and _is_of_the_run(course, phase):
            told = given.going(spec, placed[name], _up_to(course, placed[name], name, wave))
        elif spec is not None and (_goes_back(course, phase) or _came_too_late(course, spec, name)):
            own = _own_before(course, spec, name)
            told = given.at_rest(own) if own else given.back(spec)
        elif name in placed or _belongs(course, name):
            told = given.at_rest(_serving(course, name))
        else:
            continue
        if told is not None:
            course.directives[name] = _NO_PART if not told.grows and gate.keeps_out(name) else told


class _Given:
    """What was made already in this pass: most clusters are to have the same."""

    def __init__(self, course: Course) -> None:
        self._course = course
        self._made: dict[tuple[str, str, int], Directive | None] = {}

    def going(self, run: FleetRunSpec, batch: RunBatch, up_to: int) -> Directive | None:
        """To be in the run, up to a step."""
        own = batch.steps or batch.analysis is not None
        key = ("going", batch.name if own else "", up_to)
        if key not in self._made:
            self._made[key] = Directive(parts.going(run, batch, up_to, self._course.observed.given), grows=True)
        return self._made[key]

    def back(self, run: FleetRunSpec) -> Directive | None:
        """To return; nothing where there is nothing to return to."""
        key = ("back", "", 0)
        if key not in self._made:
            spec = parts.back(run, self._course.observed.given)
            self._made[key] = Directive(spec) if spec is not None else None
        return self._made[key]

    def at_rest(self, revision_hash: str) -> Directive | None:
        """To stay with a revision; nothing where nobody knows it."""
        key = ("rest", revision_hash, 0)
        if key not in self._made:
            spec = _at_rest(self._course, revision_hash)
            self._made[key] = Directive(spec) if spec is not None else None
        return self._made[key]


def _is_of_the_run(course: Course, phase: ClusterPhase | None) -> bool:
    """Whether it goes on with the run; one that could not be reached when its batch ended well, once it can be."""
    return phase in _OF_THE_RUN if course.under_way else phase is ClusterPhase.DONE


def _goes_back(course: Course, phase: ClusterPhase | None) -> bool:
    return phase is ClusterPhase.RETURNING or (phase is ClusterPhase.FAILED and course.under_way)


def _up_to(course: Course, batch: RunBatch, name: str, wave: frozenset[str]) -> int:
    """The last step that a cluster of the run may enter; one past the last where it may complete."""
    last = len(course.steps_of(batch))
    at = course.fleet.batch
    if at is None or at.name != batch.name or at.stage is BatchStage.CLOSING:
        return last + 1
    if at.stage is BatchStage.MOVING and name in wave:
        return course.step  # also where it says that it has the revision already: no more than those beside it
    return last


def _belongs(course: Course, name: str) -> bool:
    """Whether a cluster that came after the run began is one of the fleet."""
    spec, member = course.observed.spec, course.member(name)
    fleet = spec.fleet if spec is not None else None
    return fleet is not None and member is not None and fleet.selector.matches(member.labels)


def _own_before(course: Course, spec: FleetRunSpec, name: str) -> str:
    """What a cluster goes back to that had, and still has, another revision than the fleet's; "" where it had that."""
    serves = course.leg(name).stable_hash
    return "" if serves in {spec.hash, spec.stable_hash} else serves


def _came_too_late(course: Course, spec: FleetRunSpec, name: str) -> bool:
    """Whether a cluster came after the run completed and got its revision, and the whole fleet was taken back since."""
    stable = course.fleet.stable
    if course.under_way or name in course.phases or stable is None or not _belongs(course, name):
        return False
    return spec.hash == course.leg(name).stable_hash != stable.hash == spec.stable_hash


def _serving(course: Course, name: str) -> str:
    """What serves there goes on to serve; a cluster without anything gets what is stable."""
    stable = course.fleet.stable
    return course.leg(name).stable_hash or (stable.hash if stable is not None else "")


def _at_rest(course: Course, serving: str) -> dict[str, Any] | None:
    kept = parts.kept_spec(course.observed.runs, serving)
    if kept is None:
        return None
    wanted = parts.revision_of(course.observed.spec)[0] if course.observed.spec is not None else ""
    same = not course.under_way and wanted == serving
    return parts.resting(kept, course.observed.given, same=same)
