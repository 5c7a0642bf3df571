"""Several operators over one hub and its members, and a witness that sees every write of each, wherever it goes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import partial

from sluice.adapters.silent import SilentNotifier
from sluice.api.names import Kind
from sluice.decide.sharding import Shards
from sluice.engine.engine import Engine
from sluice.engine.fence import WorkKey
from sluice.engine.members import Members
from sluice.engine.site import MIRRORED, Headquarters
from sluice.ports import Cluster, Leadership
from sluice.sim.cluster import Call, FakeCluster
from sluice.sim.fleet import FleetWorld
from sluice.sim.members import FakeMember, MemberConnection
from sluice.sim.operator import FakeAudit
from sluice.sim.stage import SYSTEM
from sluice.wiring import Branch, Outlets, build_engine
from unit.sharding.fleet import LATENCY_SECONDS, SLOWLY_SECONDS, Crew, Replica

PROBE_SECONDS = 5.0


class _Connection(MemberConnection):
    """A replica's connection to a member: its writes tell whose they are."""

    def __init__(self, member: FakeMember, client: str) -> None:
        super().__init__(member)
        self._client = client

    def cluster(self, leadership: Leadership) -> FakeCluster:
        """Reads and writes."""
        view = super().cluster(leadership)
        view.client, view.latency_seconds = self._client, SLOWLY_SECONDS
        return view


class HubReplica(Replica):
    """One operator that leads fleets, too.

    Args:
        world: with the members.
        name: its identity.
    """

    def __init__(self, world: Hub, name: str, trails_seconds: float = 0.0) -> None:
        super().__init__(world, name, trails_seconds)
        self._world = world
        self._connections: list[MemberConnection] = []
        for member in world.members.values():
            member.cluster.faults.append(self._stall)
        headquarters = Headquarters(
            store=self.engine.store,
            fence=self.fence,
            precedence=self.engine.precedence,
            build_engine=lambda name, cluster, _: self._build_site(name, cluster),
            changed=lambda _, namespace, name: self.engine.look_at_fleets(namespace, name),
            silent=self._look_at,
        )

        self.members = Members(
            self._fenced,
            self._connect_member,
            world.clock,
            fence=self.fence,
            namespace=SYSTEM,
            secrets_problem=lambda: "",
            interval_seconds=PROBE_SECONDS,
        )
        self.members.work(headquarters.open_site, lambda: self.engine.look_at_fleets("", ""))
        self.engine.lead(self.members)
        self.members.replace_secrets(list(world.cluster.store.all(Kind.SECRET, SYSTEM)))
        self.members.replace_members(list(world.cluster.store.all(Kind.MEMBER_CLUSTER)))
        self._watches += [
            world.cluster.subscribe(Kind.SECRET, self.members.take_secret),
            world.cluster.subscribe(Kind.MEMBER_CLUSTER, self.members.take_member),
        ]
        self._looking = asyncio.create_task(self.members.run(), name=f"{name} members")

    def _build_site(self, name: str, cluster: Cluster) -> Engine:
        return build_engine(
            cluster,
            metrics=self._world.metrics,
            outlets=Outlets(SilentNotifier(), FakeAudit(), self.archive),
            fence=self.fence,
            clock=self._world.clock,
            branch=Branch(name, MIRRORED, self.engine.precedence),
        )

    async def _connect_member(self, name: str, text: str) -> MemberConnection:
        del name
        connection = _Connection(self._world.members[text], self.name)
        self._connections.append(connection)
        return connection

    def _look_at(self, name: str) -> None:
        self.members.wake(name)

    def _take_up(self, shards: Shards) -> None:
        super()._take_up(shards)
        self.members.take_up(shards)

    def _give_up(self, shards: Shards) -> None:
        super()._give_up(shards)
        self.members.give_up(shards)

    async def _end(self) -> None:
        for connection in self._connections:
            connection.sever()
        self._looking.cancel()
        await asyncio.gather(self._looking, return_exceptions=True)
        await super()._end()


class Hub(Crew, FleetWorld):
    """A hub, members without pods, any number of replicas, and the witness.

    Attributes:
        writers: who wrote, in which cluster ("" for the hub), to which kind, and how often.
    """

    def __init__(self, *members: str) -> None:
        super().__init__(pods=False)
        self.replicas, self.broken = {}, []
        self.writers: Counter[tuple[str, str, Kind]] = Counter()
        self.cluster.faults.append(partial(self._witness, ""))
        for name in members:
            self.join(name)
            self.members[name].cluster.faults.append(partial(self._witness, name))

    async def begin(self, *names: str) -> None:
        """Start all clusters and replicas, and wait until they share the shards."""
        self.start_controllers()
        for member in self.members.values():
            member.start()
        self.cluster.latency_seconds = LATENCY_SECONDS
        for name in names:
            self.hire(name)
        await self.rest()

    def hire(self, name: str, trails_seconds: float = 0.0) -> HubReplica:
        """Start a replica."""
        made = self.replicas[name] = HubReplica(self, name, trails_seconds)
        return made

    async def wait(self, holds: Callable[[], bool], what: str, seconds: float) -> None:
        """Wait until something holds, in whatever cluster."""
        deadline = self.clock.monotonic() + seconds
        while not holds():
            assert self.clock.monotonic() < deadline, f"waited {seconds:g} s for {what}"
            await asyncio.sleep(0.2)

    def _witness(self, where: str, call: Call) -> None:
        if call.phase != "after" or not call.client or not call.writes or call.kind in (Kind.LEASE, Kind.EVENT):
            return
        self.writers[call.client, where, call.kind] += 1
        whole = (Kind.MEMBER_CLUSTER, Kind.KILL_SWITCH, Kind.CLUSTER_KILL_SWITCH)
        if call.kind in whole:
            key: WorkKey = (call.kind, call.namespace, call.name)
        else:
            app = next(app for app in self._apps if call.name == app or call.name.startswith(f"{app}-"))
            key = (Kind.ROLLOUT, call.namespace, app)
        self.check_write(call, key)
