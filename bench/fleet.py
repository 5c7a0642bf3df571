"""Rollouts that cost no pods: Services without selectors, hand-made endpoints, and a stand-in for the gateway.

The routes name a Gateway that no controller knows. `StandIn` accepts them, as a controller would; it is told to hold
still while something is measured, so that its writes are in nobody's way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

from testbed import Cluster, builder
from wire import CORE, GATEWAY, SLUICE, Api, Obj, Test, Watch

PARENT = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "bench", "namespace": "default"}
_ADDRESSES = {"blue": "10.244.255.1", "green": "10.244.255.2"}
_WRITES_AT_ONCE = 16


def install_gateway_api(cluster: Cluster) -> None:
    """The Gateway API's CRDs, without a controller."""
    for path in builder.files("contour", "gateway-api"):
        if "kustomization" not in path.name:
            cluster.kubectl("create", "--validate=false", "-f", str(path))
    cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")


def namespace(name: str) -> tuple[str, Obj]:
    """A Namespace."""
    return f"{CORE}/namespaces", {"metadata": {"name": name, "labels": {"bench": name}}}


def slots(home: str, app: str) -> Iterator[tuple[str, Obj]]:
    """Two Services with one ready endpoint each."""
    for slot, address in _ADDRESSES.items():
        name = f"{app}-{slot}"
        ports = [{"name": "http", "port": 80}]
        yield f"{CORE}/namespaces/{home}/services", {"metadata": {"name": name}, "spec": {"ports": ports}}
        yield (
            f"/apis/discovery.k8s.io/v1/namespaces/{home}/endpointslices",
            {
                "metadata": {"name": f"{name}-1", "labels": {"kubernetes.io/service-name": name}},
                "addressType": "IPv4",
                "ports": ports,
                "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
            },
        )


def route(home: str, app: str, green: int = 0, annotations: dict[str, str] | None = None) -> tuple[str, Obj]:
    """An HTTPRoute over the two."""
    backends = [
        {"name": f"{app}-blue", "port": 80, "weight": 100 - green},
        {"name": f"{app}-green", "port": 80, "weight": green},
    ]
    return (
        f"{GATEWAY}/namespaces/{home}/httproutes",
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {"name": app, "annotations": annotations or {}},
            "spec": {
                "parentRefs": [PARENT],
                "hostnames": [f"{app}.{home}.example"],
                "rules": [{"backendRefs": backends}],
            },
        },
    )


def rollout(home: str, app: str) -> tuple[str, Obj]:
    """A Rollout at rest; `release` sends it to 50 %, where it waits for a person."""
    return (
        f"{SLUICE}/namespaces/{home}/rollouts",
        {
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "Rollout",
            "metadata": {"name": app, "labels": {"bench": "fleet"}},
            "spec": {
                "workload": {
                    "services": {"blue": f"{app}-blue", "green": f"{app}-green"},
                    "active": "blue",
                    "version": "1",
                },
                "traffic": {"routes": [{"name": app}]},
                "strategy": {"canary": {"steps": [{"setWeight": 50}, {"pause": {}}]}},
            },
        },
    )


def release(version: str) -> Obj:
    """The merge patch that gives a Rollout a new version in its idle slot, hence a new run."""
    return {"spec": {"workload": {"active": "green", "version": version}}}


def green_weight(obj: Obj) -> int:
    """The candidate's weight on a route."""
    return int(obj["spec"]["rules"][0]["backendRefs"][1].get("weight", 1))


def accepted(obj: Obj) -> bool:
    """Whether the route's controller took its newest generation."""
    return any(
        condition["type"] == "Accepted" and condition.get("observedGeneration") == obj["metadata"]["generation"]
        for parent in obj.get("status", {}).get("parents", ())
        for condition in parent["conditions"]
    )


def exposed(obj: Obj) -> bool:
    """At 50 %, and accepted there."""
    return green_weight(obj) == 50 and accepted(obj)


def diverted(obj: Obj) -> bool:
    """Whether the candidate's weight is 0."""
    return green_weight(obj) == 0


def waits_for_person(obj: Obj) -> bool:
    """Whether a Rollout has come to its pause."""
    return (obj.get("status", {}).get("step") or {}).get("kind") == "pause"


def phase_is(*phases: str) -> Test:
    """A test for `status.phase`."""
    return lambda obj: obj.get("status", {}).get("phase") in phases


class StandIn:
    """Accepts routes of the Gateway `bench` (see the module), except while it is held."""

    def __init__(self, api: Api, routes: Watch) -> None:
        self._api = api
        self._routes = routes
        self._may = asyncio.Event()
        self._may.set()
        self._turns = asyncio.Semaphore(_WRITES_AT_ONCE)
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._stopped = False
        routes.listen(self._notice)
        for obj in routes.objects.values():
            self._notice(obj)

    def hold(self) -> None:
        """Write nothing until `go_on`."""
        self._may.clear()

    def go_on(self) -> None:
        """Accept what has changed."""
        self._may.set()

    def stop(self) -> None:
        """Leave what has not been accepted, and accept nothing more."""
        self._stopped = True
        for task in self._busy.values():
            task.cancel()

    def _notice(self, obj: Obj) -> None:
        name = f"{obj['metadata']['namespace']}/{obj['metadata']['name']}"
        ours = any(parent.get("name") == PARENT["name"] for parent in obj["spec"].get("parentRefs", ()))
        if ours and not self._stopped and name not in self._busy and not accepted(obj):
            self._busy[name] = asyncio.create_task(self._accept(name))

    async def _accept(self, name: str) -> None:
        try:
            await self._may.wait()
            async with self._turns:
                obj = self._routes.objects[name]
                home, _, app = name.partition("/")
                status = {"status": {"parents": [_report(obj["metadata"]["generation"])]}}
                stored = await self._api.merge(f"{GATEWAY}/namespaces/{home}/httproutes/{app}/status", status)
        finally:
            self._busy.pop(name, None)
        if not accepted(stored):
            self._notice(stored)


def _report(generation: int) -> Obj:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    conditions = [
        {
            "type": kind,
            "status": "True",
            "reason": kind,
            "message": "",
            "lastTransitionTime": now,
            "observedGeneration": generation,
        }
        for kind in ("Accepted", "ResolvedRefs")
    ]
    return {"controllerName": "bench.example/stand-in", "parentRef": PARENT, "conditions": conditions}
