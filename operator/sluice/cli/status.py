"""`sluice status`: one Rollout with all that explains it."""

from __future__ import annotations

import click

from sluice.cli.help import Command
from sluice.cli.options import cluster_options, format_option, object_name, program
from sluice.cli.session import Access, Session, with_session


@click.command("status", cls=Command)
@click.argument("name", callback=object_name)
@click.option("-w", "--watch", is_flag=True, help="Go on showing changes until interrupted.")
@click.option("--clusters", "every", is_flag=True, help="Every cluster of the fleet, not just those worth a look.")
@format_option("wide", "json", "yaml", "name")
@cluster_options
def command(name: str, access: Access, output: str | None, *, watch: bool, every: bool) -> None:
    """Show one Rollout: where it stands, why, and what to do next.

    Slots with version, share and pods, metrics with value, baseline and threshold, kill switches that cover it, the
    last runs and the end of the audit trail. -o wide tells of each slot also its revision's hash, its last restart,
    and how often somebody else's change to its Deployment was put back. -o json and -o yaml give the same as data;
    for the object itself use sluice get. Of a Rollout over a fleet, instead of slots: the batch and the clusters that
    move, wait or failed; --clusters shows every one, and where it is in the current or last run.

    Examples:
      sluice status checkout -n shop
      sluice status checkout -n shop --watch
      sluice status checkout -n shop --clusters
      sluice status checkout -n shop -o json
    """
    if watch and output == "name":
        raise click.UsageError("--watch shows changes: use it with the page, -o wide, json or yaml.")
    called = program()

    async def work(session: Session) -> None:
        from sluice.cli.page import Page

        page = Page(session, name, output, called, every=every)
        await page.fetch()
        if watch:
            await page.follow()
        else:
            click.echo(page.text(), nl=False)
        for note in page.notes:
            click.echo(note, err=True)

    with_session(access, work)
