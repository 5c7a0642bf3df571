"""Signing: what the operator told is signed, what somebody else wrote into a status never, and nothing waits for it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from sluice.adapters.audit.keys import SigningKey
from sluice.api.common import ObjectRef
from sluice.api.names import Kind
from sluice.api.rollout import Audit, AuditSignature
from sluice.decide.audit import MAX_ENTRIES
from sluice.decide.proof import STATUS, Fault, Piece, verify
from sluice.decide.signatures import Claim, Signed, Statement, check_signatures
from sluice.sim.cluster import Call
from sluice.sim.stage import SYSTEM
from unit.decide.signing import private_key, public_keys, signing_key
from unit.decide.test_signatures import rewritten
from unit.engine.scene import APP, OPEN, Scene, on_route, play, rest
from unit.engine.test_seal import make_entries


def ref(scene: Scene) -> ObjectRef:
    """The Rollout's."""
    return ObjectRef(
        namespace="shop", name=APP, uid=scene.world.cluster.store.get(Kind.ROLLOUT, "shop", APP)["metadata"]["uid"]
    )


def check(scene: Scene, *keys: str, due: datetime | None = None, of: ObjectRef | None = None) -> Signed:
    """As `sluice audit verify --key` does."""
    store, of = scene.world.cluster.store, of or ref(scene)
    found = store.all(Kind.AUDIT_SEGMENT, SYSTEM)
    pieces = [Piece.of_segment(each, of.uid) for each in found]
    claims = [Claim.of_segment(each, of) for each in found]
    rollout = store.peek(Kind.ROLLOUT, "shop", APP)
    if rollout is not None:
        pieces.append(Piece.read(STATUS, rollout["status"]["audit"], sealed=False))
        claims.append(Claim.of_status(rollout["status"]["audit"], of))
    return check_signatures(verify(pieces), [each for each in claims if each], public_keys(*keys or ["one"]), due)


def write(scene: Scene, audit: Audit, *, signature: Any = None) -> None:
    """As somebody who may write statuses."""
    body = {"status": {"audit": {**audit.dump(), "signature": signature}}}
    scene.world.cluster.store.merge(Kind.ROLLOUT, "shop", APP, body, subresource="status", manager="mallory")


async def start(scene: Scene, key: str = "one") -> None:
    """An operator that has this key."""
    scene.world.signer = signing_key(key)
    await scene.start(OPEN)


def not_sealed(scene: Scene) -> list[str]:
    """What people were told of the audit."""
    return [note.message for _, _, note in scene.world.notifier.notes if note.reason == "AuditNotSealed"]


def test_all_that_is_told_is_signed() -> None:
    """Segments and the status' head: there is no moment in which the newest entry is not."""

    async def story(scene: Scene) -> None:
        await start(scene)
        for count in (1, MAX_ENTRIES, 60):
            await make_entries(scene, count)
            signed = check(scene)
            assert (signed.proof.whole, signed.since, signed.to) == (True, 1, scene.world.status(APP).audit.seq)
        assert {each["spec"]["signature"]["since"] for each in scene.world.cluster.store.all(Kind.AUDIT_SEGMENT)} == {1}

    play(story)


def test_without_a_key_nothing_is_signed() -> None:
    """Nor is there a field for it."""

    async def story(scene: Scene) -> None:
        await scene.start(OPEN)
        await make_entries(scene, 40)
        store = scene.world.cluster.store
        assert [each for each in store.all(Kind.AUDIT_SEGMENT, SYSTEM) if "signature" in each["spec"]] == []
        assert "signature" not in store.get(Kind.ROLLOUT, "shop", APP)["status"]["audit"]

    play(story)


def test_what_goes_with_its_rollout_is_signed() -> None:
    """To its last entry."""

    async def story(scene: Scene) -> None:
        await start(scene)
        await make_entries(scene, 20)
        of, store = ref(scene), scene.world.cluster.store
        await scene.world.people.delete(Kind.ROLLOUT, "shop", APP, uid=of.uid)
        await scene.world.until(lambda: store.peek(Kind.ROLLOUT, "shop", APP) is None, timeout_seconds=120)
        signed = check(scene, of=of)
        assert (signed.proof.whole, signed.to) == (True, signed.proof.last)
        assert signed.to >= 20

    play(story)


@pytest.mark.parametrize("first", [None, "one"], ids=["after none", "after another that it does not know"])
def test_a_key_that_comes_later_vouches_for_what_comes_later(first: str | None) -> None:
    """What was told before stays as it was; the chain goes on, is sealed, and nobody is told of a failure."""

    async def story(scene: Scene) -> None:
        scene.world.signer = signing_key(first) if first else None
        await scene.start(OPEN)
        await make_entries(scene, 40)
        before, at = scene.world.status(APP).audit.seq, scene.world.clock.now()
        scene.world.signer = signing_key("two")
        await scene.world.restart()
        await rest(5)
        assert scene.world.status(APP).audit.seq == before  # a key alone is no reason to write anything
        await make_entries(scene, 90)
        signed = check(scene, "two", due=at)
        assert (signed.proof.whole, signed.since, signed.to) == (True, before + 1, signed.proof.last)
        assert not_sealed(scene) == []
        unsigned = check(scene, "two").proof.findings
        assert [(each.seq, each.fault, each.message) for each in unsigned if each.where != STATUS] == [
            (1, Fault.UNSIGNED, f"entries 1 to {before} are not signed")
        ]

    play(story)


