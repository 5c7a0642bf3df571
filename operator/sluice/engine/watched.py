"""The kinds whose objects the caches of our own cluster hold."""

from __future__ import annotations

from sluice.api.names import Kind

WATCHED = (
    Kind.NAMESPACE,
    Kind.KILL_SWITCH,
    Kind.CLUSTER_KILL_SWITCH,
    Kind.ROLLOUT_POLICY,
    Kind.ANALYSIS_TEMPLATE,
    Kind.CLUSTER_ANALYSIS_TEMPLATE,
    Kind.SERVICE,
    Kind.ENDPOINT_SLICE,
    Kind.HTTP_ROUTE,
    Kind.GRPC_ROUTE,
    Kind.DEPLOYMENT,
    Kind.POD,
    Kind.POD_DISRUPTION_BUDGET,
    Kind.ROLLOUT_RUN,
    Kind.FLEET_RUN,
    Kind.ROLLOUT_ACTION,
    Kind.ROLLOUT,
)
