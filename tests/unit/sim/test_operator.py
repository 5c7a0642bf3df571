"""The operator as a process of the world, with a toy in the engine's place."""

import asyncio

import pytest

from sluice.api.names import Kind
from sluice.errors import NotLeader, Unavailable
from sluice.ports import Obj
from sluice.sim.clock import VirtualClock, run
from sluice.sim.cluster import FakeCluster
from sluice.sim.operator import FakeMastery, Operator
from sluice.sim.store import EventType


class Toy:
    """Counts up an annotation of every switch that it sees, once a second."""

    def __init__(self, cluster: FakeCluster) -> None:
        self.store = self
        self.seen: dict[str, Obj] = {}
        self.events: list[EventType] = []
        self.cut_off = False
        self._cluster = cluster

    def apply(self, kind: Kind, event: EventType, obj: Obj) -> None:
        """Take a watch event."""
        if kind is Kind.KILL_SWITCH:
            self.events.append(event)
            self.seen[obj["metadata"]["name"]] = obj

    async def run(self) -> None:
        """Write once a second."""
        while True:
            await asyncio.sleep(1)
            for name, obj in tuple(self.seen.items()):
                count = int(obj["metadata"].get("annotations", {}).get("count", "0")) + 1
                try:
                    await self._cluster.patch_merge(
                        Kind.KILL_SWITCH, "shop", name, {"metadata": {"annotations": {"count": str(count)}}}
                    )
                except Unavailable:
                    self.cut_off = True


class Scene:
    """A cluster with one switch, and an operator that counts."""

    def __init__(self) -> None:
        self.cluster = FakeCluster(VirtualClock(), namespaces=("shop",))
        self.cluster.seed(Kind.KILL_SWITCH, {"metadata": {"name": "stop", "namespace": "shop"}, "spec": {}})
        self.toys: list[Toy] = []
        self.operator = Operator(self.cluster, self._build)

    def _build(self, cluster: FakeCluster, mastery: FakeMastery) -> Toy:
        self.toys.append(Toy(cluster))
        return self.toys[-1]

    @property
    def count(self) -> str:
        """What was written last."""
        annotations: dict[str, str] = self.cluster.store.get(Kind.KILL_SWITCH, "shop", "stop")["metadata"][
            "annotations"
        ]
        return annotations["count"]


def test_it_watches_and_writes() -> None:
    """It first gets what is there, then what changes, its own writes too."""

    async def main() -> None:
        scene = Scene()
        scene.operator.start()
        await asyncio.sleep(3.5)
        assert scene.count == "3"
        assert scene.toys[0].events == ["ADDED", "MODIFIED", "MODIFIED", "MODIFIED"]

    run(main())


def test_a_crash_ends_all_writes_and_a_new_process_starts_empty() -> None:
    """The new one knows only what is stored."""

    async def main() -> None:
        scene = Scene()
        scene.operator.start()
        await asyncio.sleep(3.5)
        await scene.operator.crash()
        await asyncio.sleep(10)
        assert (scene.count, scene.operator.running) == ("3", False)
        scene.operator.start()
        await asyncio.sleep(1.5)
        assert (scene.count, scene.toys[1].events) == ("4", ["ADDED", "MODIFIED"])

    run(main())


def test_it_can_be_cut_off_right_after_a_write() -> None:
    """From that write on nothing of it takes effect, whatever it tries."""

    async def main() -> None:
        scene = Scene()
        scene.operator.start()
        scene.operator.crash_after_writes(2)
        await asyncio.sleep(10)
        assert scene.count == "2"
        assert scene.toys[0].cut_off

    run(main())


def test_an_engine_that_fails_is_not_hidden() -> None:
    """What ended it can be asked for."""

    async def main() -> None:
        scene = Scene()

        async def fail() -> None:
            raise ZeroDivisionError

        def build(cluster: FakeCluster, mastery: FakeMastery) -> Toy:
            toy = Toy(cluster)
            toy.run = fail  # type: ignore[method-assign]
            return toy

        operator = Operator(scene.cluster, build)
        operator.start()
        await asyncio.sleep(1)
        assert isinstance(operator.failure(), ZeroDivisionError)

    run(main())


def test_shards_can_be_taken_away() -> None:
    """Then nothing of theirs may be written."""
    mastery = FakeMastery()
    mastery.check_shard(7)
    mastery.held -= {7}
    assert not mastery.holds(7)
    with pytest.raises(NotLeader):
        mastery.check_shard(7)
