"""A whole world in memory: a cluster, its gateway and endpoints, Prometheus, people, requests, and the operator.

The operator is the real engine over the real core; it can be crashed and started again at any moment. All waiting is
virtual (`clock.run`), so that a rollout of two weeks takes a moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from sluice.api.action import RolloutActionStatus
from sluice.api.names import Kind, Slot
from sluice.api.rollout import RolloutStatus
from sluice.api.units import BasisPoints
from sluice.decide.model import GROWING_VERBS
from sluice.ports import Obj
from sluice.sim import manifests
from sluice.sim.clock import VirtualClock
from sluice.sim.cluster import FakeCluster
from sluice.sim.gateway import FakeEndpoints, FakeGateway
from sluice.sim.metrics import FakeMetrics, constant
from sluice.sim.operator import Build, Engine, FakeAudit, FakeLeadership, FakeNotifier, Operator
from sluice.sim.traffic import Traffic, weights_of
from sluice.wiring import build_engine

NAMESPACE = "shop"
STABLE_VERSION = "1.4.0"


class World:
    """Everything an operator lives among. Make it, add apps, then `start` it in a virtual loop.

    Names of apps stand for their Rollout, their route (or switched Service) and, with `-blue` and `-green`, their
    Services and pods, all in one namespace.

    Attributes:
        metrics: Prometheus; says 0 to everything until scripted.
        error_ratios: by version, the share of simulated requests that fail; the traffic's, not Prometheus's.
    """

    def __init__(self, *, namespace: str = NAMESPACE, build: Build | None = None) -> None:
        self.namespace = namespace
        self.clock = VirtualClock()
        self.cluster = FakeCluster(self.clock, namespaces=(namespace,))
        self.people = self.cluster.as_manager("kubectl")
        self.gateway = FakeGateway(self.cluster, self.clock)
        self.endpoints = FakeEndpoints(self.cluster)
        self.metrics = FakeMetrics(self.clock, constant(0.0))
        self.notifier = FakeNotifier(self.clock)
        self.audit = FakeAudit()
        self.operator = Operator(self.cluster, build or self._build)
        self.versions: dict[str, str] = {}
        self.error_ratios: dict[str, float] = {}
        self.traffic: dict[str, Traffic] = {}
        self._stirred = asyncio.Event()
        self.cluster.on_change.append(lambda _: self._stirred.set())

    def _build(self, cluster: FakeCluster, leadership: FakeLeadership) -> Engine:
        return build_engine(
            cluster,
            metrics=self.metrics,
            notifier=self.notifier,
            audit=self.audit,
            leadership=leadership,
            clock=self.clock,
        )

    # ------------------------------------------------------------------------------------------ set up

    def app(self, name: str, *, ready: int = 3, switched: bool = False, requests_per_second: float = 100.0) -> None:
        """Add an app: its pods in both slots, their Services, and a route (or, switched, a Service) to blue."""
        for slot in Slot:
            group = manifests.slot_service(name, slot)
            labels = manifests.slot_labels(name, slot)
            self.cluster.seed(Kind.SERVICE, manifests.service(self.namespace, group, labels))
            self.versions[group] = STABLE_VERSION
            self.pods(name, slot, ready)
        kind = Kind.SERVICE if switched else Kind.HTTP_ROUTE
        if switched:
            selector = manifests.slot_labels(name, Slot.BLUE)
            self.cluster.seed(kind, manifests.service(self.namespace, name, selector))
        else:
            self.cluster.seed(kind, manifests.route(self.namespace, name))
        self.traffic[name] = Traffic(
            self.cluster,
            self.clock,
            (kind, self.namespace, name),
            versions=self.versions,
            error_ratios=self.error_ratios,
            requests_per_second=requests_per_second,
        )

    async def start(self, *, settle_seconds: float = 5.0) -> None:
        """Start the gateway, the endpoints and the operator, and let them settle."""
        self.gateway.start()
        self.endpoints.start()
        self.operator.start()
        await asyncio.sleep(settle_seconds)

    async def restart(self) -> None:
        """Crash the operator and start it anew."""
        await self.operator.crash()
        self.operator.start()

    # ------------------------------------------------------------------------------------------ what people do

    async def apply(self, kind: Kind, body: Obj) -> Obj:
        """Create an object, or give it this spec."""
        name, namespace = body["metadata"]["name"], body["metadata"].get("namespace", "")
        if self.cluster.store.peek(kind, namespace, name) is None:
            return await self.people.create(kind, namespace, body)
        replace = [{"op": "replace", "path": "/spec", "value": body["spec"]}]
        return await self.people.patch_json(kind, namespace, name, replace)

    async def adopt(self, app: str, strategy: Obj, **fields: Any) -> None:
        """Create an app's Rollout over what serves, and wait until it is Healthy. See `manifests.rollout`."""
        await self.apply(
            Kind.ROLLOUT, manifests.rollout(self.namespace, app, strategy, version=STABLE_VERSION, **fields)
        )
        await self.until(lambda: self.status(app).phase == "Healthy", timeout_seconds=60)

    async def release_version(self, app: str, version: str, slot: Slot = Slot.GREEN) -> None:
        """Run a version in a slot and ask that this slot shall end up serving: this starts a run."""
        self.versions[manifests.slot_service(app, slot)] = version
        self.traffic[app].settle()
        self.traffic[app].look()
        await self.spec(app, {"workload": {"active": str(slot), "version": version}})

    async def spec(self, app: str, patch: Obj) -> None:
        """Merge into a Rollout's spec."""
        await self.people.patch_merge(Kind.ROLLOUT, self.namespace, app, {"spec": patch})

    async def act(
        self, app: str, verb: str, *, revision: int | None = None, actor: str = "bob", reason: str = ""
    ) -> str:
        """Create a RolloutAction; what lets more through names the current revision. Returns its name."""
        status = self.status(app)
        if revision is None and verb in GROWING_VERBS and status.revision is not None:
            revision = status.revision.number
        body = manifests.action(self.namespace, app, verb, revision=revision, actor=actor, reason=reason)
        stored = await self.people.create(Kind.ROLLOUT_ACTION, self.namespace, body)
        name: str = stored["metadata"]["name"]
        return name

    async def engage(self, name: str = "stop", *, reason: str, wide: bool = False, **fields: Any) -> None:
        """Engage a KillSwitch, or (`wide`) a ClusterKillSwitch. See `manifests.switch`."""
        namespace = "" if wide else self.namespace
        await self.apply(manifests.switch_kind(namespace), manifests.switch(namespace, name, reason=reason, **fields))

    async def release(self, name: str = "stop", *, wide: bool = False, reason: str = "fixed") -> None:
        """Release a switch."""
        namespace = "" if wide else self.namespace
        body = {"spec": {"engaged": False, "releaseReason": reason}}
        await self.people.patch_merge(manifests.switch_kind(namespace), namespace, name, body)

    async def meddle(self, app: str, blue: int, green: int) -> None:
        """Write an app's route by hand, as somebody who does not know of Sluice."""
        paths = [f"/spec/rules/0/backendRefs/{index}/weight" for index in range(2)]
        operations = [
            {"op": "replace", "path": path, "value": weight} for path, weight in zip(paths, (blue, green), strict=True)
        ]
        await self.people.patch_json(Kind.HTTP_ROUTE, self.namespace, app, operations)

    def pods(self, app: str, slot: Slot, ready: int) -> None:
        """Have that many ready pods in a slot from now on."""
        name, labels = manifests.slot_service(app, slot), manifests.slot_labels(app, slot)
        self.endpoints.run_pods(self.namespace, name, labels, ready=ready)

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
        switched = self.cluster.store.peek(Kind.SERVICE, self.namespace, app)
        if switched is not None:
            return 10_000 if switched["spec"]["selector"][manifests.SLOT_LABEL] == Slot.GREEN else 0
        weights = weights_of(self.cluster.store.get(Kind.HTTP_ROUTE, self.namespace, app))
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
