"""Caches that a test fills by hand, with the observer over them."""

from __future__ import annotations

from typing import Any

from sluice.api.names import OWNER_ANNOTATION, Kind
from sluice.decide.model import Observed
from sluice.engine.index import Index
from sluice.engine.measure import Inbox
from sluice.engine.observe import Observer
from sluice.engine.store import Store
from sluice.engine.switchboard import SwitchBoard
from sluice.ports import Obj
from sluice.sim import manifests
from sluice.sim.clock import VirtualClock
from sluice.sim.cluster import FakeCluster
from sluice.wiring import routers_over
from unit.engine.objects import obj, rollout


class Caches:
    """A store with the observer over it."""

    def __init__(self) -> None:
        self.store = Store()
        clock = VirtualClock()
        index, board = Index(self.store), SwitchBoard(self.store, clock.now)
        self.observer = Observer(self.store, index, board, routers_over(self.store, FakeCluster(clock)), Inbox())
        self.version = 0

    def put(self, kind: Kind, body: Obj) -> Obj:
        """Cache an object, as its newest version."""
        self.version += 1
        body["metadata"].setdefault("uid", f"uid-{body['metadata']['name']}")
        body["metadata"]["resourceVersion"] = str(self.version)
        self.store.apply(kind, "MODIFIED", body)
        return body

    def route(self, name: str, green: int, *, owner: str = "", app: str = "checkout") -> None:
        """A route over an app's Services."""
        body = manifests.route("shop", app)
        body["metadata"] |= {"name": name, "annotations": {OWNER_ANNOTATION: owner} if owner else {}}
        for backend, weight in zip(body["spec"]["rules"][0]["backendRefs"], (100 - green, green), strict=True):
            backend["weight"] = weight
        self.put(Kind.HTTP_ROUTE, body)

    def rollout(self, seen: Observed | None = None, *, route: str = "checkout", **metadata: Any) -> Obj:
        """The Rollout `checkout`, with the status and runs of a situation of the core's."""
        body = rollout("checkout", 1, route=route, uid="uid-checkout")
        body["metadata"] |= {"creationTimestamp": "2026-03-02T09:00:00Z", **metadata}
        if seen is not None:
            body["status"] = seen.status.dump()
            for run in seen.runs:
                stored = obj(run.name, 1, spec=run.spec.dump(), status=run.status.dump())
                self.put(Kind.ROLLOUT_RUN, stored)
        return self.put(Kind.ROLLOUT, body)

    def see(self) -> Observed:
        """What is observed of it."""
        found = self.store.get(Kind.ROLLOUT, "shop", "checkout")
        assert found is not None
        return self.observer.observe(found)
