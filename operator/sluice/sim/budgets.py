"""The disruption controller, and evictions, which ask it."""

from __future__ import annotations

import asyncio
from math import ceil

from sluice.api.common import LabelSelector
from sluice.api.names import Kind
from sluice.errors import Unavailable
from sluice.ports import Obj
from sluice.sim.cluster import FakeCluster
from sluice.sim.pods import is_ending, is_ready
from sluice.sim.rolling import portion
from sluice.sim.store import Change

_WATCHED = (Kind.POD, Kind.POD_DISRUPTION_BUDGET, Kind.DEPLOYMENT)


class FakeBudgets:
    """Writes `status` of PodDisruptionBudgets from the pods that they select.

    Attributes:
        delay_seconds: from a change to the status that follows from it.
    """

    def __init__(self, cluster: FakeCluster, *, delay_seconds: float = 0.1) -> None:
        self.delay_seconds = delay_seconds
        self._cluster = cluster.as_manager("disruption-controller")
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def start(self) -> None:
        """Begin to watch. Needs a running loop."""
        self._cluster.on_change.append(self._on_change)
        for budget in self._cluster.store.all(Kind.POD_DISRUPTION_BUDGET):
            self._touch(budget["metadata"]["namespace"])

    def evict(self, namespace: str, name: str) -> None:
        """Ask that a pod be deleted, as a drain of its node does.

        Raises:
            NotFound: there is no such pod.
            Unavailable: a budget does not allow it now; nothing happened.
        """
        pod = self._cluster.store.get(Kind.POD, namespace, name)
        for budget in self._budgets(namespace):
            if is_ending(pod) or not _selects(budget, pod):
                continue
            status = budget.get("status", {})
            allowed = status.get("disruptionsAllowed", 0)
            if not is_ready(pod) and status.get("currentHealthy", 0) >= status.get("desiredHealthy", 0) > 0:
                continue  # it is not one of those that the budget counts on
            if not allowed or status.get("observedGeneration") != budget["metadata"]["generation"]:
                raise Unavailable(
                    f"Pod {namespace}/{name}: PodDisruptionBudget {budget['metadata']['name']} allows {allowed} more "
                    "disruptions. Try again later"
                )
            self._tell(budget, status | {"disruptionsAllowed": allowed - 1})
        self._cluster.store.delete(Kind.POD, namespace, name, uid=None, manager="kubectl-drain")

    def _on_change(self, change: Change) -> None:
        if change.kind in _WATCHED and change.manager != self._cluster.manager:
            self._touch(change.after["metadata"]["namespace"])

    def _touch(self, namespace: str) -> None:
        if namespace not in self._timers and self._budgets(namespace):
            loop = asyncio.get_running_loop()
            self._timers[namespace] = loop.call_later(self.delay_seconds, self._count, namespace)

    def _budgets(self, namespace: str) -> list[Obj]:
        return list(self._cluster.store.all(Kind.POD_DISRUPTION_BUDGET, namespace))

    def _count(self, namespace: str) -> None:
        self._timers.pop(namespace, None)
        for budget in self._budgets(namespace):
            pods = [pod for pod in self._cluster.store.all(Kind.POD, namespace) if _selects(budget, pod)]
            expected = self._expected(budget, [pod for pod in pods if not is_ending(pod)])
            healthy, wanted = sum(is_ready(pod) for pod in pods), _wanted(budget["spec"], expected)
            status = {
                "observedGeneration": budget["metadata"]["generation"],
                "disruptionsAllowed": max(0, healthy - wanted) if expected else 0,
                "currentHealthy": healthy,
                "desiredHealthy": wanted,
                "expectedPods": expected,
            }
            self._tell(budget, status)

    def _expected(self, budget: Obj, pods: list[Obj]) -> int:
        """How many pods there should be: with a number to keep those that are there, else what their owners ask for."""
        if isinstance(budget["spec"].get("minAvailable"), int):
            return len(pods)
        namespace = budget["metadata"]["namespace"]
        owners = [
            deployment
            for deployment in self._cluster.store.all(Kind.DEPLOYMENT, namespace)
            if any(_labelled(deployment["spec"]["selector"], pod) for pod in pods)
        ]
        return sum(int(deployment["spec"].get("replicas", 1)) for deployment in owners)

    def _tell(self, budget: Obj, status: Obj) -> None:
        meta = budget["metadata"]
        self._cluster.store.merge(
            Kind.POD_DISRUPTION_BUDGET,
            meta["namespace"],
            meta["name"],
            {"status": status},
            subresource="status",
            manager=self._cluster.manager,
        )


def _wanted(spec: Obj, expected: int) -> int:
    """How many pods must stay; shares are rounded up, those to keep and those that may be missing."""
    if "maxUnavailable" in spec:
        return max(0, expected - ceil(portion(expected, spec["maxUnavailable"])))
    return ceil(portion(expected, spec.get("minAvailable", 1)))


def _selects(budget: Obj, pod: Obj) -> bool:
    return _labelled(budget["spec"].get("selector") or {}, pod)


def _labelled(selector: Obj, pod: Obj) -> bool:
    return LabelSelector.parse(selector, "selector").matches(pod["metadata"].get("labels", {}))
