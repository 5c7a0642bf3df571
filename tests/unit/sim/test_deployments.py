"""Deployments in memory: the pods that controllers and kubelets would make of them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sluice.api.names import Kind
from sluice.ports import Obj
from sluice.sim.clock import VirtualClock, run
from sluice.sim.cluster import FakeCluster
from sluice.sim.deployments import FakeDeployments
from sluice.sim.gateway import FakeEndpoints
from sluice.sim.kubelet import FakeKubelet
from sluice.sim.manifests import pod_template, service
from sluice.sim.pods import Behaviour, is_ending, is_ready
from sluice.sim.store import Change

LABELS = {"app": "blue"}


class Scene:
    """A Deployment `blue`, its Service, and everything that makes pods of it."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.cluster = FakeCluster(self.clock, namespaces=("shop",))
        self.kubelet = FakeKubelet(self.cluster, self.clock)
        self.deployments = FakeDeployments(self.cluster, self.clock)
        self.endpoints = FakeEndpoints(self.cluster)
        self.cluster.seed(Kind.SERVICE, service("shop", "blue", LABELS))
        for controller in (self.kubelet, self.deployments, self.endpoints):
            controller.start()

    async def apply(
        self, image: str = "shop/blue:1", *, replicas: int = 3, settle_seconds: float = 5, **spec: Any
    ) -> Obj:
        """Apply the Deployment as Sluice would, and let it settle."""
        body = {
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": LABELS},
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "25%"}},
                "template": pod_template("blue", image),
                **spec,
            }
        }
        stored = await self.cluster.apply(Kind.DEPLOYMENT, "shop", "blue", body)
        await asyncio.sleep(settle_seconds)
        return stored

    @property
    def pods(self) -> list[Obj]:
        """The pods that are not about to end, by name."""
        return [pod for pod in self.cluster.store.all(Kind.POD) if not is_ending(pod)]

    @property
    def images(self) -> list[str]:
        """What they run."""
        return sorted(pod["spec"]["containers"][0]["image"] for pod in self.pods)

    @property
    def status(self) -> dict[str, int]:
        """The Deployment's counts."""
        found: dict[str, int] = self.cluster.store.get(Kind.DEPLOYMENT, "shop", "blue")["status"]
        return found

    def addresses(self) -> set[str]:
        """The ready addresses of the Service, by its slices."""
        slices = self.cluster.reader.endpoint_slices("shop", "blue")
        entries = [item for obj in slices for item in obj["endpoints"] if item["conditions"]["ready"]]
        return {address for item in entries for address in item["addresses"]}

    def waiting(self) -> tuple[str, str]:
        """Reason and message of the first pod's container that waits."""
        states = [each["state"].get("waiting") for pod in self.pods for each in pod["status"]["containerStatuses"]]
        found = next(state for state in states if state)
        return found["reason"], found["message"]


def play(story: Callable[[Scene], Awaitable[None]]) -> None:
    """Run a story in virtual time."""

    async def main() -> None:
        await story(Scene())

    run(main())


def test_pods_are_made_of_the_template() -> None:
    """They carry its labels and annotations, belong to a replica set, have an address, and say what they run."""

    async def story(scene: Scene) -> None:
        template = pod_template("blue", "shop/blue:1")
        template["metadata"]["annotations"] = {"team": "payments"}
        await scene.apply(template=template)
        assert len(scene.pods) == 3
        (pod, *_) = scene.pods
        assert LABELS.items() <= pod["metadata"]["labels"].items()
        assert pod["metadata"]["annotations"] == {"team": "payments"}
        assert pod["metadata"]["ownerReferences"][0]["kind"] == "ReplicaSet"
        assert pod["status"]["containerStatuses"][0]["image"] == "shop/blue:1"
        assert len({pod["status"]["podIP"] for pod in scene.pods}) == 3

    play(story)


