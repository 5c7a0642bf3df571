"""Drills of kill switches, as a switch's status tells of them."""

from __future__ import annotations

from enum import StrEnum

from sluice.api.common import Model
from sluice.api.units import Time


class DrillOutcome(StrEnum):
    """How a drill ended. Only PASSED is evidence that a kill would have gone through."""

    PASSED = "Passed"
    NOTHING_EXPOSED = "NothingExposed"  # no candidate had traffic, so that nothing had to move
    TIMED_OUT = "TimedOut"
    INTERRUPTED = "Interrupted"  # somebody released the switch, engaged it for real, or began another drill


class DrillPart(StrEnum):
    """What a drill measures, in this order."""

    WRITTEN = "Written"  # no route gives a candidate traffic
    ACCEPTED = "Accepted"  # and each was accepted by its controller
    RELEASED = "Released"  # the switch let go


class PartTime(Model):
    """When a part was done: seconds after the operator saw the drill."""

    name: DrillPart
    seconds: float


class LastDrill(Model):
    """A drill under way (no `outcome`), or the last one.

    `generation` is the switch's in which it began.
    """

    started_at: Time
    ended_at: Time | None = None
    generation: int
    by: str = ""
    reason: str = ""
    outcome: DrillOutcome | None = None
    rollouts: int = 0
    routes: int = 0
    parts: tuple[PartTime, ...] = ()
    message: str = ""

    def seconds(self, part: DrillPart) -> float | None:
        """When a part was done; None where it was not."""
        return next((each.seconds for each in self.parts if each.name is part), None)
