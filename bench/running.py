"""How a benchmark runs: what it tells a person meanwhile, and on which event loop."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")


def progress(text: str) -> None:
    """Tell a person at the terminal what goes on."""
    print(text, file=sys.stderr, flush=True)


def play(main: Coroutine[Any, Any, T]) -> T:
    """Run it to its end, on the loop that the operator runs on."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)
