"""Objects to put into a world, as people would write them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sluice.api import names
from sluice.api.names import Kind, Slot
from sluice.ports import Obj

APP_LABEL = "app"
SLOT_LABEL = "slot"

ERROR_RATIO_QUERY = (
    'sum(rate(requests_total{service="{{service}}",code=~"5.."}[{{interval}}])) '
    '/ sum(rate(requests_total{service="{{service}}"}[{{interval}}]))'
)


def slot_service(app: str, slot: Slot) -> str:
    """The name of a slot's Service, which is that of its pods too."""
    return f"{app}-{slot}"


def slot_labels(app: str, slot: Slot) -> dict[str, str]:
    """What the pods of a slot carry."""
    return {APP_LABEL: app, SLOT_LABEL: str(slot)}


def slot_of(selector: dict[str, str]) -> str:
    """The slot that a selector selects, by the labels of these apps or of Sluice's own pods; "" where it is neither."""
    return selector.get(SLOT_LABEL) or selector.get(names.SLOT_LABEL) or ""


def managed_labels(app: str, slot: Slot) -> dict[str, str]:
    """What the pods of a slot that Sluice keeps carry, and its Service selects."""
    return {names.ROLLOUT_LABEL: app, names.SLOT_LABEL: str(slot)}


def service(namespace: str, name: str, selector: dict[str, str]) -> Obj:
    """A Service."""
    ports = [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}]
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"selector": selector, "ports": ports}}


def route(namespace: str, app: str) -> Obj:
    """A route with one rule over both slots' Services; blue gets everything."""
    backends = [
        {"group": "", "kind": "Service", "name": slot_service(app, slot), "port": 80, "weight": weight}
        for slot, weight in ((Slot.BLUE, 100), (Slot.GREEN, 0))
    ]
    return {
        "metadata": {"name": app, "namespace": namespace},
        "spec": {
            "parentRefs": [{"name": "gateway", "namespace": "infra"}],
            "rules": [{"matches": [{"path": {"type": "PathPrefix", "value": "/"}}], "backendRefs": backends}],
        },
    }


def pod_template(app: str, image: str, *, port: int = 8080, **spec: Any) -> Obj:
    """A pod template with one container; `spec` has further fields of the pod's."""
    container = {"name": "app", "image": image, "ports": [{"name": "http", "containerPort": port}]}
    return {"metadata": {"labels": {APP_LABEL: app}}, "spec": {"containers": [container], **spec}}


def deployment(namespace: str, name: str, image: str, *, replicas: int) -> Obj:
    """A Deployment of somebody's own, as `workloadRef` names one; its pods carry the label `app`."""
    selector = {"matchLabels": {APP_LABEL: name}}
    spec = {"replicas": replicas, "selector": selector, "template": pod_template(name, image)}
    return {"metadata": {"name": name, "namespace": namespace}, "spec": spec}


def budget(namespace: str, name: str, labels: dict[str, str], **limit: int | str) -> Obj:
    """A PodDisruptionBudget; `limit` is minAvailable or maxUnavailable."""
    spec = {"selector": {"matchLabels": labels}, **limit}
    return {"metadata": {"name": name, "namespace": namespace}, "spec": spec}


def metric(name: str = "error-ratio", query: str = ERROR_RATIO_QUERY, **fields: Any) -> Obj:
    """An inline metric; by default errors of at most 1 %, asked every 30 s."""
    return {"name": name, "prometheus": {"query": query}, "interval": "30s", "threshold": {"max": 0.01}, **fields}


def step_weights(*shares: int | str, pause: str = "2m") -> list[Obj]:
    """Canary steps: each share, then a pause."""
    return [step for share in shares for step in ({"setWeight": share}, {"pause": {"duration": pause}})]


def canary(*steps: Obj) -> Obj:
    """A canary strategy."""
    return {"canary": {"steps": list(steps)}}


