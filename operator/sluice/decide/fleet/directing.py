"""What each member is to have, by where it is in the current or last run. Pure."""

from __future__ import annotations

from typing import Any

from sluice.api.fleet import BatchStage, ClusterPhase, FleetRunSpec, RunBatch
from sluice.decide.fleet import parts
from sluice.decide.fleet.course import Course
from sluice.decide.fleet.model import Directive

_OF_THE_RUN = frozenset({ClusterPhase.MOVING, ClusterPhase.DONE, ClusterPhase.COMPLETED})


def direct(course: Course) -> None:
    """Say for every cluster of the fleet what it is to have; one for which nothing is clear keeps what it has."""
    spec = course.run_spec
    placed = {name: batch for batch in spec.batches for name in batch.clusters} if spec is not None else {}
    for name in course.observed.members:
        phase = course.phases.get(name)
        if spec is not None and name in placed and course.under_way and phase in _OF_THE_RUN:
            up_to = _up_to(course, spec, placed[name], name)
            given = parts.going(spec, placed[name], up_to, course.observed.given)
            course.directives[name] = Directive(given, grows=True)
        elif spec is not None and _goes_back(course, phase):
            _send(course, name, parts.back(spec, course.observed.given))
        elif name in placed or _belongs(course, name):
            _send(course, name, _at_rest(course, name))


def _send(course: Course, name: str, spec: dict[str, Any] | None) -> None:
    if spec is not None:
        course.directives[name] = Directive(spec)


def _goes_back(course: Course, phase: ClusterPhase | None) -> bool:
    return phase is ClusterPhase.RETURNING or (phase is ClusterPhase.FAILED and course.under_way)


def _up_to(course: Course, spec: FleetRunSpec, batch: RunBatch, name: str) -> int:
    """The last step that a cluster of the run may enter; one past the last where it may complete."""
    last = len(parts.steps_of(spec, batch))
    at = course.fleet.batch
    if at is None or at.name != batch.name or at.stage is BatchStage.CLOSING:
        return last + 1
    if at.stage is BatchStage.MOVING and name in course.wave and course.phases[name] is ClusterPhase.MOVING:
        return course.step
    return last


def _belongs(course: Course, name: str) -> bool:
    """Whether a cluster that came after the run began is one of the fleet."""
    spec, member = course.observed.spec, course.member(name)
    return (
        spec is not None
        and spec.fleet is not None
        and member is not None
        and spec.fleet.selector.matches(member.labels)
    )


def _at_rest(course: Course, name: str) -> dict[str, Any] | None:
    """What serves there goes on to serve: by the run that brought it. A cluster without any gets what is stable."""
    stable = course.fleet.stable
    serving = course.leg(name).stable_hash or (stable.hash if stable is not None else "")
    kept = _kept(course, serving)
    if kept is None:
        return None
    wanted = parts.revision_of(course.observed.spec)[0] if course.observed.spec is not None else ""
    same = not course.under_way and wanted == serving
    return parts.resting(kept, course.observed.given, same=same)


def _kept(course: Course, revision_hash: str) -> dict[str, Any] | None:
    """The spec by which a revision came to members, the newest first."""
    for run in reversed(course.observed.runs):
        if run.spec.hash == revision_hash:
            return run.spec.spec
        if run.spec.stable_hash == revision_hash and run.spec.stable_spec is not None:
            return run.spec.stable_spec
    return None
