"""What every TrafficRouter promises, on every kind of target and both clusters."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, replace

import pytest

from contract.cluster.worlds import Snapshot, World, route, slot_service
from sluice.adapters.traffic.routes import RouteRouter
from sluice.adapters.traffic.selector import SelectorRouter
from sluice.api.names import CAUSE_ANNOTATION, HOLD_ANNOTATION, OWNER_ANNOTATION, WEIGHTS_ANNOTATION, Kind, Slot
from sluice.api.units import FULL
from sluice.api.workload import SlotServices
from sluice.decide.model import Cause, Shift, TargetRef, TargetView
from sluice.errors import Conflict, NotFound, NotLeader, Rejected
from sluice.ports import Lane, Obj, TrafficRouter

SERVICES = SlotServices(blue="checkout-blue", green="checkout-green")
CAUSE = Cause(run="uid-1/3", action="step-1", reason="StepStarted", actor="sluice", at="2026-01-02T03:04:05Z")
OWNER = "shop/checkout/uid-1"
ROUTES = (Kind.HTTP_ROUTE, Kind.GRPC_ROUTE)


@dataclass
class Stage:
    """A target with its slots' Services, and a cache that holds them as they were at the start."""

    world: World
    ref: TargetRef
    cache: Snapshot
    router: TrafficRouter

    def view(self) -> TargetView:
        """What the router sees."""
        return self.router.observe(self.ref, SERVICES)

    def shift(self, share: int, *, grows: bool, slot: Slot = Slot.GREEN) -> Shift:
        """A shift of what the router sees."""
        return Shift(self.view(), SERVICES, slot, share, grows, CAUSE, OWNER)

    async def refresh(self) -> None:
        """Let the cache catch up."""
        self.cache.objects = (await self.world.snapshot()).objects

    async def stored(self) -> Obj:
        """The target now."""
        return await self.world.cluster.get(self.ref.kind, self.ref.namespace, self.ref.name)

    async def touch(self) -> None:
        """A foreign write that has nothing to do with weights."""
        label = {"op": "add", "path": "/metadata/labels", "value": {"touched": "yes"}}
        await self.world.foreign_patch(self.ref.kind, self.ref.name, [label])


@pytest.fixture(params=[Kind.HTTP_ROUTE, Kind.GRPC_ROUTE, Kind.SERVICE])
async def stage(request: pytest.FixtureRequest, world: World) -> Stage:
    """One target of each kind; blue serves."""
    kind: Kind = request.param
    for slot in Slot:
        await world.cluster.create(Kind.SERVICE, world.namespace, slot_service(SERVICES.of(slot), slot))
    if kind is Kind.SERVICE:
        body = slot_service("checkout", "blue")
        body["metadata"]["annotations"] = {"team": "payments"}
        body["spec"]["sessionAffinity"] = "ClientIP"
    else:
        body = route(kind)
    await world.cluster.create(kind, world.namespace, body)
    cache = await world.snapshot()
    router = SelectorRouter(cache, world.cluster) if kind is Kind.SERVICE else RouteRouter(cache, world.cluster)
    return Stage(world, TargetRef(kind, world.namespace, "checkout"), cache, router)


def without_shares(obj: Obj) -> Obj:
    """What a shift must leave as it was: everything but weights, the selector, and Sluice's annotations."""
    left = copy.deepcopy({key: obj[key] for key in ("spec", "metadata")})
    left["spec"].pop("selector", None)
    for rule in left["spec"].get("rules", ()):
        names = {backend["name"] for backend in rule["backendRefs"]}
        for backend in rule["backendRefs"]:
            if {SERVICES.blue, SERVICES.green} <= names:
                backend.pop("weight", None)
    for volatile in ("resourceVersion", "generation", "managedFields"):
        left["metadata"].pop(volatile, None)
    for ours in (OWNER_ANNOTATION, CAUSE_ANNOTATION, WEIGHTS_ANNOTATION):
        left["metadata"].get("annotations", {}).pop(ours, None)
    return left


async def test_a_shift_is_seen(stage: Stage) -> None:
    """What was written is observed again: share, owner, cause and writer; the answer is the stored object."""
    share = FULL if stage.view().all_or_nothing else 2500
    stored = await stage.router.shift(stage.shift(share, grows=True))
    assert stored["metadata"]["resourceVersion"] == (await stage.stored())["metadata"]["resourceVersion"]
    await stage.refresh()
    view = stage.view()
    assert view.at(Slot.GREEN, share)
    assert (view.owner, view.cause, view.writer) == (OWNER, CAUSE, "sluice")


async def test_nothing_else_is_touched(stage: Stage) -> None:
    """Filters, matches, other rules, ports, labels and foreign annotations stay as they are."""
    before = without_shares(await stage.stored())
    await stage.router.shift(stage.shift(FULL, grows=True))
    assert without_shares(await stage.stored()) == before


