"""The controllers around a rollout: a gateway that accepts routes, and endpoints that follow Services and pods."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from sluice.api.names import Kind
from sluice.api.units import format_time
from sluice.decide.metadata import labels_of
from sluice.errors import Forbidden, SluiceError
from sluice.ports import Clock, Obj
from sluice.sim.cluster import FakeCluster
from sluice.sim.pods import is_ending, is_ready
from sluice.sim.store import Change, EventType

CONTROLLER = "gateway.sluice.dev/sim"
SERVICE_NAME_LABEL = "kubernetes.io/service-name"


class FakeGateway:
    """Writes `status.parents` of routes as a gateway controller does.

    Attributes:
        delay_seconds: from a change of a route to its status.
        frozen: writes nothing while True; `thaw` catches up.
        refuse: for each route, why it is refused, or "" for accepted.
    """

    def __init__(self, cluster: FakeCluster, clock: Clock, *, delay_seconds: float = 0.2) -> None:
        self.delay_seconds = delay_seconds
        self.frozen = False
        self.refuse: Callable[[Obj], str] = _nothing
        self._cluster = cluster.as_manager("gateway-controller")
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin to watch. Needs a running loop."""
        for kind in (Kind.HTTP_ROUTE, Kind.GRPC_ROUTE):
            self._cluster.subscribe(kind, self._on_event)

    def thaw(self) -> None:
        """Go on after `frozen`, with what changed meanwhile."""
        self.frozen = False
        for kind in (Kind.HTTP_ROUTE, Kind.GRPC_ROUTE):
            for route in self._cluster.store.all(kind):
                self._on_event("MODIFIED", route)

    def _on_event(self, event: EventType, route: Obj) -> None:
        if event == "DELETED" or self.frozen or self._translated(route):
            return
        task = asyncio.get_running_loop().create_task(self._accept(route), name="sim gateway")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _translated(self, route: Obj) -> bool:
        parents = route.get("status", {}).get("parents", [])
        generations = {
            condition["observedGeneration"]
            for parent in parents
            for condition in parent["conditions"]
            if parent["controllerName"] == CONTROLLER
        }
        return generations == {route["metadata"]["generation"]}

    async def _accept(self, route: Obj) -> None:
        await asyncio.sleep(self.delay_seconds)
        meta = route["metadata"]
        kind = Kind(route["kind"])
        current = self._cluster.store.peek(kind, meta["namespace"], meta["name"])
        if self.frozen or current is None or self._translated(current):
            return
        status = {"parents": [self._parent(current, ref) for ref in current["spec"].get("parentRefs", [])]}
        try:
            await self._cluster.patch_merge(
                kind, meta["namespace"], meta["name"], {"status": status}, subresource="status"
            )
        except SluiceError:  # an injected fault: like any controller, look again
            self._on_event("MODIFIED", current)

    def _parent(self, route: Obj, ref: Obj) -> Obj:
        refusal = self.refuse(route)
        conditions = [
            {
                "type": kind,
                "status": "False" if refusal and kind == "Accepted" else "True",
                "reason": "UnsupportedValue" if refusal and kind == "Accepted" else kind,
                "message": refusal if kind == "Accepted" else "",
                "observedGeneration": route["metadata"]["generation"],
                "lastTransitionTime": format_time(self._clock.now()),
            }
            for kind in ("Accepted", "ResolvedRefs")
        ]
        return {"parentRef": ref, "controllerName": CONTROLLER, "conditions": conditions}


