"""Rollback: clusters of a fleet back to what they had before the run."""

from __future__ import annotations

from sluice.api.action import Verb
from sluice.ops.action import act_on_revision
from sluice.ops.outcome import PATIENCE_SECONDS, Outcome, Target
from sluice.ports import Cluster


async def rollback(
    cluster: Cluster,
    target: Target,
    *,
    clusters: tuple[str, ...] = (),
    batch: str | None = None,
    revision: int | None = None,
    reason: str = "",
    patience_seconds: float = PATIENCE_SECONDS,
) -> Outcome:
    """Take back these clusters, or those of a batch; with neither, the whole fleet. See `action.act`."""
    aim: dict[str, object] = {"clusters": list(clusters)} if clusters else {}
    aim |= {"batch": batch} if batch is not None else {}
    return await act_on_revision(
        cluster, target, Verb.ROLLBACK, revision=revision, reason=reason, patience_seconds=patience_seconds, aim=aim
    )
