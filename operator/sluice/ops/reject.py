"""Reject: all traffic back to stable, by who was asked to approve."""

from __future__ import annotations

from sluice.api.action import Verb
from sluice.ops.action import act_on_rollout
from sluice.ops.outcome import PATIENCE_SECONDS, Outcome, Target
from sluice.ports import Cluster


async def reject(
    cluster: Cluster,
    target: Target,
    *,
    reason: str,
    revision: int | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Outcome:
    """End the run and return its traffic to stable; the revision is not tried again without Retry. See `action.act`."""
    return await act_on_rollout(
        cluster, target, Verb.REJECT, revision=revision, reason=reason, patience_seconds=patience_seconds
    )
