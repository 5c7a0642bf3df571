"""Drills: traffic to stable and back by the real engine, the evidence, and whoever comes in between."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.api.drill import DrillOutcome, DrillPart, LastDrill
from sluice.api.names import Kind
from sluice.errors import Forbidden, Rejected
from sluice.ports import Obj
from unit.engine.scene import APP, BYSTANDER, OPEN, Scene, play, rest
from unit.engine.test_switches import exposed, status


def stop(scene: Scene) -> Obj:
    """The switch."""
    return scene.world.cluster.store.get(Kind.KILL_SWITCH, "shop", "stop")


def last(scene: Scene) -> LastDrill:
    """The evidence."""
    found = status(scene).last_drill
    assert found is not None
    return found


async def drill(scene: Scene, **fields: Any) -> None:
    """Alice begins one."""
    await scene.world.engage(reason="rehearsal", drill=True, **fields)


async def begun(scene: Scene) -> None:
    """One is under way, and stays so for as long as the gateway does not answer."""
    scene.world.gateway.frozen = True
    await drill(scene)
    await scene.world.until(lambda: status(scene).last_drill is not None and scene.world.green_share(APP) == 0)


async def over(scene: Scene) -> None:
    """Wait until the switch has let go."""
    await scene.world.until(lambda: not stop(scene)["spec"]["engaged"], timeout_seconds=60)


def audited(scene: Scene) -> list[tuple[str, str, str]]:
    """Who did what by drills, as the Rollout's audit has it."""
    entries = scene.world.status(APP).audit.entries
    return [(each.action, each.stage, each.actor) for each in entries if each.reason == "Drilled"]


def test_it_goes_all_the_way_and_back() -> None:
    """The candidate gives its traffic to stable and gets it again; no run ends; the switch keeps the evidence."""

    async def story(scene: Scene) -> None:
        await exposed(scene, APP, BYSTANDER)
        await drill(scene)
        await scene.until_share(0, APP)
        await over(scene)
        await scene.until_share(1000, APP)
        await rest(5)
        found = last(scene)
        assert (found.outcome, found.by, found.reason) == (DrillOutcome.PASSED, "alice", "rehearsal")
        assert (found.rollouts, found.routes) == (2, 2)
        times = [found.seconds(part) for part in DrillPart]
        assert None not in times
        assert times == sorted(times, key=lambda each: each or 0)
        assert "2 routes gave everything to stable" in found.message
        assert "drill" not in stop(scene)["spec"]
        assert stop(scene)["spec"]["releaseReason"].startswith("drill Passed at ")
        for app in (APP, BYSTANDER):
            run = scene.world.status(app)
            assert run.revision is not None
            assert (run.revision.outcome, run.drilled) == (None, None)
        assert audited(scene) == [("drill", "Intended", "alice"), ("drill-over", "Intended", "sluice")]
        await scene.world.act(APP, "PromoteFully")
        await scene.world.until_phase(APP, "Healthy")

    play(story)


def test_each_drill_is_its_own() -> None:
    """The second takes the traffic away as the first did: that one passed is no evidence of the other."""

    async def story(scene: Scene) -> None:
        await exposed(scene, APP)
        await drill(scene)
        await over(scene)
        await scene.until_share(1000, APP)
        first = last(scene)
        await rest(60)
        scene.world.gateway.frozen = True
        await scene.world.engage(reason="and once more", drill=True)
        await scene.world.until(lambda: last(scene).generation != first.generation, timeout_seconds=10)
        await rest(5)
        assert (stop(scene)["spec"]["engaged"], scene.world.green_share(APP)) == (True, 0)
        second = last(scene)
        assert (second.outcome, second.ended_at, second.reason) == (None, None, "and once more")
        await over(scene)
        assert last(scene).outcome is DrillOutcome.TIMED_OUT

    play(story)


def test_it_lets_go_where_a_controller_does_not_answer() -> None:
    """It times out, says so, and the candidate gets its share again: what a kill would not have had in time."""

    async def story(scene: Scene) -> None:
        await exposed(scene, APP)
        scene.world.gateway.frozen = True
        await drill(scene)
        await over(scene)
        found = last(scene)
        assert found.outcome is DrillOutcome.TIMED_OUT
        assert "1 route not confirmed at 0 within 20s" in found.message
        assert found.seconds(DrillPart.WRITTEN) is not None
        assert found.seconds(DrillPart.ACCEPTED) is None
        scene.world.gateway.frozen = False
        scene.world.gateway.thaw()
        await scene.until_share(1000, APP)

    play(story)


