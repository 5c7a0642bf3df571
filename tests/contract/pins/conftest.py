"""The API server with the policies in force, for routes too, and a namespace for each test."""

from __future__ import annotations

import itertools
from functools import partial

import pytest

from contract.cluster.worlds import install_route_crds
from contract.pins.shop import MANAGED, Shop, both
from sluice.adapters.kube.resources import object_path
from sluice.adapters.kube.transport import MERGE_PATCH
from sluice.api.names import Kind
from testbed import Cluster

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def guarded(installed: Cluster) -> Cluster:
    """The hub, once policies can judge routes: it answers 503 to updates of kinds that it has just learnt."""
    install_route_crds(installed)
    installed.apply("{apiVersion: v1, kind: Namespace, metadata: {name: pins}}")
    shop = Shop(installed, "pins")
    for kind in (Kind.HTTP_ROUTE, Kind.GRPC_ROUTE):
        shop.create(shop.route(kind, both(1, 0), annotations=MANAGED))
        path = object_path(kind, "pins", "checkout") + "?dryRun=All"
        installed.wait(partial(_is_judged, installed, path), 30, f"the policies to know {kind}")
    return installed


def _is_judged(hub: Cluster, path: str) -> bool:
    touch = {"metadata": {"labels": {"touched": "yes"}}}
    return hub.request("PATCH", path, touch, MERGE_PATCH)[0] == 200


@pytest.fixture
def shop(guarded: Cluster) -> Shop:
    """A fresh namespace. It stays, for the control plane ends with the session."""
    name = f"pins-{next(_NUMBERS)}"
    guarded.client.checked("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    return Shop(guarded, name)


@pytest.fixture(params=[Kind.HTTP_ROUTE, Kind.GRPC_ROUTE])
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each kind of route."""
    chosen: Kind = request.param
    return chosen
