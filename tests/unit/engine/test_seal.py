"""Sealing: no entry leaves a status before it is kept elsewhere, whatever fails or crashes between."""

from __future__ import annotations

import itertools

import pytest

from sluice.api.audit import AuditSegmentSpec
from sluice.api.names import Kind
from sluice.api.rollout import AuditEntry
from sluice.decide.audit import HELD_ENTRIES, MAX_ENTRIES, SEALED_ENTRIES
from sluice.decide.proof import STATUS, Piece, Proof, verify
from sluice.errors import Forbidden, Unavailable
from sluice.sim.cluster import Call
from sluice.sim.fleet import FleetWorld
from sluice.sim.stage import SYSTEM
from unit.engine.scene import APP, OPEN, Scene, play, rest
from unit.sequences.test_fleet_stories import outcome, told


def segments(scene: Scene) -> list[AuditSegmentSpec]:
    """Those that are stored, by number."""
    found = scene.world.cluster.store.all(Kind.AUDIT_SEGMENT, SYSTEM)
    return sorted((AuditSegmentSpec.parse(each["spec"], "stored") for each in found), key=lambda spec: spec.first)


def proof(scene: Scene) -> Proof:
    """Of all that is stored."""
    sealed = [Piece(spec.name, True, spec.entries, spec.last, spec.head) for spec in segments(scene)]
    audit = scene.world.status(APP).audit
    return verify([*sealed, Piece(STATUS, False, audit.entries, audit.seq, audit.head)])


async def make_entries(scene: Scene, count: int) -> None:
    """Pause and resume until the chain has so many."""
    if scene.world.status(APP).revision is None:
        await scene.world.release_version(APP, "2.0")
        await scene.until_share(1000)
    for verb in ("Pause", "Resume") * count:
        if scene.world.status(APP).audit.seq >= count:
            return
        await scene.world.act(APP, verb)
        await rest(2)
    raise AssertionError(f"only {scene.world.status(APP).audit.seq} entries: {scene.world.status(APP).message}")


def sent(scene: Scene) -> list[AuditEntry]:
    """What the sink was told, each once."""
    return list({entry.seq: entry for _, entry in scene.world.audit.entries}.values())


def test_entries_are_sealed_before_they_leave() -> None:
    """The status keeps to its bound; all that was ever told is in segments and status, and anchored."""

    async def story(scene: Scene) -> None:
        await scene.start(OPEN)
        await make_entries(scene, 60)
        kept = scene.world.status(APP).audit.entries
        assert MAX_ENTRIES - SEALED_ENTRIES <= len(kept) <= MAX_ENTRIES
        found = proof(scene)
        assert (found.whole, found.anchored_to) == (True, kept[0].seq - 1)
        assert list(found.entries) == sent(scene)
        assert {len(spec.entries) for spec in segments(scene)} == {SEALED_ENTRIES}
        told = scene.told()
        first = told.index("create AuditSegment")
        assert told[first + 1] == "patch_merge Rollout/status"

    play(story)


def test_a_crash_between_sealing_and_trimming_loses_and_doubles_nothing() -> None:
    """Right after the segment's creation, again and again: the same entries in both places, then sealed once."""

    async def story(scene: Scene) -> None:
        crashed = list[str]()

        def die(call: Call) -> float | None:
            if call.kind is Kind.AUDIT_SEGMENT and call.verb == "create" and call.phase == "after":
                crashed.append(call.name)
                scene.world.operator.crash_after_writes(1)
                raise Unavailable("the answer was lost")
            return None

        await scene.start(OPEN)
        await make_entries(scene, MAX_ENTRIES)
        scene.world.cluster.faults.append(die)
        await scene.world.act(APP, "Pause")
        await rest(2)
        await scene.world.act(APP, "Resume")
        await rest(2)
        await scene.world.restart()
        await rest(5)
        assert crashed
        scene.world.cluster.faults.remove(die)
        await make_entries(scene, 60)
        found = proof(scene)
        assert found.findings == ()
        assert found.anchored_to == scene.world.status(APP).audit.entries[0].seq - 1

    play(story)


