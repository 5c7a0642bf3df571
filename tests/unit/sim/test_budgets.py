"""PodDisruptionBudgets in memory: what they allow, and evictions that ask them."""

import asyncio

import pytest

from sluice.api.names import Kind
from sluice.errors import Unavailable
from sluice.ports import Obj
from sluice.sim.budgets import FakeBudgets
from sluice.sim.clock import VirtualClock, run
from sluice.sim.cluster import FakeCluster
from sluice.sim.deployments import FakeDeployments
from sluice.sim.kubelet import FakeKubelet
from sluice.sim.manifests import budget, deployment
from sluice.sim.pods import Behaviour, is_ending

LABELS = {"app": "checkout"}


class Scene:
    """A Deployment with pods, and everything that counts them."""

    def __init__(self, *, replicas: int = 4) -> None:
        self.clock = VirtualClock()
        self.cluster = FakeCluster(self.clock, namespaces=("shop",))
        self.kubelet = FakeKubelet(self.cluster, self.clock)
        self.budgets = FakeBudgets(self.cluster)
        for controller in (self.kubelet, FakeDeployments(self.cluster, self.clock), self.budgets):
            controller.start()
        body = deployment("shop", "checkout", "shop/checkout:1", replicas=replicas)
        self.cluster.store.create(Kind.DEPLOYMENT, "shop", body, manager="kubectl")

    async def limit(self, **limit: int | str) -> None:
        """Create the budget, and let everything settle."""
        await self.cluster.create(Kind.POD_DISRUPTION_BUDGET, "shop", budget("shop", "web", LABELS, **limit))
        await asyncio.sleep(10)

    @property
    def status(self) -> dict[str, int]:
        """The budget's."""
        found: dict[str, int] = self.cluster.store.get(Kind.POD_DISRUPTION_BUDGET, "shop", "web")["status"]
        return found

    @property
    def pods(self) -> list[Obj]:
        """The pods that are not about to end."""
        return [pod for pod in self.cluster.store.all(Kind.POD) if not is_ending(pod)]

    def evict(self) -> None:
        """Evict the first of them."""
        self.budgets.evict("shop", self.pods[0]["metadata"]["name"])


@pytest.mark.parametrize(
    "replicas, limit, wanted, allowed",
    [
        pytest.param(4, {"minAvailable": 3}, 3, 1, id="keep-a-number"),
        pytest.param(5, {"minAvailable": "50%"}, 3, 2, id="keep-a-share"),
        pytest.param(4, {"maxUnavailable": 1}, 3, 1, id="miss-a-number"),
        pytest.param(5, {"maxUnavailable": "30%"}, 3, 2, id="miss-a-share"),
        pytest.param(4, {"minAvailable": 9}, 9, 0, id="more-than-there-are"),
        pytest.param(0, {"maxUnavailable": 1}, 0, 0, id="no-pods"),
    ],
)
def test_what_is_allowed_follows_from_the_pods(
    replicas: int, limit: dict[str, int | str], wanted: int, allowed: int
) -> None:
    """Numbers and shares; shares are rounded up."""

    async def main() -> None:
        scene = Scene(replicas=replicas)
        await scene.limit(**limit)
        assert (scene.status["desiredHealthy"], scene.status["disruptionsAllowed"]) == (wanted, allowed)
        assert scene.status["expectedPods"] == replicas

    run(main())


def test_pods_that_are_not_ready_are_missing_already() -> None:
    """What is allowed shrinks when a pod fails, and grows again."""

    async def main() -> None:
        scene = Scene()
        await scene.limit(minAvailable=3)
        scene.kubelet.otherwise = Behaviour(ready_after_seconds=30)
        scene.kubelet.crash("shop", scene.pods[0]["metadata"]["name"])
        await asyncio.sleep(1)
        assert (scene.status["currentHealthy"], scene.status["disruptionsAllowed"]) == (3, 0)
        await asyncio.sleep(40)
        assert (scene.status["currentHealthy"], scene.status["disruptionsAllowed"]) == (4, 1)

    run(main())


def test_an_eviction_respects_the_budget() -> None:
    """One pod goes, the next has to wait until it is replaced; nothing happens to the one that must stay."""

    async def main() -> None:
        scene = Scene()
        await scene.limit(minAvailable=3)
        scene.evict()
        assert len(scene.pods) == 3
        with pytest.raises(Unavailable, match="PodDisruptionBudget web allows 0"):
            scene.evict()
        assert len(scene.pods) == 3
        await asyncio.sleep(10)
        assert len(scene.pods) == 4
        scene.evict()
        assert len(scene.pods) == 3

    run(main())


def test_a_pod_that_no_budget_covers_can_be_evicted() -> None:
    """It is deleted with its grace."""

    async def main() -> None:
        scene = Scene(replicas=1)
        await asyncio.sleep(10)
        scene.evict()
        assert scene.pods == []

    run(main())
