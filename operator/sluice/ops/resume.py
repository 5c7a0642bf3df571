"""Resume: a run that a person paused goes on."""

from __future__ import annotations

from sluice.api.action import Verb
from sluice.ops.action import act_on_rollout
from sluice.ops.outcome import PATIENCE_SECONDS, Outcome, Target
from sluice.ports import Cluster


async def resume(
    cluster: Cluster,
    target: Target,
    *,
    revision: int | None = None,
    reason: str = "",
    patience_seconds: float = PATIENCE_SECONDS,
) -> Outcome:
    """Let a run go on that a person paused. See `action.act`."""
    return await act_on_rollout(
        cluster, target, Verb.RESUME, revision=revision, reason=reason, patience_seconds=patience_seconds
    )