@pytest.mark.parametrize("error", [Forbidden("auditsegments: no"), Unavailable("timed out")], ids=["no", "later"])
def test_what_cannot_be_sealed_stays(error: Exception) -> None:
    """Rollouts go on, people are told, and it is sealed once it can be."""

    async def story(scene: Scene) -> None:
        await scene.start(OPEN)
        scene.refuse = lambda call: error if call.kind is Kind.AUDIT_SEGMENT else None
        await make_entries(scene, 50)
        kept = scene.world.status(APP).audit.entries
        assert [entry.seq for entry in kept] == list(range(1, len(kept) + 1))
        notes = [note.message for _, _, note in scene.world.notifier.notes if note.reason == "AuditNotSealed"]
        assert len(notes) == 1
        assert str(error) in notes[0]
        scene.refuse = None
        await make_entries(scene, len(kept) + 1)
        found = proof(scene)
        assert (found.whole, found.anchored_to) == (True, found.last - len(scene.world.status(APP).audit.entries))
        assert len(scene.world.status(APP).audit.entries) <= MAX_ENTRIES

    play(story)


@pytest.mark.parametrize("fault", ["none", "crashes", "errors"])
def test_what_is_told_at_once_is_sealed_all_the_same(fault: str) -> None:
    """A hundred actions that waited while nobody was there: each done and told once, whatever fails in between."""

    async def story(scene: Scene) -> None:
        await scene.start(OPEN)
        await make_entries(scene, MAX_ENTRIES)
        before = scene.world.status(APP).audit.seq
        verbs = ("Pause", "Resume") if scene.world.status(APP).paused_by is None else ("Resume", "Pause")
        await scene.world.operator.crash()
        for verb in verbs * 50:
            await scene.world.act(APP, verb)
            await rest(1)
        writes = itertools.count()
        kinds = {Kind.AUDIT_SEGMENT, Kind.ROLLOUT}
        scene.refuse = lambda call: (
            Unavailable("timed out") if fault == "errors" and call.kind in kinds and next(writes) % 3 == 0 else None
        )
        scene.world.operator.start()
        for count in range(1, 40) if fault == "crashes" else ():
            scene.world.operator.crash_after_writes(count % 7 + 1)
            await rest(1)
            await scene.world.restart()
        await rest(120)
        status = scene.world.status(APP)
        found = proof(scene)
        assert found.findings == ()
        new = [entry for entry in found.entries if entry.seq > before]
        assert [entry.action for entry in new] == [*verbs * 50]
        assert len(status.audit.entries) <= (HELD_ENTRIES if fault == "errors" else MAX_ENTRIES)
        assert found.anchored_to == status.audit.entries[0].seq - 1

    play(story)


