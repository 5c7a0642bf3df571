"""Asking once what many ask at the same time, or a moment later."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class Flights(Generic[T]):
    """Answers shared by key while they are under way, and for `keep_seconds` after. Failures are not kept.

    To be used within one event loop.
    """

    def __init__(self, keep_seconds: float) -> None:
        self._keep_seconds = keep_seconds
        self._tasks: dict[Hashable, asyncio.Task[T]] = {}

    async def share(self, key: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer under that key; asks if nobody did. A caller that is cancelled leaves the others their answer.

        Raises:
            Exception: whatever `ask` raises.
        """
        task = self._tasks.get(key)
        if task is None:
            task = asyncio.create_task(self._asked(ask))
            self._tasks[key] = task
            task.add_done_callback(lambda done: self._landed(key, done))
        return await asyncio.shield(task)

    def forget(self, key: Hashable) -> None:
        """Ask anew next time."""
        self._tasks.pop(key, None)

    async def close(self) -> None:
        """End what is under way."""
        tasks = [task for task in self._tasks.values() if not task.done()]
        self._tasks.clear()
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task

    @staticmethod
    async def _asked(ask: Callable[[], Awaitable[T]]) -> T:
        return await ask()

    def _landed(self, key: Hashable, task: asyncio.Task[T]) -> None:
        failed = task.cancelled() or task.exception() is not None  # asking for it also tells asyncio that it was seen
        if failed:
            self._drop(key, task)
        else:
            task.get_loop().call_later(self._keep_seconds, self._drop, key, task)

    def _drop(self, key: Hashable, task: asyncio.Task[T]) -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key]
