"""How long a replica may act after it said that it lives, and who has been silent for too long to act still.

Two clocks that are never compared: a replica counts its own time from *before* it sent a renewal, and stops a margin
before that time is over; of others it counts from *after* it saw their last word. So what one may still do and what
another takes over never overlap, whatever wall clocks and networks do.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from sluice.adapters.kube.register import Line, Register


def boot_seconds() -> float:
    """Seconds since boot that go on while the machine sleeps, where the system has such a clock (Linux)."""
    clock: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """In seconds.

    Attributes:
        duration: how long a replica that vanished keeps others waiting.
        renew: how often a replica renews; several renewals must fit into a duration.
        retry: the longest wait after a renewal that failed.
        margin: writing ends this long before the time is over, so that what is on its way lands within it.
        request: the longest that one request may take.
    """

    duration: float = 15.0
    renew: float = 5.0
    retry: float = 1.0
    margin: float = 1.5
    request: float = 4.0

    @classmethod
    def lasting(cls, duration_seconds: float) -> LeaseTimes:
        """Times in proportion to the duration, as 15 s has them by default."""
        unit = duration_seconds / 15.0
        return cls(duration_seconds, 5.0 * unit, 1.0 * unit, max(0.3, 1.5 * unit), 4.0 * unit)


class Silences:
    """When the others were heard of last.

    Args:
        duration: how long at the least somebody has to be silent, in seconds.
        monotonic: the clock that counts.
    """

    def __init__(self, duration: float, monotonic: Callable[[], float]) -> None:
        self._duration = duration
        self._monotonic = monotonic
        self._lease: tuple[object, float, float] = (None, 0.0, monotonic())  # what it said, its seconds, since when
        self._lines: dict[str, tuple[str, float]] = {}

    def hear(self, register: Register) -> None:
        """Take in a newer state of the Lease."""
        now = self._monotonic()
        said = (register.holder, register.renew_time, register.transitions, *register.lines.values())
        if said != self._lease[0]:
            self._lease = (said, register.seconds, now)
        known = self._lines
        self._lines = {
            name: known[name] if name in known and known[name][0] == line.text else (line.text, now)
            for name, line in register.lines.items()
        }

    def lease_seconds_left(self) -> float:
        """Until whoever held the Lease, one or many, can act no more; 0 or less: nobody can."""
        _, seconds, since = self._lease
        return since + max(seconds, self._duration) - self._monotonic()

    def seconds_left(self, name: str, line: Line) -> float:
        """Until the replica of that line can act no more; 0 or less: it can not."""
        _, since = self._lines.get(name, ("", self._monotonic()))
        return since + max(line.seconds, self._duration) - self._monotonic()

    def dead(self, register: Register, name: str) -> frozenset[str]:
        """The replicas but `name` that were silent for so long that they can not act any more."""
        return frozenset(
            other for other, line in register.lines.items() if other != name and self.seconds_left(other, line) <= 0
        )
