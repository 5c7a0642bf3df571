"""What a kill switch says of itself: whom it covers, how far a Divert is, and since when."""

from __future__ import annotations

from sluice.api.killswitch import KillSwitchStatus
from sluice.api.names import Kind, Slot
from sluice.errors import Rejected
from sluice.ports import Lane
from sluice.sim import manifests
from unit.engine.scene import APP, BYSTANDER, OPEN, Scene, on_route, play, rest


def status(scene: Scene, kind: Kind = Kind.KILL_SWITCH) -> KillSwitchStatus:
    """The switch's status as stored."""
    namespace = "shop" if kind is Kind.KILL_SWITCH else ""
    stored = scene.world.cluster.store.get(kind, namespace, "stop")
    return KillSwitchStatus.parse(stored.get("status", {}), "status")


async def exposed(scene: Scene, *apps: str) -> None:
    """Ten per cent on each app."""
    await scene.start(OPEN, *apps)
    for app in apps:
        await scene.world.release_version(app, "2.0")
    for app in apps:
        await scene.until_share(1000, app)


def test_from_armed_to_engaged_and_back() -> None:
    """The state, whom it covers, how many routes it diverted, and since when it is effective."""

    async def story(scene: Scene) -> None:
        await exposed(scene, APP, BYSTANDER)
        await scene.world.engage(reason="5xx")
        await rest(5)
        engaged = status(scene)
        assert (engaged.state, engaged.affected.rollouts, engaged.affected.routes) == ("Engaged", 2, 2)
        assert (engaged.diverted.routes, engaged.diverted.pending) == (2, 0)
        assert engaged.message == "Divert of 2 Rollouts by alice: 5xx"
        assert engaged.engaged_at is not None
        assert engaged.effective_at is not None
        assert engaged.conditions[0].status == "True"
        await scene.world.release()
        await rest(5)
        armed = status(scene)
        assert (armed.state, armed.engaged_at, armed.effective_at) == ("Armed", None, None)
        assert armed.message == "armed; would divert 2 Rollouts"

    play(story)


def test_engaging_until_every_route_is_accepted() -> None:
    """A gateway that does not answer keeps it Engaging, and the message counts the routes."""

    async def story(scene: Scene) -> None:
        await exposed(scene, APP)
        scene.world.gateway.frozen = True
        await scene.world.engage(reason="5xx")
        await rest(5)
        engaging = status(scene)
        assert (engaging.state, engaging.diverted.pending, engaging.effective_at) == ("Engaging", 1, None)
        assert engaging.message == "Divert of 1 Rollout by alice: 5xx; 1 route is not confirmed at 0 yet"
        scene.world.gateway.frozen = False
        scene.world.gateway.thaw()
        await rest(5)
        assert status(scene).state == "Engaged"

    play(story)


def test_a_return_is_effective_once_what_served_before_has_all() -> None:
    """While the old slot comes up the switch is Engaging; then the routes count as where they are to be."""

    async def story(scene: Scene) -> None:
        await exposed(scene, APP)
        await scene.world.act(APP, "PromoteFully")
        await scene.world.until_phase(APP, "Healthy")
        scene.world.gateway.frozen = True
        await scene.world.engage(reason="5xx", effect="Rollback")
        await rest(5)
        engaging = status(scene)
        assert (engaging.state, engaging.diverted.pending) == ("Engaging", 1)
        scene.world.gateway.frozen = False
        scene.world.gateway.thaw()
        await scene.world.until_phase(APP, "Killed")
        await rest(5)
        engaged = status(scene)
        assert (engaged.state, engaged.diverted.routes, engaged.message) == (
            "Engaged",
            1,
            "Rollback of 1 Rollout by alice: 5xx",
        )
        await scene.world.release()
        await rest(5)
        assert status(scene).message == "armed; would roll back 1 Rollout"

    play(story)


def test_a_return_that_cannot_begin_is_not_effective() -> None:
    """Neither before it begins, nor while something keeps it: the switch names who has not returned."""

    async def story(scene: Scene) -> None:
        await exposed(scene, APP)
        await scene.world.act(APP, "PromoteFully")
        await scene.world.until_phase(APP, "Healthy")
        await scene.world.spec(APP, {"paused": True})
        states: list[str] = []
        scene.world.cluster.on_change.append(
            lambda change: states.append(status(scene).state) if change.kind is Kind.KILL_SWITCH else None
        )
        await scene.world.engage(reason="5xx", effect="Rollback")
        await rest(60)
        engaging = status(scene)
        assert (engaging.state, engaging.effective_at) == ("Engaging", None)
        assert engaging.message == (
            "Rollback of 1 Rollout by alice: 5xx; not returned from yet in shop/checkout: each says why"
        )
        assert "is not returned from: spec.paused is true" in scene.world.status(APP).message
        assert "Engaged" not in states
        await scene.world.spec(APP, {"paused": False})
        await scene.world.until_phase(APP, "Killed")
        await rest(5)
        assert (status(scene).state, scene.world.green_share(APP)) == ("Engaged", 0)

    play(story)


def test_what_cannot_be_read_counts_as_traffic() -> None:
    """Somebody takes stable out of the rule: all goes to the candidate, and the switch does not deny it."""

    async def story(scene: Scene) -> None:
        await exposed(scene, APP)
        only_green = [{"op": "remove", "path": "/spec/rules/0/backendRefs/0"}]
        await scene.world.people.patch_json(Kind.HTTP_ROUTE, "shop", APP, only_green)
        await rest(5)
        await scene.world.engage(reason="5xx")
        await rest(30)
        assert (status(scene).state, status(scene).diverted.pending) == ("Engaging", 1)
        assert status(scene).message.endswith("cannot be read from HTTPRoute shop/checkout")

    play(story)


