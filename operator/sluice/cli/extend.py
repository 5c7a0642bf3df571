"""`sluice extend`."""

from __future__ import annotations

import functools
from typing import Any

import click

from sluice.cli.act import rollout_verb, tell, why
from sluice.cli.help import Command
from sluice.cli.options import duration
from sluice.cli.session import Access


@click.command("extend", cls=Command)
@rollout_verb
@click.option("--by", "duration", callback=duration, required=True, metavar="DURATION", help="By how much, such as 2h.")
def command(name: str, access: Access, output: str | None, reason: str, **how: Any) -> None:
    """Make the wait that runs now longer.

    That is a hold with an end; else the timed pause, the watch, or the soak of a batch that the run is in.

    Examples:
      sluice extend checkout -n shop --by 2h --reason "wait for the night batch"
    """
    from sluice.ops.extend import extend

    tell(name, access, output, functools.partial(extend, reason=why(reason), **how))
