"""`sluice drill`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sluice.cli.act import report
from sluice.cli.help import Command
from sluice.cli.kill import switch_target, switch_verb
from sluice.cli.session import Access, Session, with_session

if TYPE_CHECKING:
    from sluice.ops.outcome import Outcome


@click.command("drill", cls=Command)
@switch_verb
@click.option("--reason", metavar="TEXT", required=True, help="Why; it stands on every Rollout that is held meanwhile.")
def command(
    name: str, access: Access, output: str | None, *, cluster: bool, reason: str, patience_seconds: float
) -> None:
    """Rehearse a kill: traffic to stable, measured, and back.

    The switch is engaged as a drill: every candidate that it covers gives its traffic to stable, as by a real kill, but
    the runs are held, not ended. Once every controller has accepted it, after 20 s at the latest, the switch releases
    itself, and the runs go on, past their gates. The evidence stays in status.lastDrill.

    It exits with 0 only where the drill passed. Nothing of Rollouts over a fleet is moved. It takes what engaging
    takes, the verb patch, and get. To engage the switch for real meanwhile: sluice kill.

    Examples:
      sluice drill -n shop --reason "monthly rehearsal"
      sluice drill payments -n shop --reason "new gateway"
      sluice drill --cluster --reason "game day"

    The same by kubectl:
      kubectl patch killswitch stop -n shop --type merge -p '{"spec":{"engaged":true,"drill":true,"reason":"test"}}'
    """

    async def work(session: Session) -> Outcome:
        from sluice.ops.drill import drill

        target = switch_target(name, session.namespace, cluster=cluster)
        return await drill(session.cluster, target, reason=reason, patience_seconds=patience_seconds)

    report(with_session(access, work), output)
