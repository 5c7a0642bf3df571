"""Undo: back to the revision before."""

from __future__ import annotations

from sluice.api.action import Verb
from sluice.ops.action import act_on_revision
from sluice.ops.outcome import PATIENCE_SECONDS, Outcome, Target
from sluice.ports import Cluster


async def undo(
    cluster: Cluster,
    target: Target,
    *,
    revision: int | None = None,
    reason: str = "",
    patience_seconds: float = PATIENCE_SECONDS,
) -> Outcome:
    """Return from a revision to the one before it, by default from the current one. See `action.act`."""
    return await act_on_revision(
        cluster, target, Verb.UNDO, revision=revision, reason=reason, patience_seconds=patience_seconds
    )