async def test_growth_rests_on_what_was_seen(stage: Stage) -> None:
    """A foreign write since the decision makes growth a Conflict, and nothing is written."""
    await stage.touch()
    with pytest.raises(Conflict):
        await stage.router.shift(stage.shift(FULL, grows=True))
    await stage.refresh()
    assert stage.view().at(Slot.GREEN, 0)


async def test_growth_is_not_decided_on_one_version_and_written_on_another(stage: Stage) -> None:
    """When the cache moved on between decision and write, growth is a Conflict too."""
    decided = stage.shift(FULL, grows=True)
    await stage.touch()
    await stage.refresh()
    with pytest.raises(Conflict):
        await stage.router.shift(decided)


@pytest.mark.parametrize("lane", list(Lane))
async def test_a_reduction_goes_through(stage: Stage, lane: Lane) -> None:
    """A foreign write in between does not hold up what takes exposure away."""
    await stage.router.shift(stage.shift(FULL, grows=True))
    await stage.refresh()
    reduction = stage.shift(0, grows=False)
    await stage.touch()
    await stage.router.shift(reduction, lane=lane)
    await stage.refresh()
    assert stage.view().at(Slot.GREEN, 0)
    assert stage.view().at(Slot.BLUE, FULL)


async def test_a_reduction_survives_lost_annotations(stage: Stage) -> None:
    """Somebody applied a manifest without annotations: the reduction still lands, and marks the target anew."""
    await stage.router.shift(stage.shift(FULL, grows=True))
    await stage.refresh()
    reduction = stage.shift(0, grows=False)
    await stage.world.foreign_patch(stage.ref.kind, stage.ref.name, [{"op": "remove", "path": "/metadata/annotations"}])
    await stage.router.shift(reduction, lane=Lane.KILL)
    await stage.refresh()
    view = stage.view()
    assert view.at(Slot.GREEN, 0)
    assert (view.owner, view.cause) == (OWNER, CAUSE)


