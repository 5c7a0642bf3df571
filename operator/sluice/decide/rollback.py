"""What a Rollback switch does where there is no candidate: a completed revision returns to the one before. Pure.

A switch acts on the newest run alone. One that completed is returned from, by a run that is the switch's own. That run
is then the newest, and is not returned from in its turn: however long the switch stays engaged, and whichever is
engaged next, nobody is led down the history. Nor is a revision returned to that was itself rejected.
"""

from __future__ import annotations

from sluice.api.conditions import Reason
from sluice.api.outcome import Outcome
from sluice.api.rollout import RolloutSpec
from sluice.decide import gates
from sluice.decide.draft import Draft
from sluice.decide.following import begun_before, try_out
from sluice.decide.model import SwitchView
from sluice.decide.revision import Desired, return_run, run_name
from sluice.decide.switches import engagement, rolling_back, title_of
from sluice.decide.texts import REASON_BYTES, clip
from sluice.decide.undoing import CannotReturn, fit_to_return, served_before

# Other switches are weaker; every other thing that keeps a run where it is keeps a return from beginning.
_GATES = tuple(gate for gate in (*gates.FREEZING, gates.target_unfit) if gate is not gates.held_by_switch)


def roll_back(draft: Draft, spec: RolloutSpec) -> None:
    """Begin the return that the strictest switch asks for, where one is due; or say why it cannot begin."""
    switch, revision = rolling_back(draft.observed.switches), draft.status.revision
    if switch is None or draft.under_way or (revision is not None and _is_over(revision.outcome, revision.switch)):
        return
    try:
        _return(draft, spec, switch)
    except CannotReturn as why:
        stays = draft.stable.version or draft.stable.hash
        draft.hold(Reason.HELD_BY_SWITCH, f"{engagement(switch)}; {stays} is not returned from: {why}")


def _is_over(outcome: Outcome | None, switch: str) -> bool:
    """Whether the newest run is nothing to return from: its candidate never became stable, or it was such a return."""
    return outcome is not Outcome.COMPLETED or bool(switch)


def _return(draft: Draft, spec: RolloutSpec, switch: SwitchView) -> None:
    back = served_before(draft)
    if draft.observed.led and not _is_asked_for(draft, back):
        return  # the hub knows whether what served here before is to serve again
    if back.hash in draft.status.rejected:
        raise CannotReturn(f"what served before, {back.version or back.hash}, was itself killed, aborted or undone")
    hold = gates.first(_GATES, draft)
    if hold is not None:
        raise CannotReturn(hold.message)
    run = return_run(draft.observed, spec, draft.stable, back, cause="KillSwitch")
    why = clip(f"{switch}, engaged by {switch.actor}: {switch.reason}", REASON_BYTES)
    run = run.model_copy(update={"switch": switch.id, "reason": why, "requester": clip(switch.actor, REASON_BYTES)})
    fit_to_return(draft, run)
    begun = begun_before(draft, run)
    run = begun.spec if begun else run
    try_out(draft, run)
    draft.reject(draft.stable.hash)
    draft.start_run(run, run_name(draft.observed.ref.name, run.revision), exists=begun is not None)
    message = f"returns from {run.stable_version or run.stable_hash} to {back.slot} ({back.version or back.hash})"
    draft.record("Observed", "start", Reason.KILLED_BY_SWITCH, f"{message}: {run.reason}", actor=switch.actor)
    draft.note(Reason.KILLED_BY_SWITCH, f"{message}: {run.reason}", warning=True)


def _is_asked_for(draft: Draft, back: Desired) -> bool:
    return draft.desired is not None and draft.desired.hash == back.hash


def returned_from(draft: Draft, revision_hash: str) -> str:
    """By which switch a revision was returned from in the last run, and why; "" where it was not."""
    revision, run = draft.status.revision, draft.run
    if revision is None or not revision.switch or revision.outcome is not Outcome.COMPLETED:
        return ""
    if run is None:
        return f"returned from by {title_of(revision.switch)}"
    return f"returned from by {run.spec.reason}" if run.spec.stable_hash == revision_hash else ""
