"""Everything that the models can write, the API server keeps: no field of a status or of a run is lost on the way."""

from typing import Any

import pytest

from contract.crds.resources import SPECS, STATUSES, collection, full, samples
from testbed import Cluster

pytestmark = pytest.mark.cluster

MERGE = "application/merge-patch+json"


def create(cluster: Cluster, kind: str, namespace: str, spec: dict[str, Any], name: str = "full") -> str:
    """Create an object and return its path."""
    where = collection(kind, namespace)
    body = {"apiVersion": "sluice.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
    cluster.client.checked("POST", f"{where}?fieldValidation=Strict", body)
    return f"{where}/{name}"


def spec_of(kind: str) -> dict[str, Any]:
    """A valid spec of the kind; of a RolloutRun, one with every field."""
    if kind == "RolloutRun":
        dumped: dict[str, Any] = full(SPECS[kind]).dump()
        return dumped
    spec: dict[str, Any] = next(
        sample.body["spec"] for sample in samples("minimal", "complete") if sample.body["kind"] == kind
    )
    return {key: value for key, value in spec.items() if key != "engaged"}


@pytest.mark.parametrize("kind", sorted(STATUSES))
def test_a_full_status_is_kept(installed: Cluster, namespace: str, kind: str) -> None:
    """A status with every field set is accepted and read back equal."""
    path = create(installed, kind, namespace, spec_of(kind), f"full-{namespace}")
    status = full(STATUSES[kind])
    body = {"status": status.dump()}
    kept = installed.client.checked("PATCH", f"{path}/status?fieldValidation=Strict", body, MERGE)["status"]
    assert kept == status.dump()
    assert STATUSES[kind].parse(kept, "stored") == status


@pytest.mark.parametrize("kind", sorted(STATUSES))
def test_a_status_is_written_by_its_subresource_only(installed: Cluster, namespace: str, kind: str) -> None:
    """A write to the object itself changes no status: who may edit a Rollout cannot tell lies in its name."""
    path = create(installed, kind, namespace, spec_of(kind), f"lies-{namespace}")
    installed.client.checked("PATCH", path, {"status": full(STATUSES[kind]).dump()}, MERGE)
    assert "status" not in installed.get(path)


def test_a_full_run_is_kept(installed: Cluster, namespace: str) -> None:
    """A RolloutRun with every field set is accepted and read back equal."""
    spec = full(SPECS["RolloutRun"])
    kept = installed.get(create(installed, "RolloutRun", namespace, spec.dump()))["spec"]
    assert kept == spec.dump()
    assert SPECS["RolloutRun"].parse(kept, "stored") == spec


def test_a_run_is_immutable(installed: Cluster, namespace: str) -> None:
    """No gate of a run can be edited away while it runs."""
    path = create(installed, "RolloutRun", namespace, spec_of("RolloutRun"))
    status, answer = installed.request(
        "PATCH", path, {"spec": {"steps": [{"kind": "setWeight", "share": "100%"}]}}, MERGE
    )
    assert status == 422
    assert "a RolloutRun's spec is immutable: change the Rollout, and the next run takes it" in answer["message"]


def test_an_action_is_immutable(installed: Cluster, namespace: str) -> None:
    """What a person told a run stays what they told it."""
    path = create(installed, "RolloutAction", namespace, {"rollout": "checkout", "action": "Pause"})
    status, answer = installed.request("PATCH", path, {"spec": {"action": "Resume"}}, MERGE)
    assert status == 422
    assert "a RolloutAction is immutable: create another one" in answer["message"]


def test_kubectl_shows_what_matters_at_a_glance(installed: Cluster, namespace: str) -> None:
    """`kubectl get` shows phase, step, weight and stable version of a Rollout, and state and author of a switch."""
    spec = next(sample.body["spec"] for sample in samples("minimal") if sample.file == "minimal/canary")
    rollout = create(installed, "Rollout", namespace, spec, "checkout")
    status = {
        "phase": "Progressing",
        "weight": "0.5%",
        "stable": {"slot": "blue", "hash": "abd", "version": "2.4.0"},
        "step": {"index": 2, "of": 6, "kind": "pause", "startedAt": "2026-01-31T12:00:00.123456Z"},
        "revision": {"number": 17, "hash": "abc", "slot": "green", "startedAt": "2026-01-31T12:00:00Z"},
        "conditions": [
            {"type": "Ready", "status": "True", "reason": "Stepping", "lastTransitionTime": "2026-01-31T12:00:00Z"}
        ],
    }
    installed.client.checked("PATCH", f"{rollout}/status", {"status": status}, MERGE)
    create(installed, "KillSwitch", namespace, {"engaged": True, "reason": "5xx"}, "stop")
    seen = [line.split() for line in installed.kubectl("get", "sluice", "-n", namespace).splitlines()]
    without_age = [words[:-1] for words in seen]
    assert ["NAME", "PHASE", "STEP", "OF", "WEIGHT", "REVISION", "VERSION", "READY", "AGE"] in seen
    assert ["rollout.sluice.dev/checkout", "Progressing", "2", "6", "0.5%", "17", "2.4.0", "True"] in without_age
    assert ["NAME", "STATE", "ENGAGED", "EFFECT", "BY", "REASON", "PENDING", "AGE"] in seen
    assert ["killswitch.sluice.dev/stop", "true", "Divert", "admin", "5xx"] in without_age


def test_kubectl_explains(installed: Cluster) -> None:
    """`kubectl explain` tells what a field means, with default and choices."""
    told = installed.kubectl("explain", "rollouts.spec.progressDeadline", "--api-version=sluice.dev/v1alpha1")
    assert "How long a run may wait for pods, endpoints or routes" in told
