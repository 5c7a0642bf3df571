"""A namespace with what a Rollout moves and keeps, and everybody who writes it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from contract.cluster.worlds import IN_MEMBERS, OPERATOR
from sluice.adapters.kube.resources import collection_path, object_path
from sluice.adapters.kube.transport import JSON_PATCH, MERGE_PATCH
from sluice.adapters.traffic.routes import shift_operations, view_of
from sluice.api.names import GATEWAY_API_VERSION, HOLD_ANNOTATION, OWNER_ANNOTATION, Kind, Slot
from sluice.api.workload import SlotServices
from sluice.decide.model import Cause, Shift, TargetRef
from testbed import Cluster

Json = dict[str, Any]

NAME = "checkout"
OWNER = "shop/checkout/uid-1"
SERVICES = SlotServices(blue="checkout-blue", green="checkout-green")
MANAGED = {OWNER_ANNOTATION: OWNER}
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
PINS = "checkout-blue=90,checkout-green=10"
_API_VERSIONS = {
    Kind.HTTP_ROUTE: GATEWAY_API_VERSION,
    Kind.GRPC_ROUTE: GATEWAY_API_VERSION,
    Kind.SERVICE: "v1",
    Kind.DEPLOYMENT: "apps/v1",
}


class Shop:
    """One namespace.

    Args:
        hub: an API server with the policies in force.
        namespace: of the test's own.
    """

    def __init__(self, hub: Cluster, namespace: str) -> None:
        self.hub = hub
        self.namespace = namespace

    def manifest(self, kind: Kind, spec: Json, **metadata: Json) -> Json:
        """What Git has of an object."""
        return {
            "apiVersion": _API_VERSIONS[kind],
            "kind": str(kind),
            "metadata": {"name": NAME, "namespace": self.namespace, **metadata},
            "spec": spec,
        }

    def route(self, kind: Kind, *rules: list[Json], **metadata: Json) -> Json:
        """A route's manifest; each rule is the list of its backends."""
        return self.manifest(kind, {"rules": [{"backendRefs": backends} for backends in rules]}, **metadata)

    def create(self, manifest: Json) -> Json:
        """The first sync, with what client-side apply leaves on it. Returns the stored object."""
        metadata = manifest["metadata"]
        notes = {**metadata.get("annotations", {}), _LAST_APPLIED: json.dumps(manifest)}
        body = {**manifest, "metadata": {**metadata, "annotations": notes}}
        path = collection_path(Kind(manifest["kind"]), self.namespace) + "?fieldManager=kubectl-client-side-apply"
        stored: Json = self.hub.client.checked("POST", path, body)
        return stored

    def managed_route(self, kind: Kind, *rules: list[Json], share: int = 1000) -> Json:
        """A route out of Git, of which the operator gave green a share (in basis points)."""
        self.create(self.route(kind, *(rules or (both(100, 0),))))
        return self.shift(kind, share)

    def shift(self, kind: Kind, share: int, *, in_members: bool = False) -> Json:
        """Write a share as the operator does. Returns the stored route."""
        route = self.get(kind)
        view = view_of(TargetRef(kind, self.namespace, NAME), route, SERVICES)
        shift = Shift(view, SERVICES, Slot.GREEN, share, True, Cause(run="uid-1/3", action="step-1"), OWNER)
        return self.as_operator(kind, shift_operations(route, shift), in_members=in_members)

    def get(self, kind: Kind) -> Json:
        """An object as it is stored."""
        found: Json = self.hub.get(object_path(kind, self.namespace, NAME))
        return found

    def as_operator(self, kind: Kind, operations: Sequence[Json], *, in_members: bool = False) -> Json:
        """A JSON Patch by the operator, with the hub's account or with that of members."""
        token = self.hub.user_token(IN_MEMBERS if in_members else OPERATOR)
        return self._patch(object_path(kind, self.namespace, NAME), list(operations), token)

    def patch(self, kind: Kind, *operations: Json) -> Json:
        """A JSON Patch by somebody."""
        return self._patch(object_path(kind, self.namespace, NAME), list(operations))

    def merge(self, kind: Kind, body: Json, subresource: str = "") -> Json:
        """A merge patch by somebody."""
        return self._patch(object_path(kind, self.namespace, NAME, subresource), body)

    def kubectl(self, *arguments: str) -> str:
        """Kubectl as the administrator, who is somebody too."""
        return self.hub.kubectl("-n", self.namespace, *arguments)

    def hold(self, kind: Kind, text: str, spec: Json, **annotations: str | None) -> Json:
        """Break the glass: a merge patch of the spec that says who and why."""
        notes = {HOLD_ANNOTATION: text, **{f"sluice.dev/{key}": value for key, value in annotations.items()}}
        return self.merge(kind, {"metadata": {"annotations": notes}, "spec": spec})

    def _patch(self, path: str, body: Json | list[Json], token: str | None = None) -> Json:
        content_type = JSON_PATCH if isinstance(body, list) else MERGE_PATCH
        status, answer = self.hub.request("PATCH", path, body, content_type, token)
        assert status == 200, answer
        found: Json = answer
        return found


def backend(name: str, weight: int | None = None, **more: Any) -> Json:
    """A backendRef; without a weight the API server makes it 1."""
    return {"name": name, "port": 80, **({} if weight is None else {"weight": weight}), **more}


def both(blue: int | None, green: int | None) -> list[Json]:
    """The backends of both slots."""
    return [backend(SERVICES.blue, blue), backend(SERVICES.green, green)]


def weights(route: Json) -> list[list[tuple[str, int]]]:
    """For each rule, the name and weight of its backends."""
    return [[(b["name"], b["weight"]) for b in rule.get("backendRefs", ())] for rule in route["spec"]["rules"]]


def ours(obj: Json) -> dict[str, str]:
    """Sluice's annotations of an object."""
    notes = obj["metadata"].get("annotations", {})
    return {key: value for key, value in notes.items() if key.startswith("sluice.dev/")}


# ------------------------------------------------------------------ who writes


def server_side_apply(hub: Cluster, manifest: Json) -> None:
    """As Argo CD and Flux do, when conflicts are overridden."""
    arguments = ("apply", "--server-side", "--force-conflicts", "--field-manager=argocd", "-f", "-")
    hub.kubectl(*arguments, input=json.dumps(manifest))


def client_side_apply(hub: Cluster, manifest: Json) -> None:
    """As kubectl, and Argo CD by default."""
    hub.kubectl("apply", "-f", "-", input=json.dumps(manifest))


def replace(hub: Cluster, manifest: Json) -> None:
    """A PUT of what Git has; annotations that Git does not know are gone from it."""
    hub.kubectl("replace", "-f", "-", input=json.dumps(manifest))


def edit(hub: Cluster, manifest: Json) -> None:
    """A PUT of what was read, with another spec, as controllers and `kubectl edit` do."""
    path = object_path(Kind(manifest["kind"]), manifest["metadata"]["namespace"], manifest["metadata"]["name"])
    hub.client.checked("PUT", path, {**hub.get(path), "spec": manifest["spec"]})


def merge_patch(hub: Cluster, manifest: Json) -> None:
    """As `kubectl patch --type merge`."""
    path = object_path(Kind(manifest["kind"]), manifest["metadata"]["namespace"], manifest["metadata"]["name"])
    hub.client.checked("PATCH", path, {"spec": manifest["spec"]}, MERGE_PATCH)


Writer = Callable[[Cluster, Json], None]
WRITERS: tuple[Writer, ...] = (server_side_apply, client_side_apply, replace, edit, merge_patch)
