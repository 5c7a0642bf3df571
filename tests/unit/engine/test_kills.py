"""The kill path beside the passes: kills are written first and once, and neither waits for the other for long."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sluice.api.names import FIELD_MANAGER, Kind
from sluice.api.units import FULL
from sluice.decide.returning import divert
from sluice.engine import kills
from sluice.engine.precedence import PASSES_WAIT_SECONDS
from sluice.ports import Lane
from sluice.sim import manifests
from sluice.sim.cluster import Call
from unit.defects import gathered
from unit.engine.scene import APP, BYSTANDER, OPEN, Scene, play, rest

APPS = tuple(f"app-{number}" for number in range(12))


async def exposed(scene: Scene, *apps: str) -> None:
    """Bring every app's candidate to 10 %, at rest."""
    await scene.start(OPEN, *apps)
    for app in apps:
        await scene.world.release_version(app, "2.0")
    for app in apps:
        await scene.until_share(1000, app)
    await rest(5)
    scene.writes.clear()


def slow_kills(scene: Scene, seconds: float, *apps: str) -> None:
    """Kill writes of these apps take so long."""

    def delay(call: Call) -> float | None:
        return seconds if call.lane is Lane.KILL and call.name in apps and call.phase == "before" else None

    scene.world.cluster.faults.append(delay)


def test_every_kill_is_written_before_anything_else_and_once() -> None:
    """Twelve kill writes on their way, each slow: no status and no second patch comes before the last has ended."""

    async def story(scene: Scene) -> None:
        await exposed(scene, *APPS)
        slow_kills(scene, 0.3, *APPS)
        await scene.world.engage(reason="5xx")
        for app in APPS:
            await scene.world.until_phase(app, "Killed", timeout_seconds=10)
        routes = [call for call in scene.writes if call.kind is Kind.HTTP_ROUTE]
        assert sorted(call.name for call in routes) == sorted(APPS)
        assert scene.writes[: len(APPS)] == routes

    play(story)


def test_a_kill_write_that_hangs_holds_up_no_pass_for_long() -> None:
    """One write hangs for half a minute: the neighbour is Killed and says so long before."""

    async def story(scene: Scene) -> None:
        await exposed(scene, APP, BYSTANDER)
        slow_kills(scene, 30.0, APP)
        await scene.world.engage(reason="5xx")
        await scene.world.until_phase(BYSTANDER, "Killed", timeout_seconds=PASSES_WAIT_SECONDS + 1)
        assert scene.world.green_share(APP) == 1000
        await scene.world.until_phase(APP, "Killed", timeout_seconds=60)

    play(story)


def test_passes_wait_as_long_as_kills_go_on_being_written() -> None:
    """Kill writes end one after the other, for longer than one may hang: nothing else is written before the last."""

    async def story(scene: Scene) -> None:
        await exposed(scene, *APPS)
        for number, app in enumerate(APPS):
            slow_kills(scene, 0.4 * number, app)
        await scene.world.engage(reason="5xx")
        for app in APPS:
            await scene.world.until_phase(app, "Killed", timeout_seconds=20)
        assert [call.kind for call in scene.writes[: len(APPS)]] == [Kind.HTTP_ROUTE] * len(APPS)

    play(story)


