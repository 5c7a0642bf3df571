"""The two clusters that the suites of the Kubernetes ports run on: a real API server, and the sim's."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

import testbed
from sluice.adapters.clock import SystemClock
from sluice.adapters.kube.client import AlwaysLeader, KubeCluster
from sluice.adapters.kube.credentials import load_credentials
from sluice.adapters.kube.resources import object_path
from sluice.adapters.kube.transport import JSON_PATCH, Timeouts, Transport
from sluice.api.names import Kind
from sluice.ports import Cluster, Obj, Reader
from sluice.sim.cluster import FakeCluster
from testbed import builder

# Whom the policies of manifests/policies take for the operator: they may be in force on the hub, or not.
BOTH = ("sim", pytest.param("apiserver", marks=pytest.mark.cluster))
OPERATOR = "system:serviceaccount:sluice-system:sluice"
IN_MEMBERS = "system:serviceaccount:sluice-system:sluice-member"  # as which it acts there
PATIENT = Timeouts(connect=60.0, normal=60.0, kill=60.0, list_page=60.0)  # a busy machine is no outage
ROUTE_CRDS = ("gateway.networking.k8s.io_httproutes.yaml", "gateway.networking.k8s.io_grpcroutes.yaml")


@dataclass
class World:
    """A cluster behind the port, and a namespace that is the test's own.

    `fake` and `transport` are there for what only one of the two has.
    """

    cluster: Cluster
    namespace: str
    fake: FakeCluster | None = None
    hub: testbed.Cluster | None = None
    transport: Transport | None = None

    async def foreign_patch(self, kind: Kind, name: str, operations: Sequence[Obj]) -> Obj:
        """A JSON Patch by somebody who is not Sluice."""
        if self.fake is not None:
            return await self.fake.as_manager("kubectl-edit").patch_json(kind, self.namespace, name, operations)
        assert self.hub is not None
        path = object_path(kind, self.namespace, name) + "?fieldManager=kubectl-edit"
        status, answer = self.hub.request("PATCH", path, list(operations), JSON_PATCH)
        assert status == 200, answer
        return answer

    async def snapshot(self) -> Snapshot:
        """A cache that was filled now, and hears of nothing afterwards."""
        snapshot = Snapshot()
        for kind in (Kind.HTTP_ROUTE, Kind.GRPC_ROUTE, Kind.SERVICE, Kind.ENDPOINT_SLICE):
            for obj in await self.cluster.list(kind, self.namespace):
                snapshot.objects[kind, obj["metadata"]["name"]] = obj
        return snapshot


class Snapshot(Reader):
    """The Reader port over a fixed set of objects of one namespace."""

    def __init__(self) -> None:
        self.objects: dict[tuple[Kind, str], Obj] = {}

    def get(self, kind: Kind, namespace: str, name: str) -> Obj | None:
        """One object, or None."""
        return self.objects.get((kind, name))

    def of_namespace(self, kind: Kind, namespace: str) -> Iterator[Obj]:
        """All objects of a kind."""
        return (obj for (known, _), obj in self.objects.items() if known is kind)

    def endpoint_slices(self, namespace: str, service: str) -> Iterator[Obj]:
        """The EndpointSlices of a Service."""
        for obj in self.of_namespace(Kind.ENDPOINT_SLICE, namespace):
            if obj["metadata"].get("labels", {}).get("kubernetes.io/service-name") == service:
                yield obj


def install_route_crds(hub: testbed.Cluster) -> None:
    """Make the hub serve HTTPRoute and GRPCRoute, unless it does."""
    if _is_served(hub, "grpcroutes"):
        return
    for path in builder.files("contour", "gateway-api"):
        if path.name in ROUTE_CRDS:
            hub.apply(path, server_side=True)
    for plural in ("httproutes", "grpcroutes"):
        hub.wait(partial(_is_served, hub, plural), 60, f"{plural} to be served")


def _is_served(hub: testbed.Cluster, plural: str) -> bool:
    """Whether objects can be had, and discovery knows it, which may be later."""
    group = "/apis/gateway.networking.k8s.io/v1"
    if hub.request("GET", f"{group}/{plural}")[0] != 200:
        return False
    status, found = hub.request("GET", group)
    return status == 200 and plural in {resource["name"] for resource in found["resources"]}


@asynccontextmanager
async def world_over(request: pytest.FixtureRequest, hub: str) -> AsyncIterator[World]:
    """The world that a fixture's parameter names, one of `BOTH`; the real one is on the fixture `hub`."""
    if request.param == "sim":
        async with sim_world() as made:
            yield made
    else:
        async with apiserver_world(request.getfixturevalue(hub)) as made:
            yield made


@asynccontextmanager
async def sim_world() -> AsyncIterator[World]:
    """The sim's cluster."""
    fake = FakeCluster(SystemClock(), namespaces=("default", "shop"))
    yield World(fake, "shop", fake=fake)


@asynccontextmanager
async def apiserver_world(hub: testbed.Cluster) -> AsyncIterator[World]:
    """A real API server, and a new namespace on it. The port writes in the operator's name, with every right."""
    install_route_crds(hub)
    kubeconfig = hub.kubeconfig_for_token(hub.user_token(OPERATOR), hub.folder / "operator.kubeconfig")
    async with Transport(load_credentials(str(kubeconfig)), timeouts=PATIENT) as transport:
        cluster = KubeCluster(transport, AlwaysLeader())
        namespace = f"contract-{uuid.uuid4().hex[:10]}"
        await cluster.create(Kind.NAMESPACE, "", {"metadata": {"name": namespace}})
        yield World(cluster, namespace, hub=hub, transport=transport)


def slot_service(name: str, slot: str) -> Obj:
    """A Service of one slot."""
    return {
        "metadata": {"name": name},
        "spec": {"selector": {"app": "checkout", "slot": slot}, "ports": [{"port": 80, "targetPort": 8080}]},
    }


def route(kind: Kind, name: str = "checkout") -> Obj:
    """A route with two rules that name both slots, one that does not, and much else that must stay as it is."""
    grpc = kind is Kind.GRPC_ROUTE
    match: dict[str, Any] = {"headers": [{"name": "x-tenant", "value": "acme"}]}
    if not grpc:
        match["path"] = {"type": "PathPrefix", "value": "/pay"}
    rules: list[Obj] = [
        {
            "matches": [match],
            "filters": [
                {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x-via", "value": "gw"}]}}
            ],
            "backendRefs": [
                {"name": "checkout-blue", "port": 80, "weight": 100},
                {"name": "checkout-green", "port": 80, "weight": 0},
            ],
        },
        {"backendRefs": [{"name": "static", "port": 80}]},
        {
            "backendRefs": [
                {"name": "checkout-green", "port": 80, "weight": 0},
                {"name": "checkout-blue", "port": 80, "weight": 100},
            ]
        },
    ]
    return {
        "metadata": {"name": name, "annotations": {"team": "payments"}, "labels": {"app": "checkout"}},
        "spec": {"parentRefs": [{"name": "gw"}], "hostnames": ["shop.example.com"], "rules": rules},
    }
