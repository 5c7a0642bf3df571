"""API objects as plain dicts, in the versions and shapes that the engine's tests need."""

from __future__ import annotations

from typing import Any

from sluice.api.names import Kind
from sluice.ports import Obj

NAMESPACE = "shop"


def obj(name: str, version: int, *, namespace: str = NAMESPACE, uid: str = "", **fields: Any) -> Obj:
    """Any object. `labels` go into its metadata."""
    metadata: Obj = {"name": name, "resourceVersion": str(version), "uid": uid or f"uid-{name}"}
    if namespace:
        metadata["namespace"] = namespace
    if "labels" in fields:
        metadata["labels"] = fields.pop("labels")
    return {"metadata": metadata, **fields}


def endpoints(name: str, version: int, service: str, ready: int = 1) -> Obj:
    """An EndpointSlice."""
    ports = [{"conditions": {"ready": True}}] * ready
    return obj(name, version, labels={"kubernetes.io/service-name": service}, endpoints=ports)


def rollout(name: str, version: int, *, route: str = "", **fields: Any) -> Obj:
    """A Rollout that moves a route of its name."""
    spec = {
        "workload": {
            "services": {"blue": f"{name}-blue", "green": f"{name}-green"},
            "active": "blue",
            "version": "1.0",
        },
        "traffic": {"routes": [{"kind": "HTTPRoute", "name": route or name}]},
        "strategy": {"canary": {"steps": [{"setWeight": 10}]}},
    }
    return obj(name, version, **{"spec": spec, **fields})


def run(name: str, version: int, parent: str, services: dict[str, str] | None = None, **status: Any) -> Obj:
    """A RolloutRun of a Rollout."""
    spec = {
        "rollout": parent,
        "services": services or {"blue": f"{parent}-blue", "green": f"{parent}-green"},
        "traffic": {"routes": [{"kind": "HTTPRoute", "name": parent}]},
    }
    return obj(name, version, spec=spec, status=status)


def switch(version: int, *, engaged: bool, kind: Kind = Kind.KILL_SWITCH, **spec: Any) -> Obj:
    """A kill switch called stop."""
    namespace = NAMESPACE if kind is Kind.KILL_SWITCH else ""
    body = {"engaged": engaged, "reason": "drill", "engagedBy": "alice", "effect": "Divert", **spec}
    return obj("stop", version, namespace=namespace, spec=body)


def managed(name: str, version: int, *, labels: dict[str, str] | None = None, source: str = "", **spec: Any) -> Obj:
    """A Rollout that runs pods of its own, which carry these labels; or those of the Deployment `source`."""
    workload: Obj = {"workloadRef": {"name": source}} if source else {"template": template(labels)}
    body = rollout(name, version)
    body["spec"] |= {"workload": {**workload, "replicas": 4, **spec.pop("workload", {})}, **spec}
    return body


def template(labels: dict[str, str] | None = None, image: str = "shop/checkout:1.0") -> Obj:
    """A pod template."""
    container = {"name": "app", "image": image, "ports": [{"containerPort": 8080}]}
    return {"metadata": {"labels": labels or {"app": "checkout"}}, "spec": {"containers": [container]}}


def deployment(name: str, version: int, *, labels: dict[str, str] | None = None, **fields: Any) -> Obj:
    """A Deployment whose pods carry these labels; `status` and `annotations` as given."""
    annotations = fields.pop("annotations", {})
    body = obj(name, version, spec={"replicas": 4, "template": template(labels)}, **fields)
    body["metadata"] |= {"generation": 1, "annotations": annotations}
    return body


def service(name: str, version: int, selector: dict[str, str] | None, *, owner: str = "", **spec: Any) -> Obj:
    """A Service."""
    ports = [{"port": 80, "targetPort": 8080, "protocol": "TCP"}]
    body = obj(name, version, spec={"ports": ports, **({"selector": selector} if selector else {}), **spec})
    body["metadata"]["annotations"] = {"sluice.dev/rollout": owner} if owner else {}
    return body


def budget(name: str, version: int, selector: Any, allowed: int = 1) -> Obj:
    """A PodDisruptionBudget."""
    return obj(name, version, spec={"selector": selector}, status={"disruptionsAllowed": allowed})


def pod(name: str, version: int, rollout: str, slot: str = "green", *, revision: str = "", **status: Any) -> Obj:
    """A pod of a slot."""
    labels = {
        "app": "checkout",
        "sluice.dev/rollout": rollout,
        "sluice.dev/slot": slot,
        "sluice.dev/revision": revision,
    }
    return obj(name, version, labels=labels, status={"phase": "Running", **status})