async def test_another_object_of_that_name_is_left_alone(stage: Stage) -> None:
    """A target that was deleted and made anew is not the one that was meant."""
    reduction = stage.shift(0, grows=False, slot=Slot.BLUE)
    old = await stage.stored()
    await stage.world.cluster.delete(stage.ref.kind, stage.ref.namespace, stage.ref.name, uid=old["metadata"]["uid"])
    body = {"metadata": {"name": stage.ref.name}, "spec": old["spec"]}
    for assigned in ("clusterIP", "clusterIPs"):
        body["spec"].pop(assigned, None)
    made = await stage.world.cluster.create(stage.ref.kind, stage.ref.namespace, body)
    with pytest.raises(NotFound):
        await stage.router.shift(reduction)
    assert (await stage.stored())["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


async def test_a_target_that_is_gone(stage: Stage) -> None:
    """A reduction of a target that is gone is NotFound; observing one says what to do."""
    reduction = stage.shift(0, grows=False)
    uid = stage.view().uid
    await stage.world.cluster.delete(stage.ref.kind, stage.ref.namespace, stage.ref.name, uid=uid)
    await stage.refresh()
    with pytest.raises(NotFound):
        await stage.router.shift(reduction)
    view = stage.view()
    assert not view.found
    assert view.problem_reason == "RouteMissing"
    assert str(stage.ref) in view.problem


async def test_the_guard_is_asked_last(stage: Stage) -> None:
    """A guard that raises drops the write."""

    def refuse() -> None:
        raise NotLeader("a switch engaged")

    before = await stage.stored()
    with pytest.raises(NotLeader):
        await stage.router.shift(stage.shift(FULL, grows=True), guard=refuse)
    assert await stage.stored() == before


async def test_first_annotations_are_made(stage: Stage) -> None:
    """A target without annotations gets its first ones, even when the cache is behind."""
    await stage.world.foreign_patch(stage.ref.kind, stage.ref.name, [{"op": "remove", "path": "/metadata/annotations"}])
    await stage.refresh()
    reduction = stage.shift(0, grows=False)
    foreign = {"op": "add", "path": "/metadata/annotations", "value": {"theirs": "kept"}}
    await stage.world.foreign_patch(stage.ref.kind, stage.ref.name, [foreign])
    await stage.router.shift(reduction)
    annotations = (await stage.stored())["metadata"]["annotations"]
    assert annotations["theirs"] == "kept"
    assert json.loads(annotations[CAUSE_ANNOTATION])["run"] == CAUSE.run


@pytest.mark.parametrize("stage", ROUTES, indirect=True)
async def test_weights_of_every_rule_that_names_both(stage: Stage) -> None:
    """Both rules that name the slots get the share, whatever the order of their backends; the third keeps its own."""
    await stage.router.shift(stage.shift(5, grows=True))
    rules = (await stage.stored())["spec"]["rules"]
    weights = [{backend["name"]: backend.get("weight") for backend in rule["backendRefs"]} for rule in rules]
    both = {SERVICES.blue: 9995, SERVICES.green: 5}
    assert weights[0] == weights[2] == both
    assert set(weights[1]) == {"static"}


@pytest.mark.parametrize("stage", ROUTES, indirect=True)
@pytest.mark.parametrize("lane", list(Lane))
async def test_weights_are_pinned_in_the_same_patch(stage: Stage, lane: Lane) -> None:
    """Growth, return and kill leave on the route what its weights shall be; what others update is put back to that."""
    stored = await stage.router.shift(stage.shift(1000, grows=True))
    assert stored["metadata"]["annotations"][WEIGHTS_ANNOTATION] == "checkout-blue=90,checkout-green=10"
    await stage.refresh()
    stored = await stage.router.shift(stage.shift(0, grows=False), lane=lane)
    assert stored["metadata"]["annotations"][WEIGHTS_ANNOTATION] == "checkout-blue=100,checkout-green=0"


async def test_a_hold_is_seen_and_kept(stage: Stage) -> None:
    """What a person wrote to break the glass is seen on every kind of target; no write of ours takes it away."""
    hold = {"op": "add", "path": "/metadata/annotations/sluice.dev~1hold", "value": "alice: 5xx on checkout"}
    await stage.world.foreign_patch(stage.ref.kind, stage.ref.name, [hold])
    await stage.refresh()
    assert stage.view().hold == "alice: 5xx on checkout"
    stored = await stage.router.shift(stage.shift(0, grows=False), lane=Lane.KILL)
    assert stored["metadata"]["annotations"][HOLD_ANNOTATION] == "alice: 5xx on checkout"


@pytest.mark.parametrize("stage", ROUTES, indirect=True)
async def test_foreign_weights_are_seen(stage: Stage) -> None:
    """Weights that somebody else wrote show as shares, with the name of who wrote."""
    foreign = [{"op": "add", "path": f"/spec/rules/0/backendRefs/{position}/weight", "value": 7} for position in (0, 1)]
    await stage.world.foreign_patch(stage.ref.kind, stage.ref.name, foreign)
    await stage.refresh()
    view = stage.view()
    assert view.shares == (5000, 0)
    assert view.writer == "kubectl-edit"


@pytest.mark.parametrize("stage", ROUTES, indirect=True)
async def test_a_kill_finds_rules_that_moved(stage: Stage) -> None:
    """Rules were reordered since the cache saw them: the kill reads the route and lands where the slots are now."""
    await stage.router.shift(stage.shift(FULL, grows=True))
    await stage.refresh()
    kill = stage.shift(0, grows=False)
    rules = (await stage.stored())["spec"]["rules"]
    moved = [rules[1], rules[2], rules[0]]
    await stage.world.foreign_patch(
        stage.ref.kind, stage.ref.name, [{"op": "add", "path": "/spec/rules", "value": moved}]
    )
    await stage.router.shift(kill, lane=Lane.KILL)
    await stage.refresh()
    assert stage.view().shares == (0, 0)


@pytest.mark.parametrize("stage", [Kind.SERVICE], indirect=True)
async def test_stable_gets_all_back_though_the_candidates_service_is_gone(stage: Stage) -> None:
    """It takes stable's selector alone; to give the candidate anything takes both."""
    await stage.router.shift(stage.shift(FULL, grows=True))
    gone = await stage.world.cluster.get(Kind.SERVICE, stage.world.namespace, SERVICES.green)
    await stage.world.cluster.delete(
        Kind.SERVICE, stage.world.namespace, SERVICES.green, uid=str(gone["metadata"]["uid"])
    )
    await stage.refresh()
    assert (stage.view().problem_reason, stage.view().shares) == ("RouteUnsuitable", (5000,))
    with pytest.raises(Rejected, match="cannot be switched"):
        await stage.router.shift(stage.shift(FULL, grows=True))
    await stage.router.shift(stage.shift(0, grows=False), lane=Lane.KILL)
    await stage.refresh()
    assert stage.view().at(Slot.BLUE, FULL)


@pytest.mark.parametrize("stage", [Kind.SERVICE], indirect=True)
async def test_a_selector_that_is_neither_is_mended(stage: Stage) -> None:
    """A Service that selects neither slot is a problem that a switch puts right."""
    foreign = [{"op": "add", "path": "/spec/selector", "value": {"app": "checkout"}}]
    await stage.world.foreign_patch(stage.ref.kind, stage.ref.name, foreign)
    await stage.refresh()
    view = stage.view()
    assert (view.problem_reason, view.shares) == ("RouteUnsuitable", (5000,))
    await stage.router.shift(replace(stage.shift(0, grows=False), target=view))
    await stage.refresh()
    assert stage.view().at(Slot.BLUE, FULL)
    assert not stage.view().problem