def test_what_is_stored_is_sealed_before_more_comes_than_a_status_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is dropped for what one pass tells, as long as segments can be written."""
    monkeypatch.setattr("sluice.decide.audit.HELD_ENTRIES", MAX_ENTRIES)

    async def story(scene: Scene) -> None:
        await scene.start(OPEN)
        await make_entries(scene, 60)
        assert proof(scene).findings == ()
        assert not [note for _, _, note in scene.world.notifier.notes if note.reason == "AuditNotSealed"]

    play(story)


def test_what_a_status_cannot_hold_is_lost_and_told() -> None:
    """Beyond 64 entries the oldest go, a warning says which, and the proof says that they are missing."""

    async def story(scene: Scene) -> None:
        await scene.start(OPEN)
        scene.refuse = lambda call: Forbidden("auditsegments: no") if call.kind is Kind.AUDIT_SEGMENT else None
        await make_entries(scene, HELD_ENTRIES + 6)
        kept = scene.world.status(APP).audit.entries
        assert len(kept) == HELD_ENTRIES
        notes = [note.message for _, _, note in scene.world.notifier.notes if note.reason == "AuditNotSealed"]
        assert any("are lost but for the log" in note for note in notes)
        assert [finding.seq for finding in proof(scene).findings] == [1]
        assert len(sent(scene)) == scene.world.status(APP).audit.seq

    play(story)


def test_a_rollout_that_goes_leaves_its_audit() -> None:
    """All of it, also what was still in the status."""

    async def story(scene: Scene) -> None:
        await scene.start(OPEN)
        await make_entries(scene, 20)
        found = scene.world.cluster.store.get(Kind.ROLLOUT, "shop", APP)
        await scene.world.people.delete(Kind.ROLLOUT, "shop", APP, uid=found["metadata"]["uid"])
        gone = scene.world.cluster.store.peek
        await scene.world.until(lambda: gone(Kind.ROLLOUT, "shop", APP) is None, timeout_seconds=120)
        pieces = [Piece(spec.name, True, spec.entries, spec.last, spec.head) for spec in segments(scene)]
        left = verify(pieces)
        assert left.findings == ()
        assert [entry.seq for entry in left.entries] == [entry.seq for entry in sent(scene)]

    play(story)


def test_a_rollout_goes_also_where_nothing_can_be_sealed() -> None:
    """Its deletion waits for nobody's rights; what is lost is told."""

    async def story(scene: Scene) -> None:
        await scene.start(OPEN)
        scene.refuse = lambda call: Forbidden("auditsegments: no") if call.kind is Kind.AUDIT_SEGMENT else None
        found = scene.world.cluster.store.get(Kind.ROLLOUT, "shop", APP)
        await scene.world.people.delete(Kind.ROLLOUT, "shop", APP, uid=found["metadata"]["uid"])
        gone = scene.world.cluster.store.peek
        await scene.world.until(lambda: gone(Kind.ROLLOUT, "shop", APP) is None, timeout_seconds=120)
        assert any("go with the Rollout" in note.message for _, _, note in scene.world.notifier.notes)

    play(story)


def test_what_members_tell_is_sealed_in_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the member's name; the hub's own chain beside it; in the members there are no segments."""
    monkeypatch.setattr("sluice.decide.audit.MAX_ENTRIES", 2)
    monkeypatch.setattr("unit.sequences.test_fleet_stories.NAMES", ("m1",))  # the sim's clusters share their UIDs

    async def story(world: FleetWorld) -> None:
        await world.release_fleet("checkout", "1.5.0")
        await world.until(lambda: outcome(world) != "")
        await rest(60)

    world = told(story, [{"name": "all", "count": 1}])
    found = world.cluster.store.all(Kind.AUDIT_SEGMENT, SYSTEM)
    specs = [AuditSegmentSpec.parse(each["spec"], "stored") for each in found]
    assert {spec.rollout.cluster for spec in specs} == {None, "m1"}
    for member in world.members.values():
        assert list(member.cluster.store.all(Kind.AUDIT_SEGMENT)) == []
    for owner in {spec.rollout.uid for spec in specs}:
        own = [Piece.of_segment(each, owner) for each in found if each["spec"]["rollout"]["uid"] == owner]
        assert verify(own).findings == ()


def test_an_archive_that_does_not_answer_holds_up_no_abort() -> None:
    """What is to come back to stable comes back in seconds, whoever keeps the audit waiting."""

    async def story(scene: Scene) -> None:
        await scene.start(OPEN)
        await make_entries(scene, MAX_ENTRIES)
        scene.world.cluster.faults.append(lambda call: 3600.0 if call.kind is Kind.AUDIT_SEGMENT else None)
        await scene.world.act(APP, "Abort")
        await scene.world.until(lambda: scene.world.green_share(APP) == 0, timeout_seconds=10)
        await scene.world.until_phase(APP, "Aborted", timeout_seconds=10)

    play(story)