def test_without_a_candidate_it_proves_nothing() -> None:
    """Its outcome is not Passed, and it holds nobody for long."""

    async def story(scene: Scene) -> None:
        await scene.start(OPEN, APP)
        await drill(scene)
        await over(scene)
        assert last(scene).outcome is DrillOutcome.NOTHING_EXPOSED
        assert "drill while a run is under way" in last(scene).message

    play(story)


def test_a_real_kill_in_the_middle_wins() -> None:
    """Another reason makes the drill real: the run is Killed, and the switch stays engaged."""

    async def story(scene: Scene) -> None:
        await exposed(scene, APP)
        await begun(scene)
        body = {"spec": {"engaged": True, "reason": "5xx on checkout"}}
        await scene.world.people.patch_merge(Kind.KILL_SWITCH, "shop", "stop", body)
        await scene.world.until_phase(APP, "Killed")
        await rest(60)
        assert stop(scene)["spec"]["engaged"]
        found = last(scene)
        assert found.outcome is DrillOutcome.INTERRUPTED
        assert "engaged for real" in found.message
        assert scene.world.status(APP).drilled is None
        assert scene.world.green_share(APP) == 0

    play(story)


def test_another_switch_in_the_middle_wins() -> None:
    """A real one kills at once, whatever the drill does; after the drill nothing comes back."""

    async def story(scene: Scene) -> None:
        await exposed(scene, APP)
        await begun(scene)
        await scene.world.engage(reason="5xx", wide=True)
        await scene.world.until_phase(APP, "Killed")
        await over(scene)
        await rest(60)
        assert scene.world.green_share(APP) == 0

    play(story)


@pytest.mark.parametrize("writes", range(1, 9))
def test_a_crash_in_the_middle_leaves_no_drill_behind(writes: int) -> None:
    """After whichever write the operator dies: the next one ends the drill and the run goes on."""

    async def story(scene: Scene) -> None:
        await exposed(scene, APP)
        scene.world.operator.crash_after_writes(writes)
        await drill(scene)
        await rest(2)
        await scene.world.operator.crash()
        await rest(2)
        scene.world.operator.start()
        await over(scene)
        await scene.until_share(1000, APP)
        await rest(5)
        run = scene.world.status(APP)
        assert run.revision is not None
        assert (run.revision.outcome, run.drilled) == (None, None)
        assert last(scene).outcome in {DrillOutcome.PASSED, DrillOutcome.NOTHING_EXPOSED}
        assert not [entry for entry in run.audit.entries if entry.reason == "ForeignWriter"]

    play(story)


def test_a_release_by_hand_interrupts_it() -> None:
    """Who may release a switch may end its drill; the run goes on."""

    async def story(scene: Scene) -> None:
        await exposed(scene, APP)
        await begun(scene)
        body = {"spec": {"engaged": False, "drill": None, "releaseReason": "enough"}}
        await scene.world.people.patch_merge(Kind.KILL_SWITCH, "shop", "stop", body)
        scene.world.gateway.frozen = False
        scene.world.gateway.thaw()
        await scene.until_share(1000, APP)
        assert last(scene).outcome is DrillOutcome.INTERRUPTED

    play(story)


def test_the_share_comes_back_past_the_gates_only() -> None:
    """Paused meanwhile, the candidate stays without traffic, and the Rollout says why."""

    async def story(scene: Scene) -> None:
        await exposed(scene, APP)
        await scene.world.spec(APP, {"paused": True})
        await rest(2)
        await drill(scene)
        await over(scene)
        await rest(30)
        assert scene.world.green_share(APP) == 0
        assert "spec.paused is true" in scene.world.status(APP).message
        await scene.world.spec(APP, {"paused": False})
        await scene.until_share(1000, APP)

    play(story)


def test_what_the_operator_may_do_to_a_drill() -> None:
    """It releases it and changes nothing else; nobody drills what is engaged."""

    async def story(scene: Scene) -> None:
        await scene.start(OPEN, APP)
        await scene.world.engage(reason="5xx")
        with pytest.raises(Rejected, match="no way to release it"):
            await drill(scene)
        await scene.world.engage(name="other", reason="rehearsal", drill=True)
        body = {"spec": {"engaged": False, "drill": None, "effect": "Hold"}}
        with pytest.raises(Forbidden, match="nothing else"):
            await scene.world.cluster.patch_merge(Kind.KILL_SWITCH, "shop", "other", body)

    play(story)
