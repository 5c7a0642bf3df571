"""What people can do with apps whose pods Sluice runs; in Sluice's place, a toy that does nothing."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from sluice.api.names import HOLD_ANNOTATION, Kind, Slot
from sluice.errors import NotFound
from sluice.ports import Obj
from sluice.sim import manifests
from sluice.sim.clock import run
from sluice.sim.cluster import FakeCluster
from sluice.sim.operator import FakeMastery
from sluice.sim.store import EventType
from sluice.sim.traffic import NOBODY
from sluice.sim.workloads import CALLERS
from sluice.sim.world import World

APP = "checkout"
CANARY = manifests.canary(*manifests.step_weights(10))


class Toy:
    """Watches and does nothing."""

    def __init__(self) -> None:
        self.store = self
        self.seen: set[Kind] = set()

    def apply(self, kind: Kind, event: EventType, obj: Obj) -> None:
        """Take a watch event."""
        del event, obj
        self.seen.add(kind)

    async def run(self) -> None:
        """Do nothing."""
        await asyncio.Event().wait()


class Scene:
    """A world in which Sluice does nothing, so that a test can do it in its place."""

    def __init__(self) -> None:
        self.toy = Toy()
        self.world = World(build=self._build)

    def _build(self, cluster: FakeCluster, mastery: FakeMastery) -> Toy:
        del cluster, mastery
        return self.toy

    async def run_slot(self, slot: Slot, image: str, *, replicas: int = 2) -> None:
        """Apply a slot's Deployment and Service, as Sluice would."""
        name, labels = manifests.slot_service(APP, slot), manifests.managed_labels(APP, slot)
        template = manifests.pod_template(APP, image)
        template["metadata"]["labels"] |= labels
        spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
        cluster, namespace = self.world.cluster, self.world.namespace
        await cluster.apply(Kind.DEPLOYMENT, namespace, name, {"spec": spec})
        service = manifests.service(namespace, name, labels)["spec"]
        await cluster.apply(Kind.SERVICE, namespace, name, {"spec": service})
        await asyncio.sleep(5)


def play(story: Callable[[Scene], Awaitable[None]]) -> None:
    """Run a story in virtual time."""

    async def main() -> None:
        await story(Scene())

    run(main())


def test_an_app_begins_with_a_route_to_services_that_are_not_there() -> None:
    """Sluice makes them, and the pods; until then requests reach nobody."""

    async def story(scene: Scene) -> None:
        world = scene.world
        world.workload_app(APP, image="shop/checkout:1.0")
        await world.start()
        assert world.green_share(APP) == 0
        assert world.traffic[APP].mix == {NOBODY: 1.0}
        assert [(gap.service, gap.cause) for gap in world.traffic[APP].gaps] == [("checkout-blue", "weights")]
        await scene.run_slot(Slot.BLUE, "shop/checkout:1.0")
        assert world.traffic[APP].mix == {"1.0": 1.0}
        assert world.traffic[APP].gaps[0].ended_at is not None

    play(story)


def test_requests_are_counted_by_the_tags_of_the_images_that_answer() -> None:
    """Versions come from the pods themselves, in the middle of an update too."""

    async def story(scene: Scene) -> None:
        world = scene.world
        world.workload_app(APP, image="shop/checkout:1.0")
        world.error_ratios["1.1"] = 0.5
        await world.start()
        await scene.run_slot(Slot.BLUE, "shop/checkout:1.0")
        await scene.run_slot(Slot.GREEN, "shop/checkout:1.1")
        await world.meddle(APP, 75, 25)
        await asyncio.sleep(1)
        assert world.traffic[APP].mix == {"1.0": 0.75, "1.1": 0.25}
        before = world.traffic[APP].settle().failed.copy()
        await asyncio.sleep(100)
        failed = world.traffic[APP].settle().failed
        assert failed["1.1"] - before["1.1"] == pytest.approx(1250)
        assert failed["1.0"] == before["1.0"]

    play(story)


def test_the_operator_watches_pods_deployments_and_budgets() -> None:
    """Its caches fill with them."""

    async def story(scene: Scene) -> None:
        scene.world.workload_app(APP, image="shop/checkout:1.0")
        await scene.world.pdb(APP, minAvailable=1)
        await scene.world.start()
        await scene.run_slot(Slot.BLUE, "shop/checkout:1.0")
        assert {Kind.DEPLOYMENT, Kind.POD, Kind.POD_DISRUPTION_BUDGET, Kind.ENDPOINT_SLICE} <= scene.toy.seen

    play(story)


