"""What a watch promises on a real API server: nothing is missed, nothing stays that is gone, and it is quick."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Callable

import pytest

import testbed
from contract.cluster.worlds import PATIENT, World, slot_service
from sluice.adapters.kube.client import AlwaysLeader, KubeCluster
from sluice.adapters.kube.credentials import load_credentials
from sluice.adapters.kube.listing import fetch_list, fetch_served
from sluice.adapters.kube.transport import Transport
from sluice.adapters.kube.watch import Informer
from sluice.api.names import Kind
from sluice.ports import Obj

pytestmark = pytest.mark.cluster
DEADLINE_SECONDS = 60.0


async def until(condition: Callable[[], bool], what: str, seconds: float = DEADLINE_SECONDS) -> None:
    """Wait for a condition."""
    began_at = time.monotonic()
    while not condition():
        assert time.monotonic() - began_at < seconds, f"not within {seconds}s: {what}"
        await asyncio.sleep(0.002)


class Mirror:
    """A cache fed by one informer."""

    def __init__(self, transport: Transport, namespace: str) -> None:
        self.objects: dict[str, Obj] = {}
        self.lists = 0
        self.seen_at: dict[str, float] = {}
        self.informer = Informer(transport, Kind.SERVICE, self._event, self._list, namespace=namespace)
        self._task = asyncio.create_task(self.informer.run())

    async def stop(self) -> None:
        """End the watch."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def _event(self, kind: str, obj: Obj) -> None:
        name = obj["metadata"]["name"]
        self.seen_at[name] = time.monotonic()
        if kind == "DELETED":
            self.objects.pop(name, None)
        else:
            self.objects[name] = obj

    def _list(self, objects: list[Obj]) -> None:
        self.lists += 1
        self.objects = {obj["metadata"]["name"]: obj for obj in objects}


@pytest.fixture
async def mirror(world: World) -> AsyncIterator[Mirror]:
    """A synced cache of the namespace's Services."""
    assert world.transport is not None
    await world.cluster.create(Kind.SERVICE, world.namespace, slot_service("before", "x"))
    made = Mirror(world.transport, world.namespace)
    await until(lambda: made.informer.synced, "the first list")
    yield made
    await made.stop()


async def test_the_list_comes_first_then_each_change(world: World, mirror: Mirror) -> None:
    """What was there is listed; what is made, changed and deleted afterwards is told."""
    assert set(mirror.objects) == {"before"}
    made = await world.cluster.create(Kind.SERVICE, world.namespace, slot_service("after", "x"))
    await until(lambda: set(mirror.objects) == {"before", "after"}, "the new object")
    label = {"metadata": {"labels": {"a": "1"}}}
    await world.cluster.patch_merge(Kind.SERVICE, world.namespace, "after", label)
    await until(lambda: mirror.objects["after"]["metadata"].get("labels") == {"a": "1"}, "the change")
    await world.cluster.delete(Kind.SERVICE, world.namespace, "after", uid=made["metadata"]["uid"])
    await until(lambda: set(mirror.objects) == {"before"}, "the deletion")
    assert mirror.lists == 1
    assert mirror.objects["before"]["kind"] == "Service"


async def test_it_is_quick(world: World, mirror: Mirror) -> None:
    """An event is in the cache about as soon as the write is answered: nothing polls, gathers or waits on the way."""
    writes: list[float] = []
    delays: list[float] = []
    for number in range(30):
        name = f"quick-{number}"
        sent_at = time.monotonic()
        await world.cluster.create(Kind.SERVICE, world.namespace, slot_service(name, "x"))
        answered_at = time.monotonic()
        await until(lambda name=name: name in mirror.seen_at, "the event")  # type: ignore[misc]  # bound at once
        writes.append(answered_at - sent_at)
        delays.append(mirror.seen_at[name] - answered_at)
    # The writes tell how quick this machine is now.
    assert statistics.median(delays) < statistics.median(writes)


async def test_an_outage_heals_by_itself(hub: testbed.Cluster) -> None:
    """The API server goes away and comes back: the problem is told, and what is made afterwards comes."""
    own = testbed.Cluster.start("watched", controllers=False)
    async with Transport(load_credentials(str(own.kubeconfig)), timeouts=PATIENT) as transport:
        cluster = KubeCluster(transport, AlwaysLeader())
        await cluster.create(Kind.SERVICE, "default", slot_service("stays", "x"))
        mirror = Mirror(transport, "default")
        await until(lambda: mirror.informer.synced, "the first list")
        own.stop_apiserver()
        await until(lambda: bool(mirror.informer.problem), "the outage to be told")
        await asyncio.to_thread(own.start_apiserver)
        await cluster.create(Kind.SERVICE, "default", slot_service("new", "x"))
        await until(lambda: {"stays", "new"} <= set(mirror.objects), "the new object")
        await until(lambda: mirror.informer.problem == "", "all to be well")
        await mirror.stop()
    own.stop()


async def test_lists_come_in_pages(world: World) -> None:
    """More objects than one page holds are all there, once each."""
    assert world.transport is not None
    bodies = [slot_service(f"many-{number:03}", "x") for number in range(520)]
    for body in bodies:
        body["spec"]["clusterIP"] = "None"  # headless: takes none of the hub's addresses
    await asyncio.gather(*(world.cluster.create(Kind.SERVICE, world.namespace, body) for body in bodies))
    objects, version = await fetch_list(world.transport, Kind.SERVICE, world.namespace)
    assert len({obj["metadata"]["name"] for obj in objects}) == len(objects) == 520
    assert version


async def test_what_is_served_is_found(world: World) -> None:
    """Discovery tells the kinds that the server has from those it has not."""
    assert world.transport is not None
    kinds = frozenset({Kind.SERVICE, Kind.LEASE, Kind.HTTP_ROUTE, Kind.ENDPOINT_SLICE})
    assert await fetch_served(world.transport, kinds) == kinds
