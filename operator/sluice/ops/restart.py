"""Restart: new pods of the same revisions."""

from __future__ import annotations

from sluice.api.action import Verb
from sluice.ops.action import act_on_rollout
from sluice.ops.outcome import PATIENCE_SECONDS, Outcome, Target
from sluice.ports import Cluster


async def restart(
    cluster: Cluster,
    target: Target,
    *,
    revision: int | None = None,
    reason: str = "",
    patience_seconds: float = PATIENCE_SECONDS,
) -> Outcome:
    """Have the pods of both slots replaced, new ones first; weights and the run stay as they are. See `action.act`."""
    return await act_on_rollout(
        cluster, target, Verb.RESTART, revision=revision, reason=reason, patience_seconds=patience_seconds
    )
