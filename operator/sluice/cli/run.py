"""`sluice run`: the operator itself."""

from __future__ import annotations

import os
import socket
from typing import Any

import click

from sluice.cli.help import Command


def _own_namespace() -> str:
    """Where the operator's Lease and Secrets are: as the manifest says, else where the pod runs."""
    from sluice.cli.connect import pod_namespace

    return os.environ.get("POD_NAMESPACE") or pod_namespace() or "sluice-system"


def _own_name() -> str:
    return os.environ.get("POD_NAME") or socket.gethostname()


@click.command("run", cls=Command)
@click.option("--kubeconfig", metavar="PATH", help="By default the pod's service account, or else $KUBECONFIG.")
@click.option(
    "--namespace",
    metavar="NAME",
    default=_own_namespace,
    show_default="the pod's, or else sluice-system",
    help="Its own, for the Lease and Secrets.",
)
@click.option("--prometheus-url", metavar="URL", envvar="SLUICE_PROMETHEUS_URL", help="The operator's own Prometheus.")
@click.option(
    "--allow-address",
    "allowed_addresses",
    metavar="URL",
    multiple=True,
    help="A further Prometheus that analyses may ask; may be repeated.",
)
@click.option(
    "--http-port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="/healthz, /readyz, /metrics."
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="JSON lines on stderr.",
)
@click.option(
    "--lease-name",
    metavar="NAME",
    default="sluice",
    show_default=True,
    help="The Lease by which replicas share the work.",
)
@click.option(
    "--lease-seconds",
    metavar="SECONDS",
    type=click.IntRange(2, 600),
    default=15,
    show_default=True,
    help="How long the work of a replica that vanished waits for another; the same for all replicas.",
)
@click.option(
    "--identity",
    metavar="NAME",
    default=_own_name,
    show_default="the pod's name, or else the host's",
    help="Its name in the Lease; unique among the replicas.",
)
@click.option(
    "--member-probe-seconds",
    metavar="SECONDS",
    type=click.FloatRange(0.1, 3600),
    default=30.0,
    show_default=True,
    help="Between two probes of a member cluster that answers; its rights are asked for with every tenth.",
)
@click.option(
    "--cluster-profiles",
    metavar="NAMESPACE",
    help="Make a MemberCluster of each ClusterProfile in this namespace; by default of none.",
)
@click.option(
    "--access-provider",
    "access_providers",
    metavar="NAME",
    multiple=True,
    help="Where a Secret has a token only, go with it where this entry of a ClusterProfile's status.accessProviders "
    "says; may be repeated, the preferred first.",
)
@click.option(
    "--profile-grace-seconds",
    metavar="SECONDS",
    type=click.FloatRange(0, 86400),
    default=300.0,
    show_default=True,
    help="For how long a MemberCluster stays when its ClusterProfile is gone: an inventory may be written anew.",
)
@click.option(
    "--audit-to",
    metavar="WHERE",
    help="Who else keeps the audit: stdout, file:PATH, or the URL of a receiver of CloudEvents; by default nobody.",
)
@click.option(
    "--audit-events",
    type=click.Choice(["binary", "structured", "batched"]),
    default="structured",
    show_default=True,
    help="How CloudEvents are put into HTTP requests.",
)
@click.option(
    "--audit-token-file", metavar="PATH", help="Holds a bearer token for that URL; it is read for each request."
)
@click.option(
    "--audit-resend-hours",
    metavar="HOURS",
    type=click.IntRange(0, 720),
    default=24,
    show_default=True,
    help="How old entries may be that are sent anew after a start, for nobody knows what was taken.",
)
@click.option(
    "--audit-key",
    metavar="PATH",
    envvar="SLUICE_AUDIT_KEY",
    help="A PEM file with the Ed25519 private key that signs the audit, and the public keys of those before it; by "
    "default the audit is unsigned.",
)
def command(**options: Any) -> None:
    """Run the operator.

    Follows every Rollout and kill switch of the cluster. Any number may run: they share Rollouts evenly, by a Lease,
    and each is warm to take over from the others. In a cluster, manifests/base runs it with the rights it needs.

    Examples:
      sluice run --prometheus-url http://prometheus.monitoring:9090
      sluice run --kubeconfig ~/.kube/config --namespace sluice-system --log-level debug
    """
    from sluice.handlers.process import run_operator
    from sluice.settings import Settings

    raise SystemExit(run_operator(Settings(**options)))
