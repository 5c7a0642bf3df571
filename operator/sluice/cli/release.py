"""`sluice release`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sluice.cli.act import report
from sluice.cli.help import Command
from sluice.cli.kill import switch_target, switch_verb
from sluice.cli.session import Access, Session, with_session

if TYPE_CHECKING:
    from sluice.ops.outcome import Outcome


@click.command("release", cls=Command)
@switch_verb
@click.option("--reason", metavar="TEXT", required=True, help="Why it is safe to go on; another than the last time.")
def command(
    name: str, access: Access, output: str | None, *, cluster: bool, reason: str, patience_seconds: float
) -> None:
    """Release an engaged kill switch.

    Runs that were held go on by themselves. Those that were killed stay on stable until `sluice retry`, one by one.
    It takes the verb `release` on killswitches.sluice.dev (clusterkillswitches, with --cluster).

    Examples:
      sluice release -n shop --reason "fixed in 2.4.2"
      sluice release payments -n shop --reason "charges are refunded"
      sluice release --cluster --reason "base image rebuilt"
    """

    async def work(session: Session) -> Outcome:
        from sluice.ops.release import release

        target = switch_target(name, session.namespace, cluster=cluster)
        return await release(session.cluster, target, reason=reason, patience_seconds=patience_seconds)

    report(with_session(access, work), output)
