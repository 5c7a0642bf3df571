"""Carrying plans out: the order of writes, what a failure keeps back, and what it must not."""

from __future__ import annotations

import pytest

from sluice.api.names import FIELD_MANAGER, Kind
from sluice.decide.sharding import NO_SHARDS
from sluice.engine.writes import merge_patch
from sluice.errors import Conflict, Forbidden, Rejected, Unavailable
from sluice.ports import Lane
from sluice.sim import manifests
from sluice.sim.cluster import Call
from unit.engine.scene import APP, OPEN, Scene, on_route, play, rest


def test_what_is_intended_is_persisted_before_it_is_written() -> None:
    """RolloutRun, status, and only then the route; the finalizer was there before the first status."""

    async def story(scene: Scene) -> None:
        scene.world.app(APP)
        await scene.world.start()
        await scene.world.adopt(APP, OPEN)
        assert scene.told()[:2] == ["patch_merge Rollout", "patch_merge Rollout/status"]
        scene.writes.clear()
        await scene.world.release_version(APP, "2.0")
        await scene.until_share(1000)
        told = scene.told()
        first = [told.index(name) for name in ("create RolloutRun", "patch_merge Rollout/status")]
        assert first == [0, 1]
        assert told.index("patch_json HTTPRoute") > first[-1]

    play(story)


def test_a_kill_is_written_before_its_status() -> None:
    """On its own lane, as the first write of all."""

    async def story(scene: Scene) -> None:
        await scene.start(OPEN)
        await scene.world.release_version(APP, "2.0")
        await scene.until_share(1000)
        await rest(1)
        scene.writes.clear()
        await scene.world.engage(reason="5xx")
        await scene.world.until_phase(APP, "Killed")
        assert scene.told()[0] == "patch_json HTTPRoute!"

    play(story)


def test_a_kill_that_is_refused_is_announced_all_the_same() -> None:
    """One route refuses the write: the run is Killed, and the status says what was refused."""

    async def story(scene: Scene) -> None:
        await scene.start(OPEN)
        await scene.world.release_version(APP, "2.0")
        await scene.until_share(1000)
        scene.refuse = lambda call: Rejected("HTTPRoute shop/checkout: denied by a webhook") if on_route(call) else None
        await scene.world.engage(reason="5xx")
        await scene.world.until_phase(APP, "Killed", timeout_seconds=60)
        await scene.world.until(lambda: "denied by a webhook" in scene.stalled(), timeout_seconds=60)
        scene.refuse = None
        await scene.world.until(lambda: scene.world.green_share(APP) == 0 and not scene.stalled(), timeout_seconds=60)

    play(story)


def test_a_refusal_before_the_status_is_told_too() -> None:
    """The RolloutRun is refused, so no plan is announced: the status says so, and it goes on later."""

    def refuse(call: Call) -> Exception | None:
        made = call.verb == "create" and call.kind is Kind.ROLLOUT_RUN
        return Forbidden("RolloutRun shop/checkout-1: the operator may not create") if made else None

    async def story(scene: Scene) -> None:
        await scene.start(OPEN)
        scene.refuse = refuse
        await scene.world.release_version(APP, "2.0")
        await scene.world.until(lambda: scene.stalled().startswith("Forbidden"), timeout_seconds=60)
        scene.writes.clear()
        await rest(600)
        assert len(scene.writes) <= 50
        assert scene.world.green_share(APP) == 0
        scene.refuse = None
        await scene.until_share(1000)
        assert scene.stalled() == ""

    play(story)


def test_without_its_finalizer_nothing_is_taken_in_hand() -> None:
    """Whoever may not be held up by a finalizer is not adopted: the status says what was refused."""

    def refuse(call: Call) -> Exception | None:
        mark = call.verb == "patch_merge" and call.kind is Kind.ROLLOUT and not call.subresource
        return Forbidden("Rollout shop/checkout: the operator may not patch") if mark else None

    async def story(scene: Scene) -> None:
        scene.refuse = refuse
        scene.world.app(APP)
        await scene.world.start()
        await scene.world.apply(Kind.ROLLOUT, manifests.rollout("shop", APP, OPEN, version="1.0"))
        await scene.world.until(lambda: scene.stalled().startswith("Forbidden"), timeout_seconds=60)
        assert scene.world.status(APP).stable is None
        scene.refuse = None
        await scene.world.until_phase(APP, "Healthy", timeout_seconds=60)
        assert scene.stalled() == ""

    play(story)


