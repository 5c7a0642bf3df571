"""What people tell a run over a fleet to do (RolloutAction). Pure.

As in `decide.people`, an action is done at most once: the audit entry that tells of it is known by the action's uid.
"""

from __future__ import annotations

from collections.abc import Callable

from sluice.api.action import Verb
from sluice.api.conditions import Reason
from sluice.api.fleet import BatchStage, ClusterPhase, RunBatch
from sluice.api.outcome import Outcome
from sluice.api.rollout import AuditEntry, PausedBy
from sluice.api.units import format_duration
from sluice.decide import approvals, audit, oncall
from sluice.decide.fleet import approving, failing, measuring
from sluice.decide.fleet.advance import freeze, growth_held, promote
from sluice.decide.fleet.course import Course
from sluice.decide.fleet.following import start
from sluice.decide.fleet.rollback import NothingToTakeBack, roll_back
from sluice.decide.model import GROWING_VERBS, ActionView, Answer
from sluice.decide.people import MAX_AGE, UNATTRIBUTED, needs_reason
from sluice.decide.refusal import Refused as _Refused
from sluice.decide.texts import REASON_BYTES, clip


def obey(course: Course) -> None:
    """Answer the actions that have no answer yet, oldest first: as many as one pass can tell of.

    Those that are done, but could not be answered, count: their entries must not leave the status before that.
    """
    owed = list[AuditEntry]()
    before = course.status.audit.seq
    for action in course.observed.actions:
        verb = action.spec.action
        identity = audit.entry_id(course.observed.ref.uid, action.spec.revision or 0, action.uid, verb.value)
        told = [each for each in course.status.audit.entries if each.action == verb.value and each.id == identity]
        if told:
            owed.append(told[-1])
            course.answers.append(Answer(action.name, done=True, message=told[-1].message))
            continue
        if audit.is_much([*owed, *(entry for entry in course.status.audit.entries if entry.seq > before)]):
            break
        try:
            _check(course, action)
            message = _do(course, action)
        except _Refused as refusal:
            course.answers.append(Answer(action.name, done=False, message=str(refusal)))
            course.note(Reason.ACTION_REJECTED, f"{verb} by {_actor(action)}: {refusal}", warning=True)
            continue
        _tell(course, action, message, identity)


def refuse_all(course: Course, why: str) -> None:
    """Answer people where nothing can be done for the fleet as it is: with what is wrong."""
    for action in course.observed.actions:
        course.answers.append(Answer(action.name, done=False, message=why))


def _do(course: Course, action: ActionView) -> str:
    known = _VERBS.get(action.spec.action)
    if known is None:
        where = f"{course.observed.ref.name} -n {course.observed.ref.namespace}"
        instead = _INSTEAD[action.spec.action].format(where=where)
        raise _Refused(f"{action.spec.action} does not go over a fleet; nothing was done; {instead}")
    return known(course, action)


def _tell(course: Course, action: ActionView, message: str, identity: str) -> None:
    reason = f" ({action.spec.reason})" if action.spec.reason else ""
    verb = action.spec.action.value
    telling = audit.Telling(identity, "Observed", verb, _actor(action), Reason.ACTION_DONE, f"{message}{reason}")
    course.tell(telling)
    course.answers.append(Answer(action.name, done=True, message=message))
    course.note(Reason.ACTION_DONE, f"{action.spec.action} by {_actor(action)}: {message}{reason}")


def _actor(action: ActionView) -> str:
    return clip(action.spec.actor, REASON_BYTES) or UNATTRIBUTED


def _check(course: Course, action: ActionView) -> None:
    number = course.fleet.revision.number if course.fleet.revision is not None else 0
    if course.now - action.created_at > MAX_AGE:
        raise _Refused("older than 10 minutes, so it may speak of another situation; create a new one")
    asked = action.spec.revision
    if asked is None and action.spec.action in GROWING_VERBS:
        raise _Refused(f"{action.spec.action} needs spec.revision; the current revision is {number}")
    if asked is not None and asked != number:
        raise _Refused(f"it is for revision {asked}, but the current one is {number}; look again, then decide anew")


def _needs_run(course: Course, doing: str) -> None:
    if not course.under_way:
        raise _Refused(f"no run is under way to {doing}")


def _promote(course: Course, _: ActionView) -> str:
    _needs_run(course, "promote")
    frozen = freeze(course)
    if frozen is not None:
        raise _Refused(frozen.message)
    halted = failing.in_the_way(course)
    if halted:
        raise _Refused(halted)
    set_aside = measuring.set_aside(course)
    if set_aside:
        return set_aside
    unmeasured = measuring.in_the_way(course, course.at.step_done_at) if course.step else None
    if unmeasured is not None:
        raise _Refused(f"{unmeasured.message}; nothing was skipped")
    kept = growth_held(course) if course.step else None
    if kept is not None:
        raise _Refused(f"{kept.message}; nothing was skipped")
    wanted = approving.wanted(course)
    if wanted is not None:
        where = f"{course.observed.ref.name} -n {course.observed.ref.namespace}"
        asked = f"it waits for {approvals.describe(wanted)}, which no promotion replaces"
        raise _Refused(f"{asked}; nothing was skipped: sluice approve {where}")
    left = promote(course)
    if not left:
        raise _Refused("nothing waits for a person now; nothing was skipped")
    return left


