"""`sluice resume`."""

from __future__ import annotations

import functools
from typing import Any

import click

from sluice.cli.act import rollout_verb, tell
from sluice.cli.help import Command
from sluice.cli.session import Access


@click.command("resume", cls=Command)
@rollout_verb
def command(name: str, access: Access, output: str | None, **how: Any) -> None:
    """Let a paused run go on.

    Ends what `sluice pause` began. A pause that is a step of the strategy ends with `sluice promote`, one in the
    manifest (spec.paused) in the manifest, and what a kill switch holds with `sluice release`.

    Examples:
      sluice resume checkout -n shop
      sluice resume checkout -n shop --reason "trace was a red herring"
    """
    from sluice.ops.resume import resume

    tell(name, access, output, functools.partial(resume, **how))
