"""MemberCluster: another cluster, registered with the hub, and how the operator found it."""

from __future__ import annotations

from sluice.api.common import LabelSelector, Model
from sluice.api.conditions import Condition
from sluice.api.units import Time

NAME_CHARACTERS = 63
SECRET_KEY = "kubeconfig"  # noqa: S105 - the name of a key, not a secret


class KubeconfigSecretRef(Model):
    """A key of a Secret in the operator's own namespace."""

    name: str
    key: str = SECRET_KEY


class MemberPrometheus(Model):
    """The Prometheus that measures what runs in the member. `address` is its base URL, as the hub reaches it."""

    address: str


class AllowedNamespaces(Model):
    """Namespaces of the hub: those that are named, and those whose labels `selector` matches."""

    names: tuple[str, ...] = ()
    selector: LabelSelector | None = None

    def admit(self, namespace: str, labels: dict[str, str]) -> bool:
        """Whether Rollouts of a namespace with these labels may come."""
        return namespace in self.names or (self.selector is not None and self.selector.matches(labels))


class MemberClusterSpec(Model):
    """Spec. Labels, which selectors go by, are the object's own.

    Attributes:
        kubeconfig_secret_ref: how to reach it.
        weight: how many of its kind it stands for, where batches are sized by weight: tenants, users, machines.
        prometheus: what metrics without an address of their own ask there; None: the operator's own.
        allowed_namespaces: whose Rollouts may come; None: those of every namespace.
    """

    kubeconfig_secret_ref: KubeconfigSecretRef
    weight: int = 1
    prometheus: MemberPrometheus | None = None
    allowed_namespaces: AllowedNamespaces | None = None


class MemberClusterStatus(Model):
    """Status. A member that goes on as it did writes nothing.

    Attributes:
        server: host, and port where there is one, of the API server; never a credential.
        version: as the member's API server tells it, once it was found to be one.
        cluster_uid: of its Namespace kube-system, by which clusters are told apart; "" for one that is refused because
            another member has it.
        missing_rights: such as `patch httproutes.gateway.networking.k8s.io`; empty while Authorized is not False.
        last_seen_at: when it last answered; only while Reachable is not True.
    """

    observed_generation: int = 0
    server: str = ""
    version: str = ""
    cluster_uid: str = ""
    missing_rights: tuple[str, ...] = ()
    last_seen_at: Time | None = None
    conditions: tuple[Condition, ...] = ()
