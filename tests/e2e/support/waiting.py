"""Waiting for what a test wants to see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar

from testbed import wait_for

PLENTY_SECONDS = 120.0  # for what takes a second or two on a quiet machine
T = TypeVar("T")


def until(look: Callable[[], T | Literal[False] | None], what: str, timeout: float = PLENTY_SECONDS) -> T:
    """Look again and again until there is something true to see, and return that.

    Raises:
        NotReadyError: the deadline (seconds) passed; the message names ``what``, and what was seen last.
    """
    seen = wait_for(look, timeout, what)
    if seen is None or seen is False:
        raise AssertionError(f"waiting for {what} ended with {seen}")
    return seen
