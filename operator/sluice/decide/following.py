"""Following the spec: when a run starts, is superseded, or goes back. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sluice.api.conditions import Reason
from sluice.api.outcome import Outcome
from sluice.api.rollout import Queued, RolloutSpec
from sluice.api.run import RolloutRunSpec
from sluice.api.units import NONE
from sluice.decide import gates
from sluice.decide.draft import Draft
from sluice.decide.model import RunView
from sluice.decide.policies import Asked, keep_from_beginning
from sluice.decide.revision import Desired, new_run, return_run, run_name
from sluice.decide.slots import trial_of
from sluice.decide.texts import count_of

REFUSED_ASKS_AGAIN_AFTER = timedelta(seconds=30)


def follow(draft: Draft, spec: RolloutSpec) -> None:
    """Compare what the spec asks for with what serves and what is under way."""
    desired = draft.desired
    if desired is None:
        _name_problem(draft)
    elif draft.under_way:
        _keep_or_leave(draft, desired)
    elif desired.slot is draft.stable.slot or _never_up(draft):
        _settle(draft, desired)
    elif desired.hash not in draft.status.rejected or _asked_anew(draft):
        _start(draft, spec, desired)


def _asked_anew(draft: Draft) -> bool:
    """Whether the hub tries a rejected revision again: by a run of the fleet that was not tried here yet."""
    revision = draft.status.revision
    return draft.pace is not None and (revision is None or revision.fleet_run != draft.pace.run)


def _name_problem(draft: Draft) -> None:
    """There is no template to compare with: what is under way goes on, and nothing new begins."""
    asked = draft.observed.asked
    if asked is not None and asked.problem:
        draft.stall(asked.problem_reason, asked.problem)


def _keep_or_leave(draft: Draft, desired: Desired) -> None:
    revision = draft.status.revision
    if revision is None:
        return
    if desired.hash == revision.hash:
        if draft.pace is not None and revision.fleet_run not in {None, draft.pace.run}:
            # It missed how the fleet's run ended that it is in: the next one begins at its beginning.
            message = f"superseded by the fleet's run {draft.pace.run}"
            draft.end_run(Outcome.SUPERSEDED, Reason.SUPERSEDED, message)
        return
    rejected = desired.hash in draft.status.rejected
    if revision.switch:
        return  # what is asked for begins once the switch let go
    if rejected and draft.run_spec is not None and draft.run_spec.cause == "Undo":
        return  # what the spec asks for is what is being undone
    if desired.slot is draft.stable.slot:
        draft.end_run(
            Outcome.RETURNED, Reason.RETURNED_TO_STABLE, f"the spec asks for {desired.slot} again, which is stable"
        )
        return
    fate = "needs a retry" if rejected else f"starts once {draft.candidate} has no traffic"
    draft.end_run(
        Outcome.SUPERSEDED, Reason.SUPERSEDED, f"superseded by {desired.version or desired.hash}, which {fate}"
    )


def _never_up(draft: Draft) -> bool:
    """Whether what is called stable is a first version without one ready pod: the next one takes its place at once."""
    return draft.unserved and draft.observed.slots[draft.stable.slot].ready_endpoints == NONE


def _settle(draft: Draft, desired: Desired) -> None:
    """The slot that is asked for serves. A changed version in it is taken note of; it needs no run.

    It is stable from now on: policies that want a version to be so for a week mean that one, not the one before.
    """
    if (draft.stable.hash, draft.stable.version) == (desired.hash, desired.version):
        return
    changes: dict[str, Any] = {"hash": desired.hash, "version": desired.version, "since": draft.now}
    draft.update(stable=draft.stable.model_copy(update=changes))


def _start(draft: Draft, spec: RolloutSpec, desired: Desired) -> None:
    if not draft.cleared:
        message = f"revision {desired.version or desired.hash} waits until {draft.candidate} has no traffic"
        draft.hold(Reason.NOT_CONFIRMED, message)
        return
    hold = gates.first((*gates.FREEZING, gates.target_unfit), draft)
    if hold is not None:
        draft.hold(hold.reason, f"revision {desired.version or desired.hash} waits: {hold.message}", until=hold.until)
        return
    missing = next((slot for slot in draft.observed.slots.values() if not slot.exists), None)
    if missing is not None and draft.workload is not None:
        draft.hold(Reason.SERVICE_MISSING, f"waits for Service {draft.observed.ref.namespace}/{missing.service}")
        return
    if missing is not None:
        draft.stall(
            Reason.SERVICE_MISSING,
            f"Service {draft.observed.ref.namespace}/{missing.service} does not exist; create it",
        )
        return
    if draft.observed.templates.problem:
        draft.stall(draft.observed.templates.problem_reason, draft.observed.templates.problem)
        return
    run = _run_to(draft, spec, desired)
    asked = Asked(desired.hash, desired.version)
    if not run.goes_back and keep_from_beginning(draft, draft.observed.policies, asked, _place_in_line(draft)):
        return
    begun = begun_before(draft, run)
    run = begun.spec if begun else run
    try_out(draft, run)
    draft.start_run(run, run_name(draft.observed.ref.name, run.revision), exists=begun is not None)
    draft.note(
        Reason.RUN_STARTED,
        f"revision {run.revision}{f' ({run.version})' if run.version else ''} begins: {run.from_slot} to {run.to_slot} "
        f"in {count_of(len(run.steps), 'step')}",
    )
    draft.record("Observed", "start", Reason.RUN_STARTED, f"{run.from_slot} to {run.to_slot}", actor=run.requester)


def _place_in_line(draft: Draft) -> Queued | None:
    """Since when it waits for its turn. What was refused has had it: it asks again after a while, behind the others."""
    queued = draft.observed.status.queued
    if draft.observed.write_problem is None or queued is None or queued.since > draft.now:
        return queued
    return queued.model_copy(update={"since": draft.now + REFUSED_ASKS_AGAIN_AFTER})


def _run_to(draft: Draft, spec: RolloutSpec, desired: Desired) -> RolloutRunSpec:
    """The run to what is asked for; straight back, where that served not long ago."""
    if _in_rollback_window(draft, spec, desired):
        return return_run(draft.observed, spec, draft.stable, desired, cause="Rollback")
    return new_run(draft.observed, spec, draft.stable, desired, draft.observed.templates, retry=False)


def _in_rollback_window(draft: Draft, spec: RolloutSpec, desired: Desired) -> bool:
    """Whether one of the last revisions that completed, as many as the window has, is the one asked for."""
    if spec.rollback_window is None:
        return False
    completed = [run.spec for run in reversed(draft.observed.runs) if run.status.outcome is Outcome.COMPLETED]
    served = dict.fromkeys(served for run in completed for served in (run.hash, run.stable_hash))
    served.pop(draft.stable.hash, None)
    return desired.hash in list(served)[: spec.rollback_window.revisions]


def try_out(draft: Draft, run: RolloutRunSpec) -> None:
    """Have the API server look at the pod template before the run begins."""
    if draft.workload is not None and run.template is not None:
        draft.trial = trial_of(draft, draft.workload, run)


def begun_before(draft: Draft, run: RolloutRunSpec) -> RunView | None:
    """A RolloutRun created just before a crash, which no status speaks of yet: one that was made for the same cause."""
    last = draft.observed.runs[-1] if draft.observed.runs else None
    if (
        last is None
        or last.status.outcome is not None
        or last.name in draft.run_statuses
        or last.spec.rollout_uid != draft.observed.ref.uid
        or (last.spec.hash, last.spec.cause, last.spec.from_slot) != (run.hash, run.cause, run.from_slot)
        or last.spec.revision <= draft.number
    ):
        return None
    return last
