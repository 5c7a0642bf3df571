"""Two hubs and one member: what one leads there, the other leaves alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from sluice.api.names import HUB_ANNOTATION, OWNER_ANNOTATION, Kind, Slot
from sluice.ports import Obj
from sluice.sim import manifests
from sluice.sim.clock import run
from sluice.sim.fleet import FleetWorld
from unit.defects import gathered

APP = "checkout"
CANARY = manifests.canary(*manifests.step_weights(10, 50, pause="20s"))
NAMES = ("m1", "m2")


def told(story: Callable[[FleetWorld], Awaitable[None]]) -> None:
    """A fleet of two whose Rollout is not created yet, and then the story; nothing in it may be a defect."""

    async def main() -> None:
        world = FleetWorld(pods=False)
        for name in NAMES:
            world.join(name)
        world.fleet_app(APP, [{"name": "all"}], CANARY)
        await world.start()
        await story(world)
        assert world.operator.failure() is None

    with gathered() as defects:
        run(main())
    assert not defects.texts, defects.texts[0]


def stored(world: FleetWorld, name: str) -> Obj:
    """The MemberRollout in a member."""
    found: Obj = world.members[name].cluster.store.get(Kind.ROLLOUT, world.namespace, APP)
    return found


def by_another_hub(world: FleetWorld) -> Obj:
    """A MemberRollout that asks for green at once."""
    services = {str(slot): manifests.slot_service(APP, slot) for slot in Slot}
    workload = {"services": services, "active": str(Slot.GREEN), "version": "9.9.9"}
    body = manifests.managed_rollout(world.namespace, APP, CANARY, workload, pace={"run": 1, "upTo": 9})
    body["metadata"]["annotations"] = {HUB_ANNOTATION: "another-hub"}
    return body


def test_what_was_there_first_is_left_alone() -> None:
    """Neither its status nor its route is written; the Rollout says whose it is; once it is gone, ours comes."""

    async def story(world: FleetWorld) -> None:
        cluster = world.members["m2"].cluster
        await cluster.create(Kind.ROLLOUT, world.namespace, by_another_hub(world))
        before = stored(world, "m2")["metadata"]
        await world.create_fleet(APP)
        await world.until(lambda: "belongs to another hub (another-hub)" in world.status(APP).message)
        await asyncio.sleep(60)
        assert (stored(world, "m2")["metadata"], world.share("m2", APP)) == (before, 0)
        assert world.part("m1", APP).phase == "Healthy"
        await cluster.delete(Kind.ROLLOUT, world.namespace, APP, uid=before["uid"])
        await world.until_phase(APP, "Healthy")
        assert stored(world, "m2")["metadata"]["annotations"][HUB_ANNOTATION] != "another-hub"

    told(story)


@pytest.mark.parametrize("whose", ["web", APP])
def test_a_route_that_another_moves_is_left_alone(whose: str) -> None:
    """Another hub's Rollout, or one of the member's own operator, has it by its mark: here nothing is written."""

    async def story(world: FleetWorld) -> None:
        await world.create_fleet(APP)
        await world.until_phase(APP, "Healthy")
        mark = {"metadata": {"annotations": {OWNER_ANNOTATION: f"{world.namespace}/{whose}/another-uid"}}}
        other = world.members["m2"].cluster.as_manager("another")
        await other.patch_merge(Kind.HTTP_ROUTE, world.namespace, APP, mark)
        before = world.members["m2"].cluster.store.get(Kind.HTTP_ROUTE, world.namespace, APP)
        await world.release_fleet(APP, "1.5.0")
        await world.until(lambda: f"Rollout {world.namespace}/{whose} (by the mark" in world.status(APP).message)
        await asyncio.sleep(60)
        assert world.members["m2"].cluster.store.get(Kind.HTTP_ROUTE, world.namespace, APP) == before
        assert world.share("m1", APP) <= 1000
        await other.patch_merge(Kind.HTTP_ROUTE, world.namespace, APP, {"metadata": {"annotations": None}})
        await world.until_phase(APP, "Healthy")
        assert [world.share(name, APP) for name in NAMES] == [10_000] * 2

    told(story)


def test_what_changes_hands_in_mid_run_is_let_go_of() -> None:
    """Another hub takes a part over at 10 %: it stays there, for whoever leads it now; here the deadline decides."""

    async def story(world: FleetWorld) -> None:
        await world.create_fleet(APP)
        await world.until_phase(APP, "Healthy")
        await world.release_fleet(APP, "1.5.0")
        await world.until(lambda: world.share("m2", APP) == 1000)
        annotations = {"annotations": {HUB_ANNOTATION: "another-hub"}}
        await world.members["m2"].cluster.patch_merge(Kind.ROLLOUT, world.namespace, APP, {"metadata": annotations})
        before = stored(world, "m2")["metadata"]
        await world.until(lambda: "belongs to another hub (another-hub)" in world.status(APP).message)
        await asyncio.sleep(60)
        assert world.share("m1", APP) == 1000
        await world.until_phase(APP, "Aborted", timeout_seconds=1200)
        assert (stored(world, "m2")["metadata"], world.share("m2", APP)) == (before, 1000)
        await world.until(lambda: world.share("m1", APP) == 0)

    told(story)


@pytest.mark.parametrize(
    "edit, ends_it",
    [
        ({"spec": {"strategy": {"canary": {"steps": [{"setWeight": 90}]}}}}, False),
        ({"spec": {"workload": {"active": "blue"}}}, True),
        ({"spec": {"pace": {"run": 7, "upTo": 1}}}, True),
        ({"spec": {"paused": True, "readiness": "Complete"}}, False),
        ({"metadata": {"labels": {manifests.APP_LABEL: "another"}}}, False),
        ({"metadata": {"labels": {manifests.APP_LABEL: None}}}, False),
    ],
)
def test_what_people_edit_in_a_member_is_put_back(edit: Obj, ends_it: bool) -> None:
    """What the hub ordered is there again in a moment; where the edit ended the run there, that cluster failed."""

    async def story(world: FleetWorld) -> None:
        await world.create_fleet(APP)
        await world.until_phase(APP, "Healthy")
        await world.release_fleet(APP, "1.5.0")
        await world.until(lambda: world.share("m2", APP) == 1000)
        before = stored(world, "m2")
        mallory = world.members["m2"].cluster.as_manager("mallory")
        await mallory.patch_merge(Kind.ROLLOUT, world.namespace, APP, edit)
        if not ends_it:
            await world.until(lambda: ordered(stored(world, "m2")) == ordered(before), timeout_seconds=5)
        await world.until_phase(APP, "Aborted" if ends_it else "Healthy")
        await asyncio.sleep(1)
        assert [world.share(name, APP) for name in NAMES] == [0 if ends_it else 10_000] * 2
        failures = world.fleet_runs(APP)[-1]["status"]["failures"]
        assert [each["name"] for each in failures] == (["m2"] if ends_it else [])

    told(story)


def ordered(part: Obj) -> Obj:
    """What is the hub's of a MemberRollout."""
    return {"spec": part["spec"], "labels": part["metadata"].get("labels")}


