"""One member cluster at work: its caches, its engine, and the orders that are on their way to it.

Its engine is the hub's own, over other caches: what holds of a Rollout in the hub holds of its part in a member. The
hub's switches, templates and namespaces are mirrored into the caches, so that a kill reaches the member's routes by the
same short way. Nothing here waits for another member, but that passes give way to kills that are being written there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from sluice.api.names import HUB_ANNOTATION, ROLLOUT_LABEL, Kind
from sluice.decide.metadata import annotation_of, labels_of
from sluice.decide.sharding import Shards
from sluice.engine.courier import Courier, Order
from sluice.engine.engine import Engine
from sluice.engine.fence import Fence
from sluice.engine.observe import Moves
from sluice.engine.precedence import Precedence
from sluice.engine.sites import hub_of
from sluice.engine.slim import slim
from sluice.engine.store import Key, Obj, Store, key_of
from sluice.engine.yielding import Yielding
from sluice.errors import SluiceError
from sluice.ports import Cluster, Member, Watch

_log = logging.getLogger(__name__)
MIRRORED = frozenset(
    {
        Kind.KILL_SWITCH,
        Kind.CLUSTER_KILL_SWITCH,
        Kind.ANALYSIS_TEMPLATE,
        Kind.CLUSTER_ANALYSIS_TEMPLATE,
        Kind.NAMESPACE,
    }
)
FOLLOWED = frozenset(
    {
        Kind.ROLLOUT,
        Kind.ROLLOUT_RUN,
        Kind.SERVICE,
        Kind.ENDPOINT_SLICE,
        Kind.HTTP_ROUTE,
        Kind.GRPC_ROUTE,
        Kind.DEPLOYMENT,
        Kind.POD,
        Kind.POD_DISRUPTION_BUDGET,
    }
)
_SELECTORS: Mapping[Kind, Mapping[str, str]] = {Kind.POD: {"labelSelector": ROLLOUT_LABEL}}
RETRY_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Headquarters:
    """What all sites share.

    Attributes:
        store: the hub's caches.
        fence: asked before every write: what a Rollout's shard owns in the hub, it owns in members.
        precedence: of kills, in the hub and in all members.
        build_engine: an engine over a member: by its name, its API, and the address of its Prometheus ("" for none).
        changed: told the name of the site, and namespace and name of a Rollout whose part there changed.
        silent: told the name of a site whose watches were interrupted: it may be away.
    """

    store: Store
    fence: Fence
    precedence: Precedence
    build_engine: Callable[[str, Cluster, str], Engine]
    changed: Callable[[str, str, str], None]
    silent: Callable[[str], None]

    def open_site(self, name: str, connection: Member, prometheus: str) -> Site:
        """Begin to work in a member; `Members` runs it."""
        return Site(name, connection, self, prometheus)


class Site:
    """Works in one member from the moment it is connected until it is cancelled.

    Args:
        name: of the MemberCluster.
        connection: to its API server.
        headquarters: what it shares with others.
        prometheus: address of the member's own; "" for none.

    Attributes:
        store: what is known of the member.
        ready: whether its caches were filled, so that what is not in them is not there.
    """

    def __init__(self, name: str, connection: Member, headquarters: Headquarters, prometheus: str) -> None:
        self.name = name
        self.ready = False
        self._connection = connection
        self._headquarters = headquarters
        cluster = Yielding(connection.cluster(headquarters.fence), headquarters.precedence)
        self._engine = headquarters.build_engine(name, cluster, prometheus)
        self.store = self._engine.store
        self._hub = ""
        self._foreign: dict[Key, str] = {}  # what another hub leads, by whose it is: our engine never gets to see it
        self._courier = Courier(
            name,
            cluster,
            self.store,
            headquarters.fence,
            precedence=headquarters.precedence,
            owes_divert=self._engine.owes_divert,
            foreign=self._foreign,
        )
        self.store.listen(self._changed)
        self._missing: set[Kind] = set()
        self._filled = asyncio.Event()

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            try:
                await self._work(await self._connection.fetch_served(FOLLOWED))
            except SluiceError as error:
                _log.warning("a member is not followed yet", extra={"member": self.name, "error": str(error)})
            except Exception:  # noqa: BLE001 - a defect that one member brings out must not end the work in it
                _log.exception("the work in a member failed; this is a defect of Sluice", extra={"member": self.name})
            await asyncio.sleep(RETRY_SECONDS)

    async def _work(self, kinds: frozenset[Kind]) -> None:
        self._hub = hub_of(self._headquarters.store)
        self._missing = set(kinds)
        self._filled.clear()
        self._headquarters.store.listen(self._mirror)
        try:
            async with asyncio.TaskGroup() as group:
                for kind in sorted(kinds):
                    group.create_task(self._follow(kind).run())
                await self._filled.wait()
                for kind in MIRRORED:
                    for obj in self._headquarters.store.all(kind):
                        self.store.apply(kind, None, obj)
                self.ready = True
                self._headquarters.changed(self.name, "", "")
                group.create_task(self._engine.run())
                group.create_task(self._courier.run())
        finally:
            self.ready = False
            self._headquarters.store.unlisten(self._mirror)

    def part(self, namespace: str, name: str) -> Obj | None:
        """A Rollout's part there, or None."""
        return self.store.get(Kind.ROLLOUT, namespace, name)

    def moves(self, namespace: str, name: str) -> Moves | None:
        """What a Rollout's part moves there; None where it has none."""
        part = self.part(namespace, name)
        return self._engine.moves_of(part) if part is not None else None

    def know(self, member: Obj) -> None:
        """Take in the newest MemberCluster: its labels say which switches act there."""
        known = self.store.get(Kind.MEMBER_CLUSTER, "", self.name)
        if known is None or labels_of(known) != labels_of(member):
            self.store.apply(Kind.MEMBER_CLUSTER, "MODIFIED", member)
            self._engine.rush()

    def divert(self) -> None:
        """It answers again: before anything else is written there, divert what was to be diverted meanwhile."""
        self._courier.is_back()
        self._engine.divert()

    def catch_up(self) -> None:
        """It was away: look at everything there."""
        self._engine.rush()

    def take_up(self, shards: Shards) -> None:
        """Act there, too, for the Rollouts in these shards from now on."""
        self._engine.take_up(shards)

    def give_up(self, shards: Shards) -> None:
        """Leave them to another process, there as in the hub."""
        self._engine.give_up(shards)
        self._courier.give_up(shards)

    def trouble(self, namespace: str, name: str) -> str:
        """Why the newest order for it is not carried out; "" where nothing is in its way."""
        return self._courier.problem(namespace, name)

    def give(self, namespace: str, name: str, order: Order) -> None:
        """Order something."""
        self._courier.give(namespace, name, order)

    def _follow(self, kind: Kind) -> Watch:
        def changed(event: str, obj: Obj) -> None:
            self.store.apply(kind, "DELETED" if self._is_foreign(kind, event, obj) else event, obj)

        def listed(objects: list[Obj], version: int) -> None:
            # What came another way after the list was made is not in it, and is not gone.
            known = {key: each for key, each in self.store.versions(kind).items() if each <= version}
            if kind is Kind.ROLLOUT:
                for key in self._foreign.keys() - {key_of(obj) for obj in objects}:
                    self._set_free(key)
            self.store.replace(kind, [obj for obj in objects if not self._is_foreign(kind, "ADDED", obj)], known)
            self._missing.discard(kind)
            if not self._missing:
                self._filled.set()

        return self._connection.watch(
            kind,
            changed,
            listed,
            keep=partial(slim, kind),
            selectors=_SELECTORS.get(kind, {}),
            on_problem=lambda: self._headquarters.silent(self.name),
        )

    def _is_foreign(self, kind: Kind, event: str, obj: Obj) -> bool:
        """Take note of whose a Rollout's part is. Two hubs that led one part would undo each other's weights."""
        if kind is not Kind.ROLLOUT:
            return False
        key, whose = key_of(obj), annotation_of(obj, HUB_ANNOTATION)
        if event == "DELETED" or whose == self._hub:
            self._set_free(key)
            return False
        if key not in self._foreign:
            self._headquarters.changed(self.name, *key)
        self._foreign[key] = whose
        return True

    def _set_free(self, key: Key) -> None:
        if self._foreign.pop(key, None) is not None:
            self._courier.look_again(*key)
            self._headquarters.changed(self.name, *key)

    def _mirror(self, kind: Kind, before: Obj | None, after: Obj | None) -> None:
        if kind not in MIRRORED:
            return
        if after is not None:
            self.store.apply(kind, "MODIFIED", after)
        elif before is not None:
            self.store.apply(kind, "DELETED", before)

    def _changed(self, kind: Kind, before: Obj | None, after: Obj | None) -> None:
        if kind is Kind.ROLLOUT:
            metadata = (after or before or {})["metadata"]
            self._headquarters.changed(self.name, metadata["namespace"], metadata["name"])
