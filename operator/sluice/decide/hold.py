"""Why a run does not go on. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sluice.api.conditions import Reason


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
