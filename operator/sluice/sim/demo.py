"""`sluice demo`: a canary that succeeds, one that its metric aborts, and a kill switch, in a terminal, with no cluster.

The acts are lived through first, in virtual time, by the real engine and core (`story.py`); then they are shown at a
pace for reading. Piped output is plain lines, without waiting.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live

from sluice.sim import screen, story
from sluice.sim.clock import run

FAST_VARIABLE = "SLUICE_DEMO_FAST"
ACT_SECONDS = 8.0
PAUSE_SECONDS = 2.0


def main(real: bool = False, fast: bool = False) -> int:
    """Show the demo.

    Args:
        real: on the testbed's real API server and proxy instead; needs a checkout.
        fast: without waiting between frames; so does the variable SLUICE_DEMO_FAST.

    Returns:
        The exit code: 0 where every act ended as its title says.
    """
    console = Console(highlight=False)
    if real:
        return _real(console)
    with _quiet_logs():
        acts = run(story.tell())
    hurried = fast or bool(os.environ.get(FAST_VARIABLE)) or not console.is_terminal
    for number, act in enumerate(acts, start=1):
        _show(console, number, act, 0.0 if hurried else ACT_SECONDS)
        if not hurried:
            time.sleep(PAUSE_SECONDS)
    return _summary(console, acts)


def _real(console: Console) -> int:
    if importlib.util.find_spec("testbed") is None:
        console.print(
            "The real demo starts an API server and a proxy from the test suite, which is not part of the package.\n"
            "In a checkout of Sluice, run: make demo-real"
        )
        return 2
    return subprocess.run([sys.executable, "-m", "testbed", "demo"], check=False).returncode


def _show(console: Console, number: int, act: story.Act, seconds: float) -> None:
    screen.show_title(console, number, act.title)
    if console.is_terminal:
        with Live(console=console, auto_refresh=False) as live:
            for frame in act.frames:
                live.update(screen.picture(frame), refresh=True)
                time.sleep(seconds / len(act.frames))
    else:
        told = ""
        for frame in _changes(act.frames):
            if frame.command != told:
                told = frame.command
                screen.show_command(console, told)
            screen.show_line(console, frame)
    screen.show_facts(console, act)


def _summary(console: Console, acts: list[story.Act]) -> int:
    console.print()
    if screen.show_failure(console, acts):
        return 1
    console.print(
        "[bold]All three ended as they should.[/bold] What you saw was the real engine, on an API server in memory,\n"
        "in virtual time, with simulated requests. The same with a real API server, a real proxy and real requests:\n\n"
        "  [bold]make demo-real[/bold]\n\nTo begin with an app of your own: README.md",
        soft_wrap=True,
    )
    return 0


def _changes(frames: list[story.Frame]) -> Iterator[story.Frame]:
    """Where phase or shares differ from the frame before, and the last."""
    told: tuple[object, ...] = ()
    for index, frame in enumerate(frames):
        look = (frame.phase, [(row.version, round(row.share, 4)) for row in frame.rows])
        if look != told or index == len(frames) - 1:
            told = look
            yield frame


@contextmanager
def _quiet_logs() -> Iterator[None]:
    """The operator's log would be all over the picture."""
    logger = logging.getLogger("sluice")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