def test_pods_take_their_time_to_be_ready() -> None:
    """Until then the Deployment has pods, but none ready, and the Service no ready endpoint."""

    async def story(scene: Scene) -> None:
        scene.kubelet.behave("1", Behaviour(ready_after_seconds=30))
        made = await scene.apply(settle_seconds=20)
        assert scene.status == {
            "observedGeneration": made["metadata"]["generation"],
            "replicas": 3,
            "updatedReplicas": 3,
            "unavailableReplicas": 3,
        }
        assert scene.addresses() == set()
        await asyncio.sleep(20)
        assert (scene.status["readyReplicas"], scene.status["availableReplicas"]) == (3, 3)
        assert "unavailableReplicas" not in scene.status
        assert scene.addresses() == {pod["status"]["podIP"] for pod in scene.pods}

    play(story)


def test_ready_pods_are_available_after_min_ready_seconds() -> None:
    """Not before, though they are ready and get requests."""

    async def story(scene: Scene) -> None:
        await scene.apply(minReadySeconds=20, settle_seconds=15)
        assert (scene.status["readyReplicas"], scene.status.get("availableReplicas", 0)) == (3, 0)
        assert len(scene.addresses()) == 3
        await asyncio.sleep(8)
        assert scene.status["availableReplicas"] == 3

    play(story)


def test_the_status_tells_which_generation_it_is_about() -> None:
    """The observed one trails the spec by the controller's delay; writing it makes no generation of its own."""

    async def story(scene: Scene) -> None:
        await scene.apply()
        scene.deployments.delay_seconds = 2
        await scene.apply(replicas=4, settle_seconds=1)
        found = scene.cluster.store.get(Kind.DEPLOYMENT, "shop", "blue")
        assert (found["metadata"]["generation"], found["status"]["observedGeneration"]) == (2, 1)
        await asyncio.sleep(10)
        found = scene.cluster.store.get(Kind.DEPLOYMENT, "shop", "blue")
        assert (found["metadata"]["generation"], found["status"]["observedGeneration"]) == (2, 2)
        assert found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"

    play(story)


