"""Kill writes go first."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

MAX_WAIT_FOR_KILLS_SECONDS = 2.0


class KillPriority:
    """Lets kill writes go first: while one is queued or on its way, other writes wait, but never for long."""

    def __init__(self, max_wait_seconds: float = MAX_WAIT_FOR_KILLS_SECONDS) -> None:
        self._max_wait_seconds = max_wait_seconds
        self._kills = 0
        self._none = asyncio.Event()
        self._none.set()

    @contextlib.contextmanager
    def kill(self) -> Iterator[None]:
        """A kill write is under way."""
        self._kills += 1
        self._none.clear()
        try:
            yield
        finally:
            self._kills -= 1
            if not self._kills:
                self._none.set()

    async def give_way(self) -> None:
        """Return once no kill write is under way. One that hangs holds nobody up for more than two seconds."""
        if self._kills:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._max_wait_seconds):
                    await self._none.wait()
