"""`sluice retry`."""

from __future__ import annotations

import functools
from typing import Any

import click

from sluice.cli.act import rollout_verb, tell
from sluice.cli.help import Command
from sluice.cli.session import Access


@click.command("retry", cls=Command)
@rollout_verb
def command(name: str, access: Access, output: str | None, **how: Any) -> None:
    """Start a rejected revision again.

    The revision that was aborted or killed starts from its first step. While a kill switch covers the Rollout, release
    that first.

    Examples:
      sluice retry checkout -n shop --reason "the database is back"
      sluice retry checkout -n shop --revision 7
    """
    from sluice.ops.retry import retry

    tell(name, access, output, functools.partial(retry, **how))