@pytest.mark.parametrize("which", [1, 2])
def test_a_kill_that_a_completion_overtakes_is_obeyed(which: int) -> None:
    """Engaged while one of the last statuses of a run, at all weight, is on its way: it is killed, and stays killed."""

    async def story(scene: Scene) -> None:
        world, seen = scene.world, asyncio.Event()
        await scene.start(manifests.canary({"setWeight": 50}, {"pause": {"duration": "30s"}}))

        def slow(call: Call) -> float | None:
            whole = call.kind is Kind.ROLLOUT and call.manager == FIELD_MANAGER and world.green_share(APP) == FULL
            if not whole or call.phase == "after" or world.status(APP).under_way is None:
                return None
            statuses.append(call)
            if len(statuses) == which:
                seen.set()
            return 0.3

        statuses: list[Call] = []
        world.cluster.faults.append(slow)
        await world.release_version(APP, "2.0")
        async with asyncio.timeout(120):
            await seen.wait()
        await world.engage(reason="5xx")
        await world.until_phase(APP, "Killed", timeout_seconds=10)
        await rest(60)
        status = world.status(APP)
        assert (world.green_share(APP), status.phase) == (0, "Killed")
        assert status.stable is not None
        assert (status.stable.slot, status.stable.version) == ("blue", "1.4.0")
        assert "killed by KillSwitch shop/stop" in status.message
        assert [entry.outcome for entry in status.history] == ["Killed"]
        await world.release()
        await rest(60)
        assert world.green_share(APP) == 0, "what was killed waits for a retry"

    play(story)