def _pause(course: Course, action: ActionView) -> str:
    _needs_run(course, "pause")
    if course.status.paused_by is not None:
        raise _Refused(f"already paused by {course.status.paused_by.actor}")
    by = PausedBy(actor=_actor(action), reason=clip(action.spec.reason, REASON_BYTES), at=course.now)
    course.update(paused_by=by)
    return "paused: clusters that are in a step finish it, and no other step begins"


def _resume(course: Course, _: ActionView) -> str:
    if course.status.paused_by is None and course.status.held_by is None:
        raise _Refused("nobody paused it")
    course.update(paused_by=None, held_by=None)
    return "resumed"


def _hold(course: Course, action: ActionView) -> str:
    _needs_run(course, "hold")
    needs_reason(action)
    return f"{oncall.hold(course, action, _actor(action))}: clusters that are in a step finish it, and no other begins"


def _extend(course: Course, action: ActionView) -> str:
    _needs_run(course, "extend")
    needs_reason(action)
    by, batch = action.spec.duration, course.batch
    if by is None:
        raise _Refused("Extend needs spec.duration: by how much the wait is to be longer")
    if course.status.held_by is not None:
        return oncall.extend_hold(course, by)
    waits = batch is not None and course.fleet.batch is not None and _is_timed(batch, course.at.stage)
    if batch is None or not waits:
        where = f"{course.observed.ref.name} -n {course.observed.ref.namespace}"
        raise _Refused(
            "no pause before a batch, and no soak, runs now (pauses among the steps are its clusters' own); to hold "
            f"the run: sluice hold {where}"
        )
    course.update_fleet(batch=oncall.extended(course.at, by))
    what = "the pause before" if course.at.stage is BatchStage.PAUSED else "the soak of"
    return f"{what} batch {batch.name} lasts {format_duration(by)} longer"


def _is_timed(batch: RunBatch, stage: BatchStage) -> bool:
    if stage is BatchStage.PAUSED:
        return batch.pause is not None and batch.pause.duration is not None
    return stage is BatchStage.SOAKING and bool(batch.soak)


def _approve(course: Course, action: ActionView) -> str:
    _needs_run(course, "approve")
    requester = course.run_spec.requester if course.run_spec is not None else ""
    return approvals.approve(course, action, requester=requester)


def _abort(course: Course, action: ActionView) -> str:
    _needs_run(course, "abort")
    return _end(course, action, Reason.ABORTED_BY_ACTION, "aborted")


def _reject(course: Course, action: ActionView) -> str:
    _needs_run(course, "reject")
    needs_reason(action)
    return _end(course, action, Reason.REJECTED_BY_ACTION, "rejected")


def _end(course: Course, action: ActionView, reason: Reason, how: str) -> str:
    # Those on the way back too: after a crash between the record and the status they are by this very ending.
    halfway = course.among(tuple(course.phases), ClusterPhase.MOVING, ClusterPhase.DONE, ClusterPhase.RETURNING)
    message = f"{len(halfway)} cluster{' returns' if len(halfway) == 1 else 's return'}{failing.keepers(course)}"
    failing.send_back(course, halfway)
    why = f": {action.spec.reason}" if action.spec.reason else ""
    course.end_run(Outcome.ABORTED, reason, f"{how} by {_actor(action)}{why}; {message}", actor=_actor(action))
    return f"{how}: {message}"


def _retry(course: Course, _: ActionView) -> str:
    if course.under_way:
        raise _Refused("a run is under way; nothing to retry")
    spec, revision = course.observed.spec, course.fleet.revision
    if spec is None or revision is None or revision.hash not in course.status.rejected:
        raise _Refused("the last run did not come to nothing; nothing to retry")
    waits = len(course.holds)
    if not start(course, spec, "Retry"):
        if course.status.queued is not None:
            course.accept(revision.hash)  # from here on it is as if the spec had just begun to ask for it
            return "it is tried again as soon as it is its turn"
        why = course.holds[waits].message if len(course.holds) > waits else ""
        raise _Refused(why or (course.stalled.message if course.stalled is not None else "it cannot begin now"))
    return "tries again"


def _rollback(course: Course, action: ActionView) -> str:
    try:
        return roll_back(course, action.spec, _actor(action))
    except NothingToTakeBack as why:
        raise _Refused(str(why)) from why


_INSTEAD: dict[Verb, str] = {
    Verb.UNDO: "to go back: sluice rollback {where} --fleet",
    Verb.PROMOTE_FULLY: "to leave what waits for you: sluice promote {where}",
    Verb.RESTART: "for new pods, change something in the pod template, such as an annotation: that is a run",
}
_VERBS: dict[Verb, Callable[[Course, ActionView], str]] = {
    Verb.PROMOTE: _promote,
    Verb.PAUSE: _pause,
    Verb.RESUME: _resume,
    Verb.ABORT: _abort,
    Verb.RETRY: _retry,
    Verb.ROLLBACK: _rollback,
    Verb.APPROVE: _approve,
    Verb.REJECT: _reject,
    Verb.HOLD: _hold,
    Verb.EXTEND: _extend,
}
