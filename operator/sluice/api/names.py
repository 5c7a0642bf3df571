"""Names that objects carry: the API group, annotations, finalizer, kinds."""

from __future__ import annotations

from enum import StrEnum

GROUP = "sluice.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
GATEWAY_API_VERSION = "gateway.networking.k8s.io/v1"

FINALIZER = f"{GROUP}/return-to-stable"
FIELD_MANAGER = "sluice"

# On a route or Service that a Rollout moves. The owner is `<namespace>/<rollout name>/<rollout uid>`.
OWNER_ANNOTATION = f"{GROUP}/rollout"
# Why the last weight was written, as compact JSON (`decide.model.Cause`): so a restart can tell a kill from drift.
CAUSE_ANNOTATION = f"{GROUP}/cause"

# On a RolloutRun, to list the runs of a Rollout.
ROLLOUT_LABEL = f"{GROUP}/rollout"
ROLLOUT_UID_LABEL = f"{GROUP}/rollout-uid"


class Kind(StrEnum):
    """Every kind that Sluice reads, under the name the caches and ports use."""

    ROLLOUT = "Rollout"
    ROLLOUT_RUN = "RolloutRun"
    ROLLOUT_ACTION = "RolloutAction"
    KILL_SWITCH = "KillSwitch"
    CLUSTER_KILL_SWITCH = "ClusterKillSwitch"
    ANALYSIS_TEMPLATE = "AnalysisTemplate"
    CLUSTER_ANALYSIS_TEMPLATE = "ClusterAnalysisTemplate"
    HTTP_ROUTE = "HTTPRoute"
    GRPC_ROUTE = "GRPCRoute"
    SERVICE = "Service"
    ENDPOINT_SLICE = "EndpointSlice"
    NAMESPACE = "Namespace"
    SECRET = "Secret"  # noqa: S105 - a kind, not a secret
    EVENT = "Event"
    LEASE = "Lease"


class Slot(StrEnum):
    """One of the two places a version can run in."""

    BLUE = "blue"
    GREEN = "green"

    @property
    def other(self) -> Slot:
        """The other slot."""
        return Slot.GREEN if self is Slot.BLUE else Slot.BLUE
