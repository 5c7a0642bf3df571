"""Pods come and go as well-made ones do: nobody's request is lost, budgets are kept, and what doesn't run says why."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from testbed import DataPlane, ExternalMetrics, Load, Testbed, apps, wait_for

pytestmark = pytest.mark.e2e

HOST = "churn.example"
NAMESPACE = "churn"
_DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
_BUDGET = f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets/app"
_PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"


@pytest.fixture(scope="module")
def churn(testbed: Testbed, plane: DataPlane) -> Testbed:
    """An app whose pods serve for a second after they were deleted."""
    testbed.hub.apply(apps.two_slots(NAMESPACE, "app", HOST, replicas=(6, 0), grace_seconds=1))
    plane.wait_weights(HOST, {"app-blue": 100})
    plane.wait_endpoints(NAMESPACE, "app-blue", 6)
    return testbed


def _scale(testbed: Testbed, count: int) -> None:
    body = {"spec": {"replicas": count}}
    testbed.hub.client.checked("PATCH", f"{_DEPLOYMENTS}/app-blue/scale", body, "application/merge-patch+json")
    testbed.data_plane.wait_endpoints(NAMESPACE, "app-blue", count)


def _rolled(testbed: Testbed) -> bool:
    found = testbed.hub.get(f"{_DEPLOYMENTS}/app-blue")
    status, wanted = found["status"], found["spec"]["replicas"]
    seen = status["observedGeneration"] == found["metadata"]["generation"]
    counts = [status.get(name) for name in ("replicas", "updatedReplicas", "availableReplicas")]
    return bool(seen and counts == [wanted] * 3)


def _blue(testbed: Testbed) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = testbed.hub.get(f"{_PODS}?labelSelector=slot%3Dblue")["items"]
    return items


def test_scaling_and_rolling_lose_no_request(churn: Testbed, plane: DataPlane) -> None:
    """Scaled from 6 to 2 and back, and rolled, three times under load: a leaving pod serves on, a new one at once."""
    with Load(HOST, 500, plane.envoy_address) as load:
        for number in range(3):
            _scale(churn, 2)
            _scale(churn, 6)
            template = {"metadata": {"annotations": {"rolled": str(number)}}}
            churn.hub.kubectl(
                *("-n", NAMESPACE, "patch", "deployment/app-blue"), "-p", json.dumps({"spec": {"template": template}})
            )
            wait_for(lambda: _rolled(churn), 30, "app-blue to be rolled")
        pods = {pod["metadata"]["name"] for pod in _blue(churn) if "deletionTimestamp" not in pod["metadata"]}
        wait_for(lambda: {pod["metadata"]["name"] for pod in _blue(churn)} == pods, 30, "old pods to be gone")
        requests = load.stop()
    assert not requests.failed(), requests.told()
    assert {request.pod for request in requests} > pods


def test_a_disruption_budget_is_kept(churn: Testbed, plane: DataPlane) -> None:
    """An eviction beyond the budget is answered 429, one within it is done, and the evicted pod loses no request."""
    with Load(HOST, 500, plane.envoy_address) as load:
        _budget(churn, 6, allowed=0)
        pods = {pod["metadata"]["name"] for pod in _blue(churn)}
        evicted = min(pods)
        assert _evict(churn, evicted) == 429
        _budget(churn, 5, allowed=1)
        assert _evict(churn, evicted) == 201
        wait_for(lambda: evicted not in {pod["metadata"]["name"] for pod in _blue(churn)}, 10, f"{evicted} to be gone")
        plane.wait_endpoints(NAMESPACE, "app-blue", 6)
        requests = load.stop()
    assert not requests.failed(), requests.told()
    churn.hub.request("DELETE", _BUDGET)


def _budget(testbed: Testbed, least: int, *, allowed: int) -> None:
    testbed.hub.apply(yaml.safe_dump(apps.budget(NAMESPACE, "app", least)))

    def known() -> bool:
        found = testbed.hub.get(_BUDGET)
        status = found.get("status", {})
        current = status.get("observedGeneration") == found["metadata"]["generation"]
        return bool(current and status["disruptionsAllowed"] == allowed)

    wait_for(known, 10, f"a budget of {allowed}")


def _evict(testbed: Testbed, pod: str) -> int:
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": NAMESPACE}}
    status, _ = testbed.hub.request("POST", f"{_PODS}/{pod}/eviction", eviction)
    return status


def test_an_autoscaler_follows_a_metric(churn: Testbed, plane: DataPlane) -> None:
    """A HorizontalPodAutoscaler on an external metric gives a Deployment as many pods as the metric asks for."""
    autoscaler = apps.autoscaler(NAMESPACE, "app-blue", "apps/v1", "Deployment", "queue", most=10)
    with ExternalMetrics(churn.hub) as metrics:
        metrics.set(NAMESPACE, "queue", 6)
        churn.hub.apply(yaml.safe_dump(autoscaler))
        for wanted in (8, 3, 6):
            metrics.set(NAMESPACE, "queue", wanted)
            plane.wait_endpoints(NAMESPACE, "app-blue", wanted)
    churn.hub.request("DELETE", f"/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers/app-blue")


@pytest.mark.parametrize(
    "tag, phase, reason, message",
    [
        ("v9-bad-image", "Pending", "ImagePullBackOff", 'Back-off pulling image "registry.example/app:v9-bad-image"'),
        ("v9-crash", "Running", "CrashLoopBackOff", "back-off 40s restarting failed container=app"),
    ],
)
def test_an_image_that_does_not_run(churn: Testbed, tag: str, phase: str, reason: str, message: str) -> None:
    """By the tag of its image a container waits for good, with a kubelet's words, and its pod is never ready."""
    spec = {"containers": [{"name": "app", "image": f"registry.example/app:{tag}"}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": tag, "namespace": NAMESPACE}, "spec": spec}
    churn.hub.client.checked("POST", _PODS, pod)
    path = f"{_PODS}/{tag}"
    wait_for(lambda: churn.hub.get(path)["status"].get("containerStatuses"), 10, f"the status of {tag}")
    status = churn.hub.get(path)["status"]
    waiting = status["containerStatuses"][0]["state"]["waiting"]
    assert (status["phase"], waiting["reason"]) == (phase, reason)
    assert message in waiting["message"]
    assert {each["status"] for each in status["conditions"] if each["type"] == "Ready"} == {"False"}
    churn.hub.request("DELETE", f"{path}?gracePeriodSeconds=0")
