"""`sluice rollback`."""

from __future__ import annotations

import functools
from typing import Any

import click

from sluice.cli.act import rollout_verb, tell
from sluice.cli.help import Command
from sluice.cli.session import Access


@click.command("rollback", cls=Command)
@rollout_verb
@click.option("--cluster", "clusters", metavar="NAME", multiple=True, help="This member cluster; may be repeated.")
@click.option("--batch", metavar="NAME", help="Every cluster of this batch.")
@click.option("--fleet", is_flag=True, help="Every cluster, those of completed batches too.")
def command(
    name: str,
    access: Access,
    output: str | None,
    *,
    clusters: tuple[str, ...],
    batch: str | None,
    fleet: bool,
    **how: Any,
) -> None:
    """Take clusters of a fleet back to what they had before the run.

    Of the current or last run, and only clusters that have its revision, wholly or in part. All of them go at the same
    time, and none waits for another. While the run is under way, clusters and batches that are named count as failed,
    so maxFailures and onFailure say what becomes of the run; --fleet ends it. When it is over, --cluster and --batch
    leave the others as they are; after --fleet what was stable before is stable again, and the revision is not tried
    again before `sluice retry` or a new one.

    A cluster that was taken back takes part in the next run. For Rollouts with spec.fleet only.

    Examples:
      sluice rollback checkout -n shop --cluster c3 --reason "slow disk there"
      sluice rollback checkout -n shop --batch wave-1
      sluice rollback checkout -n shop --fleet --reason "wrong prices everywhere"
    """
    from sluice.ops.rollback import rollback

    if (bool(clusters), batch is not None, fleet).count(True) != 1:
        raise click.UsageError("say what goes back: --cluster NAME (once or more), --batch NAME, or --fleet.")
    tell(name, access, output, functools.partial(rollback, clusters=clusters, batch=batch, **how))
