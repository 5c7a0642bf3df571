"""What the operator process can be told from outside, with its defaults."""

from __future__ import annotations

import os
import socket
import uuid
from dataclasses import dataclass, field
from pathlib import Path

_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def _own_namespace() -> str:
    if _POD_NAMESPACE.exists():
        return _POD_NAMESPACE.read_text(encoding="utf-8").strip()
    return os.environ.get("POD_NAMESPACE", "sluice-system")


def _identity() -> str:
    """A name that no other process has, nor this one after a restart."""
    return f"{os.environ.get('POD_NAME') or socket.gethostname()}_{uuid.uuid4().hex[:8]}"


@dataclass(frozen=True, slots=True)
class Settings:
    """Options of `sluice run`.

    Attributes:
        kubeconfig: path; None for the pod's ServiceAccount, or the default kubeconfig.
        context: of the kubeconfig.
        namespace: the operator's own, for its Lease and for Secrets of cluster-scoped templates.
        prometheus_url: answers queries that name no address; None makes such queries errors.
        allowed_addresses: URL prefixes that namespaced objects may name as a Prometheus.
        http_host: where probes and metrics are served.
        http_port: 0 picks a free one.
        log_level: of Sluice's own loggers.
        lease_name: replicas that name the same one share the work.
        lease_seconds: how long the shards of a replica that vanished wait for another.
        identity: of this process in the Lease.
        member_probe_seconds: between two probes of a member cluster that answers.
        cluster_profiles: the namespace whose ClusterProfiles are made MemberClusters; None for none.
        access_providers: those whose addresses a token may be taken to, the preferred first.
        profile_grace_seconds: for how long a MemberCluster stays when its ClusterProfile is gone.
        heal_seconds: between the LISTs that heal what a lost watch missed.
        audit_to: who keeps the audit outside: `stdout`, `file:PATH` or a URL; None for nobody beside the log.
        audit_events: how events are put into HTTP requests; see `adapters.audit.cloudevents.MODES`.
        audit_token_file: path of a bearer token for that URL.
        audit_resend_hours: how old an entry may be that is sent anew after a start.
        audit_key: path of the PEM file with the Ed25519 key that signs the audit; None to leave it unsigned.
    """

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str = field(default_factory=_own_namespace)
    prometheus_url: str | None = None
    allowed_addresses: tuple[str, ...] = ()
    http_host: str = "0.0.0.0"  # noqa: S104 - probes and scrapes come from outside the pod
    http_port: int = 8080
    log_level: str = "INFO"
    lease_name: str = "sluice"
    lease_seconds: float = 15.0
    identity: str = field(default_factory=_identity)
    member_probe_seconds: float = 30.0
    cluster_profiles: str | None = None
    access_providers: tuple[str, ...] = ()
    profile_grace_seconds: float = 300.0
    heal_seconds: float = 600.0
    audit_to: str | None = None
    audit_events: str = "structured"
    audit_token_file: str | None = None
    audit_resend_hours: int = 24
    audit_key: str | None = None