def test_a_key_that_knows_the_one_before_goes_on() -> None:
    """Rotation: the newer alone then vouches for all of it."""

    async def story(scene: Scene) -> None:
        await start(scene)
        await make_entries(scene, 40)
        scene.world.signer = signing_key("two", "one")
        await scene.world.restart()
        await make_entries(scene, 60)
        signed = check(scene, "two")
        assert (signed.proof.whole, signed.to) == (True, signed.proof.last)
        assert signed.keys == (signing_key("two").key_id,)

    play(story)


def test_shards_that_go_to_and_fro_between_keys_hold_nothing_up() -> None:
    """With another key each time, or none, in the middle of anything: all is sealed, and the chain is whole."""

    async def story(scene: Scene) -> None:
        await start(scene)
        for number, key in enumerate(("two", None, "one", None, "two", "one") * 2):
            await make_entries(scene, scene.world.status(APP).audit.seq + 5)
            scene.world.operator.crash_after_writes(number % 3)
            await scene.world.act(APP, "Pause" if number % 2 else "Resume")
            await rest(2)
            scene.world.signer = signing_key(key) if key else None
            await scene.world.restart()
        await make_entries(scene, 80)
        assert {each.fault for each in check(scene, "one", "two").proof.findings} <= {Fault.UNSIGNED}
        assert len(scene.world.status(APP).audit.entries) <= MAX_ENTRIES
        assert not_sealed(scene) == []

    play(story)


@pytest.mark.parametrize("stop", ["kill", "abort"])
def test_what_stops_is_written_before_anything_is_signed(stop: str) -> None:
    """A kill's weight waits for no signature; nor does an abort's, but for the one of the status that announces it."""

    async def story(scene: Scene) -> None:
        order = list[str]()

        class Watched(SigningKey):
            def sign(self, statement: Statement) -> AuditSignature:
                order.append("sign")
                return super().sign(statement)

        def watch(call: Call) -> None:
            if on_route(call) and call.writes and call.phase == "before":
                order.append("route")

        scene.world.signer = Watched(private_key("one"))
        await scene.start(OPEN)
        await make_entries(scene, MAX_ENTRIES)
        await rest(5)
        scene.world.cluster.faults.append(watch)
        order.clear()
        if stop == "kill":
            await scene.world.engage(reason="5xx")
            await scene.world.until_phase(APP, "Killed", timeout_seconds=10)
            assert order[0] == "route"
        else:
            await scene.world.act(APP, "Abort")
            await scene.world.until(lambda: scene.world.green_share(APP) == 0, timeout_seconds=10)
            assert order.index("route") <= 2  # that, and the segment for which its entries are one too many
        await rest(5)
        assert check(scene).to == scene.world.status(APP).audit.seq

    play(story)


Attack = Callable[[Scene, Audit], None]


def anew(scene: Scene, audit: Audit) -> None:
    """The tail told otherwise, hashes and all."""
    entries = tuple(rewritten(audit.entries, 3))
    write(scene, Audit(seq=audit.seq, head=entries[-1].hash, entries=entries))


def anew_with_its_signature(scene: Scene, audit: Audit) -> None:
    """With the signature of what stood there."""
    entries = tuple(rewritten(audit.entries, 3))
    forged = Audit(seq=audit.seq, head=entries[-1].hash, entries=entries)
    write(scene, forged, signature=audit.signature.dump() if audit.signature else None)


def within(scene: Scene, audit: Audit) -> None:
    """Some in the middle, whole among themselves, under the head and the signature as they were."""
    entries = (*rewritten(audit.entries[:20], 3), *audit.entries[20:])
    write(
        scene,
        audit.model_copy(update={"entries": entries}),
        signature=audit.signature.dump() if audit.signature else None,
    )


def all_of_it(scene: Scene, audit: Audit) -> None:
    """From the first entry on, with no segment left that would tell otherwise: the operator is to seal it all anew."""
    store = scene.world.cluster.store
    for each in list(store.all(Kind.AUDIT_SEGMENT, SYSTEM)):
        store.delete(Kind.AUDIT_SEGMENT, SYSTEM, each["metadata"]["name"], uid=None, manager="mallory")
    fresh = [entry.model_copy(update={"seq": place + 1}) for place, entry in enumerate(audit.entries)]
    entries = tuple(rewritten(fresh, 0))
    write(scene, Audit(seq=len(entries), head=entries[-1].hash, entries=entries))


@pytest.mark.parametrize("attack", [anew, anew_with_its_signature, within, all_of_it])
def test_nobody_has_the_operator_sign_what_it_did_not_tell(attack: Attack, caplog: pytest.LogCaptureFixture) -> None:
    """Who may write statuses and delete segments puts it where the operator reads it: it is sealed, and not signed."""

    async def story(scene: Scene) -> None:
        await start(scene)
        await make_entries(scene, 45)
        await scene.world.operator.crash()
        attack(scene, scene.world.status(APP).audit)
        scene.world.operator.start()
        await make_entries(scene, scene.world.status(APP).audit.seq + 45)
        signed = check(scene)
        forged = [entry.seq for entry in signed.proof.entries if entry.message == "forged"]
        assert forged
        assert signed.proof.entries[-1].seq > forged[-1] + 32  # so that all of that is sealed by now
        assert signed.to < forged[0]
        unsigned = [each for each in signed.proof.findings if each.fault is Fault.UNSIGNED]
        assert unsigned
        assert unsigned[0].seq <= forged[0]
        begun = [each for each in caplog.records if each.message.endswith("signing begins anew")]
        assert bool(begun) == (attack is not within)  # there the head itself is the true one

    play(story)