class FakeEndpoints:
    """Writes the EndpointSlices of Services.

    A Service gets the addresses of the pods that its selector matches, ready ones and others, so that a switched
    selector moves its slices too. Pods are the Pod objects, and those of `run_pods`, which are no objects but counts by
    labels. A pod that is about to end is in no slice any more.

    Attributes:
        delay_seconds: from a change of a Service or of pods to its slices.
    """

    def __init__(self, cluster: FakeCluster, *, delay_seconds: float = 0.1) -> None:
        self.delay_seconds = delay_seconds
        self._cluster = cluster.as_manager("endpointslice-controller")
        self._pods: dict[tuple[str, str], _Pods] = {}
        self._timers: dict[tuple[str, str], asyncio.TimerHandle] = {}

    def start(self) -> None:
        """Begin to watch. Needs a running loop."""
        self._cluster.subscribe(Kind.SERVICE, lambda _event, service: self._touch(service))
        self._cluster.on_change.append(self._on_change)

    def run_pods(self, namespace: str, name: str, labels: dict[str, str], *, ready: int, unready: int = 0) -> None:
        """Run that many pods of a group, from now on. Needs a running loop."""
        octet = self._pods[namespace, name].octet if (namespace, name) in self._pods else len(self._pods) + 1
        self._pods[namespace, name] = _Pods(name, labels, ready, unready, octet)
        for service in self._cluster.store.all(Kind.SERVICE, namespace):
            self._touch(service)

    def settle(self, namespace: str) -> None:
        """Write a namespace's slices now."""
        for service in self._cluster.store.all(Kind.SERVICE, namespace):
            self._write(namespace, service["metadata"]["name"])

    def ready_pods(self, namespace: str, service: str) -> int:
        """How many ready pods the Service selects at this moment, whether its slices say so yet or not."""
        found = self._cluster.store.peek(Kind.SERVICE, namespace, service)
        return sum(item["conditions"]["ready"] for item in self._behind(found)) if found else 0

    def _on_change(self, change: Change) -> None:
        before = change.before or change.after
        if change.kind is not Kind.POD or (change.type == "MODIFIED" and _place(before) == _place(change.after)):
            return
        for service in self._cluster.store.all(Kind.SERVICE, change.after["metadata"]["namespace"]):
            if any(_selects(service, labels_of(pod)) for pod in (before, change.after)):
                self._touch(service)

    def _touch(self, service: Obj) -> None:
        key = (service["metadata"]["namespace"], service["metadata"]["name"])
        if key not in self._timers:
            loop = asyncio.get_running_loop()
            self._timers[key] = loop.call_later(self.delay_seconds, self._write, *key)

    def _behind(self, service: Obj) -> list[Obj]:
        """The entries of a Service's slices, as they should be now."""
        namespace = service["metadata"]["namespace"]
        counted = [
            endpoint
            for (where, _), pods in self._pods.items()
            if where == namespace and _selects(service, pods.labels)
            for endpoint in pods.endpoints()
        ]
        objects = [pod for pod in self._cluster.store.all(Kind.POD, namespace) if _selects(service, labels_of(pod))]
        return counted + [_endpoint(pod) for pod in objects if _address(pod)]

    def _write(self, namespace: str, name: str) -> None:
        self._timers.pop((namespace, name), None)
        store, manager = self._cluster.store, self._cluster.manager
        service = store.peek(Kind.SERVICE, namespace, name)
        slice_name = f"{name}-sim"
        if service is None:
            store.delete(Kind.ENDPOINT_SLICE, namespace, slice_name, uid=None, manager=manager)
            return
        body: Obj = {
            "metadata": {"name": slice_name, "namespace": namespace, "labels": {SERVICE_NAME_LABEL: name}},
            "addressType": "IPv4",
            "endpoints": self._behind(service),
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        }
        if store.peek(Kind.ENDPOINT_SLICE, namespace, slice_name) is not None:
            store.merge(Kind.ENDPOINT_SLICE, namespace, slice_name, body, subresource="", manager=manager)
            return
        with suppress(Forbidden):  # a namespace that is ending takes no new slices
            store.create(Kind.ENDPOINT_SLICE, namespace, body, manager=manager)


class _Pods:
    """A group of pods with the same labels."""

    def __init__(self, name: str, labels: dict[str, str], ready: int, unready: int, octet: int) -> None:
        self.name = name
        self.labels = labels
        self.ready = ready
        self.unready = unready
        self.octet = octet

    def endpoints(self) -> list[Obj]:
        """Their entries in an EndpointSlice."""
        return [
            {
                "addresses": [f"10.0.{self.octet}.{number + 1}"],
                "conditions": {"ready": number < self.ready, "serving": number < self.ready, "terminating": False},
                "targetRef": {"kind": "Pod", "name": f"{self.name}-{number + 1}"},
            }
            for number in range(self.ready + self.unready)
        ]


def _address(pod: Obj) -> str:
    """Where a pod is reached; "" before it has an address, and once it is about to end."""
    return "" if is_ending(pod) else str(pod.get("status", {}).get("podIP", ""))


def _place(pod: Obj) -> tuple[object, ...]:
    """What its entries in slices depend on."""
    return labels_of(pod), _address(pod), is_ready(pod)


def _selects(service: Obj, labels: dict[str, str]) -> bool:
    selector: dict[str, str] = service["spec"].get("selector") or {}
    return bool(selector) and selector.items() <= labels.items()


def _endpoint(pod: Obj) -> Obj:
    meta, serving = pod["metadata"], is_ready(pod)
    return {
        "addresses": [_address(pod)],
        "conditions": {"ready": serving, "serving": serving, "terminating": False},
        "targetRef": {"kind": "Pod", "name": meta["name"], "uid": meta["uid"]},
    }


def _nothing(route: Obj) -> str:
    del route
    return ""