def test_a_record_that_cannot_be_written_keeps_no_share_from_being_taken() -> None:
    """RolloutRuns' statuses are refused: an abort still takes the candidate's share away."""

    def refuse(call: Call) -> Exception | None:
        return Forbidden("rolloutruns/status: no") if call.kind is Kind.ROLLOUT_RUN and call.subresource else None

    async def story(scene: Scene) -> None:
        await scene.start(OPEN)
        await scene.world.release_version(APP, "2.0")
        await scene.until_share(1000)
        scene.refuse = refuse
        await scene.world.act(APP, "Abort")
        await scene.world.until(lambda: scene.world.green_share(APP) == 0, timeout_seconds=10)

    play(story)


def test_the_record_is_written_once_it_can_be() -> None:
    """What a refusal or a crash kept from the RolloutRun is told later."""

    async def story(scene: Scene) -> None:
        await scene.start(OPEN)
        await scene.world.release_version(APP, "2.0")
        await scene.until_share(1000)
        scene.refuse = lambda call: Unavailable("timed out") if call.kind is Kind.ROLLOUT_RUN else None
        await scene.world.act(APP, "Abort")
        await scene.world.until(lambda: scene.world.green_share(APP) == 0, timeout_seconds=10)
        await scene.world.operator.crash()
        scene.refuse = None
        scene.world.operator.start()
        await rest(5)
        stored = scene.world.cluster.store.get(Kind.ROLLOUT_RUN, "shop", "checkout-1")
        assert stored["status"]["outcome"] == "Aborted"

    play(story)


def test_growth_is_dropped_when_a_switch_engages_on_its_way() -> None:
    """The write waits, the switch engages meanwhile: the share is never written."""

    async def story(scene: Scene) -> None:
        await scene.start(OPEN)
        written: list[int] = []
        scene.world.cluster.on_change.append(
            lambda change: written.append(scene.world.green_share(APP)) if change.kind is Kind.HTTP_ROUTE else None
        )
        scene.world.cluster.faults.append(lambda call: 3.0 if on_route(call) and call.lane is Lane.NORMAL else None)
        await scene.world.release_version(APP, "2.0")
        await rest(1)
        assert any(on_route(call) for call in scene.writes)
        await scene.world.engage(reason="5xx", effect="Hold")
        await rest(30)
        assert set(written) <= {0}
        assert scene.world.status(APP).phase == "Paused"

    play(story)


def test_a_conflict_halfway_is_planned_anew() -> None:
    """The status was written, the route's write met a conflict: the next pass writes it, and tells nothing twice."""

    async def story(scene: Scene) -> None:
        await scene.start(OPEN)
        conflicts = [Conflict("somebody was quicker")] * 3
        scene.refuse = lambda call: conflicts.pop() if on_route(call) and conflicts else None
        await scene.world.release_version(APP, "2.0")
        await scene.until_share(1000)
        await rest(1)
        entries = [(entry.id, entry.stage) for entry in scene.world.status(APP).audit.entries]
        assert len(entries) == len(set(entries))
        sent = [(entry.seq, entry.hash) for _, entry in scene.world.audit.entries]
        assert sent == [(entry.seq, entry.hash) for entry in scene.world.status(APP).audit.entries]

    play(story)


def test_a_conflict_of_the_status_after_a_kill_loses_nothing() -> None:
    """The weights are written, the status is not: the next pass finds the stamp and tells of the kill."""

    async def story(scene: Scene) -> None:
        await scene.start(OPEN)
        await scene.world.release_version(APP, "2.0")
        await scene.until_share(1000)
        conflicts = [Conflict("somebody was quicker")] * 2
        scene.refuse = lambda call: conflicts.pop() if call.subresource == "status" and conflicts else None
        await scene.world.engage(reason="5xx")
        await scene.world.release()
        await scene.world.until_phase(APP, "Killed", timeout_seconds=60)
        assert scene.world.green_share(APP) == 0
        assert "killed by KillSwitch shop/stop, engaged by alice: 5xx" in scene.world.status(APP).message

    play(story)


