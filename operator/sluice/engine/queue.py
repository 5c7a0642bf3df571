"""The work queue: one key at a time, deduplicated, delayed, backed off with jitter, urgent keys first.

A key that is added while it is being worked on is worked on once more afterwards. Timers are deadlines that every pass
computes anew from the status, so a restart loses none.
"""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
FIRST_RETRY_SECONDS = 0.05
LONGEST_RETRY_SECONDS = 30.0


class WorkQueue(Generic[K]):
    """Not thread-safe: used from one loop."""

    def __init__(self) -> None:
        self._urgent: OrderedDict[K, None] = OrderedDict()  # ordered sets: a storm of events must not slow down a kill
        self._normal: OrderedDict[K, None] = OrderedDict()
        self._working: set[K] = set()
        self._again: dict[K, bool] = {}
        self._timers: dict[K, tuple[float, asyncio.Handle]] = {}  # with its time: not every loop's handles know it
        self._failures: dict[K, int] = {}
        self._some = asyncio.Event()

    def __len__(self) -> int:
        """How many keys wait to be worked on now."""
        return len(self._urgent) + len(self._normal)

    def add(self, key: K, *, urgent: bool = False) -> None:
        """Work on the key as soon as possible."""
        if key in self._working:
            self._again[key] = urgent or self._again.get(key, False)
            return
        if key in self._urgent:
            return
        if urgent:
            self._normal.pop(key, None)
            self._urgent[key] = None
        else:
            self._normal.setdefault(key)
        self._some.set()

    def add_after(self, key: K, seconds: float) -> None:
        """Work on the key in so many seconds, or earlier where that was already asked for."""
        loop = asyncio.get_running_loop()
        at = loop.time() + max(0.0, seconds)
        known = self._timers.get(key)
        if known is not None:
            if known[0] <= at:
                return
            known[1].cancel()
        self._timers[key] = at, loop.call_at(at, self._ring, key)

    def forget_timer(self, key: K) -> None:
        """Drop the key's deadline: a pass has computed a new one."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer[1].cancel()

    def retry(self, key: K, at_least_seconds: float = 0.0, *, at_most_seconds: float = LONGEST_RETRY_SECONDS) -> float:
        """Work on the key again after a failure: exponential back-off with jitter.

        Args:
            key: what failed.
            at_least_seconds: what the other side asked for; it outweighs the bound.
            at_most_seconds: the bound of the back-off.

        Returns:
            The seconds until then.
        """
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        most = min(at_most_seconds, FIRST_RETRY_SECONDS * 2 ** min(failures, 12))
        delay = max(at_least_seconds, random.uniform(most / 2, most))  # noqa: S311 - jitter, not a secret
        self.add_after(key, delay)
        return delay

    def succeeded(self, key: K) -> None:
        """Start the key's back-off anew."""
        self._failures.pop(key, None)

    async def get(self) -> K:
        """The next key. `done` must follow."""
        while not len(self):
            self._some.clear()
            await self._some.wait()
        key, _ = (self._urgent or self._normal).popitem(last=False)
        self._working.add(key)
        return key

    def done(self, key: K) -> None:
        """The key may be worked on again."""
        self._working.discard(key)
        urgent = self._again.pop(key, None)
        if urgent is not None:
            self.add(key, urgent=urgent)

    def discard(self, unwanted: Callable[[K], bool]) -> None:
        """Forget keys that are another process's to work on now."""
        for key in list(filter(unwanted, self._timers)):
            self._timers.pop(key)[1].cancel()
        kept: tuple[dict[K, object], ...] = (self._urgent, self._normal, self._again, self._failures)  # type: ignore[assignment]
        for held in kept:
            for key in list(filter(unwanted, held)):
                del held[key]

    def clear(self) -> None:
        """Forget everything."""
        self.discard(lambda _: True)

    def _ring(self, key: K) -> None:
        self._timers.pop(key, None)
        self.add(key)
