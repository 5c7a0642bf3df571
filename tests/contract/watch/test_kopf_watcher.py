"""What the hub's watcher promises on a real API server: it tells everything, writes nothing, and says when it ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import pytest

from contract.cluster.worlds import World, route, slot_service
from sluice.adapters.kube.credentials import load_credentials
from sluice.api.names import Kind
from sluice.handlers.watcher import KopfWatcher, WatcherSettings
from sluice.ports import Obj

pytestmark = pytest.mark.cluster
KUBERNETES = {"endpoint-controller", "endpoint-slice-controller"}  # say so where a write of theirs is a conflict
KINDS = frozenset({Kind.SERVICE, Kind.HTTP_ROUTE, Kind.NAMESPACE, Kind.SECRET})


async def until(condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Wait for a condition."""
    began_at = time.monotonic()
    while not condition():
        assert time.monotonic() - began_at < seconds, f"not within {seconds}s: {what}"
        await asyncio.sleep(0.01)


class Listener:
    """Keeps what the watcher tells."""

    def __init__(self, world: World) -> None:
        assert world.hub is not None
        self.events: list[tuple[Kind, str | None, Obj]] = []
        self.died: list[str] = []
        self.watcher = KopfWatcher(
            WatcherSettings(namespaces=(world.namespace,)),
            load_credentials(str(world.hub.kubeconfig)),
            KINDS,
            lambda kind, event, obj: self.events.append((kind, event, obj)),
            self.died.append,
        )

    def about(self, kind: Kind, name: str) -> list[tuple[str | None, Obj]]:
        """The events about one object, oldest first, with the object as each told it."""
        return [(event, obj) for known, event, obj in self.events if known is kind and obj["metadata"]["name"] == name]

    def told(self, kind: Kind, name: str) -> list[str | None]:
        """The types of the events about one object."""
        return [event for event, _ in self.about(kind, name)]


@pytest.fixture
async def listener(world: World) -> AsyncIterator[Listener]:
    """A running watcher of the test's namespace, in which there is a Service and a route `before`."""
    await world.cluster.create(Kind.SERVICE, world.namespace, slot_service("before", "x"))
    await world.cluster.create(Kind.HTTP_ROUTE, world.namespace, route(Kind.HTTP_ROUTE, "before"))
    made = Listener(world)
    made.watcher.start()
    for kind in (Kind.SERVICE, Kind.HTTP_ROUTE):  # each kind has a watch of its own, which begins when it begins
        await until(lambda kind=kind: bool(made.told(kind, "before")), f"the first list of {kind}")  # type: ignore[misc]
    yield made
    await made.watcher.stop()


async def test_everything_is_told(world: World, listener: Listener) -> None:
    """Objects of all kinds come with the list or as events, whole, and the deletion comes too."""
    assert set(listener.told(Kind.SERVICE, "before")) == {None}
    made = await world.cluster.create(Kind.HTTP_ROUTE, world.namespace, route(Kind.HTTP_ROUTE))
    await until(lambda: "ADDED" in listener.told(Kind.HTTP_ROUTE, "checkout"), "the route")
    told = next(obj for event, obj in listener.about(Kind.HTTP_ROUTE, "checkout") if event == "ADDED")
    assert told["spec"] == made["spec"]
    assert told["kind"] == "HTTPRoute"
    await world.cluster.delete(Kind.HTTP_ROUTE, world.namespace, "checkout", uid=made["metadata"]["uid"])
    await until(lambda: "DELETED" in listener.told(Kind.HTTP_ROUTE, "checkout"), "the deletion")
    assert Kind.SECRET not in listener.watcher.kinds
    assert listener.watcher.is_alive
    assert listener.watcher.last_event_at > 0


async def test_nothing_is_written(world: World, listener: Listener) -> None:
    """No annotation, no finalizer, no new version: the watched objects stay as they were."""
    made = await world.cluster.create(Kind.HTTP_ROUTE, world.namespace, route(Kind.HTTP_ROUTE))
    await until(lambda: bool(listener.told(Kind.HTTP_ROUTE, "checkout")), "the route")
    await listener.watcher.stop()
    assert await world.cluster.get(Kind.HTTP_ROUTE, world.namespace, "checkout") == made
    events = await world.cluster.list(Kind.EVENT, world.namespace)
    assert [event for event in events if event["source"].get("component") not in KUBERNETES] == []


async def test_stopping_waits_for_nothing_and_is_no_death(world: World, listener: Listener) -> None:
    """The watcher ends when it is told to, not when its watches do, and that is not reported as a failure."""
    await listener.watcher.stop(timeout_seconds=WatcherSettings().idle_seconds / 2)
    assert not listener.watcher.is_alive
    assert listener.died == []
