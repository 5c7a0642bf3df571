"""What a run over a fleet does about what failed, clusters or measurements, and about kill switches. Pure."""

from __future__ import annotations

from sluice.api.conditions import Reason
from sluice.api.fleet import BatchStage, ClusterPhase, FleetRunSpec, OnFailure, RunBatch
from sluice.api.outcome import Outcome
from sluice.decide.fleet import measuring
from sluice.decide.fleet.advance import is_out_of_reach
from sluice.decide.fleet.course import Course
from sluice.decide.model import SwitchView
from sluice.decide.switches import diverting
from sluice.decide.texts import some

# While a run is under way, only those return that a person took back.
_FAILED = (ClusterPhase.FAILED, ClusterPhase.LEFT, ClusterPhase.RETURNING, ClusterPhase.RETURNED)
# What `onFailure: Hold` says of itself: clusters failed, or a measurement did.
HALTING = frozenset({Reason.TOO_MANY_FAILED, Reason.METRIC_FAILED, Reason.TOO_FEW_SAMPLES})
_HALFWAY = (ClusterPhase.MOVING, ClusterPhase.DONE)


def obey_switches(course: Course) -> None:
    """What diverts ends the run. Each cluster's own engine took the weight away already: it sees the same switch."""
    spec = course.run_spec
    switch = diverting(course.observed.switches)
    if switch is None or spec is None or not course.under_way:
        return
    halfway = course.among(tuple(course.phases), *_HALFWAY)
    if not halfway:
        return
    message = f"{killed_by(switch)}{switch.reason}{keepers(course)}"
    send_back(course, tuple(halfway))
    course.end_run(Outcome.KILLED, Reason.KILLED_BY_SWITCH, message, actor=switch.actor)


def killed_by(switch: SwitchView) -> str:
    """How the message begins of a run that a switch ended; its reason follows."""
    return f"killed by {switch}, engaged by {switch.actor}: "


def judge(course: Course) -> None:
    """Act once more clusters of a batch failed than may: of the present one, or of one before it, by hand."""
    spec, current = course.run_spec, course.batch
    if spec is None or current is None or not course.under_way:
        return
    failed = _too_many(course, spec)
    if failed is not None:
        batch, message = failed
        if spec.on_failure is OnFailure.ROLLBACK_CLUSTER:
            _end_after(course, message)
        else:
            _act(course, spec.on_failure, batch, Reason.TOO_MANY_FAILED, message)
    cause = measuring.failure(course)
    if cause is not None and not halted(course):
        _act(course, spec.on_failure, current, cause.reason, cause.message)


def in_the_way(course: Course) -> str:
    """Why people cannot send a run on that `judge` will halt; "" where it will not."""
    spec = course.run_spec
    if spec is None or not course.under_way or spec.on_failure is not OnFailure.HOLD:
        return ""
    failed, cause = _too_many(course, spec), measuring.failure(course)
    if failed is not None:
        return _all_waits(course, failed[1])
    return _all_waits(course, cause.message) if cause is not None else ""


def _too_many(course: Course, spec: FleetRunSpec) -> tuple[RunBatch, str] | None:
    """The first batch so far of which more clusters failed than may, and what there is to say of it."""
    for batch in spec.batches[: course.at.index] if course.fleet.batch is not None else ():
        failed = course.among(batch.clusters, *_FAILED)
        if len(failed) > batch.max_failures:
            message = f"{len(failed)} of {len(batch.clusters)} clusters of batch {batch.name} failed"
            return batch, f"{message}, {batch.max_failures} may: {_why(course, failed)}"
    return None


def _act(course: Course, how: OnFailure, batch: RunBatch, reason: Reason, message: str) -> None:
    """With `RollbackCluster` too the batch returns: of what the hub measured nobody knows which cluster is at fault."""
    match how:
        case OnFailure.ROLLBACK_FLEET:
            goes = (*_HALFWAY, ClusterPhase.COMPLETED)
            send_back(course, course.among(tuple(course.phases), *goes))
            course.end_run(Outcome.ABORTED, reason, f"{message}; the whole fleet returns")
        case OnFailure.ROLLBACK_BATCH | OnFailure.ROLLBACK_CLUSTER:
            send_back(course, course.among(batch.clusters, ClusterPhase.COMPLETED))
            send_back(course, course.among(tuple(course.phases), *_HALFWAY))
            course.end_run(Outcome.ABORTED, reason, f"{message}; the batch returns{keepers(course)}")
        case OnFailure.HOLD:
            course.stall(reason, _all_waits(course, message))
            course.record("Observed", f"hold-{batch.name}", reason, message)


def _end_after(course: Course, message: str) -> None:
    """Those that failed return alone. The others of the batch go on to its end, and then nobody else begins."""
    clusters = course.batch.clusters if course.batch is not None else ()
    open_ones = course.among(clusters, ClusterPhase.DONE)
    over = course.at.stage is BatchStage.CLOSING and all(is_out_of_reach(course, name) for name in open_ones)
    if not over:
        course.hold(Reason.TOO_MANY_FAILED, f"{message}; the others of the batch go on, no other batch begins")
        return
    course.end_run(Outcome.ABORTED, Reason.TOO_MANY_FAILED, f"{message}; no other batch begins")


def send_back(course: Course, names: tuple[str, ...]) -> None:
    """These clusters return to what was stable before the run."""
    for name in names:
        course.phases[name] = ClusterPhase.RETURNING


def keepers(course: Course) -> str:
    """How many clusters keep the revision though its run ends, for the end of a message; "" where none does."""
    count = len(course.among(tuple(course.phases), ClusterPhase.COMPLETED))
    if not count:
        return ""
    clusters, keep = ("cluster", "keeps") if count == 1 else ("clusters", "keep")
    return f"; {count} {clusters} had completed before and {keep} it"


def halted(course: Course) -> bool:
    """Whether the run stays where it is, because of what failed, until somebody decides."""
    return course.stalled is not None and course.stalled.reason in HALTING


def _why(course: Course, failed: tuple[str, ...]) -> str:
    told = [f"{each.name}: {each.message}" for each in course.failures if each.name in failed]
    return some(told, 2, between="; ")


def _all_waits(course: Course, message: str) -> str:
    ref = course.observed.ref
    return f"{message}; all waits: sluice abort {ref.name} -n {ref.namespace}"
