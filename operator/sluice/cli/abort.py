"""`sluice abort`."""

from __future__ import annotations

import functools
from typing import Any

import click

from sluice.cli.act import rollout_verb, tell
from sluice.cli.help import Command
from sluice.cli.session import Access


@click.command("abort", cls=Command)
@rollout_verb
def command(name: str, access: Access, output: str | None, **how: Any) -> None:
    """End a run and return its traffic to stable.

    All traffic goes back to the stable slot at once. The candidate's pods are left to be looked at (those that Sluice
    runs, for workload.scaleDownDelay), and its revision is not tried again before `sluice retry` or a new one.

    Examples:
      sluice abort checkout -n shop --reason "wrong prices on the cart page"
      sluice abort checkout -n shop --timeout 5
    """
    from sluice.ops.abort import abort

    tell(name, access, output, functools.partial(abort, **how))
