"""What people tell a run to do (RolloutAction), each verb once. Pure.

An action is done at most once: the audit entry that tells of it is known by the action's uid, so after a crash between
the status write and the answer it is only answered. What it is known by must not depend on the current revision: Retry
and Undo change that.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from sluice.api.action import Verb
from sluice.api.conditions import Reason
from sluice.api.outcome import Outcome
from sluice.api.rollout import AuditEntry, PausedBy, StepStatus
from sluice.api.run import RolloutRunSpec
from sluice.api.units import FULL, format_duration
from sluice.decide import analysis, approvals, audit, gates, oncall, policies
from sluice.decide.coverage import BACKGROUND
from sluice.decide.draft import Draft
from sluice.decide.following import try_out
from sluice.decide.hold import Hold
from sluice.decide.model import GROWING_VERBS, ActionView, Answer
from sluice.decide.policies import Asked
from sluice.decide.progress import go_on, scope_of
from sluice.decide.refusal import Refused as _Refused
from sluice.decide.revision import new_run, return_run, run_name
from sluice.decide.slots import restart
from sluice.decide.texts import REASON_BYTES, clip
from sluice.decide.undoing import CannotReturn, fit_to_return, served_before

MAX_AGE = timedelta(minutes=10)
UNATTRIBUTED = "unattributed"


class _NotYet(Exception):
    """It is being done: pods come up for it. It is answered once they are ready."""


def obey(draft: Draft) -> None:
    """Answer the actions that have no answer yet, oldest first: as many as one pass can tell of.

    Those that are done, but could not be answered, count: their entries must not leave the status before that.
    """
    owed = list[AuditEntry]()
    before = draft.status.audit.seq
    for action in draft.observed.actions:
        verb = action.spec.action
        identity = audit.entry_id(draft.observed.ref.uid, action.spec.revision or 0, action.uid, verb.value)
        told = [entry for entry in draft.status.audit.entries if entry.action == verb.value and entry.id == identity]
        if told:
            owed.append(told[-1])
            draft.answers.append(Answer(action.name, done=True, message=told[-1].message))
            continue
        if audit.is_much([*owed, *(entry for entry in draft.status.audit.entries if entry.seq > before)]):
            break
        waits = len(draft.holds)
        try:
            _check(draft, action)
            message = _VERBS[verb](draft, action)
        except _NotYet:
            continue
        except _Refused as refusal:
            del draft.holds[waits:]  # what was in the action's way is not what the run waits for
            draft.answers.append(Answer(action.name, done=False, message=str(refusal)))
            draft.note(Reason.ACTION_REJECTED, f"{verb} by {_actor(action)}: {refusal}", warning=True)
            continue
        _tell(draft, action, message, identity)


def refuse_all(draft: Draft) -> None:
    """Answer people where nothing can be done for the Rollout as it is: with what is wrong."""
    why = draft.stalled.message if draft.stalled else "it was not observed yet; try again in a moment"
    if draft.observed.deleting:
        why = "the Rollout is being deleted; its traffic returns to stable by that"
    for action in draft.observed.actions:
        draft.answers.append(Answer(action.name, done=False, message=why))


def _tell(draft: Draft, action: ActionView, message: str, identity: str) -> None:
    reason = f" ({action.spec.reason})" if action.spec.reason else ""
    telling = audit.Telling(
        identity=identity,
        stage="Observed",
        action=action.spec.action.value,
        actor=_actor(action),
        reason=Reason.ACTION_DONE,
        message=f"{message}{reason}",
    )
    draft.update(audit=audit.append(draft.status.audit, telling, draft.now))
    draft.answers.append(Answer(action.name, done=True, message=message))
    draft.note(Reason.ACTION_DONE, f"{action.spec.action} by {_actor(action)}: {message}{reason}")


def _actor(action: ActionView) -> str:
    return clip(action.spec.actor, REASON_BYTES) or UNATTRIBUTED


def _check(draft: Draft, action: ActionView) -> None:
    if draft.now - action.created_at > MAX_AGE:
        raise _Refused("older than 10 minutes, so it may speak of another situation; create a new one")
    asked = action.spec.revision
    if asked is None and action.spec.action in GROWING_VERBS:
        raise _Refused(f"{action.spec.action} needs spec.revision; the current revision is {draft.number}")
    if asked is not None and asked != draft.number:
        raise _Refused(
            f"it is for revision {asked}, but the current one is {draft.number}; look again, then decide anew"
        )


def _needs_run(draft: Draft, doing: str) -> None:
    if not draft.under_way:
        phase = draft.status.revision.outcome if draft.status.revision else None
        ended = f"revision {draft.number} is {phase}" if phase else "there was none yet"
        raise _Refused(f"no run is under way to {doing}: {ended}")


def _not_begun(draft: Draft) -> _Refused:
    """There is no step to leave: the pods of the first one may take as long as the deadline lets them."""
    waiting = draft.status.waiting
    so = f": it waits ({waiting.reason}); see: {draft.command('status')}" if waiting else "; try again in a moment"
    return _Refused(f"the run has not begun its first step yet{so}")


def _promote(draft: Draft, _: ActionView) -> str:
    _needs_run(draft, "promote")
    spec, step = draft.run_spec, draft.status.step
    if spec is None or step is None:
        raise _not_begun(draft)
    if step.kind == "setWeight":
        raise _Refused(f"step {step.index} is still moving weight, there is no wait to skip; see: sluice status")
    frozen = gates.first(gates.FREEZING, draft)
    if frozen is not None:
        raise _Refused(frozen.message)
    set_aside = _set_aside(draft, spec, step)
    if set_aside:
        return set_aside
    _needs_no_approval(draft, spec, step.index, step.index)
    left = f"left step {step.index} ({step.kind})"
    before = len(draft.holds)
    if not go_on(draft, spec):
        hold = draft.holds[before]
        _await_pods(draft, hold)
        raise _Refused(f"{hold.message}; nothing was skipped")
    return left


def _needs_no_approval(draft: Draft, spec: RolloutRunSpec, first: int, last: int) -> None:
    """No promotion goes past a step that other people have to approve."""
    for index in range(first, last + 1):
        wanted = spec.steps[index - 1].approval
        if wanted is not None:
            asked = f"step {index} waits for {approvals.describe(wanted)}, which no promotion replaces"
            raise _Refused(f"{asked}; nothing was skipped: {draft.command('approve')}")


def _await_pods(draft: Draft, hold: Hold) -> None:
    """A greater share needs more pods, which are only made once it is sought: that is no reason to refuse."""
    if hold.reason is Reason.WAITS_FOR_ENDPOINTS and draft.workload is not None and draft.workload.replicas:
        raise _NotYet


def _set_aside(draft: Draft, spec: RolloutRunSpec, step: StepStatus) -> str:
    """A person lets an analysis go on that is held for one. It is measured anew: exposure never grows unmeasured."""
    scopes = {BACKGROUND: spec.analysis.metrics, scope_of(step.index): draft.inline}
    for scope, metrics in scopes.items():
        verdict = analysis.verdict(metrics, draft.status.metrics, scope)
        if verdict.outcome is not analysis.Outcome.HELD:
            continue
        fresh = {tally.name: tally for tally in analysis.begin(metrics, scope, draft.now)}
        draft.update(
            metrics=tuple(
                fresh[tally.name] if (tally.scope, tally.name) == (scope, verdict.metric) else tally
                for tally in draft.status.metrics
            )
        )
        return f"set aside: {verdict.message}; {verdict.metric} is measured anew"
    return ""


def _promote_fully(draft: Draft, _: ActionView) -> str:
    _needs_run(draft, "promote")
    spec, step = draft.run_spec, draft.status.step
    if spec is None or step is None:
        raise _not_begun(draft)
    draft.sought = FULL
    hold = gates.first(gates.GROWTH, draft)
    if hold is not None and hold.reason is Reason.NO_MEASUREMENT:  # a person need not wait for the next measurement
        hold = gates.candidate_not_ready(draft)
    if hold is not None:
        draft.holds.append(hold)
        _await_pods(draft, hold)
        raise _Refused(f"{hold.message}; nothing was skipped")
    last = max(index for index, each in enumerate(spec.steps, 1) if each.kind == "setWeight" and each.share == FULL)
    if step.index >= last:
        raise _Refused(f"step {step.index} of {len(spec.steps)} already gives it everything; see: sluice promote")
    _needs_no_approval(draft, spec, step.index, last)
    draft.enter(last)
    return f"went straight to step {last} of {len(spec.steps)}"


def _pause(draft: Draft, action: ActionView) -> str:
    _needs_run(draft, "pause")
    if draft.status.paused_by is not None:
        raise _Refused(f"already paused by {draft.status.paused_by.actor}")
    draft.update(paused_by=PausedBy(actor=_actor(action), reason=clip(action.spec.reason, REASON_BYTES), at=draft.now))
    return "paused"


def _resume(draft: Draft, _: ActionView) -> str:
    name, namespace = draft.observed.ref.name, draft.observed.ref.namespace
    if draft.status.paused_by is None and draft.status.held_by is None:
        if draft.observed.spec is not None and draft.observed.spec.paused:
            raise _Refused("it is paused by spec.paused: set that to false")
        raise _Refused(f"nobody paused it; to leave a pause step: sluice promote {name} -n {namespace}")
    draft.update(paused_by=None, held_by=None)
    return "resumed"


def _hold(draft: Draft, action: ActionView) -> str:
    _needs_run(draft, "hold")
    needs_reason(action)
    return oncall.hold(draft, action, _actor(action))


def _extend(draft: Draft, action: ActionView) -> str:
    _needs_run(draft, "extend")
    needs_reason(action)
    by, step, at = action.spec.duration, draft.step, draft.status.step
    if by is None:
        raise _Refused("Extend needs spec.duration: by how much the wait is to be longer")
    if draft.status.held_by is not None:
        return oncall.extend_hold(draft, by)
    if step is None or at is None or step.duration is None or step.kind not in {"pause", "watch"}:
        raise _Refused(
            f"no wait for a time runs now, so there is none to lengthen; to hold it: {draft.command('hold')}"
        )
    draft.update(step=oncall.extended(at, by))
    return f"step {at.index} ({step.kind}) lasts {format_duration(by)} longer"


def _approve(draft: Draft, action: ActionView) -> str:
    _needs_run(draft, "approve")
    if draft.run_spec is None:
        raise _Refused(f"RolloutRun {draft.observed.ref.namespace}/{draft.status.run} is not there")
    return approvals.approve(draft, action, requester=draft.run_spec.requester)


def _reject(draft: Draft, action: ActionView) -> str:
    _needs_run(draft, "reject")
    needs_reason(action)
    message = f"rejected by {_actor(action)}: {action.spec.reason}"
    draft.end_run(Outcome.ABORTED, Reason.REJECTED_BY_ACTION, message, actor=_actor(action))
    return f"rejected; traffic returns to {draft.stable.slot}"


def needs_reason(action: ActionView) -> None:
    """Others are to learn why.

    Raises:
        Refused: it says none.
    """
    if not action.spec.reason.strip():
        raise _Refused(f"{action.spec.action} needs spec.reason: why")


def _abort(draft: Draft, action: ActionView) -> str:
    _needs_run(draft, "abort")
    why = f": {action.spec.reason}" if action.spec.reason else ""
    draft.end_run(Outcome.ABORTED, Reason.ABORTED_BY_ACTION, f"aborted by {_actor(action)}{why}", actor=_actor(action))
    return f"aborted; traffic returns to {draft.stable.slot}"


def _retry(draft: Draft, _: ActionView) -> str:
    spec = draft.observed.spec
    if spec is None:
        raise _Refused(draft.observed.spec_problem)
    again = draft.desired
    if again is None:
        raise _Refused(draft.observed.asked.problem if draft.observed.asked else "there is no template to run")
    if draft.under_way:
        raise _Refused(f"revision {draft.number} is under way; abort it first, or wait until it is over")
    if again.slot is draft.stable.slot or again.hash not in draft.status.rejected:
        raise _Refused("what the spec asks for was not aborted, killed or undone, so there is nothing to retry")
    frozen = gates.first(gates.FREEZING, draft)
    if frozen is not None:
        raise _Refused(f"{frozen.message}; then ask again")
    if draft.observed.templates.problem:
        raise _Refused(draft.observed.templates.problem)
    held = policies.hold_beginning(draft.observed.policies, Asked(again.hash, again.version), draft.now)
    if held is not None:
        raise _Refused(f"{held.message}; then ask again")
    if policies.await_turn(draft.observed.policies, draft.observed.status.queued, draft.now) is not None:
        draft.accept(again.hash)  # from here on it is as if the spec had just begun to ask for it
        return "it is tried again as soon as it is its turn"
    run = new_run(draft.observed, spec, draft.stable, again, draft.observed.templates, retry=True)
    try_out(draft, run)
    draft.start_run(run, run_name(draft.observed.ref.name, run.revision), exists=False)
    return f"revision {run.revision} starts again from step 1"


def _undo(draft: Draft, action: ActionView) -> str:
    if draft.under_way:
        return _abort(draft, action)
    spec, stable = draft.observed.spec, draft.stable
    if spec is None:
        raise _Refused(draft.observed.spec_problem)
    try:
        back = served_before(draft)
        hold = gates.first((*gates.FREEZING, gates.target_unfit), draft)
        if hold is not None:
            raise _Refused(f"{hold.message}; then ask again")
        run = return_run(draft.observed, spec, stable, back, cause="Undo")
        fit_to_return(draft, run)
    except CannotReturn as why:
        raise _Refused(str(why)) from None
    draft.reject(stable.hash)
    draft.start_run(run, run_name(draft.observed.ref.name, run.revision), exists=False)
    return f"returns to {back.slot} ({back.version or back.hash})"


def _restart(draft: Draft, _: ActionView) -> str:
    if draft.workload is None:
        raise _Refused("its pods are not Sluice's to restart: restart the Deployments behind its Services")
    slots = restart(draft, draft.now)
    if not slots:
        raise _Refused("it has no pods")
    names = " and ".join(f"{draft.observed.ref.name}-{slot}" for slot in slots)
    return f"the pods of {names} are replaced, new ones first"


def _rollback(draft: Draft, _: ActionView) -> str:
    raise _Refused(
        f"it has no spec.fleet, and so no clusters to take back; its run: {draft.command('abort')}, and its version: "
        f"{draft.command('undo')}"
    )


_VERBS: dict[Verb, Callable[[Draft, ActionView], str]] = {
    Verb.PROMOTE: _promote,
    Verb.PROMOTE_FULLY: _promote_fully,
    Verb.PAUSE: _pause,
    Verb.RESUME: _resume,
    Verb.ABORT: _abort,
    Verb.RETRY: _retry,
    Verb.UNDO: _undo,
    Verb.RESTART: _restart,
    Verb.ROLLBACK: _rollback,
    Verb.APPROVE: _approve,
    Verb.REJECT: _reject,
    Verb.HOLD: _hold,
    Verb.EXTEND: _extend,
}
