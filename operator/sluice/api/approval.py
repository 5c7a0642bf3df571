"""Approval: people of a group who have to agree before a run goes past a point, and those who did."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

from sluice.api.common import Model
from sluice.api.units import Duration, Time


class Approval(Model):
    """What a point asks for: so many different people of a group that the API server knows.

    An approval counts for as long as `expires`, unless the point is left before.
    """

    group: str
    quorum: int = 1
    expires: Duration = timedelta(hours=24)


class ApprovalBefore(StrEnum):
    """What people of a policy's group are asked before."""

    RUN = "Run"  # before anything of a run is exposed
    BATCH = "Batch"  # before each batch of a fleet; elsewhere the same


class PolicyApproval(Approval):
    """What a RolloutPolicy asks for. With `require_requester` a run is held of which nobody knows who asked for it."""

    before: ApprovalBefore = ApprovalBefore.RUN
    require_requester: bool = False


class Approver(Model):
    """A person who approved."""

    actor: str
    expires_at: Time


class ApprovalTally(Model):
    """Who approved so far of what is asked for at a point of a run.

    `point` is "step-<n>", and of a fleet "batch/<name>", or "batch/<name>/step-<n>" (with "/from-<n>" where the
    clusters that move now are not the batch's first).
    """

    point: str
    revision: int
    group: str
    quorum: int
    expires: Duration
    approvals: tuple[Approver, ...] = ()
