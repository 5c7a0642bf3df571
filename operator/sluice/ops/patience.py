"""Asking again: with back-off, up to a deadline. Time is the event loop's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sluice.errors import Unavailable

T = TypeVar("T")
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 1.0
_GROWTH = 1.5


async def until(probe: Callable[[], Awaitable[T | None]], seconds: float) -> T | None:
    """Ask until there is an answer.

    Args:
        probe: answers None for "not yet". It may raise Unavailable, which is as good as that.
        seconds: how long to go on.

    Returns:
        The answer, or None when time ran out.
    """
    loop = asyncio.get_running_loop()
    deadline, pause = loop.time() + seconds, _FIRST_PAUSE_SECONDS
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                found = await probe()
        except (Unavailable, TimeoutError):
            found = None
        left = deadline - loop.time()
        if found is not None or left <= 0:
            return found
        await asyncio.sleep(min(pause, left))
        pause = min(pause * _GROWTH, _LONGEST_PAUSE_SECONDS)


async def insist(call: Callable[[], Awaitable[T]], seconds: float) -> T:
    """Repeat a call that may be repeated without harm while the API server is unavailable.

    Raises:
        Unavailable: it still was after `seconds`. Whether the call had an effect is then unknown.
    """
    loop = asyncio.get_running_loop()
    deadline, pause = loop.time() + seconds, _FIRST_PAUSE_SECONDS
    while True:
        try:
            return await call()
        except Unavailable as error:
            wait = max(pause, error.retry_after_seconds)
            if loop.time() + wait >= deadline:
                raise
        await asyncio.sleep(wait)
        pause = min(pause * _GROWTH, _LONGEST_PAUSE_SECONDS)
