"""RolloutAction: what a person tells a run to do."""

from __future__ import annotations

from enum import StrEnum

from sluice.api.common import Model
from sluice.api.units import Time


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


class RolloutActionSpec(Model):
    """Spec; immutable. What lets more through (Promote, PromoteFully, Retry, Undo), and Rollback, need `revision`.

    `clusters` and `batch` are Rollback's, and one of them at most is set; neither: the whole fleet.
    """

    rollout: str
    action: Verb
    revision: int | None = None
    clusters: tuple[str, ...] | None = None
    batch: str | None = None
    reason: str = ""
    actor: str = ""  # stamped by the API server


class ActionPhase(StrEnum):
    """How it ended; absent until then."""

    DONE = "Done"
    REJECTED = "Rejected"


class RolloutActionStatus(Model):
    """Status of a RolloutAction."""

    phase: ActionPhase | None = None
    message: str = ""
    at: Time | None = None
