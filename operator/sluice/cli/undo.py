"""`sluice undo`."""

from __future__ import annotations

import functools
from typing import Any

import click

from sluice.cli.act import rollout_verb, tell
from sluice.cli.help import Command
from sluice.cli.session import Access


@click.command("undo", cls=Command)
@rollout_verb
def command(name: str, access: Access, output: str | None, **how: Any) -> None:
    """Return to the version before.

    A run under way ends and its traffic returns to stable; a completed one is followed by a run the other way. The
    revision that is undone is not tried again before `sluice retry` or a new one. After a run that was aborted or
    killed, stable serves already: undo would then leave that version, for the one before it.

    Examples:
      sluice undo checkout -n shop --reason "refunds fail since 2.4.1"
      sluice undo checkout -n shop --revision 7
    """
    from sluice.ops.undo import undo

    tell(name, access, output, functools.partial(undo, **how))