def test_a_candidate_whose_service_is_gone_is_diverted() -> None:
    """A prune took the candidate's own Service: the one that people call goes back by stable's selector alone."""

    async def story(scene: Scene) -> None:
        world = scene.world
        world.app(APP, switched=True)
        await world.start()
        await world.adopt(
            APP, manifests.canary({"setWeight": 100}, {"pause": {}}), traffic={"service": {"active": APP}}
        )
        await world.release_version(APP, "2.0")
        await world.until_phase(APP, "Paused")
        await world.engage(reason="5xx", effect="Hold")
        name = manifests.slot_service(APP, Slot.GREEN)
        found = world.cluster.store.get(Kind.SERVICE, "shop", name)
        await world.people.delete(Kind.SERVICE, "shop", name, uid=found["metadata"]["uid"])
        await world.engage(reason="5xx", effect="Divert")
        await rest(30)
        active = world.cluster.store.get(Kind.SERVICE, "shop", APP)
        assert manifests.slot_of(active["spec"]["selector"]) == Slot.BLUE
        assert (status(scene).state, status(scene).diverted.pending) == ("Engaged", 0)

    play(story)


def test_a_route_that_refuses_keeps_it_engaging() -> None:
    """Nothing is claimed of a route that still gives the candidate traffic."""

    async def story(scene: Scene) -> None:
        await exposed(scene, APP)
        scene.refuse = lambda call: Rejected("denied") if on_route(call) else None
        await scene.world.engage(reason="5xx")
        await rest(5)
        assert (status(scene).state, status(scene).diverted.pending) == ("Engaging", 1)

    play(story)


def test_no_healthy_stable_is_no_engaged_switch() -> None:
    """Traffic stays where somebody answers; the switch says that it is not effective, and the Rollout why."""

    async def story(scene: Scene) -> None:
        await exposed(scene, APP)
        scene.world.pods(APP, Slot.BLUE, 0)
        await rest(1)
        await scene.world.engage(reason="5xx")
        await rest(5)
        assert status(scene).state == "Engaging"
        assert status(scene).message.endswith("at 0 yet; stable has no ready endpoint in shop/checkout")
        assert scene.stalled().startswith("NoHealthyStable")
        scene.world.pods(APP, Slot.BLUE, 1)
        await rest(5)
        assert (status(scene).state, scene.world.green_share(APP)) == ("Engaged", 0)

    play(story)


def test_force_takes_the_way_of_every_kill() -> None:
    """Stable has no ready endpoint: with force the route is written first and at once; the switch says over what."""

    async def story(scene: Scene) -> None:
        await exposed(scene, APP)
        scene.world.pods(APP, Slot.BLUE, 0)
        await rest(1)
        scene.writes.clear()
        await scene.world.engage(reason="leaks", force=True)
        await rest(5)
        first = scene.writes[0]
        assert (first.kind, first.lane, scene.world.green_share(APP)) == (Kind.HTTP_ROUTE, Lane.KILL, 0)
        engaged = status(scene)
        assert (engaged.state, engaged.diverted.pending) == ("Engaged", 0)
        lacks = "stable has no ready endpoint in shop/checkout"
        assert engaged.message == f"Divert of 1 Rollout by alice, forced by alice: leaks; {lacks}"
        killed = scene.world.status(APP)
        assert "(forced by alice: stable had no ready endpoint)" in killed.history[-1].message
        assert "traffic is forced to it by KillSwitch shop/stop, with force by alice: leaks" in killed.message
        scene.world.pods(APP, Slot.BLUE, 1)
        await rest(5)
        assert scene.world.status(APP).phase == "Killed"
        assert status(scene).message == "Divert of 1 Rollout by alice, forced by alice: leaks"

    play(story)


def test_force_that_comes_later_moves_what_was_spared() -> None:
    """Engaged already, and nothing could be moved: the same switch with force moves it, though the run is over."""

    async def story(scene: Scene) -> None:
        await exposed(scene, APP)
        scene.world.pods(APP, Slot.BLUE, 0)
        await rest(1)
        await scene.world.engage(reason="leaks")
        await rest(5)
        assert (status(scene).state, scene.world.green_share(APP)) == ("Engaging", 1000)
        await scene.world.engage(reason="leaks", force=True)
        await rest(2)
        assert (status(scene).state, scene.world.green_share(APP)) == ("Engaged", 0)

    play(story)


def test_a_hold_is_engaged_at_once() -> None:
    """It moves nothing, so there is nothing to wait for."""

    async def story(scene: Scene) -> None:
        await exposed(scene, APP)
        await scene.world.engage(reason="maintenance", effect="Hold", wide=True)
        await rest(5)
        held = status(scene, Kind.CLUSTER_KILL_SWITCH)
        assert (held.state, held.message) == ("Engaged", "Hold of 1 Rollout by alice: maintenance")
        assert scene.world.green_share(APP) == 1000

    play(story)


def test_a_switch_that_covers_nobody_says_so() -> None:
    """A selector with a typo is seen before it is needed."""

    async def story(scene: Scene) -> None:
        await scene.start(OPEN)
        scope = {"selector": {"matchLabels": {manifests.APP_LABEL: "chekout"}}}
        await scene.world.engage(reason="5xx", scope=scope)
        await rest(5)
        assert (status(scene).affected.rollouts, status(scene).message) == (0, "Divert of 0 Rollouts by alice: 5xx")

    play(story)


def test_a_status_that_says_nothing_new_is_not_written() -> None:
    """An engaged switch at rest costs nothing."""

    async def story(scene: Scene) -> None:
        await exposed(scene, APP)
        await scene.world.engage(reason="5xx")
        await rest(10)
        scene.writes.clear()
        await rest(24 * 3600)
        assert scene.writes == []

    play(story)
