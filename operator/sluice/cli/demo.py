"""`sluice demo`."""

from __future__ import annotations

import click

from sluice.cli.help import Command


@click.command("demo", cls=Command)
@click.option("--real", is_flag=True, help="On the testbed: a real API server, a real proxy, real traffic.")
def command(*, real: bool) -> None:
    """Show a canary that succeeds, one that its metrics abort, and a kill switch.

    Without a cluster: the real engine runs in memory, on a virtual clock. With --real it runs on the testbed, which is
    in the source tree (make demo-real), and requests are counted by version while the weights move.

    Examples:
      sluice demo
      sluice demo --real
    """
    from sluice.sim.demo import main

    click.get_current_context().exit(main(real))
