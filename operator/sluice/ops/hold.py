"""Hold: the run stays where it is, for a time or until it is resumed."""

from __future__ import annotations

from datetime import timedelta

from sluice.api.action import Verb
from sluice.api.units import format_duration
from sluice.ops.action import act_on_rollout
from sluice.ops.outcome import PATIENCE_SECONDS, Outcome, Target
from sluice.ports import Cluster


async def hold(
    cluster: Cluster,
    target: Target,
    *,
    reason: str,
    duration: timedelta | None = None,
    revision: int | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Outcome:
    """Freeze the run at its present weight; without a duration, until Resume. See `action.act`."""
    return await act_on_rollout(
        cluster,
        target,
        Verb.HOLD,
        revision=revision,
        reason=reason,
        patience_seconds=patience_seconds,
        aim={"duration": format_duration(duration)} if duration is not None else {},
    )