def test_a_defect_in_one_kill_spares_no_other_candidate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deciding about one Rollout fails: the other is diverted all the same, and a line tells of the defect."""

    def broken(ref: Any, *arguments: Any, **named: Any) -> Any:
        if ref.name == APP:
            raise IndexError("a defect")
        return divert(ref, *arguments, **named)

    async def story(scene: Scene) -> None:
        await exposed(scene, APP, BYSTANDER)
        monkeypatch.setattr(kills, "divert", broken)
        with gathered() as defects:
            await scene.world.engage(reason="5xx")
            await scene.world.until_phase(BYSTANDER, "Killed")
        first = scene.writes[0]
        assert (first.kind, first.name, first.lane) == (Kind.HTTP_ROUTE, BYSTANDER, Lane.KILL)
        assert any("defect" in text for text in defects.texts)
        await scene.world.until_phase(APP, "Killed")

    play(story)


def test_another_label_frees_nobody_before_the_release() -> None:
    """A Hold by labels; the Rollout gets others: it says who holds it and stays where it is. Released, it goes on."""

    async def story(scene: Scene) -> None:
        await scene.start(manifests.canary({"setWeight": 10}, {"pause": {"duration": "5s"}}, {"setWeight": 50}), APP)
        await relabel(scene, "edge")
        await scene.world.release_version(APP, "2.0")
        await scene.until_share(1000, APP)
        await scene.world.engage(
            reason="maintenance", effect="Hold", scope={"selector": {"matchLabels": {"tier": "edge"}}}
        )
        await rest(2)
        await relabel(scene, "core")
        await rest(60)
        assert scene.world.green_share(APP) == 1000
        status = scene.world.status(APP)
        assert "KillSwitch shop/stop is engaged (Hold)" in status.message
        assert [(each.switch, each.effect, each.reason) for each in status.covered_by] == [
            ("KillSwitch shop/stop", "Hold", "maintenance")
        ]
        await scene.world.release()
        await scene.world.until_phase(APP, "Healthy", timeout_seconds=60)
        assert scene.world.status(APP).covered_by == ()

    play(story)


EDGE = {"selector": {"matchLabels": {"tier": "edge"}}}


async def delete(scene: Scene) -> None:
    """Somebody deletes the Rollout, unless it is gone already."""
    found = scene.world.cluster.store.peek(Kind.ROLLOUT, "shop", APP)
    if found is not None:
        await scene.world.people.delete(Kind.ROLLOUT, "shop", APP, uid=found["metadata"]["uid"])


async def anew(scene: Scene) -> None:
    """Somebody deletes the Rollout, and creates one of the same name without its labels, which asks for 2.0."""
    await delete(scene)
    await scene.world.until(lambda: scene.world.cluster.store.peek(Kind.ROLLOUT, "shop", APP) is None)
    body = manifests.rollout("shop", APP, OPEN, version="2.0")
    body["spec"]["workload"]["active"] = "green"
    await scene.world.apply(Kind.ROLLOUT, body)


def test_deleting_and_creating_anew_frees_nobody_before_the_release() -> None:
    """Held by labels, deleted in mid-run, and there again with others: it begins nothing, and says who holds it."""

    async def story(scene: Scene) -> None:
        await scene.start(OPEN, APP)
        await relabel(scene, "edge")
        await scene.world.release_version(APP, "2.0")
        await scene.until_share(1000, APP)
        await scene.world.engage(reason="maintenance", effect="Hold", scope=EDGE)
        await rest(2)
        await anew(scene)
        await rest(60)
        assert scene.world.green_share(APP) == 0
        status = scene.world.status(APP)
        assert "KillSwitch shop/stop is engaged (Hold)" in status.message
        assert [each.switch for each in status.covered_by] == ["KillSwitch shop/stop"]
        await anew(scene)
        await rest(60)
        assert scene.world.green_share(APP) == 0
        await scene.world.release()
        await scene.until_share(1000, APP)
        stored = scene.world.cluster.store.get(Kind.KILL_SWITCH, "shop", "stop")
        assert not stored["status"].get("deleted")
        await scene.world.engage(reason="again", effect="Hold", scope=EDGE)
        await rest(5)
        assert scene.world.status(APP).covered_by == ()

    play(story)


@pytest.mark.parametrize("writes", range(1, 7))
def test_a_deletion_is_noted_however_the_operator_dies_over_it(writes: int) -> None:
    """It dies after so many writes of letting the Rollout go: who comes by the name is held all the same."""

    async def story(scene: Scene) -> None:
        await scene.start(OPEN, APP)
        await relabel(scene, "edge")
        await scene.world.release_version(APP, "2.0")
        await scene.until_share(1000, APP)
        await scene.world.engage(reason="5xx", scope=EDGE)
        await scene.world.until_phase(APP, "Killed")
        scene.world.operator.crash_after_writes(writes)
        await delete(scene)
        await rest(5)
        await scene.world.restart()
        await anew(scene)
        await rest(60)
        assert scene.world.green_share(APP) == 0
        assert [each.switch for each in scene.world.status(APP).covered_by] == ["KillSwitch shop/stop"]

    play(story)


def test_one_that_was_not_covered_when_it_was_deleted_is_free() -> None:
    """Nor is one whose switch was released since: only what an engaged switch covered is kept in mind."""

    async def story(scene: Scene) -> None:
        await scene.start(OPEN, APP)
        await scene.world.engage(reason="5xx", scope=EDGE)
        await anew(scene)
        await scene.until_share(1000, APP)
        assert scene.world.status(APP).covered_by == ()

    play(story)


def test_a_hold_lets_go_when_it_expires() -> None:
    """It says until when, goes on by itself then, and says Expired; a Rollout that nobody touched does so, too."""

    async def story(scene: Scene) -> None:
        await scene.start(manifests.canary({"setWeight": 10}, {"pause": {"duration": "5s"}}, {"setWeight": 50}), APP)
        await scene.world.release_version(APP, "2.0")
        await scene.until_share(1000, APP)
        await scene.world.engage(reason="maintenance", effect="Hold", expires="10m")
        await rest(500)
        assert scene.world.green_share(APP) == 1000
        held = scene.world.status(APP).message
        assert "goes on when it is released, at 20" in held, held
        assert state(scene) == "Engaged"
        await scene.world.until_phase(APP, "Healthy", timeout_seconds=130)
        assert state(scene) == "Expired"
        assert scene.world.status(APP).covered_by == ()
        await scene.world.release()
        await rest(2)
        await scene.world.engage(reason="again", effect="Hold", expires="10m")
        await rest(2)
        assert state(scene) == "Engaged"

    play(story)


def state(scene: Scene) -> str:
    """What the switch says of itself."""
    return str(scene.world.cluster.store.get(Kind.KILL_SWITCH, scene.world.namespace, "stop")["status"]["state"])


async def relabel(scene: Scene, tier: str) -> None:
    """Give the Rollout another label."""
    body = {"metadata": {"labels": {"tier": tier}}}
    await scene.world.people.patch_merge(Kind.ROLLOUT, scene.world.namespace, APP, body)
