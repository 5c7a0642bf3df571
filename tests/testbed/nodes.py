"""What gives a cluster's pods a node, an address and readiness: the scheduler, kwok, and one node of kwok's."""

from __future__ import annotations

from typing import Any

import yaml

from testbed import netns
from testbed.builder import binary
from testbed.cluster import Cluster
from testbed.processes import Child, session
from testbed.stages import stages

_START_SECONDS = 60.0
_NODE = "node-0"


class Nodes:
    """The nodes of one cluster, of which there is one. Make them with :meth:`start`.

    Their pods get ready, and answer no requests: for those there is a :class:`~testbed.dataplane.DataPlane`, which has
    nodes of its own.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._folder = cluster.folder / "nodes"
        self._folder.mkdir()
        self._children: list[Child] = []

    @classmethod
    def start(cls, cluster: Cluster) -> Nodes:
        """Start them and wait until a pod could run.

        Raises:
            TestbedError: a binary is missing, or a process ended.
        """
        nodes = cls(cluster)
        nodes._start_kwok()
        nodes._start_scheduler()
        nodes._make_node()
        cluster.wait(lambda: nodes.check() and nodes._ready(), _START_SECONDS, f"node {_NODE}")
        return nodes

    def check(self) -> bool:
        """True while its processes run.

        Raises:
            ProcessEndedError: one ended by itself; the message carries the end of its log.
        """
        return all(child.check() for child in self._children)

    def stop(self) -> None:
        """End its processes: the pods stay as they are."""
        for child in self._children:
            child.stop()

    def _start_kwok(self) -> None:
        config = self._folder / "stages.yaml"
        config.write_text(yaml.safe_dump_all(stages()))
        arguments = [
            *("--kubeconfig", self._cluster.kubeconfig),
            *("--config", config),
            "--manage-all-nodes=true",
            f"--cidr={netns.pod_cidr(self._cluster.index)}",
            "--node-ip=10.0.0.1",
        ]
        self._spawn("kwok", [binary("kwok"), *arguments])

    def _start_scheduler(self) -> None:
        configuration = {
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "clientConnection": {"kubeconfig": str(self._cluster.kubeconfig), "qps": 1000, "burst": 2000},
            "leaderElection": {"leaderElect": False},
        }
        config = self._folder / "scheduler.yaml"
        config.write_text(yaml.safe_dump(configuration))
        self._spawn("kube-scheduler", [binary("kube-scheduler"), "--config", config, "--secure-port=0"])

    def _make_node(self) -> None:
        resources = {"cpu": "100000", "memory": "100000Gi", "pods": "100000"}
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": _NODE, "labels": {"kubernetes.io/hostname": _NODE, "kubernetes.io/os": "linux"}},
            "status": {"allocatable": resources, "capacity": resources},
        }
        client = self._cluster.client
        client.checked("POST", "/api/v1/nodes", node)
        # Admission adds the taint `not-ready` to every new node, and no controller runs that would lift it.
        client.checked("PATCH", f"/api/v1/nodes/{_NODE}", {"spec": {"taints": None}}, "application/merge-patch+json")

    def _ready(self) -> bool:
        node: dict[str, Any] = self._cluster.get(f"/api/v1/nodes/{_NODE}")
        conditions = node["status"].get("conditions") or ()
        return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)

    def _spawn(self, name: str, arguments: list[object]) -> None:
        self._children.append(session().spawn(f"{self._cluster.name}-{name}", arguments))
