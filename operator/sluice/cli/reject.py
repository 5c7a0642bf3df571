"""`sluice reject`."""

from __future__ import annotations

import functools
from typing import Any

import click

from sluice.cli.act import rollout_verb, tell, why
from sluice.cli.help import Command
from sluice.cli.session import Access


@click.command("reject", cls=Command)
@rollout_verb
def command(name: str, access: Access, output: str | None, reason: str, **how: Any) -> None:
    """Reject a run: its traffic returns to stable at once.

    Like `sluice abort`, for those who are asked to approve. The revision is not tried again before `sluice retry` or a
    new one.

    Examples:
      sluice reject checkout -n shop --reason "refunds were not tested"
    """
    from sluice.ops.reject import reject

    tell(name, access, output, functools.partial(reject, reason=why(reason), **how))
