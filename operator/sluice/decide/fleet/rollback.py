"""Taking clusters of a fleet back, in mid-run and when the run is over. Pure.

By hand it may be some, a batch, or all of them; by a Rollback switch it is all. Each returns by itself, as after a
failure, and none waits for another. A run the other way would go no faster than its slowest cluster, and would send one
that fails on its way back to the very revision that it is to leave.
"""

from __future__ import annotations

from dataclasses import dataclass

from sluice.api.action import RolloutActionSpec
from sluice.api.conditions import Reason
from sluice.api.fleet import ClusterFailure, ClusterPhase, FleetRevision, FleetRunSpec
from sluice.api.outcome import Outcome
from sluice.decide.fleet.advance import freeze
from sluice.decide.fleet.course import MOST_FAILURES, Course
from sluice.decide.fleet.failing import killed_by, send_back
from sluice.decide.switches import rolling_back
from sluice.decide.texts import MESSAGE_BYTES, REASON_BYTES, clip, some

_HAVE_IT = (ClusterPhase.MOVING, ClusterPhase.DONE, ClusterPhase.COMPLETED)
_WHY_NOT = {
    ClusterPhase.WAITING: "has not begun",
    ClusterPhase.FAILED: "failed, and returns already",
    ClusterPhase.RETURNING: "is on the way back already",
    ClusterPhase.RETURNED: "is back already",
    ClusterPhase.LEFT: "is no member any more",
}


class NothingToTakeBack(Exception):
    """Why no cluster is taken back."""


@dataclass(frozen=True, slots=True)
class _Order:
    """Who takes the fleet back and why, and how its run ends by that."""

    outcome: Outcome
    reason: Reason
    by: str
    actor: str


def roll_back(course: Course, told: RolloutActionSpec, actor: str) -> str:
    """Take back those clusters of the current or last run that have its revision, wholly or in part.

    In a run under way, clusters and batches that are named count as failed; the whole fleet ends it. A completed run
    whose whole fleet goes back counts as aborted: what was stable before is stable again.

    Args:
        course: the decision in the making.
        told: the action.
        actor: who tells it.

    Returns:
        What was done.

    Raises:
        NothingToTakeBack: and nothing was done.
    """
    run = course.run_spec
    if run is None:
        raise NothingToTakeBack("there was no run yet, or its FleetRun is gone: nobody knows what was there before")
    if course.unread:
        raise NothingToTakeBack(f"nobody knows who has it: {course.unread}")
    if run.stable_spec is None:
        raise NothingToTakeBack(f"revision {run.revision} is the first that the fleet has: there is nothing before it")
    frozen = freeze(course) if not course.under_way else None
    if frozen is not None:
        raise NothingToTakeBack(f"{frozen.message}; then ask again")
    by = f"rolled back by {actor}{': ' + told.reason if told.reason else ''}"
    if told.clusters or told.batch is not None:
        return _several(course, run, _named(course, run, told), by)
    return _all(course, run, _Order(Outcome.ABORTED, Reason.ROLLED_BACK, by, actor))


def obey_switch(course: Course) -> None:
    """A Rollback switch takes back whoever has the revision, once: nobody has it then, and no run begins."""
    switch, run = rolling_back(course.observed.switches), course.run_spec
    if switch is None or run is None or run.stable_spec is None or course.unread:
        return
    # After a crash between the record and the status all are on the way back, and a run that was complete still is.
    torn = (ClusterPhase.RETURNING,) if _is_stable(course, run) else ()
    if course.among(tuple(course.phases), *_HAVE_IT, *torn):
        by = f"{killed_by(switch)}{switch.reason}"
        _all(course, run, _Order(Outcome.KILLED, Reason.KILLED_BY_SWITCH, by, switch.actor))


def _named(course: Course, run: FleetRunSpec, told: RolloutActionSpec) -> tuple[str, ...]:
    if told.batch is not None:
        batch = next((batch for batch in run.batches if batch.name == told.batch), None)
        if batch is None:
            known = ", ".join(batch.name for batch in run.batches)
            raise NothingToTakeBack(f"revision {run.revision} has no batch {told.batch}; its batches are {known}")
        return batch.clusters
    names = told.clusters or ()
    unknown = [name for name in names if name not in course.phases]
    if unknown:
        ref = course.observed.ref
        raise NothingToTakeBack(
            f"{some(unknown)} took no part in revision {run.revision}; who did: "
            f"sluice status {ref.name} -n {ref.namespace} --clusters"
        )
    return names


def _several(course: Course, run: FleetRunSpec, names: tuple[str, ...], by: str) -> str:
    goes = course.among(names, *_HAVE_IT)
    returning = course.among(names, ClusterPhase.RETURNING)
    if not goes and returning:  # also after a crash between the record and the status, which tells of the action
        return f"{some(returning)} {'is' if len(returning) == 1 else 'are'} on the way back already"
    if not goes:
        raise NothingToTakeBack(f"there is nothing to take back: {_why_not(course, names)}")
    others = tuple(name for name in names if name not in goes)
    but = f"; {_why_not(course, others)}" if others else ""
    send_back(course, goes)
    course.record_first = True
    # Who failed by itself stays in the record, however many are taken back.
    failed = [each for each in course.failures if each.name not in goes]
    message = clip(by, REASON_BYTES)
    made = [ClusterFailure(name=name, reason=Reason.ROLLED_BACK, message=message, at=course.now) for name in goes]
    course.failures = [*failed, *made[: max(0, MOST_FAILURES - len(failed))]]
    counts = f", and count{'s' if len(goes) == 1 else ''} as failed" if course.under_way else ""
    return f"{some(goes)} return{'s' if len(goes) == 1 else ''} to {_before(run)}{counts}{but}"


def _all(course: Course, run: FleetRunSpec, order: _Order) -> str:
    everybody = tuple(course.phases)
    goes = course.among(everybody, *_HAVE_IT, ClusterPhase.RETURNING)
    completed = _is_stable(course, run)
    if not goes and not course.under_way and not completed:
        raise NothingToTakeBack(f"there is nothing to take back: {_why_not(course, everybody)}")
    message = f"{len(goes)} cluster{' returns' if len(goes) == 1 else 's return'} to {_before(run)}"
    send_back(course, goes)
    course.record_first = True
    if course.under_way or completed:
        course.end_run(order.outcome, order.reason, f"{order.by}; {message}", actor=order.actor)
    elif course.fleet.revision is not None:
        ended = course.fleet.revision
        told = clip(f"{ended.message}; {order.by}; {message}", MESSAGE_BYTES)
        course.update_fleet(revision=ended.model_copy(update={"message": told}))
    if completed:
        course.update_fleet(stable=_revision_before(course, run))
    return message


def _is_stable(course: Course, run: FleetRunSpec) -> bool:
    """Whether the fleet counts what the run brought as its stable revision."""
    return course.fleet.stable is not None and course.fleet.stable.hash == run.hash


def _revision_before(course: Course, run: FleetRunSpec) -> FleetRevision:
    brought = [
        each.spec.revision
        for each in course.observed.runs
        if each.spec.hash == run.stable_hash and each.spec.revision < run.revision
    ]
    return FleetRevision(number=max(brought, default=0), hash=run.stable_hash, version=run.stable_version)


def _before(run: FleetRunSpec) -> str:
    return run.stable_version or run.stable_hash


def _why_not(course: Course, names: tuple[str, ...]) -> str:
    return some(names, told=lambda name: f"{name} {_WHY_NOT[course.phases[name]]}") or "no cluster took part"
