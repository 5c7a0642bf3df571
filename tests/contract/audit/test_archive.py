"""The AuditArchive port: what is sealed once stays, and whoever seals the same again is told so."""

from __future__ import annotations

import uuid

import pytest

from contract.cluster.worlds import World
from sluice.adapters.audit.segments import SegmentArchive
from sluice.api.audit import AuditedRollout, AuditSegmentSpec
from sluice.api.names import ROLLOUT_LABEL, ROLLOUT_NAMESPACE_LABEL, ROLLOUT_UID_LABEL, Kind
from sluice.api.rollout import Audit
from sluice.decide.audit import Telling, append, entry_id
from sluice.errors import Conflict, NotFound, Rejected
from unit.decide.observed import NOW


def chain(count: int, word: str = "green to 10%") -> Audit:
    """So many entries."""
    audit = Audit()
    for number in range(count):
        told = Telling(entry_id("uid", number, "", "step"), "Intended", "step", "sluice", "WeightChanged", word)
        audit = append(audit, told, NOW)
    return audit


def segment(audit: Audit, first: int, last: int, uid: str = "") -> AuditSegmentSpec:
    """The segment of some of them, of a Rollout of the test's own."""
    owner = AuditedRollout(namespace="shop", name="checkout", uid=uid or str(uuid.uuid4()), cluster="berlin")
    return AuditSegmentSpec.of(owner, audit.entries[first - 1 : last])


async def stored(world: World, spec: AuditSegmentSpec) -> AuditSegmentSpec:
    """As it is kept."""
    found = await world.cluster.get(Kind.AUDIT_SEGMENT, world.namespace, spec.name)
    return AuditSegmentSpec.parse(found["spec"], "stored")


async def test_what_is_sealed_is_kept(world: World) -> None:
    """Unchanged, with no owner that could take it along, and found by its Rollout's labels."""
    archive, spec = SegmentArchive(world.cluster, world.namespace), segment(chain(8), 1, 8)
    assert await archive.seal(spec) == 8
    assert await stored(world, spec) == spec
    labels = {ROLLOUT_NAMESPACE_LABEL: "shop", ROLLOUT_LABEL: "checkout", ROLLOUT_UID_LABEL: spec.rollout.uid}
    found = await world.cluster.list(Kind.AUDIT_SEGMENT, world.namespace, labels=labels)
    assert [each["metadata"]["name"] for each in found] == [spec.name]
    assert "ownerReferences" not in found[0]["metadata"]
    assert await world.cluster.list(Kind.AUDIT_SEGMENT, world.namespace, labels={ROLLOUT_UID_LABEL: "nobody"}) == []


async def test_the_same_again_is_no_failure(world: World) -> None:
    """As after a crash between sealing and trimming; a shorter one that was there tells how far it goes."""
    archive, audit = SegmentArchive(world.cluster, world.namespace), chain(8)
    spec = segment(audit, 1, 5)
    assert [await archive.seal(spec), await archive.seal(spec)] == [5, 5]
    assert await archive.seal(segment(audit, 1, 8, spec.rollout.uid)) == 5
    assert await stored(world, spec) == spec


async def test_something_else_under_its_name_is_a_conflict(world: World) -> None:
    """Other entries, or more than there are: what was there stays, and the error names it."""
    archive, audit = SegmentArchive(world.cluster, world.namespace), chain(8)
    spec = segment(audit, 1, 5)
    await archive.seal(spec)
    for other in (segment(chain(8, "never"), 1, 5, spec.rollout.uid), segment(audit, 1, 3, spec.rollout.uid)):
        with pytest.raises(Conflict, match=f"AuditSegment {world.namespace}/{spec.name} is there already"):
            await archive.seal(other)
    assert await stored(world, spec) == spec


@pytest.mark.parametrize("first", [1, 5, 8])
async def test_the_segment_before_an_entry_is_found(world: World, first: int) -> None:
    """However many entries it has; not one that ends elsewhere, nor another Rollout's, nor where there is none."""
    archive, spec = SegmentArchive(world.cluster, world.namespace), segment(chain(12), first, 8)
    await archive.seal(spec)
    assert await archive.ending_before(spec.rollout.uid, 9) == spec
    assert await archive.ending_before(spec.rollout.uid, 10) is None
    assert await archive.ending_before(spec.rollout.uid, 1) is None
    assert await archive.ending_before(str(uuid.uuid4()), 9) is None


async def test_a_namespace_that_is_not_there(world: World) -> None:
    """Nothing is kept, and it is said."""
    with pytest.raises(NotFound):
        await SegmentArchive(world.cluster, "nowhere").seal(segment(chain(3), 1, 3))


async def test_a_segment_is_immutable(world: World) -> None:
    """By the CRD, for everybody."""
    spec = segment(chain(3), 1, 3)
    await SegmentArchive(world.cluster, world.namespace).seal(spec)
    forged = [{"op": "replace", "path": "/spec/entries/0/message", "value": "never"}]
    with pytest.raises(Rejected, match="immutable"):
        await world.cluster.patch_json(Kind.AUDIT_SEGMENT, world.namespace, spec.name, forged)
