"""From the intended share to the writes that make it so, and keep it so. Pure.

Shares are always read back, never believed: whatever differs is written, be it a step just begun, a return to stable,
or a foreign write. What grows the candidate's share passes every gate; what takes from it only needs a stable slot
that answers. Foreign writes are put back with growing patience, so that two writers never fight in a tight loop: a
status with `drift` says that what is off now had once been read back, or written, as intended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from sluice.api.conditions import Reason
from sluice.api.names import Slot
from sluice.api.rollout import Confirmation, Drift
from sluice.api.units import FULL, NONE, BasisPoints, format_share
from sluice.api.workload import SlotServices
from sluice.decide import gates
from sluice.decide.draft import Draft
from sluice.decide.hold import Hold
from sluice.decide.model import Acceptance, Shift, SwitchView, TargetView
from sluice.decide.patience import FIGHT, MOST_SERVING, is_calm, is_due, patience
from sluice.decide.returning import DRILL, shares_back, why_diverted
from sluice.decide.switches import diverting, drilling, run_id
from sluice.decide.texts import REASON_BYTES, clip
from sluice.decide.traffic import forcing, stable_takes, stopped_by
from sluice.decide.untold import REPAIR, repair_cause, stamped

KILL_PATIENCE = timedelta(seconds=1)  # the most while a kill switch diverts: nobody else's write may undo that for long
FORCE = "force"


def confirm(draft: Draft) -> None:
    """Say how far the intended share is confirmed, or that what was confirmed has been changed by somebody else."""
    slot, share = draft.candidate, draft.intended
    carrying = [target for target in draft.observed.targets if target.found and target.shares]
    if not carrying or draft.observed.rival:
        return
    if not all(target.at(slot, share) for target in carrying):
        _notice_drift(draft)
    elif not draft.under_way or len(carrying) == len(draft.observed.targets):
        # A target that is gone keeps no run from being over: it has nothing that could be returned.
        _confirm(draft, carrying, slot, share)


def steer(draft: Draft) -> None:
    """Add the shifts that are needed."""
    services, targets = draft.observed.services, draft.observed.targets
    if services is None or draft.observed.rival:
        return
    slot, share = draft.candidate, draft.intended
    off = [target for target in targets if target.found and target.shares and not target.at(slot, share)]
    if not off:
        return
    drifted = draft.status.drift is not None
    if drifted and not _may_repair(draft, max(off, key=lambda target: target.share(slot))):
        return
    shrinking = [target for target in off if not _grows(target, slot, share)]
    growing = [target for target in off if _grows(target, slot, share)]
    shifts = [*_take(draft, shrinking, services, share), *_give(draft, growing, services, share)]
    if not shifts:
        return
    draft.shifts += shifts
    if drifted:
        _count_repair(draft, shifts[0].target)
    elif draft.status.drilled is None:
        draft.record("Intended", _action(draft), Reason.WEIGHT_CHANGED, f"{slot} to {format_share(share)}")


def _grows(target: TargetView, slot: Slot, share: BasisPoints) -> bool:
    """Whether any rule would give the candidate more than now."""
    return target.least(slot) < share or (target.dark and share > NONE)


def _action(draft: Draft) -> str:
    """How the audit calls the move; what a run takes back before its first step is not yet its own return."""
    step = draft.status.step
    return f"step-{step.index if step else 0}" if draft.under_way else "return"


def _shift(draft: Draft, target: TargetView, services: SlotServices, share: BasisPoints, *, grows: bool) -> Shift:
    cause = replace(draft.cause(_action(draft)), repairs=stamped(draft))
    switch = diverting(stopped_by(draft))
    if switch is not None and not grows:
        cause = replace(
            cause,
            action="divert",
            switch=switch.id,
            reason=why_diverted(switch, stable_takes(draft)),
            actor=switch.actor,
        )
    run = draft.run_spec
    rehearsed = drilling(stopped_by(draft))
    if switch is None and rehearsed is not None and not grows:
        cause = replace(
            cause, action=DRILL, switch=rehearsed.id, reason=clip(rehearsed.reason, REASON_BYTES), actor=rehearsed.actor
        )
    if grows and run is not None and run.switch:
        cause = replace(cause, switch=run.switch, reason=run.reason, actor=run.requester)
    return Shift(
        target=target, services=services, slot=draft.candidate, share=share, grows=grows, cause=cause, owner=draft.owner
    )


def _give(draft: Draft, targets: Sequence[TargetView], services: SlotServices, share: BasisPoints) -> list[Shift]:
    """Shifts that grow the candidate, past every gate."""
    if not targets:
        return []
    hold = _begun(draft)
    if hold is None:
        # A rule that is dark gives stable its part too, which must answer then.
        unlit = [target for target in targets if target.dark and share < FULL and not draft.stable_answers]
        grown = [_shift(draft, target, services, share, grows=True) for target in targets if target not in unlit]
        return [*grown, *_take(draft, unlit, services, share)]
    draft.wait_for(hold)
    # What answers nobody is lit again in any case, by stable; and a rule that has too much gives it back.
    dark = [target for target in targets if target.dark]
    uneven = [target for target in targets if not target.dark and target.share(draft.candidate) > share]
    taken = _take(draft, dark, services, NONE)
    for target in uneven:
        taken += _take(draft, [target], services, target.least(draft.candidate))
    return taken


def _begun(draft: Draft) -> Hold | None:
    """The gates for a share that a step has begun: that the share before was measured is behind it."""
    without_measuring = [gate for gate in gates.GROWTH if gate is not gates.analysis_in_the_way]
    return gates.first(without_measuring, draft) or _analysis_bad(draft)


def _analysis_bad(draft: Draft) -> Hold | None:
    """As the gate says; but that the share before was measured is asked anew only where no measurement is fresh."""
    hold = gates.analysis_in_the_way(draft)
    if hold is None or hold.reason is not Reason.NO_MEASUREMENT:
        return hold
    return hold if draft.served and not gates.freshly_measured(draft) else None


def _take(draft: Draft, targets: Sequence[TargetView], services: SlotServices, share: BasisPoints) -> list[Shift]:
    """Shifts that give stable more, where stable answers, or a kill switch has force."""
    if not targets:
        return []
    forced = forcing(draft)
    if forced is None and not draft.stable_answers:
        message = (
            f"{draft.service(draft.stable.slot)}, which is stable, has no ready endpoint: "
            "traffic stays where it is until one is ready"
        )
        draft.hold(Reason.NO_HEALTHY_STABLE, message, counts=True)
        draft.stall(Reason.NO_HEALTHY_STABLE, message)
        return []
    bears = stable_takes(draft)
    if forced is not None and bears < FULL:
        _tell_force(draft, forced, bears)
        bears = FULL
    if FULL - bears > share:
        message = f"{draft.service(draft.stable.slot)}, which is stable, can take {format_share(bears)} so far"
        draft.hold(Reason.STABLE_CAPACITY, f"{message}: the rest follows as its pods become ready", counts=True)
    back = shares_back(targets, draft.candidate, share, bears)
    return [_shift(draft, target, services, left, grows=False) for target, left in back]


def _tell_force(draft: Draft, switch: SwitchView, bears: BasisPoints) -> None:
    """That a share is taken back against what stable can bear, by whom; once for each engagement."""
    told = draft.status.audit.seq
    message = f"diverted by {switch}, engaged by {switch.actor}: {why_diverted(switch, bears)}"
    draft.record("Intended", FORCE, Reason.KILLED_BY_SWITCH, message, actor=switch.forced_by, cause=switch.id)
    if draft.status.audit.seq != told:
        draft.note(Reason.KILLED_BY_SWITCH, message, warning=True)


def _notice_drift(draft: Draft) -> None:
    """What was read back or written as intended is so no longer: nothing is claimed of it until it is put back."""
    drift = draft.status.drift
    if draft.status.confirmation is None and (drift is not None or not _overwritten(draft)):
        return
    if drift is None or is_calm(drift.last_at, draft.now):
        drift = Drift(count=0, last_at=draft.now)
    draft.update(confirmation=None, drift=drift)


def _overwritten(draft: Draft) -> bool:
    """Whether somebody else was quicker to write than Sluice to read back what it had written."""
    slot, share = draft.candidate, draft.intended
    run = run_id(draft.observed.ref.uid, draft.number)
    ours = [
        target
        for target in draft.observed.targets
        if target.shares and target.owner == draft.owner and target.cause is not None and target.cause.run == run
    ]
    return any(target.written_at(slot, share) and not target.at(slot, share) for target in ours)


def _may_repair(draft: Draft, target: TargetView) -> bool:
    """Whether it is time to put a foreign write back."""
    drift = draft.status.drift
    if drift is None:
        return True
    if drift.count >= FIGHT:
        draft.stall(
            Reason.FOREIGN_WRITER,
            f"{_foreign(draft, target)}, again and again; "
            "stop that writer from setting weights (let Git ignore the field)",
        )
    waits = patience(drift.count)
    if target.share(draft.candidate) > draft.intended:  # patience is exposure then
        waits = min(waits, MOST_SERVING)
    if diverting(stopped_by(draft)):
        waits = min(waits, KILL_PATIENCE)
    return is_due(draft, drift.last_at, waits)


def _count_repair(draft: Draft, target: TargetView) -> None:
    drift = Drift(count=(draft.status.drift.count if draft.status.drift else 0) + 1, last_at=draft.now)
    message = _foreign(draft, target)
    draft.update(drift=drift)
    draft.record("Intended", REPAIR, Reason.FOREIGN_WRITER, message, cause=repair_cause(drift.last_at))
    draft.note(Reason.FOREIGN_WRITER, f"{message}; put back", warning=True)


def _foreign(draft: Draft, target: TargetView) -> str:
    slot = draft.candidate
    return (
        f"{target.ref} was changed by {target.writer or 'somebody else'}: {slot} has "
        f"{format_share(target.share(slot))} instead of {format_share(draft.intended)}"
    )


def _confirm(draft: Draft, targets: Sequence[TargetView], slot: Slot, share: BasisPoints) -> None:
    """All targets read back as intended: say so, and whether their controllers took it."""
    refused = next((target for target in targets if target.acceptance is Acceptance.REFUSED), None)
    if refused is not None:
        message = f"{refused.ref} is not accepted: {refused.acceptance_message}"
        draft.hold(Reason.ROUTE_REFUSED, message, counts=True)
        draft.stall(Reason.ROUTE_REFUSED, message)
    accepted = all(target.acceptance is Acceptance.ACCEPTED for target in targets)
    level = Confirmation.ACCEPTED if accepted else Confirmation.WRITTEN
    drilled = draft.status.drilled
    if drilled is None and draft.status.confirmation is level:
        return
    # What a drill takes is not what the run is to have: that is not claimed before it has it back.
    draft.update(confirmation=level if drilled is None else None)
    if accepted:
        _tell_accepted(draft, f"{slot} at {format_share(share)}: {level}")


def _tell_accepted(draft: Draft, message: str) -> None:
    """Each of what led to the share is seen now; what was told of before is not told again."""
    told = {DRILL: draft.status.drilled} if draft.status.drilled is not None else {_action(draft): ""}
    forced, drift = forcing(draft), draft.status.drift
    told |= {FORCE: forced.id} if forced is not None else {}
    told |= {REPAIR: repair_cause(drift.last_at)} if drift is not None else {}
    for action, cause in told.items():
        draft.record_seen(action, Reason.CONFIRMED, message, cause=cause or "")
