"""People who have to agree, by a RolloutPolicy, before a run exposes anything, or a batch of a fleet begins. Pure.

They are asked once the run is there, so that they approve a version which is recorded, with who asked for it; the
candidate's pods come up meanwhile. Policies ask one after the other, by name.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence

from sluice.api.approval import Approval, ApprovalBefore, ApprovalTally, PolicyApproval
from sluice.api.conditions import Reason
from sluice.decide import approvals
from sluice.decide.approvals import Petition
from sluice.decide.hold import Hold
from sluice.decide.policyview import PolicyView
from sluice.decide.subject import Subject

MOST = 15  # a status has room for 16 points, and a step may have one of its own
_POINT = "policy/"


def await_consent(
    subject: Subject,
    policies: Sequence[PolicyView],
    petition: Callable[[str, Approval], Petition],
    *,
    begins_run: bool,
    batch: str = "",
) -> Hold | None:
    """Ask whom policies want to be asked, and keep on asking.

    Args:
        subject: the decision in the making.
        policies: that cover it, by name.
        petition: of the run, for a point and what is wanted there.
        begins_run: whether nothing of the run is exposed yet.
        batch: of a fleet, the one that is to begin; "" of a Rollout in one cluster.

    Returns:
        None where all have agreed; else the first policy's want.
    """
    asking = {_point(policy.name, wanted, batch): (policy, wanted) for policy, wanted in _asking(policies, begins_run)}
    if len(asking) > MOST:
        told = f"{len(asking)} RolloutPolicies want approval of it, and at most {MOST} can be asked"
        subject.update(approvals=_without(subject, ()))
        return Hold(Reason.WAITS_FOR_APPROVAL, f"{told}: let some of them ask as one, or cover others")
    subject.update(approvals=_without(subject, asking))
    for point, (policy, wanted) in asking.items():
        asked = petition(point, wanted)
        if wanted.require_requester and not approvals.is_person(asked.requester):
            told = "it is not known which person asked for this run, and who did may not approve it"
            way_out = "abort it, and have a person change the Rollout"
            return Hold(Reason.WAITS_FOR_APPROVAL, f"held by {policy}: {told}; {way_out}")
        hold = approvals.ask(subject, asked)
        if hold is not None:
            return Hold(hold.reason, f"{policy} {hold.message}", until=hold.until)
    return None


def _asking(policies: Sequence[PolicyView], begins_run: bool) -> Iterator[tuple[PolicyView, PolicyApproval]]:
    for policy in policies:
        wanted = policy.spec.approval if policy.spec is not None else None
        if wanted is not None and (wanted.before is ApprovalBefore.BATCH or begins_run):
            yield policy, wanted


def _without(subject: Subject, asking: Container[str]) -> tuple[ApprovalTally, ...]:
    """What people are asked, but for what policies ask no longer."""
    return tuple(each for each in subject.status.approvals if not each.point.startswith(_POINT) or each.point in asking)


def _point(policy: str, wanted: PolicyApproval, batch: str) -> str:
    each_batch = batch and wanted.before is ApprovalBefore.BATCH
    return f"{_POINT}{policy}/batch/{batch}" if each_batch else f"{_POINT}{policy}"
