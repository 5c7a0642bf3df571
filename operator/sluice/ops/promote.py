"""Promote: past what the run waits at, or past all that is left."""

from __future__ import annotations

from sluice.api.action import Verb
from sluice.ops.action import act_on_revision
from sluice.ops.outcome import PATIENCE_SECONDS, Outcome, Target
from sluice.ports import Cluster


async def promote(
    cluster: Cluster,
    target: Target,
    *,
    full: bool = False,
    revision: int | None = None,
    reason: str = "",
    patience_seconds: float = PATIENCE_SECONDS,
) -> Outcome:
    """Let the run go on from the step it waits at; `full`: skip the steps that are left. See `action.act`."""
    verb = Verb.PROMOTE_FULLY if full else Verb.PROMOTE
    return await act_on_revision(
        cluster, target, verb, revision=revision, reason=reason, patience_seconds=patience_seconds
    )
