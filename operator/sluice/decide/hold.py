"""Why a run does not go on. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sluice.api.conditions import Reason

# The run stands still, and so does the time of its steps.
FROZEN = frozenset(
    {
        Reason.HELD_BY_SWITCH,
        Reason.INVALID_SPEC,
        Reason.RUN_LOST,
        Reason.PAUSED_BY_SPEC,
        Reason.PAUSED_BY_ACTION,
        Reason.HELD_BY_ACTION,
        Reason.HELD_BY_HAND,
    }
)
# What the condition Paused tells: the run goes on when somebody or something lets it.
PAUSING = FROZEN | {
    Reason.HELD_BY_POLICY,
    Reason.AWAITS_PROMOTION,
    Reason.WAITS_FOR_APPROVAL,
    Reason.ANALYSIS_HOLDS,
}


@dataclass(frozen=True, slots=True)
class Hold:
    """Why the run does not go on, and what would let it.

    `counts`: whether progressDeadline counts this wait (pods, endpoints, routes: yes; people, policies, switches: no).
    `until`: when it lets go by itself, where that is known.
    """

    reason: Reason
    message: str
    counts: bool = False
    until: datetime | None = None
