"""The shop that people meet in the demo and in `up`: an app in two slots, its Rollout, an armed kill switch."""

from __future__ import annotations

from typing import Any, Literal

import yaml

from installation import PROBERS, Operator, install
from testbed.apps import SLOTS, two_slots
from testbed.bed import Testbed
from testbed.cluster import Cluster
from testbed.dataplane import DataPlane
from testbed.pod_server import POD_PORT

NAMESPACE = "shop"
APP = "checkout"
HOST = "shop.example"
SWITCH = "stop"
ON_CALL = "alice"
USERS: dict[str, list[str]] = {name: [] for name in (*PROBERS, ON_CALL)}
_REPLICAS = 2

Json = dict[str, Any]


def open_shop(hub: Cluster, plane: DataPlane, blue: str, green: str) -> None:
    """Deploy two versions of the app, and wait until blue serves and green is ready.

    The pods tell their version by their image's tag, so that `kubectl set image` is a release.
    """
    objects = list(yaml.safe_load_all(two_slots(NAMESPACE, APP, HOST, blue_version=blue, green_version=green)))
    for each in objects:
        if each["kind"] == "Deployment":
            del each["spec"]["template"]["metadata"]["labels"]["version"]
    hub.apply(yaml.safe_dump_all(objects))
    plane.wait_weights(HOST, {f"{APP}-blue": 100})
    for slot in SLOTS:
        plane.wait_endpoints(NAMESPACE, f"{APP}-{slot}", _REPLICAS)


def start_sluice(testbed: Testbed) -> Operator:
    """Install Sluice from manifests/base, and run one operator as its ServiceAccount, with the hub's Prometheus."""
    install(testbed.hub)
    return Operator(testbed.hub, testbed.data_plane.prometheus_url).start()


def hand_over(hub: Cluster, steps: list[Json], version: str, *, measure: Literal["slot", "version"] = "slot") -> None:
    """Put the app under a Rollout, arm a kill switch, let ON_CALL engage it, and wait until the Rollout is Healthy.

    Args:
        hub: where the shop is open.
        steps: of the canary.
        version: that blue runs.
        measure: the label that tells the candidate's requests. A version is not blamed for what its slot ran seconds
            ago; a slot needs no version in the Rollout.
    """
    objects = [_rollout(steps, version, measure), _switch(), *map(_role, ("sluice-operator-verbs", "view"))]
    hub.apply(yaml.safe_dump_all(objects))
    hub.wait(lambda: rollout(hub).get("status", {}).get("phase") == "Healthy", 120, "the shop's Rollout to be Healthy")


def ready_pods(hub: Cluster, slot: str) -> set[str]:
    """The addresses (``ip:port``) of a slot's pods that are ready, and stay."""
    pods = hub.get(f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=app%3D{APP},slot%3D{slot}")["items"]
    return {
        f"{pod['status']['podIP']}:{POD_PORT}"
        for pod in pods
        if "deletionTimestamp" not in pod["metadata"]
        and any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", ()))
    }


def rollout(hub: Cluster) -> Json:
    """The shop's Rollout as it is now."""
    found: Json = hub.get(f"/apis/sluice.dev/v1alpha1/namespaces/{NAMESPACE}/rollouts/{APP}")
    return found


def _rollout(steps: list[Json], version: str, measure: str) -> Json:
    mine = f'namespace="{{{{namespace}}}}", {measure}="{{{{{measure}}}}}"'
    errors = f'sum(rate(http_requests_total{{{mine}, code=~"5.."}}[10s]))'
    requests = f"sum(rate(http_requests_total{{{mine}}}[10s]))"
    metric = {
        "name": "error-ratio",
        "prometheus": {"query": f"{errors} / {requests}"},
        "interval": "1s",
        "threshold": {"max": 0.01},
        "minSamples": {"query": f"sum(increase(http_requests_total{{{mine}}}[10s]))", "value": 30},
    }
    spec = {
        "workload": {
            "services": {slot: f"{APP}-{slot}" for slot in SLOTS},
            "active": "blue",
            "version": version,
        },
        "traffic": {"routes": [{"name": APP}]},
        "strategy": {"canary": {"steps": steps}},
        "analysis": {"metrics": [metric]},
    }
    return _object("sluice.dev/v1alpha1", "Rollout", APP, spec=spec)


def _switch() -> Json:
    return _object("sluice.dev/v1alpha1", "KillSwitch", SWITCH, spec={"engaged": False})


def _role(name: str) -> Json:
    group = "rbac.authorization.k8s.io"
    return _object(
        f"{group}/v1",
        "RoleBinding",
        f"{ON_CALL}-{name}",
        roleRef={"apiGroup": group, "kind": "ClusterRole", "name": name},
        subjects=[{"kind": "User", "name": ON_CALL}],
    )


def _object(version: str, kind: str, name: str, **fields: Any) -> Json:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}, **fields}