@pytest.mark.parametrize("source", [False, True])
def test_a_release_changes_the_image_where_it_is_asked_for(source: bool) -> None:
    """In the Rollout's template, or in the Deployment that it names."""

    async def story(scene: Scene) -> None:
        world = scene.world
        world.workload_app(APP, image="shop/checkout:1.0", replicas=2, source=source, minReadySeconds=3)
        await world.start()
        await world.create_rollout(APP, CANARY)
        await world.release_image(APP, "shop/checkout:1.1")
        spec = world.cluster.store.get(Kind.ROLLOUT, world.namespace, APP)["spec"]["workload"]
        assert (spec["replicas"], spec["minReadySeconds"]) == (2, 3)
        asker = world.cluster.store.get(Kind.DEPLOYMENT, world.namespace, APP)["spec"] if source else spec
        assert asker["template"]["spec"]["containers"][0]["image"] == "shop/checkout:1.1"
        assert ("template" in spec) is not source

    play(story)


def test_a_source_runs_and_serves_the_callers_of_the_stable_service() -> None:
    """As before anybody installed a Rollout."""

    async def story(scene: Scene) -> None:
        scene.world.workload_app(APP, image="shop/checkout:1.0", source=True, stable_service="checkout-plain")
        await scene.world.start()
        assert scene.world.traffic[CALLERS + "checkout-plain"].mix == {"1.0": 1.0}
        await scene.world.create_rollout(APP, CANARY)
        spec = scene.world.cluster.store.get(Kind.ROLLOUT, scene.world.namespace, APP)["spec"]
        assert spec["traffic"]["stableService"] == "checkout-plain"

    play(story)


def test_a_switched_app_has_a_service_in_place_of_its_route() -> None:
    """It selects the pods that blue will have."""

    async def story(scene: Scene) -> None:
        scene.world.workload_app(APP, image="shop/checkout:1.0", switched=True)
        await scene.world.start()
        await scene.run_slot(Slot.BLUE, "shop/checkout:1.0")
        assert scene.world.traffic[APP].mix == {"1.0": 1.0}
        await scene.world.meddle_service(APP, manifests.managed_labels(APP, Slot.GREEN))
        await asyncio.sleep(1)
        assert scene.world.green_share(APP) == 10_000
        assert [gap.cause for gap in scene.world.traffic[APP].gaps[1:]] == ["weights"]

    play(story)


def test_scaling_is_nobodys_write_of_the_spec() -> None:
    """It goes through the scale subresource, so that who asked for a release is not hidden by an autoscaler."""

    async def story(scene: Scene) -> None:
        scene.world.workload_app(APP, image="shop/checkout:1.0")
        await scene.world.start()
        await scene.world.create_rollout(APP, CANARY)
        await scene.world.scale(APP, 7)
        found = scene.world.cluster.store.get(Kind.ROLLOUT, scene.world.namespace, APP)
        assert (found["spec"]["workload"]["replicas"], found["metadata"]["generation"]) == (7, 2)
        writers = {(entry["manager"], entry.get("subresource", "")) for entry in found["metadata"]["managedFields"]}
        assert writers == {("kubectl", ""), ("kube-controller-manager", "scale")}

    play(story)


def test_foreign_hands_reach_everything() -> None:
    """Deployments, Services, routes with and without the annotation that breaks the glass, and deletions."""

    async def story(scene: Scene) -> None:
        world, store = scene.world, scene.world.cluster.store
        world.workload_app(APP, image="shop/checkout:1.0")
        await world.start()
        await scene.run_slot(Slot.GREEN, "shop/checkout:1.0")
        await world.meddle_deployment(APP, Slot.GREEN, image="evil:6", replicas=1)
        await asyncio.sleep(30)
        assert [pod["spec"]["containers"][0]["image"] for pod in world.pods_of(APP, Slot.GREEN)] == ["evil:6"]
        assert world.ready_pods(APP, Slot.GREEN) == 1
        changes: list[Obj] = []
        world.cluster.on_change.append(lambda change: changes.append(change.after))
        await world.hold(APP, 0, 100, "alice: drill")
        (held,) = changes
        assert (held["metadata"]["annotations"][HOLD_ANNOTATION], world.green_share(APP)) == ("alice: drill", 10_000)
        await world.end_hold(APP)
        assert HOLD_ANNOTATION not in store.get(Kind.HTTP_ROUTE, world.namespace, APP)["metadata"]["annotations"]
        await world.remove(Kind.DEPLOYMENT, "checkout-green")
        assert world.deployment(APP, Slot.GREEN) is None
        await world.create_rollout(APP, CANARY)
        await world.delete_rollout(APP)
        with pytest.raises(NotFound):
            store.get(Kind.ROLLOUT, world.namespace, APP)

    play(story)
