"""Where each kind is found on an API server."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from sluice.api.names import (
    API_VERSION,
    EXTENSIONS_API_VERSION,
    GATEWAY_API_VERSION,
    INVENTORY_API_VERSION,
    RBAC_API_VERSION,
    Kind,
)


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind as the API server serves it. `api_version` is such as `v1` or `apps/v1`."""

    api_version: str
    plural: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        """The API group; "" for the core one."""
        group, slash, _ = self.api_version.rpartition("/")
        return group if slash else ""

    @property
    def version(self) -> str:
        """The version within the group."""
        return self.api_version.rpartition("/")[2]

    @property
    def group_path(self) -> str:
        """The path that lists the group version's resources."""
        return f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"


RESOURCES: dict[Kind, Resource] = {
    Kind.ROLLOUT: Resource(API_VERSION, "rollouts"),
    Kind.ROLLOUT_RUN: Resource(API_VERSION, "rolloutruns"),
    Kind.ROLLOUT_ACTION: Resource(API_VERSION, "rolloutactions"),
    Kind.KILL_SWITCH: Resource(API_VERSION, "killswitches"),
    Kind.CLUSTER_KILL_SWITCH: Resource(API_VERSION, "clusterkillswitches", namespaced=False),
    Kind.ANALYSIS_TEMPLATE: Resource(API_VERSION, "analysistemplates"),
    Kind.CLUSTER_ANALYSIS_TEMPLATE: Resource(API_VERSION, "clusteranalysistemplates", namespaced=False),
    Kind.ROLLOUT_POLICY: Resource(API_VERSION, "rolloutpolicies", namespaced=False),
    Kind.MEMBER_CLUSTER: Resource(API_VERSION, "memberclusters", namespaced=False),
    Kind.FLEET_RUN: Resource(API_VERSION, "fleetruns"),
    Kind.AUDIT_SEGMENT: Resource(API_VERSION, "auditsegments"),
    Kind.MEMBER_ROLLOUT: Resource(API_VERSION, "memberrollouts"),
    Kind.MEMBER_ROLLOUT_RUN: Resource(API_VERSION, "memberrolloutruns"),
    Kind.CLUSTER_PROFILE: Resource(INVENTORY_API_VERSION, "clusterprofiles"),
    Kind.HTTP_ROUTE: Resource(GATEWAY_API_VERSION, "httproutes"),
    Kind.GRPC_ROUTE: Resource(GATEWAY_API_VERSION, "grpcroutes"),
    Kind.SERVICE: Resource("v1", "services"),
    Kind.ENDPOINT_SLICE: Resource("discovery.k8s.io/v1", "endpointslices"),
    Kind.DEPLOYMENT: Resource("apps/v1", "deployments"),
    Kind.POD: Resource("v1", "pods"),
    Kind.POD_DISRUPTION_BUDGET: Resource("policy/v1", "poddisruptionbudgets"),
    Kind.NAMESPACE: Resource("v1", "namespaces", namespaced=False),
    Kind.SECRET: Resource("v1", "secrets"),
    Kind.EVENT: Resource("v1", "events"),
    Kind.LEASE: Resource("coordination.k8s.io/v1", "leases"),
    Kind.SERVICE_ACCOUNT: Resource("v1", "serviceaccounts"),
    Kind.CLUSTER_ROLE: Resource(RBAC_API_VERSION, "clusterroles", namespaced=False),
    Kind.CLUSTER_ROLE_BINDING: Resource(RBAC_API_VERSION, "clusterrolebindings", namespaced=False),
    Kind.CUSTOM_RESOURCE_DEFINITION: Resource(EXTENSIONS_API_VERSION, "customresourcedefinitions", namespaced=False),
}


def collection_path(kind: Kind, namespace: str = "") -> str:
    """The path of all objects of a kind, in one namespace or ("") in all. Pure.

    >>> collection_path(Kind.HTTP_ROUTE, "shop")
    '/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes'
    """
    resource = RESOURCES[kind]
    scope = f"/namespaces/{quote(namespace, safe='')}" if resource.namespaced and namespace else ""
    return f"{resource.group_path}{scope}/{resource.plural}"


def object_path(kind: Kind, namespace: str, name: str, subresource: str = "") -> str:
    """The path of one object. Names are quoted, so that none can point elsewhere. Pure.

    >>> object_path(Kind.NAMESPACE, "", "shop", "status")
    '/api/v1/namespaces/shop/status'

    Raises:
        ValueError: the name or a needed namespace is empty; the path would be the collection's.
    """
    if not name or (RESOURCES[kind].namespaced and not namespace):
        raise ValueError(f"{kind} needs a name and, unless cluster-scoped, a namespace: {namespace!r}, {name!r}")
    tail = f"/{subresource}" if subresource else ""
    return f"{collection_path(kind, namespace)}/{quote(name, safe='')}{tail}"


def describe(kind: Kind, namespace: str, name: str) -> str:
    """An object as messages name it, such as `HTTPRoute shop/checkout`. Pure."""
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"
