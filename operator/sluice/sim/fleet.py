"""A hub and its members in memory: the real engine leads Rollouts over them, through the real engines of its sites."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from sluice.adapters.audit.segments import SegmentArchive
from sluice.adapters.silent import SilentNotifier
from sluice.api.names import MEMBER_LABEL, ROLLOUT_LABEL, Kind, Slot
from sluice.api.rollout import RolloutStatus
from sluice.decide.model import GROWING_VERBS
from sluice.engine.engine import Engine
from sluice.engine.fence import Fence
from sluice.engine.members import Members
from sluice.engine.precedence import Precedence
from sluice.engine.site import MIRRORED, Headquarters
from sluice.ports import Cluster, Obj
from sluice.sim import manifests
from sluice.sim.clock import VirtualClock
from sluice.sim.cluster import FakeCluster
from sluice.sim.hub import Hub
from sluice.sim.members import FakeMember, MemberConnection
from sluice.sim.operator import FakeMastery
from sluice.sim.stage import NAMESPACE, SYSTEM
from sluice.sim.traffic import weights_of
from sluice.sim.world import STABLE_VERSION, World
from sluice.wiring import Branch, Outlets, build_engine

PROBE_SECONDS = 5.0


class FleetWorld(World):
    """A world whose operator leads a fleet. What a World does with apps happens in the hub; a fleet's are in members.

    Args:
        namespace: of the apps, in the hub and in each member.
        pods: whether members run Deployments and Pods; without, they are cheap enough for a thousand.
        probe_seconds: between two probes of a member that answers.

    Attributes:
        members: by name, those that left included.
    """

    def __init__(self, *, namespace: str = NAMESPACE, pods: bool = True, probe_seconds: float = PROBE_SECONDS) -> None:
        super().__init__(namespace=namespace)
        self.members: dict[str, FakeMember] = {}
        self._pods = pods
        self._probe_seconds = probe_seconds
        self._apps: dict[str, Obj] = {}
        self._connections: list[MemberConnection] = []
        self._started = False
        self.cluster.seed(Kind.NAMESPACE, {"metadata": {"name": "kube-system"}})
        self.operator.on_sever.append(self._sever)

    # ------------------------------------------------------------------------------------------ the operator

    def _build(self, cluster: FakeCluster, mastery: FakeMastery) -> Hub:
        fence, archive = Fence(mastery), SegmentArchive(cluster, SYSTEM)
        engine = build_engine(
            cluster,
            metrics=self.metrics,
            outlets=Outlets(self.notifier, self.audit, archive, self.signer),
            fence=fence,
            clock=self.clock,
        )
        hub = Hub(cluster, engine, SYSTEM)
        headquarters = Headquarters(
            store=engine.store,
            fence=fence,
            precedence=engine.precedence,
            build_engine=lambda name, member, _: self._build_site(name, member, fence, engine.precedence, archive),
            changed=lambda _, namespace, name: engine.look_at_fleets(namespace, name),
            silent=hub.wake,
        )

        hub.members = Members(
            cluster,
            self._connect,
            self.clock,
            fence=fence,
            namespace=SYSTEM,
            secrets_problem=hub.secrets_problem,
            interval_seconds=self._probe_seconds,
        )
        hub.members.work(headquarters.open_site, lambda: engine.look_at_fleets("", ""))
        engine.lead(hub.members)
        self.operator.on_sever.append(hub.sever)
        return hub

    def _build_site(
        self, name: str, cluster: Cluster, fence: Fence, precedence: Precedence, archive: SegmentArchive
    ) -> Engine:
        return build_engine(
            cluster,
            metrics=self.metrics,
            outlets=Outlets(SilentNotifier(), self.audit, archive, self.signer),
            fence=fence,
            clock=self.clock,
            branch=Branch(name, MIRRORED, precedence),
        )

    async def _connect(self, name: str, text: str) -> MemberConnection:
        del name
        connection = MemberConnection(self.members[text])
        self._connections.append(connection)
        return connection

    def _sever(self) -> None:
        for connection in self._connections:
            connection.sever()
        self._connections.clear()

    # ------------------------------------------------------------------------------------------ members

    def join_again(self, name: str, cluster: str) -> None:
        """Register a member's cluster once more, under another name."""
        self._register(name, cluster, 1, {})

    def join(self, name: str, *, weight: int = 1, ahead: timedelta = timedelta(0), **labels: str) -> FakeMember:
        """Register a member, with all apps of the fleet, or one that had left; its clock is `ahead` of the hub's."""
        if name not in self.members:
            clock = VirtualClock(self.clock.start + ahead)
            self.members[name] = FakeMember(name, clock, namespace=self.namespace, pods=self._pods)
            self.operator.count_writes(self.members[name].cluster)
            for app in self._apps:
                self._furnish(self.members[name], app)
            if self._started:
                self.members[name].start()
        self._register(name, name, weight, labels)
        return self.members[name]

    def _register(self, name: str, cluster: str, weight: int, labels: dict[str, str]) -> None:
        if self.people.store.peek(Kind.SECRET, SYSTEM, name) is None:
            data = {"kubeconfig": base64.b64encode(cluster.encode()).decode()}
            meta = {"name": name, "namespace": SYSTEM, "labels": {MEMBER_LABEL: name}}
            self.people.seed(Kind.SECRET, {"metadata": meta, "data": data})
        spec = {"kubeconfigSecretRef": {"name": name}, "weight": weight}
        self.people.seed(Kind.MEMBER_CLUSTER, {"metadata": {"name": name, "labels": labels}, "spec": spec})

    async def leave(self, name: str) -> None:
        """Unregister a member."""
        found = self.cluster.store.get(Kind.MEMBER_CLUSTER, "", name)
        await self.people.delete(Kind.MEMBER_CLUSTER, "", name, uid=found["metadata"]["uid"])

    async def start(self, *, settle_seconds: float = 5.0) -> None:
        """Start all clusters and the operator, and let them settle."""
        self._started = True
        for member in self.members.values():
            member.start()
        await super().start(settle_seconds=settle_seconds)

    # ------------------------------------------------------------------------------------------ apps

    def fleet_app(self, app: str, batches: Iterable[Obj], strategy: Obj, **fields: Any) -> None:
        """Prepare an app in every member: its route, and without pods its Services. See `install_fleet`."""
        fleet = {"batches": list(batches), **fields.pop("fleet", {})}
        if self._pods:
            workload: Obj = {"template": manifests.pod_template(app, f"{app}:{STABLE_VERSION}"), "replicas": 1}
        else:
            services = {str(slot): manifests.slot_service(app, slot) for slot in Slot}
            workload = {"services": services, "active": str(Slot.BLUE), "version": STABLE_VERSION}
        workload |= fields.pop("workload", {})
        body = manifests.managed_rollout(self.namespace, app, strategy, workload, fleet=fleet, **fields)
        self._apps[app] = body
        for member in self.members.values():
            self._furnish(member, app)

    def _furnish(self, member: FakeMember, app: str) -> None:
        member.cluster.seed(Kind.HTTP_ROUTE, manifests.route(self.namespace, app))
        if self._pods:
            return
        for slot in Slot:
            name, labels = manifests.slot_service(app, slot), manifests.slot_labels(app, slot)
            member.cluster.seed(Kind.SERVICE, manifests.service(self.namespace, name, labels))
            member.endpoints.run_pods(self.namespace, name, labels, ready=1)

    async def create_fleet(self, app: str) -> None:
        """Create the Rollout."""
        await self.people.create(Kind.ROLLOUT, self.namespace, self._apps[app])

    async def install_fleet(self, app: str, *, timeout_seconds: float = 600.0) -> None:
        """Create the Rollout, and wait until it is Healthy."""
        await self.create_fleet(app)
        await self.until_phase(app, "Healthy", timeout_seconds=timeout_seconds)

    async def release_fleet(self, app: str, version: str, slot: Slot = Slot.GREEN) -> None:
        """Ask for another version (without pods: in that slot)."""
        if self._pods:
            replace = {"/spec/workload/template/spec/containers/0/image": f"{app}:{version}"}
            await self.write(Kind.ROLLOUT, app, replace=replace)
        else:
            await self.spec(app, {"workload": {"active": str(slot), "version": version}})

    async def act(
        self, app: str, verb: str, *, revision: int | None = None, actor: str = "bob", reason: str = "", **fields: Any
    ) -> str:
        """Create a RolloutAction; what lets more through names the fleet's current revision. Returns its name."""
        fleet = self.status(app).fleet
        if revision is None and verb in GROWING_VERBS and fleet is not None and fleet.revision is not None:
            revision = fleet.revision.number
        return await super().act(app, verb, revision=revision, actor=actor, reason=reason, **fields)

    # ------------------------------------------------------------------------------------------ what is seen

    def part(self, name: str, app: str) -> RolloutStatus:
        """What a member says of an app; empty where it has no part."""
        found = self.members[name].cluster.store.peek(Kind.ROLLOUT, self.namespace, app)
        return RolloutStatus.parse((found or {}).get("status", {}), f"MemberRollout {app} in {name}")

    def share(self, name: str, app: str, slot: Slot = Slot.GREEN) -> int:
        """A slot's share on a member's route, in basis points."""
        route = self.members[name].cluster.store.get(Kind.HTTP_ROUTE, self.namespace, app)
        weights = weights_of(route)
        return round(weights[manifests.slot_service(app, slot)] * 10_000 / max(1, sum(weights.values())))

    def fleet_runs(self, app: str) -> list[Obj]:
        """The FleetRuns of an app, oldest first."""
        runs = [
            run
            for run in self.cluster.store.all(Kind.FLEET_RUN, self.namespace)
            if run["metadata"].get("labels", {}).get(ROLLOUT_LABEL) == app
        ]
        return sorted(runs, key=lambda run: int(run["spec"]["revision"]))

    async def settle(self, seconds: float = 60.0) -> None:
        """Let time pass."""
        await asyncio.sleep(seconds)
