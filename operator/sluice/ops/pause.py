"""Pause: the run stays where it is."""

from __future__ import annotations

from sluice.api.action import Verb
from sluice.ops.action import act_on_rollout
from sluice.ops.outcome import PATIENCE_SECONDS, Outcome, Target
from sluice.ports import Cluster


async def pause(
    cluster: Cluster,
    target: Target,
    *,
    revision: int | None = None,
    reason: str = "",
    patience_seconds: float = PATIENCE_SECONDS,
) -> Outcome:
    """Freeze the run at its present weight until Resume. See `action.act`."""
    return await act_on_rollout(
        cluster, target, Verb.PAUSE, revision=revision, reason=reason, patience_seconds=patience_seconds
    )
