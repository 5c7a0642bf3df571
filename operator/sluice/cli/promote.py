"""`sluice promote`."""

from __future__ import annotations

import functools
from typing import Any

import click

from sluice.cli.act import rollout_verb, tell
from sluice.cli.help import Command
from sluice.cli.session import Access


@click.command("promote", cls=Command)
@rollout_verb
@click.option("--full", is_flag=True, help="Skip every step that is left, and go to 100 %.")
def command(name: str, access: Access, output: str | None, **how: Any) -> None:
    """Let a run go on from the step it waits at.

    Ends the pause, analysis or watch that the run is in. It goes for one revision: if another has begun by the time the
    operator sees it, it is rejected. No promotion goes past an engaged kill switch.

    Examples:
      sluice promote checkout -n shop
      sluice promote checkout -n shop --revision 7 --reason "numbers are fine"
      sluice promote checkout -n shop --full
    """
    from sluice.ops.promote import promote

    tell(name, access, output, functools.partial(promote, **how))
