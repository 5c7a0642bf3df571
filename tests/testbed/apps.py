"""Manifests of small applications for tests: two slots behind one route."""

from __future__ import annotations

from typing import Any, Literal

import yaml

from testbed.pod_server import POD_PORT

GATEWAY = {"name": "gw", "namespace": "projectcontour"}
SLOTS = ("blue", "green")


def two_slots(
    namespace: str,
    name: str,
    host: str,
    *,
    blue_version: str = "v1",
    green_version: str = "v2",
    replicas: int | tuple[int, int] = 2,
    route: Literal["HTTPRoute", "GRPCRoute"] | None = "HTTPRoute",
    active_preview: bool = False,
    grace_seconds: int = 3,
) -> str:
    """YAML of a namespace, Deployments and Services ``<name>-blue`` and ``<name>-green``, and a route named ``name``.

    Args:
        namespace: made with it.
        name: of the app; the pods' label ``app``.
        host: the route's hostname; unique on the gateway.
        blue_version: tag of the image, and label ``version`` of the pods.
        green_version: likewise for the other slot.
        replicas: pods of each slot, or of (blue, green).
        route: kind of the route, with weight 100 on blue and 0 on green; None for no route.
        active_preview: also Services ``<name>-active`` (selects blue) and ``<name>-preview`` (selects green).
        grace_seconds: how long a deleted pod goes on serving; API times are whole seconds, so up to one less.
    """
    counts = (replicas, replicas) if isinstance(replicas, int) else replicas
    objects: list[dict[str, Any]] = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}]
    for slot, version, count in zip(SLOTS, (blue_version, green_version), counts, strict=True):
        objects.append(deployment(namespace, name, slot, version, replicas=count, grace_seconds=grace_seconds))
        objects.append(service(namespace, f"{name}-{slot}", name, slot))
    if active_preview:
        objects.append(service(namespace, f"{name}-active", name, "blue"))
        objects.append(service(namespace, f"{name}-preview", name, "green"))
    if route:
        objects.append(weighted_route(namespace, name, host, {f"{name}-blue": 100, f"{name}-green": 0}, kind=route))
    return yaml.safe_dump_all(objects, sort_keys=False)


def deployment(
    namespace: str,
    app: str,
    slot: str,
    version: str,
    *,
    replicas: int,
    grace_seconds: int = 3,
    annotations: dict[str, str] | None = None,
) -> dict[str, Any]:
    """A Deployment ``<app>-<slot>`` whose pods carry the labels ``app``, ``slot`` and ``version``.

    Args:
        namespace: of the Deployment.
        app: its name, without the slot.
        slot: ``blue`` or ``green``.
        version: tag of the image.
        replicas: how many pods.
        grace_seconds: see :func:`two_slots`.
        annotations: of the pods; ``testbed/ready: never`` and ``testbed/ready-after: 5s`` steer their readiness.
    """
    selector = {"app": app, "slot": slot}
    container = {
        "name": "app",
        "image": f"registry.example/{app}:{version}",
        "ports": [{"name": "http", "containerPort": POD_PORT}],
    }
    template = {
        "metadata": {"labels": {**selector, "version": version}, "annotations": annotations or {}},
        "spec": {"terminationGracePeriodSeconds": grace_seconds, "containers": [container]},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": f"{app}-{slot}", "namespace": namespace, "labels": selector},
        "spec": {"replicas": replicas, "selector": {"matchLabels": selector}, "template": template},
    }


def service(namespace: str, name: str, app: str, slot: str) -> dict[str, Any]:
    """A Service with port 80 for the pods of one slot."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": app}},
        "spec": {
            "selector": {"app": app, "slot": slot},
            "ports": [{"name": "http", "port": 80, "targetPort": POD_PORT}],
        },
    }


def weighted_route(
    namespace: str, name: str, host: str, weights: dict[str, int], *, kind: str = "HTTPRoute"
) -> dict[str, Any]:
    """A route of ``host`` to Services (port 80) by weight."""
    backends = [{"name": service_name, "port": 80, "weight": weight} for service_name, weight in weights.items()]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"parentRefs": [dict(GATEWAY)], "hostnames": [host], "rules": [{"backendRefs": backends}]},
    }


def autoscaler(namespace: str, name: str, api_version: str, kind: str, metric: str, *, most: int) -> dict[str, Any]:
    """A HorizontalPodAutoscaler of the object ``name``, with as many pods as an external metric says, at least one."""
    # A second at a time: without it, growing and shrinking are spread over minutes.
    at_once = {"stabilizationWindowSeconds": 0, "policies": [{"type": "Percent", "value": 900, "periodSeconds": 1}]}
    source = {"metric": {"name": metric}, "target": {"type": "AverageValue", "averageValue": "1"}}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "scaleTargetRef": {"apiVersion": api_version, "kind": kind, "name": name},
            "minReplicas": 1,
            "maxReplicas": most,
            "behavior": {"scaleUp": at_once, "scaleDown": at_once},
            "metrics": [{"type": "External", "external": source}],
        },
    }


def budget(namespace: str, app: str, least: int | str) -> dict[str, Any]:
    """A PodDisruptionBudget named after the app, for the pods labelled ``app``: so many, or such a share, stay."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": app, "namespace": namespace},
        "spec": {"minAvailable": least, "selector": {"matchLabels": {"app": app}}},
    }
