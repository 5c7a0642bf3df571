"""The part of `sluice status` that is about a fleet."""

from __future__ import annotations

from collections.abc import Iterator

from sluice.cli.table import Column, by_meaning, render
from sluice.views.detail import RolloutDetail
from sluice.views.fleets import BatchLine, ClusterLine, FleetDetail


def facts(detail: RolloutDetail) -> list[str]:
    """What the head of the page says of the fleet: from which version to which, and how many clusters serve."""
    fleet, row = detail.fleet, detail.row
    if fleet is None:
        return []
    versions = f"{fleet.stable} → {row.version}" if fleet.stable and fleet.stable != row.version else row.version
    return [versions, f"clusters {fleet.ready or '0'}/{fleet.total or '0'}"]


def lay_out(detail: RolloutDetail, program: str) -> list[str]:
    """The batch that the run is in, and the clusters: those worth a look, or all."""
    fleet = detail.fleet
    if fleet is None:
        return []
    parts = [_batch(fleet.batch, detail)] if fleet.batch is not None else []
    if fleet.clusters:
        parts.append(_clusters(fleet))
    if fleet.not_shown:
        row = detail.row
        parts[-1] += f"\nand {fleet.not_shown} more: {program} status {row.name} -n {row.namespace} --clusters"
    return parts


def lines(detail: RolloutDetail) -> Iterator[tuple[str, str]]:
    """Each cluster, and what a pipe is told of it when that changes."""
    for one in detail.fleet.clusters if detail.fleet is not None else ():
        facts = (f"{detail.row.namespace}/{detail.row.name}", one.name, one.batch, one.phase, one.weight, one.message)
        yield one.name, "   ".join(fact for fact in facts if fact)


def _batch(at: BatchLine, detail: RolloutDetail) -> str:
    columns = [Column("BATCH"), Column("STAGE", by_meaning)]
    columns += [
        Column(title) for title in ("SINCE", "STEP", "SHARE", "CLUSTERS", "WAITING", "MOVING", "DONE", "FAILED")
    ]
    row = detail.row
    cells = [f"{at.name} {at.place}", at.stage, at.since, row.step, row.weight]
    return render(columns, [[*cells, at.total, at.waiting, at.moving, at.done, at.failed]])


def _clusters(fleet: FleetDetail) -> str:
    batches = any(one.batch for one in fleet.clusters)
    columns = [Column("CLUSTER"), *([Column("BATCH")] if batches else []), Column("PHASE", by_meaning)]
    columns += [Column(title) for title in ("SHARE", "AWAY", "MESSAGE")]
    return render(columns, [_cluster(one, batches=batches) for one in fleet.clusters])


def _cluster(one: ClusterLine, *, batches: bool) -> list[str]:
    return [one.name, *([one.batch] if batches else []), one.phase, one.weight, one.since, one.message]
