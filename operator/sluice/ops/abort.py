"""Abort: all traffic back to stable."""

from __future__ import annotations

from sluice.api.action import Verb
from sluice.ops.action import act_on_rollout
from sluice.ops.outcome import PATIENCE_SECONDS, Outcome, Target
from sluice.ports import Cluster


async def abort(
    cluster: Cluster,
    target: Target,
    *,
    revision: int | None = None,
    reason: str = "",
    patience_seconds: float = PATIENCE_SECONDS,
) -> Outcome:
    """End the run and return its traffic to stable; the revision is not tried again without Retry. See `action.act`."""
    return await act_on_rollout(
        cluster, target, Verb.ABORT, revision=revision, reason=reason, patience_seconds=patience_seconds
    )
