"""`sluice hold`."""

from __future__ import annotations

import functools
from typing import Any

import click

from sluice.cli.act import rollout_verb, tell, why
from sluice.cli.help import Command
from sluice.cli.options import duration
from sluice.cli.session import Access


@click.command("hold", cls=Command)
@rollout_verb
@click.option(
    "--for", "duration", callback=duration, metavar="DURATION", help="Such as 30m; without it, until it is resumed."
)
def command(name: str, access: Access, output: str | None, reason: str, **how: Any) -> None:
    """Hold a run where it is, for a time or until `sluice resume`.

    The run keeps its present weight; analysis and kill switches go on, and what they find still aborts or kills it.
    Unlike a pause it can let go by itself, and it says why. `sluice extend` makes it longer.

    Examples:
      sluice hold checkout -n shop --reason "looking into latency"
      sluice hold checkout -n shop --for 2h --reason "incident 481"
    """
    from sluice.ops.hold import hold

    tell(name, access, output, functools.partial(hold, reason=why(reason), **how))