def test_a_cluster_that_is_registered_twice_has_one_leader() -> None:
    """The second is no member: nobody works there by it, in mid-run or after a restart, until the first goes."""

    async def story(world: FleetWorld) -> None:
        await world.create_fleet(APP)
        await world.until_phase(APP, "Healthy")
        await world.release_fleet(APP, "1.5.0")
        await world.until(lambda: world.share("m2", APP) == 1000)
        world.join_again("again", "m2")
        await asyncio.sleep(1)
        await world.restart()
        await world.until(lambda: refused(world, "again"))
        await world.until(lambda: world.share("m2", APP) == 10_000)
        await world.until_phase(APP, "Healthy")
        assert world.fleet_runs(APP)[-1]["status"]["failures"] == []
        fleet = world.status(APP).fleet
        assert fleet is not None
        assert fleet.total == 2
        await world.leave("m2")
        await world.until(lambda: not refused(world, "again"))
        await world.release_fleet(APP, "1.6.0", Slot.BLUE)
        await world.until(lambda: world.share("m2", APP, Slot.BLUE) == 10_000)
        await world.until_phase(APP, "Healthy")
        assert [batch["clusters"] for batch in world.fleet_runs(APP)[-1]["spec"]["batches"]] == [["again", "m1"]]

    told(story)


def refused(world: FleetWorld, name: str) -> bool:
    """Whether a member is refused because another one has its cluster."""
    found = world.cluster.store.get(Kind.MEMBER_CLUSTER, "", name)
    conditions = (found.get("status") or {}).get("conditions") or ()
    return any(each["reason"] == "SameCluster" for each in conditions)
