"""From what is observed to a plan: the stages in their order. Pure.

The order is the policy: what stops first (kill switches, a lost record, people, failed analysis, a changed spec), then
what goes on, then the writes that make the intended share so. Whatever a stage intends is in the status before it
is written anywhere else; only kills are written first.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sluice.api.conditions import Reason
from sluice.api.names import Slot
from sluice.api.outcome import Outcome
from sluice.api.rollout import RolloutStatus, Waiting
from sluice.api.units import FULL, NONE
from sluice.decide import drills, following, measuring, oncall, people, progress, records, rollback, untold
from sluice.decide.adoption import adopt
from sluice.decide.draft import Draft
from sluice.decide.followers import lead
from sluice.decide.gates import target_unfit
from sluice.decide.killing import obey_glass, obey_switches
from sluice.decide.leaving import let_drop, let_go
from sluice.decide.model import FinalizerChange, Observed, Plan, Shift
from sluice.decide.pace import keep_pace
from sluice.decide.report import report
from sluice.decide.revision import run_name
from sluice.decide.roles import dress
from sluice.decide.slots import tend
from sluice.decide.source import retire
from sluice.decide.steering import confirm, steer
from sluice.decide.switches import kept

RUN_LOST_AFTER = timedelta(seconds=10)


def plan(observed: Observed, now: datetime) -> Plan:
    """Decide what to do about one Rollout.

    Args:
        observed: everything the decision depends on.
        now: the time, aware.

    Returns:
        The next status and the effects, in the order in which they are to be carried out.
    """
    draft = Draft(observed=observed, now=now, status=_sound(observed))
    draft.update(covered_by=kept(observed.switches), queued=None)  # who waits for a turn asks in every pass
    if observed.deleting:
        let_go(draft)
        people.refuse_all(draft)
        return draft.finish(delete_runs=())
    if observed.spec is None:
        draft.stall(Reason.INVALID_SPEC, observed.spec_problem)
    goes = not observed.rival and _known(draft)
    if goes:
        _go(draft)
    _name_problems(draft)
    if not goes:
        people.refuse_all(draft)
    _guard(draft)
    report(draft)
    return draft.finish(delete_runs=_surplus(draft))


def _sound(observed: Observed) -> RolloutStatus:
    """The status without what cannot be: somebody may have edited it."""
    status = observed.status
    if status.stable is None:
        # What it still says of a run counts for nothing without the revision that the run began from.
        gone = (
            "revision",
            "run",
            "step",
            "weight",
            "confirmation",
            "waiting",
            "paused_by",
            "held_by",
            "drilled",
            "drift",
        )
        return status.model_copy(update={**dict.fromkeys(gone), "approvals": ()})
    if status.revision is not None and status.run is None:
        return status.model_copy(update={"run": run_name(observed.ref.name, status.revision.number)})
    return status


def _known(draft: Draft) -> bool:
    """Whether a stable revision is known, or was adopted now."""
    spec = draft.observed.spec
    return draft.status.stable is not None or (spec is not None and adopt(draft, spec))


def _go(draft: Draft) -> None:
    """The stages. A spec that means nothing stops no kill, no abort and no measuring: the run is held where it is."""
    spec = draft.observed.spec
    keep_pace(draft)
    drills.recall(draft)
    obey_switches(draft)
    drills.rehearse(draft)
    untold.recall(draft)
    _notice_loss(draft)
    measuring.absorb(draft)
    _leave_the_dead(draft)
    obey_glass(draft)
    oncall.let_go(draft)
    people.obey(draft)
    measuring.judge(draft)
    if spec is not None:
        rollback.roll_back(draft, spec)
        following.follow(draft, spec)
    _show_preview(draft)
    confirm(draft)
    progress.advance(draft)
    steer(draft)
    _tell_refusal(draft)
    if progress.watch_deadline(draft):
        draft.shifts.clear()
        steer(draft)
    lead(draft)
    tend(draft)
    dress(draft)
    retire(draft)
    let_drop(draft)
    measuring.measure(draft)
    records.mend(draft)
    _hurry(draft)


def _tell_refusal(draft: Draft) -> None:
    """A write that the API server refused is tried again in every pass; meanwhile people are told."""
    if draft.observed.write_problem is not None:
        reason, message = draft.observed.write_problem
        draft.hold(Reason(reason), message, counts=True)
        draft.stall(reason, message)


def _notice_loss(draft: Draft) -> None:
    """Without its RolloutRun nobody knows what the run would do next. A cache that is behind gets a moment."""
    if not draft.under_way:
        return
    spec, step = draft.run_spec, draft.status.step
    if spec is not None:
        if step is not None and not 1 <= step.index <= len(spec.steps):
            message = f"status.step names step {step.index}, but the run has {len(spec.steps)}; retry starts a new one"
            draft.end_run(Outcome.ABORTED, Reason.RUN_LOST, message)
        return
    waiting = draft.status.waiting
    if waiting is None or waiting.reason != Reason.RUN_LOST:
        waiting = Waiting(reason=Reason.RUN_LOST, since=draft.now)
        draft.update(waiting=waiting)
    name = f"RolloutRun {draft.observed.ref.namespace}/{draft.status.run}"
    if draft.now - waiting.since < RUN_LOST_AFTER:
        draft.hold(Reason.RUN_LOST, f"waits for {name}, which is not there", until=waiting.since + RUN_LOST_AFTER)
    else:
        draft.end_run(Outcome.ABORTED, Reason.RUN_LOST, f"{name} is gone; retry starts a new one")


def _leave_the_dead(draft: Draft) -> None:
    """A candidate that lost its last ready endpoint answers 503 to its share: stable takes it back (I1)."""
    if not draft.under_way or not draft.served:
        return
    ready = {slot: draft.observed.slots[slot].ready_endpoints for slot in Slot}
    if ready[draft.candidate] == NONE and ready[draft.stable.slot] > NONE:
        message = f"{draft.service(draft.candidate)} lost its last ready endpoint while it had traffic"
        draft.end_run(Outcome.ABORTED, Reason.CANDIDATE_LOST, message)


def _show_preview(draft: Draft) -> None:
    """Point the preview Service at the candidate, once per run; who changes it afterwards keeps it so."""
    preview, spec = draft.observed.preview, draft.run_spec
    if preview is None or spec is None or not preview.found or preview.at(spec.to_slot, FULL):
        return
    cause = draft.cause("preview")
    if preview.cause is not None and (preview.cause.run, preview.cause.action) == (cause.run, "preview"):
        return
    draft.shifts.append(
        Shift(
            target=preview,
            services=spec.services,
            slot=spec.to_slot,
            share=FULL,
            grows=False,
            cause=cause,
            owner=draft.owner,
        )
    )


def _hurry(draft: Draft) -> None:
    """What a kill takes away is written before anything else."""
    if not untold.hurried(draft):
        return
    draft.urgent += [shift for shift in draft.shifts if not shift.grows]
    draft.shifts = [shift for shift in draft.shifts if shift.grows]


def _name_problems(draft: Draft) -> None:
    """What is wrong with a route or Service is said even where nothing has to move.

    A Service that selects neither slot is no problem while a first version comes up: it is switched to that one then.
    """
    astray = any(target.problem and not (target.all_or_nothing and target.shares) for target in draft.observed.targets)
    if draft.status.stable is not None and draft.unserved and not astray and not draft.observed.rival:
        return
    hold = target_unfit(draft)
    if hold is not None:
        draft.stall(hold.reason, hold.message)


def _guard(draft: Draft) -> None:
    """The finalizer is there from the first sight on: deletion returns traffic first, and lets go of what it marked."""
    if draft.status.stable is not None and not draft.observed.rival and not draft.observed.has_finalizer:
        draft.finalizer = FinalizerChange.ADD


def _surplus(draft: Draft) -> tuple[str, ...]:
    """Finished RolloutRuns beyond the limit; never the current one, nor the one that undo would need."""
    spec = draft.observed.spec
    if spec is None:
        return ()
    stable = draft.status.stable.number if draft.status.stable else 0
    finished = [
        run
        for run in draft.observed.runs
        if run.status.outcome is not None and run.name != draft.status.run and run.spec.revision != stable
    ]
    return tuple(run.name for run in finished[: max(0, len(finished) - spec.revision_history_limit)])
