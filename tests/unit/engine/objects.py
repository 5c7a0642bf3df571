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
