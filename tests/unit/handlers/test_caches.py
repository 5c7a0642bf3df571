"""Filling the caches and keeping them true: what is asked of the API server, and what a list must not undo."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from sluice.api.names import Kind
from sluice.engine.store import Store
from sluice.engine.watched import WATCHED
from sluice.handlers import caches as caches_module
from sluice.handlers.caches import WATCHED_APART, Caches
from sluice.ports import Obj
from unit.adapters.kube.server import Server, serving


def pod(name: str, version: int) -> Obj:
    """A pod of a Rollout."""
    metadata = {"name": name, "namespace": "shop", "resourceVersion": str(version), "uid": f"uid-{name}"}
    return {
        "metadata": {**metadata, "labels": {"sluice.dev/rollout": "checkout"}},
        "spec": {"containers": [{"x": "y"}]},
    }


class Cluster:
    """An API server's answers: pods, and of everything else nothing. Watches are silent."""

    def __init__(self) -> None:
        self.pods: list[Obj] = []
        self.version = 5
        self.selectors: dict[str, set[str]] = {}
        self.failures = 0
        self._end = asyncio.Event()

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """Answer."""
        plural = request.path.rpartition("/")[2]
        self.selectors.setdefault(plural, set()).add(request.query.get("labelSelector", ""))
        if "watch" in request.query:
            response = web.StreamResponse()
            await response.prepare(request)
            await self._end.wait()
            return response
        if self.failures:
            self.failures -= 1
            return web.json_response({"message": "not yet"}, status=403)
        items = self.pods if plural == "pods" else []
        return web.json_response({"metadata": {"resourceVersion": str(self.version)}, "items": items})

    def end(self) -> None:
        """End the watches."""
        self._end.set()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """A server."""
    async with serving(tmp_path) as made:
        yield made


@pytest.fixture
def cluster(server: Server) -> Cluster:
    """What the server answers with."""
    server.handler = made = Cluster()
    return made


@pytest.fixture
def store() -> Store:
    """Empty caches."""
    return Store()


@pytest.fixture
def caches(server: Server, store: Store, monkeypatch: pytest.MonkeyPatch) -> Caches:
    """What fills them; this process' garbage is left to its collector."""
    monkeypatch.setattr(caches_module, "_spare_the_old", lambda: None)
    return Caches(server.transport, store, heal_seconds=3600)


def known(store: Store) -> set[str]:
    """The pods in the caches."""
    return {obj["metadata"]["name"] for obj in store.all(Kind.POD)}


async def synced(caches: Caches, cluster: Cluster) -> None:
    """Run the watches until their first lists have come."""
    tasks = [asyncio.create_task(informer.run()) for informer in caches.informers]
    async with asyncio.timeout(8.0):
        while caches.problem():  # noqa: ASYNC110 - what it looks at has no event
            await asyncio.sleep(0.002)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    cluster.end()


async def test_everything_is_listed_before_anything_is_decided(caches: Caches, cluster: Cluster) -> None:
    """Until all kinds were listed and the watches apart have begun, it says what is missing."""
    assert caches.problem() == "the caches are not filled yet"
    await caches.fill(WATCHED)
    assert caches.problem().startswith("not watched yet: KillSwitch")
    await synced(caches, cluster)
    assert caches.problem() == ""
    assert len(cluster.selectors) == len(WATCHED)


async def test_of_pods_only_those_with_a_rollouts_label_are_asked_for(
    caches: Caches, cluster: Cluster, store: Store
) -> None:
    """By every list and every watch; and of each no more is kept than is read. Of other kinds all are wanted."""
    cluster.pods = [pod("a", 4)]
    await caches.fill(WATCHED)
    await synced(caches, cluster)
    assert cluster.selectors.pop("pods") == {"sluice.dev/rollout"}
    assert set().union(*cluster.selectors.values()) == {""}
    found = store.get(Kind.POD, "shop", "a")
    assert found is not None
    assert "spec" not in found
    assert Kind.POD in WATCHED_APART


async def test_a_list_heals_what_a_watch_missed(caches: Caches, cluster: Cluster, store: Store) -> None:
    """What is not in it is gone; kinds that a watch of its own tells of are healed too."""
    for name, version in (("a", 3), ("b", 4)):
        store.apply(Kind.POD, "ADDED", pod(name, version))
    cluster.pods = [pod("a", 3)]
    await caches.fill([Kind.POD])
    assert known(store) == {"a"}


async def test_a_late_list_buries_nothing_that_is_newer(caches: Caches, cluster: Cluster, store: Store) -> None:
    """A pod came another way (by a list, by the answer to a write) after the watch's list was made: it is not gone."""
    store.apply(Kind.POD, "ADDED", pod("older", 4))
    store.apply(Kind.POD, "ADDED", pod("newer", 6))
    caches.filled = True
    await synced(caches, cluster)
    assert known(store) == {"newer"}


async def test_a_list_that_fails_is_tried_again(
    caches: Caches, cluster: Cluster, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A right that is granted late, a server that comes back: nothing is decided before."""
    monkeypatch.setattr(caches_module, "RETRY_SECONDS", 0.01)
    cluster.failures = 3
    cluster.pods = [pod("a", 4)]
    await caches.fill([Kind.POD])
    assert (known(store), caches.filled) == ({"a"}, True)
