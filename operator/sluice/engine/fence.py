"""May I act on this object? Asked before each pass, and again right before each write that the pass makes."""

from __future__ import annotations

import asyncio
import contextvars
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from sluice.api.names import Kind
from sluice.decide.sharding import Shards, shard_of
from sluice.errors import NotLeader
from sluice.ports import Mastery

WorkKey = tuple[Kind, str, str]
_acting_on: contextvars.ContextVar[WorkKey | None] = contextvars.ContextVar("acting_on", default=None)


class Fence:
    """Implements `ports.Leadership` for the cluster that the engine writes to: every write belongs to one object.

    What is written outside of `acting` belongs to none, and is refused.

    Args:
        mastery: tells which shards are this process's.
    """

    def __init__(self, mastery: Mastery) -> None:
        self._mastery = mastery
        self._under_way: Counter[int] = Counter()
        self._ended = asyncio.Event()

    def holds(self, key: WorkKey) -> bool:
        """Whether the object is this process's to act on, as far as it knows."""
        return self._mastery.holds(shard_of(*key))

    @contextmanager
    def acting(self, key: WorkKey) -> Iterator[None]:
        """All that is written within, and by tasks that are made within, is about this Rollout or kill switch.

        Raises:
            NotLeader: it is not surely this process's.
        """
        shard = shard_of(*key)
        self._mastery.check_shard(shard)
        token = _acting_on.set(key)
        self._under_way[shard] += 1
        try:
            yield
        finally:
            _acting_on.reset(token)
            self._under_way[shard] -= 1
            if not self._under_way[shard]:
                del self._under_way[shard]
                self._ended.set()

    def check(self) -> None:
        """Raises NotLeader unless what is acted on here is surely this process's still."""
        key = _acting_on.get()
        if key is None:
            raise NotLeader("a write that belongs to no Rollout and to no kill switch; this is a defect of Sluice")
        self._mastery.check_shard(shard_of(*key))

    async def drained(self, shards: Shards) -> None:
        """Return once nothing is under way about objects of these shards. Have them refused before."""
        while not shards.isdisjoint(self._under_way):
            self._ended.clear()
            await self._ended.wait()
