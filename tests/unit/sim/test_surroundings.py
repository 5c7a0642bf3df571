"""The controllers around a rollout, the scripted metrics, and the simulated requests."""

import asyncio

import pytest

from sluice.api.names import Kind
from sluice.decide.model import Reading, ReadingKind
from sluice.ports import Obj
from sluice.sim.clock import VirtualClock, run
from sluice.sim.cluster import FakeCluster
from sluice.sim.gateway import FakeEndpoints, FakeGateway
from sluice.sim.manifests import service
from sluice.sim.metrics import FakeMetrics, Script, constant, no_data, outage, sequence
from sluice.sim.traffic import NOBODY, Traffic


class Scene:
    """A route over two Services with three pods each."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.cluster = FakeCluster(self.clock, namespaces=("shop",))
        self.gateway = FakeGateway(self.cluster, self.clock)
        self.endpoints = FakeEndpoints(self.cluster)
        for slot in ("blue", "green"):
            self.cluster.seed(Kind.SERVICE, service("shop", slot, {"slot": slot}))
            self.endpoints.run_pods("shop", slot, {"slot": slot, "app": "checkout"}, ready=3)
        backends = [{"name": "blue", "weight": 100}, {"name": "green", "weight": 0}]
        self.cluster.seed(
            Kind.HTTP_ROUTE,
            {
                "metadata": {"name": "checkout", "namespace": "shop"},
                "spec": {"parentRefs": [{"name": "gateway"}], "rules": [{"backendRefs": backends}]},
            },
        )
        self.gateway.start()
        self.endpoints.start()

    async def weigh(self, blue: int, green: int) -> None:
        """Write the route's weights."""
        rules = [{"backendRefs": [{"name": "blue", "weight": blue}, {"name": "green", "weight": green}]}]
        await self.cluster.patch_merge(Kind.HTTP_ROUTE, "shop", "checkout", {"spec": {"rules": rules}})

    @property
    def accepted(self) -> tuple[str, int]:
        """Status and generation of the route's Accepted condition."""
        route = self.cluster.store.get(Kind.HTTP_ROUTE, "shop", "checkout")
        conditions: list[Obj] = route.get("status", {}).get("parents", [{}])[0].get("conditions", [{}])
        return conditions[0].get("status", ""), conditions[0].get("observedGeneration", 0)

    def ready(self, service: str) -> int:
        """Ready addresses of a Service, by its slices."""
        slices = self.cluster.reader.endpoint_slices("shop", service)
        return sum(item["conditions"]["ready"] for obj in slices for item in obj["endpoints"])


def test_the_gateway_accepts_each_generation_after_its_delay() -> None:
    """As with a real one, the status trails the spec."""

    async def main() -> None:
        scene = Scene()
        await asyncio.sleep(1)
        assert scene.accepted == ("True", 1)
        await scene.weigh(50, 50)
        await asyncio.sleep(0.1)
        assert scene.accepted == ("True", 1)
        await asyncio.sleep(0.2)
        assert scene.accepted == ("True", 2)

    run(main())


def test_a_frozen_gateway_catches_up_when_thawed_and_may_refuse() -> None:
    """Its status stays behind while frozen; a refusal carries its words."""

    async def main() -> None:
        scene = Scene()
        await asyncio.sleep(1)
        scene.gateway.frozen = True
        await scene.weigh(50, 50)
        await asyncio.sleep(60)
        assert scene.accepted == ("True", 1)
        scene.gateway.refuse = lambda route: "no such filter"
        scene.gateway.thaw()
        await asyncio.sleep(1)
        assert scene.accepted == ("False", 2)

    run(main())


def test_slices_follow_pods_and_selectors() -> None:
    """Ready pods make ready addresses; a switched selector takes those of the other pods."""

    async def main() -> None:
        scene = Scene()
        scene.cluster.seed(Kind.SERVICE, service("shop", "live", {"app": "checkout"}))
        await asyncio.sleep(1)
        assert (scene.ready("blue"), scene.ready("live")) == (3, 6)
        scene.endpoints.run_pods("shop", "blue", {"slot": "blue"}, ready=1, unready=2)
        await asyncio.sleep(1)
        assert (scene.ready("blue"), scene.ready("live")) == (1, 3)
        await scene.cluster.patch_merge(
            Kind.SERVICE, "shop", "live", {"spec": {"selector": {"app": None, "slot": "blue"}}}
        )
        await asyncio.sleep(1)
        assert scene.ready("live") == 1

    run(main())


