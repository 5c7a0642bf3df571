"""A kill with no operator: the person's own writes, which the operator obeys when it is back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from sluice.api.killswitch import Effect
from sluice.api.names import CAUSE_ANNOTATION, FIELD_MANAGER, HOLD_ANNOTATION, Kind, Slot
from sluice.engine.byhand import Told, divert_by_hand
from sluice.errors import Forbidden, Unavailable
from sluice.sim import manifests
from sluice.sim.clock import run
from sluice.sim.cluster import Call
from sluice.sim.world import World
from sluice.wiring import routers_over

STEPS = manifests.canary({"setWeight": 50}, {"pause": {}})
SHOP, APP = "shop", "checkout"
ONLY_GREEN = [{"op": "remove", "path": "/spec/rules/0/backendRefs/0"}]


async def at_half(switched: bool = False, *more: str) -> World:
    """A candidate with half of the traffic (a switched Service: with all of it), and an operator that is gone."""
    world = World()
    for app in (APP, *more):
        world.app(app, switched=switched)
    await world.start()
    for app in (APP, *more):
        traffic = {"traffic": {"service": {"active": app}}} if switched else {}
        strategy = manifests.canary({"setWeight": 100}, {"pause": {}}) if switched else STEPS
        await world.adopt(app, strategy, **traffic)
        await world.release_version(app, "2.0")
        await world.until_phase(app, "Paused")
    await world.operator.crash()
    return world


async def by_hand(world: World, kind: Kind = Kind.KILL_SWITCH, namespace: str = SHOP) -> dict[str, Told]:
    """Do it, and return what was told of each."""
    told = divert_by_hand(world.people, kind, namespace, "stop", clock=world.clock, build=routers_over)
    return {each.about: each async for each in told}


def hold_of(world: World, kind: Kind = Kind.HTTP_ROUTE, app: str = APP) -> str:
    """What the hold on a target says."""
    found = world.cluster.store.peek(kind, SHOP, app) or {}
    return str(found["metadata"]["annotations"].get(HOLD_ANNOTATION, ""))


def playing(story: Callable[[], Awaitable[None]]) -> None:
    """Run a story in virtual time."""

    async def main() -> None:
        await story()

    run(main())


def test_traffic_ends_without_an_operator_and_stays_away_when_it_is_back() -> None:
    """Every route is written and held, with who and why; the operator obeys, and a person lets it go on."""

    async def story() -> None:
        world = await at_half(False, "cart")
        await world.engage(reason="5xx")
        told = await by_hand(world)
        assert {about: each.message for about, each in told.items()} == {
            f"HTTPRoute {SHOP}/{app}": "green at 0%, was 50%" for app in (APP, "cart")
        }
        assert all(each.written and not each.failed for each in told.values())
        assert world.green_share(APP) == 0 == world.green_share("cart")
        assert ": 5xx (" in hold_of(world)

        world.operator.start()
        await world.until_phase(APP, "Killed")
        assert world.green_share(APP) == 0
        await world.release()
        await world.people.patch_merge(
            Kind.HTTP_ROUTE, SHOP, APP, {"metadata": {"annotations": {HOLD_ANNOTATION: None}}}
        )
        await world.act(APP, "Retry")
        await world.until_phase(APP, "Paused")
        assert world.green_share(APP) > 0

    playing(story)


def test_a_switched_service_goes_back_too() -> None:
    """A Service gets the selector of stable's, and the hold in the same patch."""

    async def story() -> None:
        world = await at_half(switched=True)
        await world.engage(reason="5xx")
        told = await by_hand(world)
        assert told[f"Service {SHOP}/{APP}"].message == "green at 0%, was 100%"
        service = world.cluster.store.peek(Kind.SERVICE, SHOP, APP) or {}
        assert service["spec"]["selector"] == manifests.slot_labels(APP, Slot.BLUE)
        assert hold_of(world, Kind.SERVICE)

    playing(story)


def test_what_an_ended_run_has_left_is_taken_too() -> None:
    """The operator died between the status that ends a run and the weight that it takes back: nobody else would."""

    async def story() -> None:
        world = await at_half()
        world.operator.start()
        await asyncio.sleep(5)
        world.cluster.faults.append(no_writes_to_routes)
        await world.act(APP, "Abort")
        await world.until_phase(APP, "Aborted")
        await world.operator.crash()
        world.cluster.faults.remove(no_writes_to_routes)
        assert world.green_share(APP) == 5000
        await world.engage(reason="5xx")
        told = await by_hand(world)
        assert told[f"HTTPRoute {SHOP}/{APP}"].message == "green at 0%, was 50%"
        assert world.green_share(APP) == 0
        assert hold_of(world)
        world.operator.start()
        await asyncio.sleep(60)
        assert (world.status(APP).phase, world.green_share(APP)) == ("Aborted", 0)

    playing(story)


def no_writes_to_routes(call: Call) -> None:
    """Routes cannot be written."""
    if call.kind is Kind.HTTP_ROUTE and call.writes and call.manager == FIELD_MANAGER:
        raise Unavailable("connection refused")


