"""Retry: a rejected revision starts again from its first step."""

from __future__ import annotations

from sluice.api.action import Verb
from sluice.ops.action import act_on_revision
from sluice.ops.outcome import PATIENCE_SECONDS, Outcome, Target
from sluice.ports import Cluster


async def retry(
    cluster: Cluster,
    target: Target,
    *,
    revision: int | None = None,
    reason: str = "",
    patience_seconds: float = PATIENCE_SECONDS,
) -> Outcome:
    """Start the run of the revision that was aborted or killed again, by default the last one. See `action.act`."""
    return await act_on_revision(
        cluster, target, Verb.RETRY, revision=revision, reason=reason, patience_seconds=patience_seconds
    )
