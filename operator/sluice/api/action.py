"""RolloutAction: what a person tells a run to do."""

from __future__ import annotations

from enum import StrEnum

from sluice.api.common import Model
from sluice.api.units import Duration, Time


class Verb(StrEnum):
    """What can be told."""

    PROMOTE = "Promote"
    PROMOTE_FULLY = "PromoteFully"
    PAUSE = "Pause"
    RESUME = "Resume"
    ABORT = "Abort"
    RETRY = "Retry"
    UNDO = "Undo"
    RESTART = "Restart"
    ROLLBACK = "Rollback"
    APPROVE = "Approve"
    REJECT = "Reject"
    HOLD = "Hold"
    EXTEND = "Extend"


class RolloutActionSpec(Model):
    """Spec; immutable. What lets more through (Promote to Undo of these, and Approve), and Rollback, need `revision`.

    `clusters` and `batch` are Rollback's, and one of them at most is set; neither: the whole fleet. `point` is
    Approve's, and `duration` that of Hold and Extend. `actor_groups` are those of the actor, with Approve.
    """

    rollout: str
    action: Verb
    revision: int | None = None
    clusters: tuple[str, ...] | None = None
    batch: str | None = None
    point: str | None = None
    duration: Duration | None = None
    reason: str = ""
    actor: str = ""  # stamped by the API server, as the next
    actor_groups: tuple[str, ...] = ()


class ActionPhase(StrEnum):
    """How it ended; absent until then."""

    DONE = "Done"
    REJECTED = "Rejected"


class RolloutActionStatus(Model):
    """Status of a RolloutAction."""

    phase: ActionPhase | None = None
    message: str = ""
    at: Time | None = None
