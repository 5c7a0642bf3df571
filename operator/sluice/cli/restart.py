"""`sluice restart`."""

from __future__ import annotations

import functools
from typing import Any

import click

from sluice.cli.act import rollout_verb, tell
from sluice.cli.help import Command
from sluice.cli.session import Access


@click.command("restart", cls=Command)
@rollout_verb
def command(name: str, access: Access, output: str | None, **how: Any) -> None:
    """Replace the pods of a Rollout by new ones of the same versions.

    For what pods read only when they start, such as a Secret. The pods of both slots are replaced, new ones first, a
    quarter at a time; shares of the traffic and a run under way stay as they are. `sluice status` shows how far it is.
    Where the pods are behind Services of your own, restart their Deployments.

    Examples:
      sluice restart checkout -n shop --reason "new database password"
      sluice restart checkout -n shop --no-wait
    """
    from sluice.ops.restart import restart

    tell(name, access, output, functools.partial(restart, **how))
