"""Of a Rollout over a fleet: the batches that a run would have that begins now. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from sluice.api.fleet import RunBatch
from sluice.api.member import MemberClusterSpec
from sluice.api.rollout import RolloutSpec
from sluice.api.units import format_duration
from sluice.decide import approvals
from sluice.decide.fleet.batches import Candidate, assign
from sluice.decide.metadata import labels_of
from sluice.decide.texts import some
from sluice.engine.store import key_of
from sluice.errors import InvalidSpec
from sluice.ports import Obj
from sluice.views.plans import BatchLine


def batches_of(rollout: Obj, members: Iterable[Obj]) -> tuple[tuple[BatchLine, ...], str]:
    """The batches, and in words which clusters have no place in any, or are not there.

    Args:
        rollout: over a fleet.
        members: the MemberClusters that there are.
    """
    try:
        spec = RolloutSpec.parse(rollout.get("spec"), "spec")
        if spec.fleet is None:
            return (), ""
        found = assign(spec.fleet, [_candidate(each) for each in members])
    except (InvalidSpec, ValueError) as problem:
        return (), f"its batches cannot be told: {problem}"
    told = []
    if found.unassigned:
        told.append(f"no batch takes {some(found.unassigned, 8)}")
    if found.unknown:
        told.append(f"there is no such cluster in the fleet: {some(found.unknown, 8)}")
    return tuple(map(_line, found.batches)), "; ".join(told)


def _candidate(member: Obj) -> Candidate:
    name = key_of(member)[1]
    spec = MemberClusterSpec.parse(member.get("spec"), f"MemberCluster {name}: spec")
    return Candidate(name, labels_of(member), spec.weight)


def _line(batch: RunBatch) -> BatchLine:
    before = []
    if batch.pause is not None:
        before.append(f"pause for {format_duration(batch.pause.duration)}" if batch.pause.duration else "a promotion")
    if batch.approval is not None:
        before.append(approvals.describe(batch.approval))
    after = f"soak for {format_duration(batch.soak)}" if batch.soak else ""
    return BatchLine(
        batch.name, batch.clusters, batch.max_concurrency, batch.max_failures, ", then ".join(before), after
    )
