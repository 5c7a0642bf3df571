"""Names that objects carry: the API group, annotations, finalizer, kinds."""

from __future__ import annotations

from enum import StrEnum

GROUP = "sluice.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
GATEWAY_API_VERSION = "gateway.networking.k8s.io/v1"
RBAC_API_VERSION = "rbac.authorization.k8s.io/v1"
EXTENSIONS_API_VERSION = "apiextensions.k8s.io/v1"
# v1alpha2 is served beside it since v0.2.0, and has nothing more of what is read here; all that is older serves this.
INVENTORY_API_VERSION = "multicluster.x-k8s.io/v1alpha1"

FINALIZER = f"{GROUP}/return-to-stable"
FIELD_MANAGER = "sluice"

# On a Rollout, stamped by the API server: who last changed what a run executes, and who asked for that. The two differ
# where an account that may `vouch` (such as a GitOps tool's) says whose change it applies.
CHANGED_BY_ANNOTATION = f"{GROUP}/changed-by"
REQUESTER_ANNOTATION = f"{GROUP}/requester"

# On a route or Service that a Rollout moves. The owner is `<namespace>/<rollout name>/<rollout uid>`.
OWNER_ANNOTATION = f"{GROUP}/rollout"
# Why the last weight was written, as compact JSON (`decide.model.Cause`): so a restart can tell a kill from drift.
CAUSE_ANNOTATION = f"{GROUP}/cause"

# What the weights of a route shall be, such as `checkout-blue=90,checkout-green=10`, and the selector of a switched
# Service: an admission policy puts both back when anybody else updates the object.
WEIGHTS_ANNOTATION = f"{GROUP}/weights"
# Break glass: written by a person together with other weights; it acts as an engaged Divert until it is removed.
HOLD_ANNOTATION = f"{GROUP}/hold"

# On a slot's Deployment: the hash of the revision in it. There and on its Service: which of our writes was the last.
REVISION_ANNOTATION = f"{GROUP}/revision"
APPLIED_ANNOTATION = f"{GROUP}/applied"
# On a pod template: when its pods were last asked to be replaced.
RESTARTED_ANNOTATION = f"{GROUP}/restarted-at"

# On pods, and on slots' Deployments and Services. The first is also on a RolloutRun, to list the runs of a Rollout.
ROLLOUT_LABEL = f"{GROUP}/rollout"
PLATFORM_LABEL = f"{GROUP}/platform"
ACTION_LABEL = f"{GROUP}/action"
SLOT_LABEL = f"{GROUP}/slot"
REVISION_LABEL = f"{GROUP}/revision"
ROLLOUT_UID_LABEL = f"{GROUP}/rollout-uid"
# On an AuditSegment, which is not in the namespace of what it is about.
ROLLOUT_NAMESPACE_LABEL = f"{GROUP}/rollout-namespace"

# On a MemberRollout: the hub that leads it (the UID of its namespace kube-system), the Rollout there that it is part of
# (`<namespace>/<name>/<uid>`), and what of that it was last given.
HUB_ANNOTATION = f"{GROUP}/hub"
LEADER_ANNOTATION = f"{GROUP}/leader"
ORDER_ANNOTATION = f"{GROUP}/order"

# On Secrets that hold the kubeconfig of a member cluster: the operator watches those that carry it, and no others.
MEMBER_LABEL = f"{GROUP}/member-cluster"

# On a MemberCluster that the operator made of a ClusterProfile: as a label its own name, to list them by; as an
# annotation the profile, `<namespace>/<name>`. Without either, it is no longer the operator's.
PROFILE_LABEL = f"{GROUP}/cluster-profile"
PROFILE_ANNOTATION = f"{GROUP}/cluster-profile"
# On Secrets with credentials for the cluster of a ClusterProfile: its name, and (where it is said) its namespace.
PROFILE_SECRET_LABEL = "x-k8s.io/cluster-profile"  # noqa: S105 - a label, not a secret
PROFILE_NAMESPACE_LABEL = "x-k8s.io/cluster-profile-namespace"


class Kind(StrEnum):
    """Every kind that Sluice reads or writes, under the name the caches and ports use."""

    ROLLOUT = "Rollout"
    ROLLOUT_RUN = "RolloutRun"
    ROLLOUT_ACTION = "RolloutAction"
    KILL_SWITCH = "KillSwitch"
    CLUSTER_KILL_SWITCH = "ClusterKillSwitch"
    ANALYSIS_TEMPLATE = "AnalysisTemplate"
    CLUSTER_ANALYSIS_TEMPLATE = "ClusterAnalysisTemplate"
    ROLLOUT_POLICY = "RolloutPolicy"
    MEMBER_CLUSTER = "MemberCluster"
    FLEET_RUN = "FleetRun"
    AUDIT_SEGMENT = "AuditSegment"
    MEMBER_ROLLOUT = "MemberRollout"
    MEMBER_ROLLOUT_RUN = "MemberRolloutRun"
    CLUSTER_PROFILE = "ClusterProfile"
    HTTP_ROUTE = "HTTPRoute"
    GRPC_ROUTE = "GRPCRoute"
    SERVICE = "Service"
    ENDPOINT_SLICE = "EndpointSlice"
    DEPLOYMENT = "Deployment"
    POD = "Pod"
    POD_DISRUPTION_BUDGET = "PodDisruptionBudget"
    NAMESPACE = "Namespace"
    SECRET = "Secret"  # noqa: S105 - a kind, not a secret
    EVENT = "Event"
    LEASE = "Lease"
    SERVICE_ACCOUNT = "ServiceAccount"
    CLUSTER_ROLE = "ClusterRole"
    CLUSTER_ROLE_BINDING = "ClusterRoleBinding"
    CUSTOM_RESOURCE_DEFINITION = "CustomResourceDefinition"


class Slot(StrEnum):
    """One of the two places a version can run in."""

    BLUE = "blue"
    GREEN = "green"

    @property
    def other(self) -> Slot:
        """The other slot."""
        return Slot.GREEN if self is Slot.BLUE else Slot.BLUE