@pytest.mark.parametrize("replicas", [1, 4, 7])
def test_a_rolling_update_never_has_less_than_asked_for(replicas: int) -> None:
    """With maxUnavailable 0 and maxSurge 25%: always enough ready pods, and never too many; then all are new."""

    async def story(scene: Scene) -> None:
        await scene.apply(replicas=replicas)
        served: list[int] = []
        there: list[int] = []

        def watch(change: Change) -> None:
            if change.kind is Kind.POD:
                served.append(sum(is_ready(pod) for pod in scene.pods))
                there.append(len(scene.pods))

        scene.cluster.on_change.append(watch)
        await scene.apply("shop/blue:2", replicas=replicas, settle_seconds=60)
        assert min(served) == replicas
        assert max(there) == replicas + -(-replicas // 4)
        assert scene.images == ["shop/blue:2"] * replicas
        assert scene.status["updatedReplicas"] == scene.status["replicas"] == replicas

    play(story)


def test_an_update_that_never_gets_ready_leaves_what_serves() -> None:
    """Only the surge is new; the status tells old pods from new ones."""

    async def story(scene: Scene) -> None:
        scene.kubelet.behave("2", Behaviour(never_ready=True))
        await scene.apply(replicas=4)
        await scene.apply("shop/blue:2", replicas=4, settle_seconds=600)
        assert scene.images == ["shop/blue:1"] * 4 + ["shop/blue:2"]
        counts = {name: scene.status[name] for name in ("replicas", "updatedReplicas", "readyReplicas")}
        assert counts == {"replicas": 5, "updatedReplicas": 1, "readyReplicas": 4}
        await scene.apply("shop/blue:1", replicas=4)
        assert scene.images == ["shop/blue:1"] * 4

    play(story)


def test_only_a_template_makes_new_pods() -> None:
    """Another annotation of the Deployment leaves its pods alone; one of the template restarts them all."""

    async def story(scene: Scene) -> None:
        await scene.apply()
        before = {pod["metadata"]["uid"] for pod in scene.pods}
        note = [{"op": "add", "path": "/metadata/annotations/note", "value": "x"}]
        await scene.cluster.patch_json(Kind.DEPLOYMENT, "shop", "blue", note)
        await asyncio.sleep(60)
        assert {pod["metadata"]["uid"] for pod in scene.pods} == before
        template = pod_template("blue", "shop/blue:1")
        template["metadata"]["annotations"] = {"sluice.dev/restarted-at": "now"}
        await scene.apply(template=template, settle_seconds=60)
        assert before.isdisjoint(pod["metadata"]["uid"] for pod in scene.pods)

    play(story)


def test_scaling_makes_pods_and_ends_those_that_serve_least() -> None:
    """Up at once; down first those that are not ready, then the youngest; and none at all with 0."""

    async def story(scene: Scene) -> None:
        await scene.apply(replicas=2)
        first = {pod["metadata"]["name"] for pod in scene.pods}
        await scene.apply(replicas=4)
        assert len(scene.addresses()) == 4
        await scene.apply(replicas=2)
        assert {pod["metadata"]["name"] for pod in scene.pods} == first
        await scene.apply(replicas=0)
        assert (scene.pods, scene.addresses()) == ([], set())
        assert scene.status.keys() == {"observedGeneration"}

    play(story)


@pytest.mark.parametrize("before, after", [(1, 2), (3, 4), (4, 3), (2, 6)])
def test_another_number_and_another_template_at_once_come_both(before: int, after: int) -> None:
    """First what serves is scaled, then it is replaced; also from nothing, and in the middle of an update."""

    async def story(scene: Scene) -> None:
        await scene.apply(replicas=before)
        await scene.apply("shop/blue:2", replicas=after, settle_seconds=0.5)
        await scene.apply("shop/blue:2", replicas=before, settle_seconds=60)
        assert scene.images == ["shop/blue:2"] * before
        await scene.apply("shop/blue:2", replicas=0)
        await scene.apply("shop/blue:3", replicas=after, settle_seconds=60)
        assert scene.images == ["shop/blue:3"] * after
        assert scene.status["updatedReplicas"] == scene.status["replicas"] == after

    play(story)


def test_a_deleted_pod_leaves_the_slices_at_once_and_is_replaced() -> None:
    """It has its grace to finish, without new requests; meanwhile another one starts."""

    async def story(scene: Scene) -> None:
        scene.kubelet.behave("1", Behaviour(stop_after_seconds=10))
        await scene.apply(replicas=2)
        (pod, _) = scene.pods
        await scene.cluster.delete(Kind.POD, "shop", pod["metadata"]["name"], uid=pod["metadata"]["uid"])
        await asyncio.sleep(0.2)
        assert pod["status"]["podIP"] not in scene.addresses()
        assert len(scene.pods) == 2
        assert is_ending(scene.cluster.store.get(Kind.POD, "shop", pod["metadata"]["name"]))
        await asyncio.sleep(15)
        assert scene.cluster.store.peek(Kind.POD, "shop", pod["metadata"]["name"]) is None
        assert len(scene.addresses()) == 2

    play(story)


def test_a_killed_pod_is_gone_at_once_and_replaced() -> None:
    """As with a lost node: no grace."""

    async def story(scene: Scene) -> None:
        await scene.apply(replicas=2)
        scene.kubelet.kill("shop", scene.pods[0]["metadata"]["name"])
        assert len(scene.pods) == 1
        await asyncio.sleep(1)
        assert (len(scene.pods), len(scene.addresses())) == (2, 1)
        await asyncio.sleep(5)
        assert len(scene.addresses()) == 2

    play(story)


def test_deleting_the_deployment_ends_its_pods() -> None:
    """They have their grace; one made anew under the same name begins with pods of its own."""

    async def story(scene: Scene) -> None:
        made = await scene.apply()
        before = {pod["metadata"]["name"] for pod in scene.pods}
        await scene.cluster.delete(Kind.DEPLOYMENT, "shop", "blue", uid=made["metadata"]["uid"])
        await asyncio.sleep(0.5)
        assert (scene.pods, scene.addresses()) == ([], set())
        assert len(tuple(scene.cluster.store.all(Kind.POD))) == 3
        await scene.apply()
        assert before.isdisjoint(pod["metadata"]["name"] for pod in scene.cluster.store.all(Kind.POD))
        assert len(scene.addresses()) == 3

    play(story)


def test_a_patched_label_survives() -> None:
    """What others write on living pods stays there, without a restart, and slices follow it."""

    async def story(scene: Scene) -> None:
        scene.cluster.seed(Kind.SERVICE, service("shop", "stable", {"role": "stable"}))
        await scene.apply()
        for pod in scene.pods:
            role = {"metadata": {"labels": {"role": "stable"}}}
            await scene.cluster.patch_merge(Kind.POD, "shop", pod["metadata"]["name"], role)
        await asyncio.sleep(600)
        assert [pod["metadata"]["labels"]["role"] for pod in scene.pods] == ["stable"] * 3
        assert scene.endpoints.ready_pods("shop", "stable") == 3
        assert all(pod["status"]["containerStatuses"][0]["restartCount"] == 0 for pod in scene.pods)

    play(story)


def test_a_pod_that_the_selector_misses_is_let_go_and_replaced() -> None:
    """It runs on, as somebody's who wants to look into it."""

    async def story(scene: Scene) -> None:
        await scene.apply()
        name = scene.pods[0]["metadata"]["name"]
        await scene.cluster.patch_merge(Kind.POD, "shop", name, {"metadata": {"labels": {"app": "quarantine"}}})
        await asyncio.sleep(5)
        found = scene.cluster.store.get(Kind.POD, "shop", name)
        assert is_ready(found)
        assert "ownerReferences" not in found["metadata"]
        assert len(scene.addresses()) == 3
        await scene.apply(replicas=0)
        assert [pod["metadata"]["name"] for pod in scene.pods] == [name]

    play(story)


def test_a_crash_loop_is_told_in_the_kubelets_words() -> None:
    """The container is ready for a while, ends, waits longer each time, and starts again."""

    async def story(scene: Scene) -> None:
        scene.kubelet.behave("1", Behaviour(ready_after_seconds=2, crash_after_seconds=20))
        await scene.apply(replicas=1, settle_seconds=10)
        assert len(scene.addresses()) == 1
        await asyncio.sleep(12)
        reason, message = scene.waiting()
        assert reason == "CrashLoopBackOff"
        assert message.startswith("back-off 10s restarting failed container=app pod=blue-")
        assert (scene.addresses(), scene.status.get("readyReplicas", 0)) == (set(), 0)
        await asyncio.sleep(15)
        assert len(scene.addresses()) == 1
        await asyncio.sleep(20)
        assert "back-off 20s" in scene.waiting()[1]
        scene.kubelet.behave("1", Behaviour())
        await asyncio.sleep(60)
        assert len(scene.addresses()) == 1
        assert scene.pods[0]["status"]["containerStatuses"][0]["restartCount"] == 2

    play(story)


def test_a_container_that_ends_before_it_is_ready_never_serves() -> None:
    """It loops from the start."""

    async def story(scene: Scene) -> None:
        scene.kubelet.behave("1", Behaviour(ready_after_seconds=5, crash_after_seconds=1))
        await scene.apply(settle_seconds=3600)
        assert scene.waiting()[0] == "CrashLoopBackOff"
        assert "back-off 300s" in scene.waiting()[1]
        assert scene.status.get("readyReplicas", 0) == 0

    play(story)


def test_an_image_that_cannot_be_pulled_is_told_in_the_kubelets_words() -> None:
    """Until the registry has it."""

    async def story(scene: Scene) -> None:
        scene.kubelet.behave("shop/blue:1", Behaviour(pull_error="manifest unknown"))
        await scene.apply(settle_seconds=600)
        assert scene.waiting() == (
            "ImagePullBackOff",
            'Back-off pulling image "shop/blue:1": ErrImagePull: manifest unknown',
        )
        assert {pod["status"]["phase"] for pod in scene.pods} == {"Pending"}
        scene.kubelet.behave("shop/blue:1", Behaviour())
        await asyncio.sleep(5)
        assert len(scene.addresses()) == 3

    play(story)


def test_pods_can_lose_their_readiness_and_regain_it() -> None:
    """A version that goes bad while it runs leaves the slices, and comes back."""

    async def story(scene: Scene) -> None:
        await scene.apply()
        scene.kubelet.behave("1", Behaviour(never_ready=True))
        await asyncio.sleep(1)
        assert (scene.addresses(), scene.status["unavailableReplicas"]) == (set(), 3)
        scene.kubelet.behave("1", Behaviour())
        await asyncio.sleep(5)
        assert len(scene.addresses()) == 3

    play(story)


def test_a_crash_takes_a_pod_out_for_a_moment() -> None:
    """The container starts again in the same pod."""

    async def story(scene: Scene) -> None:
        await scene.apply()
        before = [pod["metadata"]["uid"] for pod in scene.pods]
        scene.kubelet.crash("shop", scene.pods[0]["metadata"]["name"])
        await asyncio.sleep(0.5)
        assert len(scene.addresses()) == 2
        await asyncio.sleep(5)
        assert len(scene.addresses()) == 3
        assert [pod["metadata"]["uid"] for pod in scene.pods] == before

    play(story)


def test_recreate_ends_the_old_before_it_starts_the_new() -> None:
    """No two templates run at a time."""

    async def story(scene: Scene) -> None:
        scene.kubelet.otherwise = Behaviour(stop_after_seconds=10)
        recreate = {"type": "Recreate"}
        await scene.apply(strategy=recreate)
        await scene.apply("shop/blue:2", strategy=recreate, settle_seconds=8)
        assert scene.pods == []
        await asyncio.sleep(10)
        assert scene.images == ["shop/blue:2"] * 3

    play(story)


def test_a_namespace_ends_with_its_pods() -> None:
    """Deployments go, their pods have their grace, no new ones are made, and then the namespace is gone."""

    async def story(scene: Scene) -> None:
        await scene.apply()
        home = scene.cluster.store.get(Kind.NAMESPACE, "", "shop")
        await scene.cluster.delete(Kind.NAMESPACE, "", "shop", uid=home["metadata"]["uid"])
        await asyncio.sleep(0.5)
        assert len(tuple(scene.cluster.store.all(Kind.POD))) == 3
        await asyncio.sleep(10)
        assert scene.cluster.store.peek(Kind.NAMESPACE, "", "shop") is None

    play(story)


def test_a_pod_of_nobodys_runs_too() -> None:
    """It gets a node, becomes ready, and has its grace."""

    async def story(scene: Scene) -> None:
        template = pod_template("blue", "shop/blue:1")
        pod = {"metadata": {"name": "bare", **template["metadata"]}, "spec": template["spec"]}
        made = await scene.cluster.create(Kind.POD, "shop", pod)
        await asyncio.sleep(5)
        assert len(scene.addresses()) == 1
        await scene.cluster.delete(Kind.POD, "shop", "bare", uid=made["metadata"]["uid"])
        assert is_ending(scene.cluster.store.get(Kind.POD, "shop", "bare"))
        await asyncio.sleep(5)
        assert scene.cluster.store.peek(Kind.POD, "shop", "bare") is None

    play(story)