def test_entries_reach_the_sink_whatever_fails_later() -> None:
    """Each entry that a status holds is sent once, also where what follows the status fails."""

    async def story(scene: Scene) -> None:
        await scene.start(OPEN)
        failures = [Unavailable("timed out")] * 4
        late = {Kind.ROLLOUT_RUN, Kind.HTTP_ROUTE}
        scene.refuse = lambda call: failures.pop() if failures and call.verb != "create" and call.kind in late else None
        await scene.world.release_version(APP, "2.0")
        await scene.until_share(1000)
        await rest(1)
        sent = [entry.seq for _, entry in scene.world.audit.entries]
        assert sent == [entry.seq for entry in scene.world.status(APP).audit.entries]

    play(story)


def test_a_taken_name_costs_a_number_not_the_run() -> None:
    """A RolloutRun of the next name exists that is not ours (or can't be read): the run takes the number after it."""

    async def story(scene: Scene) -> None:
        await scene.start(OPEN)
        for number in (1, 2):
            body = {"metadata": {"name": f"checkout-{number}", "namespace": "shop"}, "spec": {"rollout": "checkout"}}
            scene.world.cluster.seed(Kind.ROLLOUT_RUN, body)
        await rest(1)
        await scene.world.release_version(APP, "2.0")
        await scene.until_share(1000)
        assert scene.world.status(APP).run == "checkout-3"

    play(story)


def test_losing_the_shard_stops_at_once() -> None:
    """What another replica may be master of is not even tried; the replica that has the shard does it."""

    async def story(scene: Scene) -> None:
        await scene.start(OPEN)
        scene.world.operator.mastery.held = NO_SHARDS
        await scene.world.release_version(APP, "2.0")
        await rest(60)
        assert scene.writes == []
        await scene.world.restart()
        await scene.until_share(1000)

    play(story)


@pytest.mark.parametrize(
    "old, new, patch",
    [
        ({}, {"a": 1}, {"a": 1}),
        ({"a": 1, "b": 2}, {"b": 2}, {"a": None, "b": 2}),
        ({"m": {"x": 1, "y": 2}}, {"m": {"y": 3}}, {"m": {"x": None, "y": 3}}),
        ({"m": {"n": {"x": 1}}}, {"m": {"n": {}}}, {"m": {"n": {"x": None}}}),
        ({"m": {"x": 1}}, {"m": [1]}, {"m": [1]}),
        ({"l": [{"x": 1, "y": 2}]}, {"l": [{"x": 1}]}, {"l": [{"x": 1}]}),
    ],
)
def test_a_merge_patch_names_what_is_gone(old: dict, new: dict, patch: dict) -> None:
    """Keys that a map no longer has are null in the patch; lists are replaced whole."""
    assert merge_patch(old, new) == patch


@pytest.mark.parametrize("lost", [1, 3])
def test_entries_reach_the_sink_though_the_answer_to_the_status_is_lost(lost: int) -> None:
    """The API server has stored them, and the operator does not know: once each, by the pass that finds them there."""

    async def story(scene: Scene) -> None:
        left = [Unavailable("no answer within 5 s")] * lost

        def lose(call: Call) -> float | None:
            ours = call.manager == FIELD_MANAGER and call.kind is Kind.ROLLOUT and call.subresource == "status"
            if ours and call.phase == "after" and left:
                raise left.pop()
            return None

        await scene.start(OPEN)
        scene.world.cluster.faults.append(lose)
        await scene.world.release_version(APP, "2.0")
        await scene.until_share(1000)
        await rest(60)
        assert not left
        sent = [(entry.seq, entry.hash) for _, entry in scene.world.audit.entries]
        assert sent == [(entry.seq, entry.hash) for entry in scene.world.status(APP).audit.entries]

    play(story)


def test_a_status_that_was_not_stored_is_told_once_it_is() -> None:
    """As it was then decided anew; nothing of the first try."""

    async def story(scene: Scene) -> None:
        await scene.start(OPEN)
        left = [Unavailable("no answer within 5 s")] * 3
        scene.refuse = lambda call: left.pop() if left and call.subresource == "status" else None
        await scene.world.release_version(APP, "2.0")
        await scene.until_share(1000)
        await rest(60)
        assert not left
        sent = [(entry.seq, entry.hash) for _, entry in scene.world.audit.entries]
        assert sent == [(entry.seq, entry.hash) for entry in scene.world.status(APP).audit.entries]

    play(story)
