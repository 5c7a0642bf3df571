"""`sluice wait`: until a Rollout has come to what is asked, for pipelines."""

from __future__ import annotations

from datetime import timedelta

import click

from sluice.cli.help import Command
from sluice.cli.options import cluster_options, duration, format_option, object_name, program
from sluice.cli.session import Access, Session, with_session

GRACE = "30s"


@click.command("wait", cls=Command)
@click.argument("name", callback=object_name)
@click.option(
    "--for",
    "goals",
    type=click.Choice(["healthy", "started", "paused", "finished"]),
    multiple=True,
    default=["healthy"],
    show_default=True,
    help="What to wait for; given more than once, whichever comes first.",
)
@click.option(
    "--timeout", callback=duration, metavar="DURATION", help="How long, such as 90s or 1h30m; without it, for ever."
)
@click.option(
    "--grace",
    callback=duration,
    default=GRACE,
    show_default=True,
    metavar="DURATION",
    help="How long it may be stalled or degraded, which may mend itself, before waiting is given up.",
)
@click.option("-q", "--quiet", is_flag=True, help="No lines about progress.")
@format_option("json", "yaml", "name")
@cluster_options
def command(
    name: str,
    access: Access,
    output: str | None,
    *,
    goals: tuple[str, ...],
    timeout: timedelta | None,
    grace: timedelta,
    quiet: bool,
) -> None:
    """Wait until a Rollout has come to what is asked.

    Only what answers the present spec counts, also a template that another Deployment holds: after `kubectl apply` it
    never returns for the version before. Progress goes to stderr, a line when something changes; the end goes to
    stdout. A Rollout over a fleet is waited for as a whole.

    What to wait for:
      healthy   the version that the spec asks for serves, and no run is under way
      started   a run to that version has begun, or has already come to a good end
      paused    the run waits for a person, or for a kill switch to be released
      finished  no run is under way any more: healthy, aborted or killed

    Exit codes:
      0  it has come to that
      1  refused, or it could not be read
      3  there is no such Rollout, or no longer
      4  not within --timeout
      5  it ended otherwise: aborted, killed, or done without it; or it was stalled or degraded for longer than --grace

    Examples:
      sluice wait checkout -n shop --timeout 30m
      sluice wait checkout -n shop --for paused --for finished
      sluice wait checkout -n shop --for started --timeout 1m -q
      sluice wait checkout -n shop --timeout 0s -o json
    """
    called = program()

    async def work(session: Session) -> None:
        from sluice.cli.waiting import Waiter
        from sluice.views.waiting import Goal

        patience, asked = grace.total_seconds(), [Goal(goal) for goal in goals]
        waiter = Waiter(session, name, asked, called, grace_seconds=patience, quiet=quiet)
        waiter.tell(await waiter.wait(timeout.total_seconds() if timeout is not None else None), output)

    with_session(access, work)
