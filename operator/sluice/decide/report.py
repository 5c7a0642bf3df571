"""What a Rollout says of itself: phase, message, conditions. Pure.

`Ready`, `Reconciling` and `Stalled` follow kstatus. With `readiness: Serving` a Rollout is ready while stable serves,
so a GitOps tool does not wait for a week of canary; with `Complete` it is ready only when the run is over and what was
asked for serves.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sluice.api.conditions import Condition, ConditionType, Reason, Status, merge_conditions
from sluice.api.names import HOLD_ANNOTATION
from sluice.api.outcome import Outcome
from sluice.api.rollout import Confirmation, HistoryEntry, Phase, Readiness, RolloutStatus
from sluice.api.run import RolloutRunStatus
from sluice.api.units import NONE, format_share
from sluice.decide import analysis
from sluice.decide.alarms import warn
from sluice.decide.analysis import Outcome as Finding
from sluice.decide.conditions import tell_condition
from sluice.decide.coverage import BACKGROUND
from sluice.decide.draft import Draft
from sluice.decide.faults import cause_of, faults_of
from sluice.decide.gates import broken_glass
from sluice.decide.hold import PAUSING, Hold
from sluice.decide.model import TargetView
from sluice.decide.progress import describe, scope_of
from sluice.decide.rollback import returned_from
from sluice.decide.switches import engagement, title_of
from sluice.decide.texts import MESSAGE_BYTES, clip
from sluice.decide.traffic import forcing

_TRUE: Status = "True"
_FALSE: Status = "False"


def report(draft: Draft) -> None:
    """Fill in phase, message, conditions and observedGeneration."""
    phase, message = _phase(draft), _message(draft)
    draft.update(phase=phase, message=clip(message, MESSAGE_BYTES), observed_generation=draft.observed.generation)
    conditions = [_ready(draft, phase, message)]
    if _reconciling(draft):
        conditions.append(_condition(draft, ConditionType.RECONCILING, "True", Reason.STEPPING, message))
    stalled = draft.stalled or _given_up(draft)
    if stalled is not None:
        conditions.append(_condition(draft, ConditionType.STALLED, "True", stalled.reason, stalled.message))
    conditions += [_progressing(draft, message), _paused(draft), _analysis(draft), _traffic(draft), _killed(draft)]
    warn(draft, conditions[0])
    draft.update(conditions=merge_conditions(draft.observed.status.conditions, conditions, draft.now))


def with_stalled(status: RolloutStatus, reason: str, message: str, generation: int, now: datetime) -> RolloutStatus:
    """A status as it is, but Stalled for that reason; the same where it says so already. Pure.

    That is then all there is to say of the generation: who waits for it learns that waiting does not help. What a run
    under way says of itself stays.
    """
    told = {
        kind: tell_condition(kind, value, reason, message, generation=generation, at=now)
        for kind, value in ((ConditionType.READY, _FALSE), (ConditionType.STALLED, _TRUE))
    }
    changes: dict[str, Any] = {"observed_generation": generation}
    if status.under_way is not None:
        del told[ConditionType.READY]
    else:
        changes |= {"phase": Phase.DEGRADED, "message": clip(message, MESSAGE_BYTES)}
    replaced = {*told, ConditionType.RECONCILING}
    others = [condition for condition in status.conditions if condition.type not in replaced]
    conditions = merge_conditions(status.conditions, [*told.values(), *others], now)
    return status.model_copy(update={**changes, "conditions": conditions})


def _condition(draft: Draft, kind: ConditionType, status: Status, reason: Reason | str, message: str) -> Condition:
    return tell_condition(kind, status, reason, message, generation=draft.observed.generation, at=draft.now)


def _ended(draft: Draft) -> Outcome | None:
    return draft.status.revision.outcome if draft.status.revision else None


@dataclass(frozen=True, slots=True)
class _Ending:
    """How a run ended."""

    outcome: Outcome
    reason: str
    message: str


def _rejected(draft: Draft) -> _Ending | None:
    """How what the spec asks for ended, where it is not tried again by itself."""
    revision, spec = draft.status.revision, draft.observed.spec
    if draft.under_way or draft.status.stable is None:
        return None
    if spec is None:
        if revision is None or revision.outcome not in {Outcome.ABORTED, Outcome.KILLED}:
            return None
        return _Ending(revision.outcome, revision.reason, revision.message)
    desired = draft.desired
    if desired is None or desired.slot is draft.stable.slot or desired.hash not in draft.status.rejected:
        return None
    ended = [entry for entry in draft.status.history if entry.hash == desired.hash]
    kept = [run.status for run in draft.observed.runs if run.spec.hash == desired.hash]
    newest_first: tuple[HistoryEntry | RolloutRunStatus, ...] = (*reversed(ended), *reversed(kept))
    last = newest_first[0] if newest_first else None
    left = returned_from(draft, desired.hash)
    if left:
        return _Ending(Outcome.KILLED, Reason.KILLED_BY_SWITCH, left)
    if last is None or last.outcome not in {Outcome.ABORTED, Outcome.KILLED}:
        return _Ending(Outcome.ABORTED, Reason.UNDONE_BY_ACTION, "what the spec asks for was undone")
    return _Ending(last.outcome, last.reason, last.message)


def _serves(draft: Draft) -> bool:
    return draft.status.stable is not None and not draft.unserved and draft.stable_answers


def _comes_up(draft: Draft) -> bool:
    """Whether a first version is on its way, and nothing is known that keeps it from getting ready."""
    first = draft.status.stable is not None and draft.unserved
    return first and draft.stalled is None and not faults_of(draft, draft.stable.slot)


def _pausing(draft: Draft) -> Hold | None:
    return next((hold for hold in draft.holds if hold.reason in PAUSING), None)


def _phase(draft: Draft) -> Phase:
    if draft.status.stable is None and draft.stalled is None and _pausing(draft):
        return Phase.PAUSED
    if draft.status.stable is None or not (_serves(draft) or _comes_up(draft)):
        return Phase.DEGRADED
    if not _serves(draft) and not draft.under_way:
        return Phase.PROGRESSING
    if draft.under_way:
        return Phase.PAUSED if _pausing(draft) else Phase.PROGRESSING
    rejected = _rejected(draft)
    if rejected is not None:
        return Phase.KILLED if rejected.outcome is Outcome.KILLED else Phase.ABORTED
    if draft.stalled is not None:
        return Phase.DEGRADED
    returning = draft.status.confirmation is None and draft.status.drift is None
    if returning or (draft.main_hold is not None and draft.main_hold.reason is Reason.NOT_CONFIRMED):
        return Phase.PROGRESSING  # the share that was just taken from the candidate is not surely gone yet
    return Phase.PAUSED if _pausing(draft) else Phase.HEALTHY


def _way_on(draft: Draft) -> str:
    """How a rejected revision is tried again; a kill switch has to be released first, and a hold by hand removed."""
    if draft.observed.switches:
        return f"to try again, first release {draft.observed.switches[0]}, then: {draft.command('retry')}"
    if broken_glass(draft):
        return f"to try again, first remove {HOLD_ANNOTATION} from it, then: {draft.command('retry')}"
    return f"try again: {draft.command('retry')}"


def _message(draft: Draft) -> str:
    if draft.stalled is not None and not draft.under_way:
        return draft.stalled.message
    if draft.under_way:
        told = draft.main_hold is not None and draft.main_hold.reason is Reason.NO_HEALTHY_STABLE
        urgent = "" if told or _serves(draft) else f"{_stable_fails(draft)}; "
        return urgent + _run_message(draft)
    rejected = _rejected(draft)
    if rejected is not None and _serves(draft):
        return f"{rejected.message}; {_who_serves(draft)}; {_way_on(draft)}"
    if draft.main_hold is not None:
        return draft.main_hold.message
    if draft.status.stable is None:
        return "not yet observed"
    if draft.unserved:
        return _first_message(draft)
    if not _serves(draft):
        return _stable_fails(draft) + _forced(draft)
    version = f" ({draft.stable.version})" if draft.stable.version else ""
    return f"{draft.stable.slot}{version} serves"


def _who_serves(draft: Draft) -> str:
    """Stable; or what a run that came to nothing has left, and why it is not taken back yet."""
    left = max((target.share(draft.candidate) for target in draft.observed.targets), default=NONE)
    if left == NONE:
        return f"{draft.stable.slot} serves"
    hold = draft.main_hold
    why = f": {hold.message}" if hold is not None and hold.reason is not Reason.NOT_CONFIRMED else ""
    return f"{draft.candidate} still has {format_share(left)}{why}"


def _stable_fails(draft: Draft) -> str:
    asks_for_none = draft.workload is not None and not draft.workload.replicas
    cause = "spec.workload.replicas is 0" if asks_for_none else cause_of(draft, draft.stable.slot)
    return f"{draft.service(draft.stable.slot)}, which serves, has no ready endpoint" + (cause and f": {cause}")


def _forced(draft: Draft) -> str:
    """That it was not spared that, by whom."""
    switch = forcing(draft)
    if switch is None:
        return ""
    return f"; traffic is forced to it by {switch}, with force by {switch.forced_by}: {switch.reason}"


def _first_message(draft: Draft) -> str:
    slot, view = draft.stable.slot, draft.observed.slots[draft.stable.slot]
    wanted = draft.workload.replicas if draft.workload is not None else 0
    if not wanted:
        return "the first version has no pods: spec.workload.replicas is 0"
    version, cause = draft.stable.version or draft.stable.hash, cause_of(draft, slot)
    pods = f"{view.ready_endpoints} of {wanted} pods ready"
    return f"the first version, {version}, comes up in {slot}: {pods}" + (cause and f": {cause}")


def _run_message(draft: Draft) -> str:
    at, step = draft.status.step, draft.step
    place = (
        f"step {at.index} of {at.of}, {draft.candidate} at {format_share(draft.intended)}"
        if at
        else f"revision {draft.number} begins"
    )
    if draft.main_hold is not None:
        return f"{place}: {draft.main_hold.message}"
    return f"{place}: {describe(step)}" if step else place


def _ready(draft: Draft, phase: Phase, message: str) -> Condition:
    if draft.status.stable is not None and not _serves(draft):
        reason = Reason.WAITS_FOR_ENDPOINTS if draft.unserved else Reason.NO_HEALTHY_STABLE
        return _condition(draft, ConditionType.READY, "False", reason, message)
    spec = draft.observed.spec
    if spec is None or draft.status.stable is None or (draft.stalled is not None and not draft.under_way):
        reason = draft.stalled.reason if draft.stalled else Reason.IDLE
        return _condition(draft, ConditionType.READY, "False", reason, message)
    if spec.readiness is Readiness.SERVING:
        return _condition(draft, ConditionType.READY, "True", Reason.STABLE_SERVES, message)
    if phase is Phase.HEALTHY:
        return _condition(draft, ConditionType.READY, "True", Reason.COMPLETED, message)
    if draft.under_way:
        return _condition(draft, ConditionType.READY, "False", Reason.STEPPING, message)
    rejected = _rejected(draft)
    if rejected is not None:
        return _condition(draft, ConditionType.READY, "False", rejected.reason, message)
    hold = draft.main_hold
    return _condition(draft, ConditionType.READY, "False", hold.reason if hold else Reason.STEPPING, message)


def _given_up(draft: Draft) -> _Ending | None:
    """With `Complete`, an end that needs a person: who waits for Ready is told that waiting does not help."""
    spec = draft.observed.spec
    return _rejected(draft) if spec is not None and spec.readiness is Readiness.COMPLETE else None


def _reconciling(draft: Draft) -> bool:
    if draft.stalled is not None:
        return False
    waits = draft.observed.spec is not None and draft.observed.spec.readiness is Readiness.COMPLETE
    return draft.status.stable is None or _comes_up(draft) or (waits and draft.under_way)


def _progressing(draft: Draft, message: str) -> Condition:
    if draft.under_way:
        reason = draft.main_hold.reason if draft.main_hold else Reason.STEPPING
        return _condition(draft, ConditionType.PROGRESSING, "True", reason, message)
    revision = draft.status.revision
    ended = revision.reason if revision else ""
    return _condition(
        draft, ConditionType.PROGRESSING, "False", ended or Reason.IDLE, revision.message if revision else ""
    )


def _paused(draft: Draft) -> Condition:
    hold = _pausing(draft)
    if hold is None:
        return _condition(draft, ConditionType.PAUSED, "False", Reason.IDLE, "")
    return _condition(draft, ConditionType.PAUSED, "True", hold.reason, hold.message)


def _analysis(draft: Draft) -> Condition:
    spec, at = draft.run_spec, draft.status.step
    kind = ConditionType.ANALYSIS_PASSED
    revision = draft.status.revision
    if spec is None:
        if revision is not None and revision.reason in analysis.CAUSES:
            return _condition(draft, kind, "False", revision.reason, revision.message)
        return _condition(draft, kind, "Unknown", Reason.IDLE, "")
    groups = [(spec.analysis.metrics, BACKGROUND)]
    if at is not None:
        groups.insert(0, (draft.inline, scope_of(at.index)))
    verdicts = [analysis.verdict(metrics, draft.status.metrics, scope) for metrics, scope in groups if metrics]
    if not verdicts:
        return _condition(draft, kind, "Unknown", Reason.NO_ANALYSIS, "no analysis in this run")
    bad = next((each for each in verdicts if each.outcome in {Finding.FAILED, Finding.HELD, Finding.UNSURE}), None)
    if bad is not None:
        return _condition(draft, kind, "False" if bad.outcome is Finding.FAILED else "Unknown", bad.reason, bad.message)
    if any(each.outcome is Finding.RUNNING for each in verdicts):
        return _condition(draft, kind, "Unknown", Reason.MEASURING, "no bad measurement so far")
    return _condition(draft, kind, "True", Reason.MEASUREMENTS_PASS, "")


def _traffic(draft: Draft) -> Condition:
    kind = ConditionType.TRAFFIC_CONFIRMED
    level = draft.status.confirmation
    astray = _astray(draft)
    if astray is not None:
        message = f"{astray.ref} does not say, or no longer says, {format_share(draft.intended)} for {draft.candidate}"
        return _condition(draft, kind, "False", Reason.NOT_CONFIRMED, message)
    if level is Confirmation.ACCEPTED:
        return _condition(
            draft, kind, "True", Reason.CONFIRMED, f"{level}: read back, and accepted by every controller"
        )
    if level is Confirmation.WRITTEN:
        return _condition(
            draft, kind, "Unknown", Reason.NOT_CONFIRMED, "Written: read back, not yet accepted by every controller"
        )
    drilled = draft.status.drilled
    why = "not yet read back as intended" if drilled is None else f"the drill of {title_of(drilled)} has the traffic"
    return _condition(draft, kind, "False", Reason.NOT_CONFIRMED, why)


def _astray(draft: Draft) -> TargetView | None:
    """A target that was confirmed once and does not read as intended now: changed by somebody else, or gone."""
    if draft.status.stable is None or draft.status.confirmation is None:
        return None
    slot, share = draft.candidate, draft.intended
    return next((target for target in draft.observed.targets if not target.at(slot, share)), None)


def _killed(draft: Draft) -> Condition:
    kind = ConditionType.KILLED
    revision = draft.status.revision
    if _ended(draft) is Outcome.KILLED and revision is not None:
        return _condition(draft, kind, "True", revision.reason, revision.message)
    if draft.observed.switches:
        return _condition(draft, kind, "True", Reason.HELD_BY_SWITCH, engagement(draft.observed.switches[0]))
    return _condition(draft, kind, "False", Reason.IDLE, "")
