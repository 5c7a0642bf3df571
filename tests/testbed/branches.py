"""Clusters beside the playground's, for `sluice clusters add` and a Rollout over them (docs/guides/fleets.md)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from testbed.apps import weighted_route
from testbed.bed import Testbed
from testbed.cluster import Cluster
from testbed.shop import NAMESPACE

APP = "storefront"
HOST = "storefront.example"


def open_branches(testbed: Testbed, home: Path) -> dict[str, str]:
    """Make each member ready for Sluice: a namespace, and a route to Services that are not there yet.

    Returns:
        The address of each member's Prometheus, by its name; its kubeconfig is `home/<name>.kubeconfig`.
    """
    with ThreadPoolExecutor() as pool:
        list(pool.map(_open, testbed.members))
    for member in testbed.members:
        link = home / f"{member.name}.kubeconfig"
        link.unlink(missing_ok=True)
        link.symlink_to(member.kubeconfig)
    return {member.name: testbed.data_plane_of(member).prometheus_url for member in testbed.members}


def _open(member: Cluster) -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    route = weighted_route(NAMESPACE, APP, HOST, {f"{APP}-blue": 100, f"{APP}-green": 0})
    member.apply(yaml.safe_dump_all([namespace, route]))
