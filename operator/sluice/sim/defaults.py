"""What an API server adds to objects where their writers say nothing, as far as somebody could trip over it.

Applied templates come back longer than they were sent, so that comparing the two finds differences that are none.
"""

from __future__ import annotations

from typing import Any

from sluice.api.names import Kind
from sluice.ports import Obj
from sluice.sim.patches import clone

_DEPLOYMENT: Obj = {"replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600}
_ROLLING: Obj = {"maxUnavailable": "25%", "maxSurge": "25%"}
_POD: Obj = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "schedulerName": "default-scheduler",
}
_CONTAINER: Obj = {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}
_SERVICE: Obj = {"type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster"}


def add_defaults(kind: Kind, obj: Obj) -> None:
    """Give a valid object another spec, with what its writer left out."""
    if kind not in (Kind.DEPLOYMENT, Kind.POD, Kind.SERVICE) or not obj.get("spec"):
        return
    spec = obj["spec"] = clone(obj["spec"])
    if kind is Kind.DEPLOYMENT:
        _fill(spec, _DEPLOYMENT)
        strategy = spec.setdefault("strategy", {})
        strategy.setdefault("type", "RollingUpdate")
        if strategy["type"] == "RollingUpdate":
            _fill(strategy.setdefault("rollingUpdate", {}), _ROLLING)
        _add_pod_defaults(spec["template"]["spec"])
    elif kind is Kind.POD:
        _add_pod_defaults(spec)
    else:
        _fill(spec, _SERVICE)
        for port in spec.get("ports") or ():
            _fill(port, {"protocol": "TCP", "targetPort": port.get("port")})


def _add_pod_defaults(spec: Obj) -> None:
    _fill(spec, _POD)
    spec.setdefault("securityContext", {})
    for container in (*spec.get("initContainers", ()), *spec["containers"]):
        _fill(container, _CONTAINER)
        container.setdefault("resources", {})
        container.setdefault("imagePullPolicy", _pull_policy(container["image"]))
        for port in container.get("ports") or ():
            port.setdefault("protocol", "TCP")


def _pull_policy(image: str) -> str:
    tagged = ":" in image.rpartition("/")[2]
    return "IfNotPresent" if tagged and not image.endswith(":latest") else "Always"


def _fill(target: Obj, values: dict[str, Any]) -> None:
    for name, value in values.items():
        target.setdefault(name, value)
