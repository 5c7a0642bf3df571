"""What the first seconds came to for one Rollout, in a word and a sentence. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from sluice.api.conditions import ConditionType, condition_of
from sluice.api.outcome import Outcome
from sluice.api.rollout import RolloutStatus
from sluice.decide.metadata import mapping
from sluice.decide.revision import Desired
from sluice.errors import InvalidSpec
from sluice.ports import Obj
from sluice.views.plans import RevisionLine, Verdict

# What a RolloutRun keeps from its beginning, by fields of the Rollout's spec.
_KEPT_BY_RUN = (
    "spec.strategy",
    "spec.analysis",
    "spec.traffic",
    "spec.workload.services",
    "spec.progressDeadline",
    "spec.onDeadline",
)
_ENDS = {
    Outcome.COMPLETED: Verdict.COMPLETE,
    Outcome.SUPERSEDED: Verdict.SUPERSEDE,
    Outcome.RETURNED: Verdict.RETURN,
    Outcome.KILLED: Verdict.KILL,
}


def status_of(rollout: Obj | None) -> RolloutStatus:
    """A Rollout's status; empty where there is none, or none that means anything."""
    try:
        return RolloutStatus.parse(mapping(rollout).get("status") or {}, "status")
    except InvalidSpec:
        return RolloutStatus()


def judge(before: RolloutStatus, after: RolloutStatus, desired: Desired | None) -> tuple[Verdict, str]:
    """Compare what was with what came of it.

    Args:
        before: the status as it is.
        after: the status a few seconds later.
        desired: what the spec asks for; None where that means nothing.
    """
    ended = _ended(before, after)
    started = _number(after) > _number(before)  # one without waits may be over by now
    if started and ended is None:
        return Verdict.START, after.message
    if ended is not None:
        outcome, message = ended
        told = after.message if message in after.message else f"{message}; {after.message}"
        return _ENDS.get(outcome, Verdict.END), told
    if after.under_way is not None:
        return Verdict.GO_ON, after.message
    stalled = condition_of(after.conditions, ConditionType.STALLED)
    if stalled is not None and stalled.status == "True":
        return Verdict.STALL, after.message
    if desired is not None and after.stable is not None and desired.slot is not after.stable.slot:
        rejected = desired.hash in after.rejected
        return Verdict.NEEDS_RETRY if rejected else Verdict.WAIT, after.message
    if before.stable is None and after.stable is not None:
        return Verdict.ADOPT, after.message
    paused = condition_of(after.conditions, ConditionType.PAUSED)
    if after.stable is None and paused is not None and paused.status == "True":
        return Verdict.WAIT, after.message
    return Verdict.NOTHING, after.message


def _number(status: RolloutStatus) -> int:
    return status.revision.number if status.revision is not None else 0


def _ended(before: RolloutStatus, after: RolloutStatus) -> tuple[Outcome, str] | None:
    """How the run ended that was under way; None where none was, or it goes on."""
    if before.under_way is None:
        return None
    number = before.under_way.number
    if after.revision is not None and after.revision.number == number:
        return (after.revision.outcome, after.revision.message) if after.revision.outcome is not None else None
    entry = next((each for each in after.history if each.number == number), None)
    return (entry.outcome, entry.message) if entry is not None else None


def stable_line(status: RolloutStatus) -> RevisionLine | None:
    """What serves."""
    stable = status.stable
    if stable is None:
        return None
    return RevisionLine(str(stable.slot), stable.version or "", stable.hash, stable.number)


def candidate_line(status: RolloutStatus, desired: Desired | None) -> RevisionLine | None:
    """What a run leads to, or would."""
    revision = status.under_way
    if revision is not None:
        return RevisionLine(str(revision.slot), revision.version or "", revision.hash, revision.number)
    if desired is None or (status.stable is not None and desired.slot is status.stable.slot):
        return None
    return RevisionLine(str(desired.slot), desired.version or "", desired.hash)


def next_run_only(changed: Sequence[str], before: RolloutStatus, after: RolloutStatus) -> tuple[str, ...]:
    """Of the changed fields, those that the run under way goes on without."""
    if before.under_way is None or after.under_way is None or _number(before) != _number(after):
        return ()
    return tuple(field for field in changed if field.startswith(_KEPT_BY_RUN))
