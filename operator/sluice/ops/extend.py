"""Extend: the wait that runs now takes longer."""

from __future__ import annotations

from datetime import timedelta

from sluice.api.action import Verb
from sluice.api.units import format_duration
from sluice.ops.action import act_on_rollout
from sluice.ops.outcome import PATIENCE_SECONDS, Outcome, Target
from sluice.ports import Cluster


async def extend(
    cluster: Cluster,
    target: Target,
    *,
    reason: str,
    duration: timedelta,
    revision: int | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Outcome:
    """Lengthen a timed pause, a watch, a soak or a Hold by `duration`. See `action.act`."""
    return await act_on_rollout(
        cluster,
        target,
        Verb.EXTEND,
        revision=revision,
        reason=reason,
        patience_seconds=patience_seconds,
        aim={"duration": format_duration(duration)},
    )
