"""What a Prometheus of the testbed collects: of its cluster's pods, and of other Prometheuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from testbed.cluster import Cluster
from testbed.pod_server import POD_PORT


def prometheus_config(cluster: Cluster, federated: Mapping[str, str]) -> dict[str, Any]:
    """Its configuration; ``federated`` are the addresses of others, by the value of their label ``cluster``."""

    def copied(source: str, target: str, regex: str = "(.+)") -> dict[str, Any]:
        return {"source_labels": [source], "regex": regex, "target_label": target}

    meta = "__meta_kubernetes_pod_"
    relabel: list[dict[str, Any]] = [
        {"source_labels": [f"{meta}phase"], "regex": "Running", "action": "keep"},
        {
            "source_labels": [f"{meta}ip"],
            "regex": "(.+)",
            "target_label": "__address__",
            "replacement": f"$1:{POD_PORT}",
        },
        copied("__meta_kubernetes_namespace", "namespace"),
        copied(f"{meta}name", "pod"),
        copied(f"{meta}container_image", "version", r".*:([^:/@]+)"),
        copied(f"{meta}label_sluice_dev_slot", "slot"),
        *(copied(f"{meta}label_{name}", name) for name in ("app", "slot", "version")),
    ]
    discovery = {"role": "pod", "kubeconfig_file": str(cluster.kubeconfig)}
    job = {"job_name": "pods", "kubernetes_sd_configs": [discovery], "relabel_configs": relabel}
    others = [
        {
            "job_name": f"federate-{name}",
            "honor_labels": True,
            "metrics_path": "/federate",
            "params": {"match[]": ['{job="pods"}']},
            "static_configs": [{"targets": [url.removeprefix("http://")], "labels": {"cluster": name}}],
        }
        for name, url in federated.items()
    ]
    return {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "scrape_configs": [job, *others],
    }
