"""A world made of copies, in which the operator acts on a few Rollouts."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sluice.adapters.audit.segments import SegmentArchive
from sluice.api.names import FIELD_MANAGER, Kind
from sluice.decide.metadata import mapping, metadata_of
from sluice.engine.fence import Fence, WorkKey
from sluice.engine.store import key_of
from sluice.ports import Mastery, MetricProvider, Obj
from sluice.sim.clock import VirtualClock
from sluice.sim.cluster import FakeCluster
from sluice.sim.gateway import FakeGateway
from sluice.sim.operator import Engine, FakeMastery
from sluice.sim.stage import SYSTEM, Stage
from sluice.sim.store import Change
from sluice.wiring import Outlets, build_engine

Copy = tuple[Kind, Obj]
_TOLD = frozenset({Kind.ROLLOUT_RUN, Kind.HTTP_ROUTE, Kind.GRPC_ROUTE, Kind.SERVICE, Kind.DEPLOYMENT})


class _OwnFence(Fence):
    """Of the Rollouts this process has only some; the others stay as they were copied."""

    def __init__(self, mastery: Mastery, own: frozenset[WorkKey]) -> None:
        super().__init__(mastery)
        self._own = own

    def holds(self, key: WorkKey) -> bool:
        """Whether it is one of them, or no Rollout."""
        return (key[0] is not Kind.ROLLOUT or key in self._own) and super().holds(key)


class _ObligingGateway(FakeGateway):
    """Accepts what is written in this world. What a copied route says of itself stays."""

    def __init__(self, cluster: FakeCluster, clock: VirtualClock) -> None:
        super().__init__(cluster, clock)
        self._copied: dict[tuple[Kind, str, str], int] = {}

    def leave(self, kind: Kind, route: Obj) -> None:
        """Take a route as it is."""
        self._copied[(kind, *key_of(route))] = metadata_of(route).get("generation", 0)

    def _translated(self, route: Obj) -> bool:
        generation = metadata_of(route).get("generation", 0)
        return self._copied.get((Kind(route["kind"]), *key_of(route))) == generation or super()._translated(route)


class Rehearsal(Stage):
    """A stage with copies instead of apps.

    Args:
        copies: what is there.
        own: the Rollouts that the operator acts on.
        metrics: who is asked.
        starts_at: the time when it begins.

    Attributes:
        writes: of runs and of what serves, what the operator wrote since it was started, in order.
    """

    def __init__(
        self, copies: Iterable[Copy], *, own: Iterable[tuple[str, str]], metrics: MetricProvider, starts_at: datetime
    ) -> None:
        super().__init__(namespace=SYSTEM, build=self._build_own, starts_at=starts_at)
        self._own = frozenset((Kind.ROLLOUT, *key) for key in own)
        self._provider = metrics
        self.writes: list[Change] = []
        self.gateway: _ObligingGateway = _ObligingGateway(self.cluster, self.clock)
        for kind, obj in copies:
            self.put(kind, obj)
        self.cluster.on_change.append(self._note)

    def _build_own(self, cluster: FakeCluster, mastery: FakeMastery) -> Engine:
        return build_engine(
            cluster,
            metrics=self._provider,
            outlets=Outlets(self.notifier, self.audit, SegmentArchive(cluster, SYSTEM)),
            fence=_OwnFence(mastery, self._own),
            clock=self.clock,
        )

    def put(self, kind: Kind, obj: Obj) -> None:
        """Have an object as it is on another server."""
        stored = self.cluster.store.restore(kind, obj)
        if kind in {Kind.HTTP_ROUTE, Kind.GRPC_ROUTE} and mapping(obj.get("status")).get("parents"):
            self.gateway.leave(kind, stored)

    def _note(self, change: Change) -> None:
        if change.manager == FIELD_MANAGER and change.kind in _TOLD and self.operator.running:
            self.writes.append(change)

    def rollout(self, namespace: str, name: str) -> Obj:
        """A Rollout as it is now."""
        return self.cluster.store.get(Kind.ROLLOUT, namespace, name)
