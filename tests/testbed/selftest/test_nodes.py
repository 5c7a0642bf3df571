"""Nodes without a data plane: pods get ready, and nothing else is started."""

from __future__ import annotations

import pytest
import yaml

from testbed import Cluster, Nodes, apps, wait_for

pytestmark = pytest.mark.e2e


def test_pods_get_ready_on_nodes_alone() -> None:
    """Where no request is to be answered, a cluster and its nodes are all that a Deployment needs."""
    cluster = Cluster.start("bare-nodes")
    nodes = Nodes.start(cluster)
    cluster.apply(yaml.safe_dump({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}))
    cluster.apply(yaml.safe_dump(apps.deployment("shop", "checkout", "blue", "v1", replicas=2)))
    path = "/apis/apps/v1/namespaces/shop/deployments/checkout-blue"
    wait_for(lambda: cluster.get(path)["status"].get("readyReplicas") == 2, 30, "two ready pods")
    assert nodes.check()
    nodes.stop()
    cluster.stop()
