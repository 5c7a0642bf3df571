"""`--watch`: a page that redraws itself on a terminal, a line per change anywhere else."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import click

from sluice.cli.mirror import Feed, Mirror
from sluice.views.fields import clean

K = TypeVar("K")
REDRAW_SECONDS = 1.0  # so that ages and countdowns move


@dataclass(slots=True)
class Lines(Generic[K]):
    """What was printed, so that only what changed is printed again. `key` tells the lines of one object apart."""

    printed: dict[K, object] = field(default_factory=dict)

    def fresh(self, key: K, content: object) -> bool:
        """Whether this differs from what was last printed of it; from now on it does not."""
        if self.printed.get(key) == content:
            return False
        self.printed[key] = content
        return True

    def gone(self, keys: set[K]) -> list[K]:
        """The keys that were printed before and are not there any more; they are forgotten."""
        lost = [key for key in self.printed if key not in keys]
        for key in lost:
            del self.printed[key]
        return lost


async def follow(
    feeds: Sequence[Feed],
    mirrors: Sequence[Mirror],
    *,
    page: Callable[[], str] | None,
    lines: Callable[[], Sequence[str]],
    ended: Callable[[], bool] = lambda: False,
    to_stderr: bool = False,
) -> None:
    """Show until interrupted, or until it has ended.

    Args:
        feeds: what keeps the mirrors up to date.
        mirrors: whose changes matter.
        page: all there is to see, for a terminal; None where only lines make sense.
        lines: what is new since the last call, for a pipe.
        ended: whether there is nothing left to follow.
        to_stderr: whether the lines are messages, and no data.
    """
    changed = asyncio.Event()
    for mirror in mirrors:
        mirror.changed = changed
    tasks = [asyncio.create_task(feed.run()) for feed in feeds]
    try:
        if page is not None and on_terminal():
            await _redraw(page, feeds, changed, ended)
        else:
            await _print(lines, feeds, changed, ended, to_stderr=to_stderr)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def on_terminal() -> bool:
    """Whether stdout can be redrawn."""
    return sys.stdout.isatty()


async def _redraw(
    page: Callable[[], str], feeds: Sequence[Feed], changed: asyncio.Event, ended: Callable[[], bool]
) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    colour = click.get_current_context().color is not False

    def drawing() -> Text:
        problem = _problem(feeds)
        text = page() + (f"\n\n{problem}" if problem else "")
        return Text.from_ansi(text) if colour else Text(click.unstyle(text))

    with Live(drawing(), console=Console(highlight=False), auto_refresh=False, vertical_overflow="crop") as live:
        while not ended():
            await _wait(changed)
            live.update(drawing(), refresh=True)


async def _print(
    lines: Callable[[], Sequence[str]],
    feeds: Sequence[Feed],
    changed: asyncio.Event,
    ended: Callable[[], bool],
    *,
    to_stderr: bool,
) -> None:
    told = ""
    while True:
        for line in lines():
            click.echo(line, err=to_stderr)
        problem = _problem(feeds)
        if problem and problem != told:
            click.echo(problem, err=True)
        told = problem
        if ended():
            return
        await _wait(changed)


async def _wait(changed: asyncio.Event) -> None:
    """Until the next change, or until it is time to look at the clock again."""
    try:
        async with asyncio.timeout(REDRAW_SECONDS):
            await changed.wait()
    except TimeoutError:
        return
    changed.clear()


def _problem(feeds: Sequence[Feed]) -> str:
    return next((clean(f"what is shown may be old: {feed.problem}") for feed in feeds if feed.problem), "")
