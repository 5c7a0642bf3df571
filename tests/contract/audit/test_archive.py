"""The AuditArchive port: what is sealed once stays, and whoever seals the same again is told so."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from contract.cluster.worlds import World
from sluice.adapters.audit.segments import SegmentArchive
from sluice.api.audit import AuditedRollout, AuditSegmentSpec
from sluice.api.names import ROLLOUT_LABEL, ROLLOUT_NAMESPACE_LABEL, ROLLOUT_UID_LABEL, Kind
from sluice.api.rollout import Audit
from sluice.decide.audit import Telling, append, entry_id
from sluice.decide.signatures import Statement
from sluice.errors import Conflict, NotFound, Rejected
from unit.decide.observed import NOW
from unit.decide.signing import signing_key


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


def signed(spec: AuditSegmentSpec, name: str = "operator") -> AuditSegmentSpec:
    """The same, signed with a key."""
    return spec.signed(signing_key(name).sign(Statement(spec.rollout, 1, spec.last, spec.head)))


@pytest.mark.parametrize("key", [None, "operator"])
async def test_what_is_sealed_is_kept(world: World, key: str | None) -> None:
    """Unchanged, signature included, with no owner that could take it along, and found by its Rollout's labels."""
    archive, spec = SegmentArchive(world.cluster, world.namespace), segment(chain(8), 1, 8)
    spec = signed(spec, key) if key else spec
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


@pytest.mark.parametrize("first, second", [(None, "one"), ("one", None), ("one", "two")])
async def test_the_same_again_is_the_same_whoever_signed_it(
    world: World, first: str | None, second: str | None
) -> None:
    """A shard may go to a replica with another key, or none, between sealing and trimming: nothing is held up."""
    archive, audit = SegmentArchive(world.cluster, world.namespace), chain(8)
    bare = segment(audit, 1, 5)
    there, again = (signed(bare, key) if key else bare for key in (first, second))
    assert [await archive.seal(there), await archive.seal(again)] == [5, 5]
    longer = segment(audit, 1, 8, bare.rollout.uid)
    assert await archive.seal(signed(longer, second) if second else longer) == 5
    assert await stored(world, bare) == there
    assert await archive.ending_before(bare.rollout.uid, 6) == there


async def test_a_signature_makes_nothing_else_the_same(world: World) -> None:
    """Other entries stay others, with whatever signature."""
    archive, spec = SegmentArchive(world.cluster, world.namespace), segment(chain(8), 1, 5)
    await archive.seal(signed(spec))
    other = segment(chain(8, "never"), 1, 5, spec.rollout.uid)
    with pytest.raises(Conflict, match="is there already"):
        await archive.seal(other.signed(signed(spec).signature))


@pytest.mark.parametrize("wrong", [{"key_id": "0" * 65}, {"value": "A" * 89}, {"since": 0}])
@pytest.mark.parametrize("world", [pytest.param("apiserver", marks=pytest.mark.cluster)], indirect=True)
async def test_what_is_no_signature_is_refused(world: World, wrong: dict[str, Any]) -> None:
    """By the CRD: what is longer than one, or vouches for an entry that never was."""
    spec = signed(segment(chain(3), 1, 3))
    assert spec.signature is not None
    with pytest.raises(Rejected, match=r"spec\.signature"):
        await SegmentArchive(world.cluster, world.namespace).seal(spec.signed(spec.signature.model_copy(update=wrong)))


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


@pytest.mark.parametrize(
    "forged",
    [
        {"op": "replace", "path": "/spec/entries/0/message", "value": "never"},
        {"op": "replace", "path": "/spec/signature/since", "value": 2},
        {"op": "remove", "path": "/spec/signature"},
    ],
    ids=["entry", "signature", "no signature"],
)
async def test_a_segment_is_immutable(world: World, forged: dict[str, Any]) -> None:
    """By the CRD, for everybody."""
    spec = signed(segment(chain(3), 1, 3))
    await SegmentArchive(world.cluster, world.namespace).seal(spec)
    with pytest.raises(Rejected, match="immutable"):
        await world.cluster.patch_json(Kind.AUDIT_SEGMENT, world.namespace, spec.name, [forged])
