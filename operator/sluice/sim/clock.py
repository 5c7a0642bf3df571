"""Virtual time: an event loop that never waits, and a Clock over it.

When nothing is ready the loop jumps to its next timer, so that a day of pauses takes milliseconds and every run of a
scenario sees the same order of events. Code under it must wait only through the loop: sockets, threads and
subprocesses have no virtual time, so a loop with nothing but those to wait for ends with `Deadlock`.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
T = TypeVar("T")


class Deadlock(RuntimeError):
    """Everything in the loop waits for something that nothing is going to do."""


class Livelock(RuntimeError):
    """Something keeps the loop busy without end: it would spin on a real machine."""


TURNS_PER_SECOND = 5_000  # of the loop, in one virtual second: far more than any honest work takes


class _JumpingSelector(selectors.DefaultSelector):
    """Serves what is ready; instead of waiting, moves the time on."""

    def __init__(self, turns_per_second: int) -> None:
        super().__init__()
        self.seconds = 0.0
        self._most_turns = turns_per_second
        self._second = 0
        self._turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._count()
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            names = sorted(task.get_name() for task in asyncio.all_tasks(asyncio.get_running_loop()))
            raise Deadlock(f"nothing is scheduled in virtual time, so these would wait for ever: {', '.join(names)}")
        self.seconds += timeout
        return ready

    def _count(self) -> None:
        if int(self.seconds) != self._second:
            self._second, self._turns = int(self.seconds), 0
        self._turns += 1
        if self._turns > self._most_turns:
            busy = sorted(task.get_name() for task in asyncio.all_tasks(asyncio.get_running_loop()))
            raise Livelock(f"{self._most_turns} turns at {self.seconds:.3f} virtual seconds, with: {', '.join(busy)}")


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose `time()` begins at 0 and moves only by jumps from timer to timer."""

    def __init__(self, turns_per_second: int = TURNS_PER_SECOND) -> None:
        self._jumping = _JumpingSelector(turns_per_second)
        super().__init__(self._jumping)
        self._clock_resolution = 1e-6  # far above what rounding can cost in a year, or a due timer would never be seen

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._jumping.seconds


class VirtualClock:
    """The Clock port over the running loop's time."""

    def __init__(self, start: datetime = START) -> None:
        self.start = start

    def now(self) -> datetime:
        """The start plus the loop's time."""
        return self.start + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        """The loop's time; 0 before a loop runs."""
        try:
            return asyncio.get_running_loop().time()
        except RuntimeError:
            return 0.0


def run(main: Coroutine[Any, Any, T], *, turns_per_second: int = TURNS_PER_SECOND) -> T:
    """Run a coroutine to its end in a virtual loop of its own, and cancel what it left behind.

    Args:
        main: the coroutine.
        turns_per_second: how many turns of the loop in one virtual second are still honest work.

    Raises:
        Deadlock: it waits for something that nothing is going to do.
        Livelock: it takes more turns than that.
    """
    with asyncio.Runner(loop_factory=partial(VirtualLoop, turns_per_second)) as runner:
        return runner.run(main)
