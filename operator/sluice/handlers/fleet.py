"""Member clusters and their Secrets, watched apart from everything else: what goes on there is in nobody's way."""

from __future__ import annotations

import asyncio
from functools import partial

from sluice.adapters.kube.member import connect_member
from sluice.adapters.kube.transport import Transport
from sluice.adapters.kube.watch import Informer
from sluice.adapters.metrics.at import AtAddress
from sluice.api.names import MEMBER_LABEL, Kind
from sluice.decide.sharding import Shards
from sluice.engine.engine import Engine
from sluice.engine.fence import Fence
from sluice.engine.members import Members
from sluice.engine.precedence import Precedence
from sluice.engine.site import MIRRORED, Headquarters
from sluice.handlers.inventory import Discovery
from sluice.ports import Clock, Cluster, MetricProvider, Obj
from sluice.settings import Settings
from sluice.wiring import Branch, Outlets, build_engine


class Fleet:
    """The members, and what keeps them told.

    A hub without the MemberCluster CRD, or an operator without the right to these Secrets, is as good as before without
    members: the watches try again, and say why in `problem`.

    Args:
        transport: to the hub.
        cluster: the hub.
        clock: the time.
        settings: the operator's.
        engine: the hub's, which leads Rollouts over fleets.
        metrics: answers queries, where a member has no Prometheus of its own.
        fence: asked before each write, in the hub and in members.
        outlets: where their engines tell of what they do.

    Attributes:
        members: every replica looks at all of them, so that it can take over from any other at once.
        informers: whoever owns this runs them.
    """

    def __init__(  # noqa: PLR0913 - it is put together of that many parts
        self,
        transport: Transport,
        cluster: Cluster,
        clock: Clock,
        settings: Settings,
        *,
        engine: Engine,
        metrics: MetricProvider,
        fence: Fence,
        outlets: Outlets,
    ) -> None:
        self._outlets = outlets
        self._clock = clock
        self._metrics = metrics
        self._fence = fence
        headquarters = Headquarters(
            store=engine.store,
            fence=fence,
            precedence=engine.precedence,
            build_engine=partial(self._build_engine, engine.precedence),
            changed=lambda _, place, name: engine.look_at_fleets(place, name),
            silent=self._silent,
        )

        self.members = Members(
            cluster,
            connect_member,
            clock,
            fence=fence,
            namespace=settings.namespace,
            secrets_problem=self._secrets_problem,
            interval_seconds=settings.member_probe_seconds,
        )
        self.members.work(headquarters.open_site, lambda: engine.look_at_fleets("", ""))
        engine.lead(self.members)
        self._discovery: Discovery | None = None
        if settings.cluster_profiles:
            self._discovery = Discovery(
                transport,
                cluster,
                clock,
                settings,
                fence=fence,
                namespace=settings.cluster_profiles,
                members=self.members,
            )
        self._clusters = Informer(transport, Kind.MEMBER_CLUSTER, self._take_member, self._replace_members)
        self._secrets = Informer(
            transport,
            Kind.SECRET,
            self.members.take_secret,
            self.members.replace_secrets,
            namespace=settings.namespace,
            selectors={"labelSelector": MEMBER_LABEL},
        )
        self.informers = (
            self._clusters,
            self._secrets,
            *(self._discovery.informers if self._discovery is not None else ()),
        )

    async def run(self) -> None:
        """Look after the members, and make those that are discovered, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.members.run())
            if self._discovery is not None:
                group.create_task(self._discovery.profiles.run())

    def take_up(self, shards: Shards) -> None:
        """Act for what is in these shards, wherever it is."""
        self.members.take_up(shards)
        if self._discovery is not None:
            self._discovery.profiles.take_up()

    def give_up(self, shards: Shards) -> None:
        """Leave what is in these shards to another process."""
        self.members.give_up(shards)

    def _take_member(self, event: str, obj: Obj) -> None:
        self.members.take_member(event, obj)
        if self._discovery is not None:
            self._discovery.profiles.take_member(event, obj)

    def _replace_members(self, objects: list[Obj]) -> None:
        if self._discovery is not None:
            self._discovery.profiles.replace_members(objects)
        self.members.replace_members(objects)

    def _build_engine(self, precedence: Precedence, name: str, cluster: Cluster, prometheus: str) -> Engine:
        return build_engine(
            cluster,
            metrics=AtAddress(self._metrics, prometheus) if prometheus else self._metrics,
            outlets=self._outlets,
            fence=self._fence,
            clock=self._clock,
            branch=Branch(name, MIRRORED, precedence),
        )

    def _silent(self, name: str) -> None:
        self.members.wake(name)

    def _secrets_problem(self) -> str:
        if self._secrets.synced:
            return ""
        return self._secrets.problem or "they were not listed yet"
