"""How the kinds differ for an API server."""

from __future__ import annotations

from sluice.api.action import RolloutActionStatus
from sluice.api.common import Model
from sluice.api.fleet import FleetRunStatus
from sluice.api.killswitch import KillSwitchStatus
from sluice.api.member import MemberClusterStatus
from sluice.api.names import (
    API_VERSION,
    EXTENSIONS_API_VERSION,
    GATEWAY_API_VERSION,
    INVENTORY_API_VERSION,
    RBAC_API_VERSION,
    Kind,
)
from sluice.api.policy import RolloutPolicyStatus
from sluice.api.rollout import RolloutStatus
from sluice.api.run import RolloutRunStatus

API_VERSIONS = {
    Kind.ROLLOUT: API_VERSION,
    Kind.ROLLOUT_RUN: API_VERSION,
    Kind.ROLLOUT_ACTION: API_VERSION,
    Kind.KILL_SWITCH: API_VERSION,
    Kind.CLUSTER_KILL_SWITCH: API_VERSION,
    Kind.ANALYSIS_TEMPLATE: API_VERSION,
    Kind.CLUSTER_ANALYSIS_TEMPLATE: API_VERSION,
    Kind.ROLLOUT_POLICY: API_VERSION,
    Kind.MEMBER_CLUSTER: API_VERSION,
    Kind.FLEET_RUN: API_VERSION,
    Kind.AUDIT_SEGMENT: API_VERSION,
    Kind.MEMBER_ROLLOUT: API_VERSION,
    Kind.MEMBER_ROLLOUT_RUN: API_VERSION,
    Kind.CLUSTER_PROFILE: INVENTORY_API_VERSION,
    Kind.HTTP_ROUTE: GATEWAY_API_VERSION,
    Kind.GRPC_ROUTE: GATEWAY_API_VERSION,
    Kind.SERVICE: "v1",
    Kind.ENDPOINT_SLICE: "discovery.k8s.io/v1",
    Kind.DEPLOYMENT: "apps/v1",
    Kind.POD: "v1",
    Kind.POD_DISRUPTION_BUDGET: "policy/v1",
    Kind.NAMESPACE: "v1",
    Kind.SECRET: "v1",
    Kind.EVENT: "v1",
    Kind.LEASE: "coordination.k8s.io/v1",
    Kind.SERVICE_ACCOUNT: "v1",
    Kind.CLUSTER_ROLE: RBAC_API_VERSION,
    Kind.CLUSTER_ROLE_BINDING: RBAC_API_VERSION,
    Kind.CUSTOM_RESOURCE_DEFINITION: EXTENSIONS_API_VERSION,
}
CLUSTER_SCOPED = frozenset(
    {
        Kind.CLUSTER_KILL_SWITCH,
        Kind.CLUSTER_ANALYSIS_TEMPLATE,
        Kind.ROLLOUT_POLICY,
        Kind.MEMBER_CLUSTER,
        Kind.NAMESPACE,
        Kind.CLUSTER_ROLE,
        Kind.CLUSTER_ROLE_BINDING,
        Kind.CUSTOM_RESOURCE_DEFINITION,
    }
)
WITH_STATUS = frozenset(
    {
        Kind.ROLLOUT,
        Kind.ROLLOUT_RUN,
        Kind.ROLLOUT_ACTION,
        Kind.KILL_SWITCH,
        Kind.CLUSTER_KILL_SWITCH,
        Kind.ROLLOUT_POLICY,
        Kind.MEMBER_CLUSTER,
        Kind.FLEET_RUN,
        Kind.MEMBER_ROLLOUT,
        Kind.MEMBER_ROLLOUT_RUN,
        Kind.HTTP_ROUTE,
        Kind.GRPC_ROUTE,
        Kind.SERVICE,
        Kind.DEPLOYMENT,
        Kind.POD,
        Kind.POD_DISRUPTION_BUDGET,
        Kind.NAMESPACE,
        Kind.CUSTOM_RESOURCE_DEFINITION,
    }
)
WITHOUT_GENERATION = frozenset(
    {
        Kind.SERVICE,
        Kind.NAMESPACE,
        Kind.SECRET,
        Kind.EVENT,
        Kind.LEASE,
        Kind.SERVICE_ACCOUNT,
        Kind.CLUSTER_ROLE,
        Kind.CLUSTER_ROLE_BINDING,
    }
)
IMMUTABLE_SPECS = frozenset(
    {Kind.ROLLOUT_RUN, Kind.ROLLOUT_ACTION, Kind.FLEET_RUN, Kind.AUDIT_SEGMENT, Kind.MEMBER_ROLLOUT_RUN}
)
STATUS_MODELS: dict[Kind, type[Model]] = {
    Kind.ROLLOUT: RolloutStatus,
    Kind.ROLLOUT_RUN: RolloutRunStatus,
    Kind.ROLLOUT_ACTION: RolloutActionStatus,
    Kind.KILL_SWITCH: KillSwitchStatus,
    Kind.CLUSTER_KILL_SWITCH: KillSwitchStatus,
    Kind.ROLLOUT_POLICY: RolloutPolicyStatus,
    Kind.MEMBER_CLUSTER: MemberClusterStatus,
    Kind.FLEET_RUN: FleetRunStatus,
    Kind.MEMBER_ROLLOUT: RolloutStatus,
    Kind.MEMBER_ROLLOUT_RUN: RolloutRunStatus,
}
SCALED: dict[Kind, tuple[str, ...]] = {  # where the scale subresource finds replicas
    Kind.ROLLOUT: ("spec", "workload", "replicas"),
    Kind.MEMBER_ROLLOUT: ("spec", "workload", "replicas"),
    Kind.DEPLOYMENT: ("spec", "replicas"),
}
SERVER_OWNED = (
    "uid",
    "name",
    "namespace",
    "creationTimestamp",
    "generation",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)