def test_requests_follow_the_weights_that_the_gateway_accepted() -> None:
    """Requests are counted by version, from acceptance on; a slot without endpoints fails them."""

    async def main() -> None:
        scene = Scene()
        traffic = Traffic(
            scene.cluster,
            scene.clock,
            (Kind.HTTP_ROUTE, "shop", "checkout"),
            versions={"blue": "v1", "green": "v2"},
            error_ratios={"v2": 0.5},
        )
        await asyncio.sleep(1)
        assert traffic.mix == {"v1": 1, "v2": 0}
        await scene.weigh(75, 25)
        assert traffic.shares == {"blue": 1, "green": 0}
        before = traffic.settle().requests.copy()
        await asyncio.sleep(100.2)
        tally = traffic.settle()
        assert tally.requests["v2"] == pytest.approx(2500)
        assert tally.requests["v1"] - before["v1"] == pytest.approx(7520)
        assert tally.failed["v2"] == pytest.approx(1250)
        scene.endpoints.run_pods("shop", "green", {"slot": "green"}, ready=0)
        await asyncio.sleep(1)
        assert traffic.mix == {"v1": 0.75, NOBODY: 0.25}
        assert traffic.shares == {"blue": 0.75, "green": 0.25}

    run(main())


def test_requests_that_reach_no_ready_pod_are_told_by_what_began_it() -> None:
    """Whether weight was given to a Service without endpoints, or its endpoints went: where, how much and how long."""

    async def main() -> None:
        scene = Scene()
        scene.endpoints.run_pods("shop", "green", {"slot": "green"}, ready=0)
        await asyncio.sleep(1)
        traffic = Traffic(
            scene.cluster, scene.clock, (Kind.HTTP_ROUTE, "shop", "checkout"), versions={}, error_ratios={}
        )
        assert traffic.gaps == []
        await scene.weigh(90, 10)
        await scene.weigh(80, 20)
        await asyncio.sleep(10)
        scene.endpoints.run_pods("shop", "green", {"slot": "green"}, ready=1)
        await asyncio.sleep(10)
        scene.endpoints.run_pods("shop", "blue", {"slot": "blue"}, ready=0)
        await asyncio.sleep(10)
        await scene.weigh(0, 0)
        await asyncio.sleep(1)
        told = [(gap.service, gap.share, gap.cause, gap.ended_at is None) for gap in traffic.gaps]
        assert told == [
            ("green", 0.2, "weights", False),
            ("blue", 0.8, "endpoints", False),
            (NOBODY, 1.0, "weights", True),
        ]
        (first, *_) = traffic.gaps
        assert first.ended_at is not None
        assert first.ended_at - first.began_at == pytest.approx(9.9, abs=0.05)

    run(main())


def test_a_switch_to_pods_that_are_not_ready_is_told_as_such() -> None:
    """The slices of a switched Service trail its selector; what they show is the switch's doing."""

    async def main() -> None:
        scene = Scene()
        scene.cluster.seed(Kind.SERVICE, service("shop", "live", {"slot": "blue"}))
        scene.endpoints.run_pods("shop", "green", {"slot": "green"}, ready=0)
        await asyncio.sleep(5)
        traffic = Traffic(scene.cluster, scene.clock, (Kind.SERVICE, "shop", "live"), versions={}, error_ratios={})
        await scene.cluster.patch_merge(Kind.SERVICE, "shop", "live", {"spec": {"selector": {"slot": "green"}}})
        await asyncio.sleep(5)
        assert [(gap.service, gap.cause) for gap in traffic.gaps] == [("live", "weights")]

    run(main())


@pytest.mark.parametrize(
    "scripts, expected",
    [
        pytest.param([], [ReadingKind.NO_DATA] * 3, id="nobody-answers"),
        pytest.param([constant(1)], [1, 1, 1], id="constant"),
        pytest.param([constant(1, where="other")], [ReadingKind.NO_DATA] * 3, id="for-others"),
        pytest.param([sequence(1, no_data(), 3)], [1, ReadingKind.NO_DATA, 3], id="sequence"),
        pytest.param([outage(10, 20), constant(1)], [1, ReadingKind.ERROR, 1], id="outage"),
    ],
)
def test_metrics_answer_by_their_scripts(scripts: list[Script], expected: list[object]) -> None:
    """The first script that answers counts."""

    async def main() -> list[Reading]:
        metrics = FakeMetrics(VirtualClock(), *scripts)
        readings = []
        for _ in range(3):
            readings.append(await metrics.query('rate{slot="green"}', address=None, namespace="shop", secret=None))
            await asyncio.sleep(10)
        return readings

    answers = [item.value if item.kind is ReadingKind.VALUE else item.kind for item in run(main())]
    assert answers == expected
