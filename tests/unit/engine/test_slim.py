"""What the caches keep of pods and Deployments: all that anything reads, and little else."""

from __future__ import annotations

import json

from sluice.api.names import Kind
from sluice.decide.metadata import requester_of, writer_of
from sluice.engine.pods import faults_of
from sluice.engine.slim import slim
from sluice.engine.store import Store
from sluice.ports import Obj
from unit.engine.objects import deployment, obj, pod

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def whole_pod() -> Obj:
    """A pod as an API server gives it."""
    state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
    last = {
        "terminated": {"reason": "Error", "exitCode": 1, "startedAt": "2026-03-02T09:00:00Z", "containerID": "x" * 80}
    }
    container = {
        "name": "app",
        "state": state,
        "lastState": last,
        "restartCount": 2,
        "image": "i" * 200,
        "imageID": "x",
    }
    body = pod(
        "p-1", 7, "checkout", revision="new", containerStatuses=[container], podIP="10.0.0.1", conditions=[{}] * 5
    )
    body["metadata"] |= {
        "annotations": {"team": "shop", LAST_APPLIED: "x" * 3000},
        "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:status": {"x": "y" * 3000}}}],
        "ownerReferences": [{"uid": "1"}],
        "deletionTimestamp": "2026-03-02T09:00:00Z",
    }
    return {**body, "spec": {"containers": [{"name": "app", "env": [{"name": "A", "value": "b" * 3000}]}]}}


def test_a_pod_is_small() -> None:
    """Name, labels, annotations and how its containers fare are kept; its spec and all else is not."""
    whole = whole_pod()
    kept = slim(Kind.POD, whole)
    assert len(json.dumps(kept)) < 800 < len(json.dumps(whole)) / 10
    for field in ("name", "namespace", "uid", "labels", "resourceVersion", "deletionTimestamp"):
        assert kept["metadata"][field] == whole["metadata"][field]
    assert kept["metadata"]["annotations"] == {"team": "shop"}
    assert kept["status"]["phase"] == "Running"
    assert faults_of([kept], "new") == faults_of([whole], "new") != ()


def test_of_a_deployment_it_is_kept_who_wrote_what() -> None:
    """Spec and status stay whole; of the record of writers, the outline by which the last one is told."""
    fields = {"f:spec": {"f:replicas": {}, "f:template": {"x": "y" * 3000}}}
    whole = deployment("checkout", 3, annotations={"team": "shop", LAST_APPLIED: "x" * 3000}, status={"replicas": 2})
    whole["metadata"]["managedFields"] = [
        {"manager": "helm", "operation": "Update", "time": "2026-03-02T09:00:00Z", "fieldsV1": fields},
        {"manager": "kcm", "subresource": "status", "time": "2026-03-02T09:00:01Z", "fieldsV1": {"f:status": {}}},
    ]
    kept = slim(Kind.DEPLOYMENT, whole)
    assert (kept["spec"], kept["status"]) == (whole["spec"], whole["status"])
    assert len(json.dumps(kept)) < 1000
    assert writer_of(kept) == writer_of(whole) == "helm"
    assert requester_of(kept) == requester_of(whole)
    assert LAST_APPLIED in whole["metadata"]["annotations"]


def test_scaling_by_hand_is_a_write() -> None:
    """`kubectl scale` and autoscalers write through a subresource of their own; in one second, a foreign one counts."""
    body = deployment("checkout", 1)
    body["metadata"]["managedFields"] = [
        {"manager": "sluice", "operation": "Apply", "time": "2", "fieldsV1": {"f:spec": {}}},
        {"manager": "kubectl", "subresource": "scale", "time": "2", "fieldsV1": {"f:spec": {}}},
        {"manager": "kcm", "subresource": "status", "time": "3", "fieldsV1": {"f:spec": {}}},
    ]
    assert writer_of(body) == "kubectl"


def test_nonsense_is_kept_out_without_harm() -> None:
    """Whatever an object lacks, the caches take it in."""
    for kind in (Kind.POD, Kind.DEPLOYMENT):
        assert slim(kind, {"metadata": {"name": "a"}})["metadata"]["name"] == "a"
        slim(kind, {"metadata": {"managedFields": [7, {"fieldsV1": 3}], "annotations": None}, "status": None})
    slim(Kind.POD, {"metadata": {}, "status": {"containerStatuses": [None, {"state": {"waiting": None}}]}})


def test_whatever_way_it_comes_the_caches_keep_little() -> None:
    """A watch, a list, the answer to a write: all are taken in by the store."""
    store = Store()
    store.apply(Kind.POD, "MODIFIED", whole_pod())
    kept = store.get(Kind.POD, "shop", "p-1")
    assert kept is not None
    assert "spec" not in kept
    other = obj("web", 1, spec={"selector": {"a": "b"}})
    assert slim(Kind.SERVICE, other) is other
