"""Apps with a pod each, updated by a new image: under Rollouts that run it, and as plain Deployments."""

from __future__ import annotations

import fleet
from wire import SLUICE, Obj

APPS = "/apis/apps/v1"
# Short, so that a slot is empty again seconds after a run: the next update finds it as it would be much later.
DRAIN, SCALE_DOWN_DELAY = "1s", "2s"


def image(version: int) -> str:
    """The image of a version."""
    return f"registry.example/shop/app:v{version}"


def template(app: str, version: int) -> Obj:
    """A pod template of ordinary size."""
    probe = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 5}
    resources = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}}
    environment = {"LOG_LEVEL": "info", "REGION": "eu-1", "UPSTREAM": "http://payments.shop.svc.cluster.local"}
    container = {
        "name": "app",
        "image": image(version),
        "ports": [{"name": "http", "containerPort": 8080}],
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "resources": resources,
        "readinessProbe": probe,
        "livenessProbe": probe,
    }
    spec = {"containers": [container], "terminationGracePeriodSeconds": 1}
    return {"metadata": {"labels": {"app": app}}, "spec": spec}


def new_image(version: int) -> Obj:
    """The merge patch of a pod template. The rest of the container comes along, as a list is replaced whole."""
    return {"template": {"spec": {"containers": template("", version)["spec"]["containers"]}}}


def rollout(home: str, app: str, pods: int) -> tuple[str, Obj]:
    """A Rollout that waits for a person at 50 %."""
    path, made = fleet.rollout(home, app)
    made["spec"]["workload"] = {
        "template": template(app, 1),
        "replicas": pods,
        "drain": DRAIN,
        "scaleDownDelay": SCALE_DOWN_DELAY,
    }
    made["spec"]["strategy"]["canary"]["canarySize"] = {"full": True}  # as many new pods as the Deployments get
    return path, made


def deployment(home: str, app: str, pods: int) -> tuple[str, Obj]:
    """A Deployment whose pods are replaced as new ones are ready: as those of the slots."""
    spec = {
        "replicas": pods,
        "selector": {"matchLabels": {"app": app}},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "25%"}},
        "template": template(app, 1),
    }
    return f"{APPS}/namespaces/{home}/deployments", {"metadata": {"name": app}, "spec": spec}


def promotion(home: str, app: str, revision: int) -> tuple[str, Obj]:
    """What lets a Rollout go on from its pause to its end."""
    spec = {"rollout": app, "action": "Promote", "revision": revision, "reason": "bench"}
    metadata = {"name": f"{app}-{revision}-promote"}
    kinds = {"apiVersion": "sluice.dev/v1alpha1", "kind": "RolloutAction"}
    return f"{SLUICE}/namespaces/{home}/rolloutactions", {**kinds, "metadata": metadata, "spec": spec}


def is_ready(pod: Obj) -> bool:
    """Whether a pod is ready."""
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def at_rest(rollout: Obj, pods: int) -> bool:
    """Whether its version serves, and the other slot is empty."""
    status = rollout.get("status", {})
    return (status.get("phase"), status.get("replicas")) == ("Healthy", pods)


def is_available(deployment: Obj) -> bool:
    """Whether all of its pods are ready, and no others are there."""
    status, wanted = deployment.get("status", {}), deployment["spec"]["replicas"]
    return all(status.get(field) == wanted for field in ("replicas", "updatedReplicas", "availableReplicas"))
