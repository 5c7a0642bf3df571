"""`sluice approve`."""

from __future__ import annotations

import functools
from typing import Any

import click

from sluice.cli.act import rollout_verb, tell
from sluice.cli.help import Command
from sluice.cli.session import Access


@click.command("approve", cls=Command)
@rollout_verb
@click.option(
    "--point", metavar="POINT", help="Where it waits, if it waits at more than one: as `sluice status` names it."
)
def command(name: str, access: Access, output: str | None, **how: Any) -> None:
    """Approve that a run goes past where it waits.

    At an `approval` step, or before a batch of a fleet, a run waits until enough people of a group have approved. Each
    counts once, until it expires; not who asked for the run. It goes for what waits now, of one revision: if the run is
    elsewhere by the time the operator sees it, it is rejected.

    Examples:
      sluice approve checkout -n shop
      sluice approve checkout -n shop --revision 7 --reason "numbers are fine"
    """
    from sluice.ops.approve import approve

    tell(name, access, output, functools.partial(approve, **how))
