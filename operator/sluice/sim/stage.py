"""A world without its people: a cluster and its controllers, Prometheus, requests, the operator, and what is seen.

The operator is the real engine over the real core; it can be crashed and started again at any moment. All waiting is
virtual (`clock.run`), so that a rollout of two weeks takes a moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from sluice.adapters.audit.segments import SegmentArchive
from sluice.api.action import RolloutActionStatus
from sluice.api.names import Kind, Slot
from sluice.api.rollout import RolloutStatus
from sluice.api.units import BasisPoints
from sluice.engine.fence import Fence
from sluice.ports import AuditSigner
from sluice.sim import manifests
from sluice.sim.budgets import FakeBudgets
from sluice.sim.clock import START, VirtualClock
from sluice.sim.cluster import FakeCluster
from sluice.sim.deployments import FakeDeployments
from sluice.sim.gateway import FakeEndpoints, FakeGateway
from sluice.sim.kubelet import FakeKubelet
from sluice.sim.metrics import FakeMetrics, constant
from sluice.sim.operator import Build, Engine, FakeAudit, FakeMastery, FakeNotifier, Operator
from sluice.sim.traffic import Traffic, weights_of
from sluice.wiring import Outlets, build_engine

NAMESPACE = "shop"
SYSTEM = "sluice-system"


class Stage:
    """Everything an operator lives among. `start` it in a virtual loop.

    Attributes:
        people: the cluster as those write it who are not Sluice.
        signer: signs the audit, of an operator that starts from now on; None for nobody.
        metrics: Prometheus; says 0 to everything until scripted.
        traffic: the requests to each app, by its name.
        versions: of pods that are no objects, by group.
        error_ratios: by version, the share of simulated requests that fail; the traffic's, not Prometheus's.
    """

    def __init__(self, *, namespace: str = NAMESPACE, build: Build | None = None, starts_at: datetime = START) -> None:
        self.namespace = namespace
        self.clock = VirtualClock(starts_at)
        self.cluster = FakeCluster(self.clock, namespaces=tuple(dict.fromkeys((namespace, SYSTEM))))
        self.people = self.cluster.as_manager("kubectl")
        self.gateway = FakeGateway(self.cluster, self.clock)
        self.endpoints = FakeEndpoints(self.cluster)
        self.kubelet = FakeKubelet(self.cluster, self.clock)
        self.deployments = FakeDeployments(self.cluster, self.clock)
        self.budgets = FakeBudgets(self.cluster)
        self.metrics = FakeMetrics(self.clock, constant(0.0))
        self.notifier = FakeNotifier(self.clock)
        self.audit = FakeAudit()
        self.signer: AuditSigner | None = None
        self.operator = Operator(self.cluster, build or self._build)
        self.versions: dict[str, str] = {}
        self.error_ratios: dict[str, float] = {}
        self.traffic: dict[str, Traffic] = {}
        self._stirred = asyncio.Event()
        self.cluster.on_change.append(lambda _: self._stirred.set())

    def _build(self, cluster: FakeCluster, mastery: FakeMastery) -> Engine:
        return build_engine(
            cluster,
            metrics=self.metrics,
            outlets=Outlets(self.notifier, self.audit, SegmentArchive(cluster, SYSTEM), self.signer),
            fence=Fence(mastery),
            clock=self.clock,
        )

    async def start(self, *, settle_seconds: float = 5.0) -> None:
        """Start the controllers and the operator, and let them settle."""
        self.start_controllers()
        self.operator.start()
        await asyncio.sleep(settle_seconds)

    def start_controllers(self) -> None:
        """Start what an operator lives among, and no operator."""
        for controller in (self.gateway, self.endpoints, self.kubelet, self.deployments, self.budgets):
            controller.start()

    async def restart(self) -> None:
        """Crash the operator and start it anew."""
        await self.operator.crash()
        self.operator.start()

    def send(self, name: str, kind: Kind, entry: str, *, requests_per_second: float = 100.0) -> None:
        """Send requests to a route or a Service from now on; they are counted as `traffic[name]`."""
        self.traffic[name] = Traffic(
            self.cluster,
            self.clock,
            (kind, self.namespace, entry),
            versions=self.versions,
            error_ratios=self.error_ratios,
            requests_per_second=requests_per_second,
        )

    # ------------------------------------------------------------------------------------------ what is seen

    def status(self, app: str) -> RolloutStatus:
        """A Rollout's status as stored; empty where there is none yet."""
        found = self.cluster.store.peek(Kind.ROLLOUT, self.namespace, app)
        return RolloutStatus.parse((found or {}).get("status", {}), f"Rollout {app}")

    def answer(self, action: str) -> RolloutActionStatus:
        """A RolloutAction's status; empty where it is unanswered or gone."""
        found = self.cluster.store.peek(Kind.ROLLOUT_ACTION, self.namespace, action)
        return RolloutActionStatus.parse((found or {}).get("status", {}), f"RolloutAction {action}")

    def green_share(self, app: str) -> BasisPoints:
        """The share of green that is written on an app's route, or by its Service's selector."""
        route = self.cluster.store.peek(Kind.HTTP_ROUTE, self.namespace, app)
        if route is None:
            switched = self.cluster.store.get(Kind.SERVICE, self.namespace, app)
            return 10_000 if manifests.slot_of(switched["spec"]["selector"]) == Slot.GREEN else 0
        weights = weights_of(route)
        green = weights[manifests.slot_service(app, Slot.GREEN)]
        total = sum(weights.values())
        return round(green * 10_000 / total) if total else 0

    async def until(self, holds: Callable[[], bool], *, timeout_seconds: float = 3600.0) -> float:
        """Wait until something holds of the stored objects. Returns the virtual seconds it took.

        Raises:
            TimeoutError: it did not, in that much virtual time.
        """
        began = self.clock.monotonic()
        async with asyncio.timeout(timeout_seconds):
            while not holds():
                self._stirred.clear()
                await self._stirred.wait()
        return self.clock.monotonic() - began

    async def until_phase(self, app: str, phase: str, *, timeout_seconds: float = 3600.0) -> float:
        """Wait for a Rollout's phase, and say where it was if that does not come. See `until`."""
        try:
            return await self.until(lambda: self.status(app).phase == phase, timeout_seconds=timeout_seconds)
        except TimeoutError as error:
            status = self.status(app)
            raise TimeoutError(
                f"{app} is not {phase} after {timeout_seconds:g} s but {status.phase}: {status.message}"
            ) from error
