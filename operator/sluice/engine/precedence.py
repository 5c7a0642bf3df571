"""Kill writes go before everything else that this process does, in the hub and in all members."""

from __future__ import annotations

import asyncio
import contextlib

from sluice.ports import Clock

PASSES_WAIT_SECONDS = 1.0


class Precedence:
    """What engines of one process share: passes of all of them wait while any of them writes kills.

    They would compute where every millisecond counts. A kill that hangs, as in a member that answers no more, holds
    nobody for longer than a second: passes wait as long as kills go on being written, however many there are.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._kills: set[asyncio.Task[None]] = set()
        self._ended = asyncio.Event()
        self._wait_until = 0.0

    def take(self, kill: asyncio.Task[None]) -> None:
        """A kill begins; its task ends with its last write."""
        self._kills.add(kill)
        self._ended.clear()
        self.wrote()
        kill.add_done_callback(self._end)

    def wrote(self) -> None:
        """One of its writes is done."""
        self._wait_until = self.clock.monotonic() + PASSES_WAIT_SECONDS

    @property
    def is_over(self) -> bool:
        """Whether passes wait no longer for the kills that are under way."""
        return self.clock.monotonic() >= self._wait_until

    def _end(self, kill: asyncio.Task[None]) -> None:
        self._kills.discard(kill)
        if not self._kills:
            self._ended.set()

    async def give_way(self) -> None:
        """Return once no kill write is under way, or none was done for a second."""
        while self._kills and (left_seconds := self._wait_until - self.clock.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_seconds):
                    await self._ended.wait()