def test_what_cannot_be_read_is_no_success() -> None:
    """A route whose rule has lost one of the slots: nobody can tell what the candidate has, and that is said."""

    async def story() -> None:
        world = await at_half()
        await world.people.patch_json(Kind.HTTP_ROUTE, SHOP, APP, ONLY_GREEN)
        await world.engage(reason="5xx")
        told = (await by_hand(world))[f"HTTPRoute {SHOP}/{APP}"]
        assert (told.failed, told.written) == (True, False)
        assert told.message.startswith("nobody can tell whether green has traffic, and nothing was written: ")

    playing(story)


def test_where_stable_cannot_answer_nothing_moves() -> None:
    """A candidate that answers is better than a stable that cannot; it is told as a failure, with what to do."""

    async def story() -> None:
        world = await at_half()
        world.pods(APP, Slot.BLUE, 0)
        await asyncio.sleep(5)
        await world.engage(reason="5xx")
        told = (await by_hand(world))[f"HTTPRoute {SHOP}/{APP}"]
        assert told.failed
        assert not told.written
        assert "green keeps 50%: stable has too few ready endpoints" in told.message
        assert "repeat" in told.message
        assert not hold_of(world)

    playing(story)


def test_by_force_it_moves_all_the_same() -> None:
    """A switch that says so asks no stable, here either; the route says that it was forced, by whom and over what."""

    async def story() -> None:
        world = await at_half()
        world.pods(APP, Slot.BLUE, 0)
        await asyncio.sleep(5)
        await world.engage(reason="leaks cards", force=True)
        assert (await by_hand(world))[f"HTTPRoute {SHOP}/{APP}"].message == "green at 0%, was 50%"
        route = world.cluster.store.peek(Kind.HTTP_ROUTE, SHOP, APP) or {}
        assert "forced by alice" in route["metadata"]["annotations"][CAUSE_ANNOTATION]

    playing(story)


def test_what_is_refused_holds_up_nobody_else() -> None:
    """One route that its owner may not write is named; the other one is diverted."""

    async def story() -> None:
        world = await at_half(False, "cart")
        await world.engage(reason="5xx")

        def refuse(call: Call) -> None:
            if call.kind is Kind.HTTP_ROUTE and call.name == "cart" and call.verb == "patch_json":
                raise Forbidden("User alice cannot patch httproutes")

        world.cluster.faults.append(refuse)
        told = await by_hand(world)
        assert told[f"HTTPRoute {SHOP}/cart"].failed
        assert "alice cannot patch" in told[f"HTTPRoute {SHOP}/cart"].message
        assert (world.green_share(APP), world.green_share("cart")) == (0, 5000)

    playing(story)


def test_done_twice_it_does_no_harm() -> None:
    """The second time there is nothing left to take away, and the hold says what it said."""

    async def story() -> None:
        world = await at_half()
        await world.engage(reason="5xx")
        await by_hand(world)
        before = hold_of(world)
        told = (await by_hand(world))[f"HTTPRoute {SHOP}/{APP}"]
        assert told == replace(told, message="green has no traffic", written=False, failed=False)
        assert hold_of(world) == before

    playing(story)


@pytest.mark.parametrize("wide", [False, True])
def test_only_what_the_switch_covers(wide: bool) -> None:
    """A selector, and for a ClusterKillSwitch the labels of namespaces, count as they do for the operator."""

    async def story() -> None:
        world = await at_half(False, "cart")
        await world.engage(reason="5xx", wide=wide, scope={"selector": {"matchLabels": {"app": "nothing"}}})
        kind, namespace = (Kind.CLUSTER_KILL_SWITCH, "") if wide else (Kind.KILL_SWITCH, SHOP)
        assert not await by_hand(world, kind, namespace)
        assert world.green_share(APP) == 5000

    playing(story)


@pytest.mark.parametrize("engaged, message", [(True, "holds"), (False, "not engaged any more")])
def test_what_takes_nothing_away_writes_nothing(engaged: bool, message: str) -> None:
    """A Hold, and a switch that somebody released at that moment."""

    async def story() -> None:
        world = await at_half()
        await world.engage(reason="5xx", effect=Effect.HOLD.value)
        if not engaged:
            await world.release()
        (told,) = (await by_hand(world)).values()
        assert message in told.message
        assert told.failed is not engaged
        assert world.green_share(APP) == 5000

    playing(story)


def test_what_else_a_rollback_asks_for_is_left_to_the_operator() -> None:
    """The candidate's traffic is taken from here; what a run completed is said to be returned from later."""

    async def story() -> None:
        world = await at_half(False, "payments")
        await world.start()
        await world.act("payments", "Promote")
        await world.until_phase("payments", "Healthy")
        await world.operator.crash()
        await world.engage(reason="bad ledgers", effect="Rollback")
        told = await by_hand(world)
        assert world.green_share(APP) == 0
        later = "what its last run completed is returned from by the operator, when it is back"
        assert later in told["Rollout shop/payments"].message
        await world.start()
        await world.until_phase("payments", "Killed")
        assert world.green_share("payments") == 0

    playing(story)
