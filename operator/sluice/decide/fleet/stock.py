"""Where each cluster is, by what it tells. Pure."""

from __future__ import annotations

from sluice.api.conditions import Reason
from sluice.api.fleet import BatchStage, ClusterPhase, FleetRunSpec, RunBatch
from sluice.api.outcome import Outcome
from sluice.decide.fleet import approving
from sluice.decide.fleet.course import Course
from sluice.decide.fleet.model import LegView

_GOES = frozenset({ClusterPhase.WAITING, ClusterPhase.MOVING, ClusterPhase.DONE})


def take_stock(course: Course) -> None:
    """Take in what the members tell of the current or last run."""
    spec = course.run_spec
    if spec is None or course.unread:
        return
    for batch in spec.batches:
        last = len(course.steps_of(batch))
        _catch_up(course, batch)
        early = _not_at(course, batch, last)
        for name in batch.clusters:
            if course.member(name) is None:
                _leave(course, name)
            elif course.under_way and course.phases[name] in _GOES and course.refusal(name):
                course.fail(name, Reason.NAMESPACE_REFUSED, course.refusal(name))
            else:
                _look(course, spec, batch, name, None if name in early else last)
    course.tell_failures()


def was_new(course: Course, spec: FleetRunSpec, name: str) -> bool:
    """Whether nothing served there before. Nobody knows of a cluster that has not told anything yet."""
    leg = course.observed.legs.get(name)
    return leg is not None and leg.rests_on(spec.hash) and leg.fleet_run != spec.revision


def _not_at(course: Course, batch: RunBatch, step: int) -> frozenset[str]:
    """The clusters that may not be past this step yet: who says so is not believed, for that lets it go further."""
    at = course.fleet.batch
    here = course.under_way and at is not None and at.name == batch.name
    waits = course.step < step or course.awaits_person or approving.is_missing(course)
    return frozenset(course.wave) if here and waits else frozenset()


def _has_moved(course: Course, batch: RunBatch) -> bool:
    """Whether the run went past the moving of a batch in which somebody was told to move."""
    at = course.fleet.batch
    return at is None or at.name != batch.name or at.stage in {BatchStage.SOAKING, BatchStage.CLOSING}


def _catch_up(course: Course, batch: RunBatch) -> None:
    """The record is written after the status, so after a crash it may still tell of clusters as moving that were done.

    Of one that failed instead, its own words tell so in what follows.
    """
    if course.under_way and _has_moved(course, batch):
        for name in course.among(batch.clusters, ClusterPhase.MOVING):
            course.phases[name] = ClusterPhase.DONE


def _leave(course: Course, name: str) -> None:
    """It is no member any more: it will not have the revision by this run, and is not waited for."""
    if course.phases[name] in _GOES and course.under_way:
        course.fail(name, Reason.CLUSTER_LEFT, "is no member any more")
        course.phases[name] = ClusterPhase.LEFT
    elif course.phases[name] is ClusterPhase.RETURNING:
        course.phases[name] = ClusterPhase.LEFT


def _look(course: Course, spec: FleetRunSpec, batch: RunBatch, name: str, last: int | None) -> None:
    leg, phase = course.leg(name), course.phases[name]
    if phase is ClusterPhase.DONE or (phase is ClusterPhase.MOVING and course.under_way):
        if leg.fleet_run == spec.revision and leg.hash == spec.hash and _came_to_nothing(leg.outcome):
            course.fail(name, leg.reason or Reason.CLUSTER_FAILED, leg.why or leg.message)
        elif leg.rests_on(spec.hash) and leg.up_to_date and leg.serves:
            course.phases[name] = ClusterPhase.COMPLETED if _may_complete(course, batch) else ClusterPhase.DONE
        elif phase is ClusterPhase.MOVING and leg.runs(spec) and leg.step == last and leg.step_done:
            course.phases[name] = ClusterPhase.DONE
    elif phase is ClusterPhase.RETURNING and _is_back(leg, spec):
        course.phases[name] = ClusterPhase.RETURNED


def _is_back(leg: LegView, spec: FleetRunSpec) -> bool:
    """On what was stable in the fleet, or there: a cluster that was taken back by itself may have had another one."""
    return not leg.under_way and leg.stable_hash not in {"", spec.hash} and leg.confirmed


def _may_complete(course: Course, batch: RunBatch) -> bool:
    at = course.fleet.batch
    return at is None or at.name != batch.name or at.stage is BatchStage.CLOSING


def _came_to_nothing(outcome: Outcome | None) -> bool:
    return outcome is not None and outcome is not Outcome.COMPLETED