def freeze(now: datetime, seconds: int, name: str = "sale") -> Obj:
    """A policy's window: a freeze that is on since this minute, for so many seconds from now."""
    opened = now.replace(second=0, microsecond=0)
    lasts = round((now - opened).total_seconds()) + seconds
    schedule = f"{opened.minute} {opened.hour} {opened.day} {opened.month} *"
    return {"name": name, "kind": "Deny", "schedule": schedule, "duration": f"{lasts}s"}


def rollout(
    namespace: str,
    app: str,
    strategy: Obj,
    *,
    version: str,
    metrics: Sequence[Obj] = (),
    switched: bool = False,
    **spec: Any,
) -> Obj:
    """A Rollout over the two Services of an app, blue first.

    Args:
        namespace: its namespace.
        app: its name, and that of its route, or of the Service whose selector is switched.
        strategy: `canary` or `blueGreen`.
        version: of what runs in blue.
        metrics: of the background analysis.
        switched: a plain Service carries the traffic instead of a route.
        spec: further fields.
    """
    services = {str(slot): slot_service(app, slot) for slot in Slot}
    workload = {"services": services, "active": str(Slot.BLUE), "version": version}
    return _rollout(namespace, app, workload, strategy, metrics=metrics, switched=switched, **spec)


def managed_rollout(
    namespace: str,
    app: str,
    strategy: Obj,
    workload: Obj,
    *,
    metrics: Sequence[Obj] = (),
    switched: bool = False,
    stable_service: str = "",
    **spec: Any,
) -> Obj:
    """A Rollout that runs pods of its own.

    Args:
        namespace: its namespace.
        app: its name, and that of its route, or of the Service whose selector is switched.
        strategy: `canary` or `blueGreen`.
        workload: with `template` or `workloadRef`.
        metrics: of the background analysis.
        switched: a plain Service carries the traffic instead of a route.
        stable_service: the plain Service for callers that go past the route.
        spec: further fields.
    """
    body = _rollout(namespace, app, workload, strategy, metrics=metrics, switched=switched, **spec)
    if stable_service:
        body["spec"]["traffic"]["stableService"] = stable_service
    return body


def _rollout(
    namespace: str, app: str, workload: Obj, strategy: Obj, *, metrics: Sequence[Obj], switched: bool, **spec: Any
) -> Obj:
    traffic: Obj = {"service": {"active": app}} if switched else {"routes": [{"kind": "HTTPRoute", "name": app}]}
    return {
        "metadata": {"name": app, "namespace": namespace, "labels": {APP_LABEL: app}},
        "spec": {
            "workload": workload,
            "traffic": traffic,
            "strategy": strategy,
            **({"analysis": {"metrics": list(metrics)}} if metrics else {}),
            **spec,
        },
    }


def switch(
    namespace: str,
    name: str,
    *,
    reason: str,
    effect: str = "Divert",
    actor: str = "alice",
    scope: Obj | None = None,
    **more: Any,
) -> Obj:
    """A kill switch, engaged; in no namespace a ClusterKillSwitch. `more` are further fields of its spec."""
    spec: Obj = {"engaged": True, "reason": reason, "engagedBy": actor, "effect": effect, "scope": scope or {}}
    spec |= more
    if more.get("force"):
        spec["forcedBy"] = actor
    return {"metadata": {"name": name, **({"namespace": namespace} if namespace else {})}, "spec": spec}


def switch_kind(namespace: str) -> Kind:
    """The kind of kill switch that lives there."""
    return Kind.KILL_SWITCH if namespace else Kind.CLUSTER_KILL_SWITCH


def policy(name: str, **spec: Any) -> Obj:
    """A RolloutPolicy."""
    return {"metadata": {"name": name}, "spec": spec}


def action(namespace: str, app: str, verb: str, *, revision: int | None, actor: str, reason: str, **fields: Any) -> Obj:
    """A RolloutAction, as stored: with what the API server stamped."""
    spec: Obj = {"rollout": app, "action": verb, "actor": actor, "reason": reason, **fields}
    meta = {"generateName": f"{app}-{verb.lower()}-", "namespace": namespace}
    return {"metadata": meta, "spec": spec | ({} if revision is None else {"revision": revision})}
