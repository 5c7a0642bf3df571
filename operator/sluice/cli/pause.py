"""`sluice pause`."""

from __future__ import annotations

import functools
from typing import Any

import click

from sluice.cli.act import rollout_verb, tell
from sluice.cli.help import Command
from sluice.cli.session import Access


@click.command("pause", cls=Command)
@rollout_verb
def command(name: str, access: Access, output: str | None, **how: Any) -> None:
    """Hold a run where it is.

    The run keeps its present weight; analysis and kill switches go on, and what they find still aborts or kills it.
    Exposure does not grow until `sluice resume`.

    Examples:
      sluice pause checkout -n shop --reason "looking at a trace"
      sluice pause checkout -n shop --no-wait
    """
    from sluice.ops.pause import pause

    tell(name, access, output, functools.partial(pause, **how))
