"""People who have to agree before a run goes past a point. Pure.

Whoever needs approval names a *point* and what it asks for, in every pass in which it would go past it. What people
said so far is kept in the status, and is good for that point of that run alone: leaving the point, or ending the run,
drops it. An approval counts until it expires, so a point is passed only while as many as were asked for stand by it.

Who somebody is, and in which groups, is what the API server stamped on their RolloutAction. One that it did not stamp
never counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from sluice.api.approval import Approval, ApprovalTally, Approver
from sluice.api.common import ObjectRef
from sluice.api.conditions import Reason
from sluice.decide.hold import Hold
from sluice.decide.metadata import known_requester
from sluice.decide.model import ActionView
from sluice.decide.refusal import Refused
from sluice.decide.subject import Subject
from sluice.decide.texts import clip, some

UNVERIFIABLE = "which person asked for the run is not known, so self-approval could not be ruled out"
_ACCOUNT = "system:serviceaccount:"
_NAME_BYTES = 64
_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Petition:
    """What is asked of people.

    Attributes:
        point: where the run waits, such as `step-3`; see `ApprovalTally`.
        wanted: who has to agree.
        revision: the run's number.
        requester: who asked for the run, as its record says; never one of those who approve it.
        command: what a person types to approve.
    """

    point: str
    wanted: Approval
    revision: int
    requester: str
    command: str


class Run(Protocol):
    """A run of which people are asked: a RolloutRunSpec, or a FleetRunSpec."""

    @property
    def revision(self) -> int:
        """Its number."""

    @property
    def requester(self) -> str:
        """Who asked for it."""


def petitions(rollout: ObjectRef, run: Run) -> Callable[[str, Approval], Petition]:
    """What is asked of people in a run, by the point and by what is wanted there."""
    command = f"sluice approve {rollout.name} -n {rollout.namespace}"
    return lambda point, wanted: Petition(point, wanted, run.revision, run.requester, command)


def ask(subject: Subject, petition: Petition) -> Hold | None:
    """Ask for approval at a point, and keep on asking.

    Returns:
        None once enough people have approved and none of it expired; until then what is missing, and of whom.
    """
    before = _known(subject, petition)
    standing = tuple(each for each in before.approvals if _stands(each, petition, subject))
    tally = before.model_copy(update={"approvals": standing})
    others = tuple(each for each in subject.status.approvals if each.point != petition.point)
    if before not in subject.status.approvals:
        subject.note(Reason.WAITS_FOR_APPROVAL, f"{petition.point}: waits for {describe(petition.wanted)}")
    elif len(standing) < len(before.approvals):
        gone = [_shown(each.actor) for each in before.approvals if each not in standing]
        message = (
            f"{petition.point}: what {some(gone, _SHOWN)} approved has expired, before {describe(petition.wanted)}"
        )
        subject.note(Reason.APPROVAL_EXPIRED, message, warning=True)
    subject.update(approvals=(*others, tally))
    missing = petition.wanted.quorum - len(standing)
    if missing <= 0:
        return None
    until = min((each.expires_at for each in standing), default=None)
    return Hold(Reason.WAITS_FOR_APPROVAL, _message(petition, tally, missing), until=until)


def is_granted(subject: Subject, petition: Petition) -> bool:
    """Whether enough people approve of it now."""
    known = _known(subject, petition)
    return sum(_stands(each, petition, subject) for each in known.approvals) >= petition.wanted.quorum


def approve(subject: Subject, action: ActionView, *, requester: str) -> str:
    """Count a person's approval of the point that their action names.

    Args:
        subject: the decision in the making.
        action: an Approve for the present revision.
        requester: who asked for the run.

    Returns:
        What it came to.

    Raises:
        Refused: it does not count, and why.
    """
    tally = _waiting(subject.status.approvals, action)
    actor = _attributed(action)
    standing = tuple(each for each in tally.approvals if subject.now < each.expires_at)
    if tally.group not in action.spec.actor_groups:
        raise Refused(f"{tally.point} waits for approval by {tally.group}, a group that {_shown(actor)} is not in")
    if actor == known_requester(requester):
        raise Refused(f"{_shown(actor)} asked for this run: somebody else of {tally.group} has to approve it")
    if any(each.actor == actor for each in standing):
        raise Refused(f"{_shown(actor)} has approved {tally.point} already: {_count(standing, tally.quorum)}")
    if len(standing) >= tally.quorum:
        raise Refused(f"{tally.point} has been approved already: {_count(standing, tally.quorum)}")
    approver = Approver(actor=actor, expires_at=subject.now + tally.expires)
    counted = tally.model_copy(update={"approvals": (*standing, approver)})
    kept = (counted if each.point == tally.point else each for each in subject.status.approvals)
    subject.update(approvals=tuple(kept))
    unsure = "" if is_person(requester) else f"; {UNVERIFIABLE}"
    return f"approved {tally.point}: {_count(counted.approvals, tally.quorum)}{unsure}"


def describe(wanted: Approval) -> str:
    """What is asked for, in a few words.

    >>> describe(Approval(group="release-managers", quorum=2))
    'approval by 2 of release-managers'
    """
    return f"approval by {wanted.quorum} of {wanted.group}"


def _known(subject: Subject, petition: Petition) -> ApprovalTally:
    """The tally of the point, or a new one where it is of another run, or asks for something else."""
    fresh = ApprovalTally(
        point=petition.point,
        revision=petition.revision,
        group=petition.wanted.group,
        quorum=petition.wanted.quorum,
        expires=petition.wanted.expires,
    )
    return next((each for each in subject.status.approvals if _same(each, fresh)), fresh)


def _same(tally: ApprovalTally, other: ApprovalTally) -> bool:
    return tally.model_copy(update={"approvals": ()}) == other


def _stands(approver: Approver, petition: Petition, subject: Subject) -> bool:
    return subject.now < approver.expires_at and approver.actor != known_requester(petition.requester)


def _waiting(tallies: Sequence[ApprovalTally], action: ActionView) -> ApprovalTally:
    point, revision = action.spec.point, action.spec.revision
    found = next((each for each in tallies if each.point == point and each.revision == revision), None)
    if found is not None:
        return found
    now = [each.point for each in tallies if each.revision == revision]
    if not now:
        raise Refused(f"nothing waits for approval now, so {point} cannot be approved; look again: sluice status")
    raise Refused(f"it approves {point}, but what waits for approval now is {some(now)}; look again, then decide anew")


def _attributed(action: ActionView) -> str:
    if not action.spec.actor or not action.spec.actor_groups:
        raise Refused(
            "nobody vouches for who approves, and in which groups they are, so it is not counted: where the API server "
            "does not stamp it (before Kubernetes 1.36), write your own into spec.actor and spec.actorGroups"
        )
    return action.spec.actor


def _message(petition: Petition, tally: ApprovalTally, missing: int) -> str:
    told = f"waits for {describe(petition.wanted)}: "
    so_far = [f"{_shown(each.actor)} (until {each.expires_at:%Y-%m-%d %H:%M} UTC)" for each in tally.approvals]
    told += f"{some(so_far, _SHOWN)} approved, {missing} more: " if so_far else "nobody yet: "
    asker = known_requester(petition.requester)
    whose = f"; {_shown(asker)}, who asked for it, does not count" if asker else ""
    unsure = "" if is_person(petition.requester) else f"; {UNVERIFIABLE}"
    return f"{told}{petition.command}{whose}{unsure}"


def is_person(requester: str) -> bool:
    """Whether the one who asked is known, and is a person; an account asks on behalf of somebody."""
    known = known_requester(requester)
    return bool(known) and not known.startswith(_ACCOUNT)


def _count(approvals: Sequence[Approver], quorum: int) -> str:
    return f"{len(approvals)} of {quorum} ({some([_shown(each.actor) for each in approvals], _SHOWN)})"


def _shown(actor: str) -> str:
    return clip(actor, _NAME_BYTES)
