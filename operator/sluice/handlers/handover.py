"""Hands events from kopf's thread to the engine's loop: one wake-up for as many as have gathered."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

_log = logging.getLogger(__name__)
T = TypeVar("T")

_AT_ONCE = 200


class Handover(Generic[T]):
    """A queue between threads that never blocks the giver, and gives way to other work on the taker's side.

    Args:
        loop: the taker's.
        take: called in that loop, in order, once per item. What it raises is logged, and the next item follows.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, take: Callable[[T], None]) -> None:
        self._loop = loop
        self._take = take
        self._items: deque[T] = deque()
        self._lock = threading.Lock()
        self._scheduled = False

    def give(self, item: T) -> None:
        """Queue an item, from any thread. Once the taker's loop is closed, nothing happens."""
        with self._lock:
            self._items.append(item)
            if self._scheduled:
                return
            self._scheduled = True
        try:
            self._loop.call_soon_threadsafe(self._drain)
        except RuntimeError:  # the loop is closed: the process is on its way out
            return

    def _drain(self) -> None:
        for _ in range(_AT_ONCE):
            with self._lock:
                if not self._items:
                    self._scheduled = False
                    return
                item = self._items.popleft()
            try:
                self._take(item)
            except Exception:  # noqa: BLE001 - one object that cannot be taken in must not blind us for all others
                _log.exception("an item was not taken")
        # A burst must not keep a kill switch waiting, whose event comes through the same loop.
        self._loop.call_soon(self._drain)
