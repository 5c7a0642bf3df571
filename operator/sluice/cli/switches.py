"""`sluice switches`: kill switches, one line each."""

from __future__ import annotations

from typing import Any

import click

from sluice.cli.get import Query, list_objects, listing_options
from sluice.cli.help import Command
from sluice.cli.session import Access


@click.command("switches", cls=Command)
@listing_options
def command(access: Access, *, watch: bool, **what: Any) -> None:
    """List kill switches: `sluice get switches`.

    Those of the namespace and of the whole cluster, one line each: whether it is engaged, by whom and why, what it
    covers, and how far that is; of one that trips by itself, whether it sees what it measures.

    Examples:
      sluice switches -A
      sluice switches -n shop --watch
      sluice switches stop -n shop -o yaml
    """
    list_objects(access, Query(resource="switches", **what), watch=watch)
