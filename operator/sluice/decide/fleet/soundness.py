"""Whether what status and record tell of a run can be. Pure.

Both are our own memory, but people can write them, and restore old ones. From what cannot be nothing is guessed: who
would be taken for waiting would go anew, and of a soak in which nobody is done nothing would be left.
"""

from __future__ import annotations

from sluice.api.conditions import Reason
from sluice.api.fleet import BatchStage, ClusterPhase, FleetRunSpec
from sluice.decide.fleet.course import Course

_MOVED = (BatchStage.SOAKING, BatchStage.CLOSING)


def insist_sound(course: Course) -> bool:
    """Whether the run under way can go by status and record; otherwise it is held, and people are told."""
    spec = course.run_spec
    if spec is None or not course.under_way:
        return True
    course.unread = course.unread or _misplaced(course) or _unmoved(course, spec)
    if course.unread:
        told = f"{_name(course)}: {course.unread}"
        course.stall(
            Reason.RUN_LOST, f"{told}; all waits until somebody mends that, or deletes the FleetRun, which ends the run"
        )
    return not course.unread


def tell_unread(course: Course) -> None:
    """Say that the record of a run that is over tells nothing: whoever was on the way back keeps its order."""
    if course.unread:
        course.stall(Reason.RUN_LOST, f"{_name(course)}: {course.unread}; the next run leaves it behind")


def _name(course: Course) -> str:
    return f"FleetRun {course.observed.ref.namespace}/{course.fleet.run}"


def _misplaced(course: Course) -> str:
    at, batch, step = course.fleet.batch, course.batch, course.status.step
    if at is None:
        return ""
    if batch is None or batch.name != at.name:
        return (
            f"status.fleet.batch names batch {at.index} ({at.name}), but batch {at.index} of the run is another or none"
        )
    if not 0 <= at.first < max(1, len(batch.clusters)):
        return f"status.fleet.batch.first is {at.first}, but batch {batch.name} has {len(batch.clusters)} clusters"
    if step is not None and not 1 <= step.index <= len(course.steps):
        return f"status.step names step {step.index}, but batch {batch.name} has {len(course.steps)}"
    return ""


def _unmoved(course: Course, spec: FleetRunSpec) -> str:
    """Who waits though its turn has passed. What one crash loses of the record is never that much."""
    at = course.fleet.batch
    if at is None:
        return ""
    for index, batch in enumerate(spec.batches[: at.index], 1):
        passed = batch.clusters if index < at.index or at.stage in _MOVED else batch.clusters[: at.first]
        waits = course.among(passed, ClusterPhase.WAITING)
        if waits:
            return f"batch {batch.name} is over, but its record tells of a cluster that waits: {waits[0]}"
    return ""
