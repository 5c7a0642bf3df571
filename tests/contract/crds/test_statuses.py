"""Everything that the models can write, the API server keeps: no field of a status or of a run is lost on the way."""

from typing import Any

import pytest

from contract.crds.resources import SPECS, STATUSES, collection, full, full_status, samples
from testbed import Cluster

pytestmark = pytest.mark.cluster

MERGE = "application/merge-patch+json"
RUNS = ("FleetRun", "MemberRolloutRun", "RolloutRun")


def create(cluster: Cluster, kind: str, namespace: str, spec: dict[str, Any], name: str = "full") -> str:
    """Create an object and return its path."""
    where = collection(kind, namespace)
    body = {"apiVersion": "sluice.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
    cluster.client.checked("POST", f"{where}?fieldValidation=Strict", body)
    return f"{where}/{name}"


def spec_of(kind: str) -> dict[str, Any]:
    """A valid spec of the kind; of a run, one with every field."""
    if kind in RUNS:
        dumped: dict[str, Any] = full(SPECS[kind]).dump()
        return dumped
    spec: dict[str, Any] = next(
        sample.body["spec"]
        for sample in samples("minimal", "complete")
        if sample.body["kind"] == ("Rollout" if kind == "MemberRollout" else kind)
    )
    return {key: value for key, value in spec.items() if key != "engaged"}


@pytest.mark.parametrize("kind", sorted(STATUSES))
def test_a_full_status_is_kept(installed: Cluster, namespace: str, kind: str) -> None:
    """A status with every field set is accepted from the operator, and read back equal."""
    path = create(installed, kind, namespace, spec_of(kind), f"full-{namespace}")
    status = full_status(kind)
    body, token = {"status": status.dump()}, installed.token_for("sluice-system", "sluice")
    code, answer = installed.request("PATCH", f"{path}/status?fieldValidation=Strict", body, MERGE, token=token)
    assert code == 200, answer
    kept = answer["status"]
    assert kept == status.dump()
    assert STATUSES[kind].parse(kept, "stored") == status


@pytest.mark.parametrize("kind", sorted(STATUSES))
def test_a_status_is_written_by_its_subresource_only(installed: Cluster, namespace: str, kind: str) -> None:
    """A write to the object itself changes no status: who may edit a Rollout cannot tell lies in its name."""
    path = create(installed, kind, namespace, spec_of(kind), f"lies-{namespace}")
    installed.client.checked("PATCH", path, {"status": full_status(kind).dump()}, MERGE)
    assert "status" not in installed.get(path)


@pytest.mark.parametrize("kind", RUNS)
def test_a_full_run_is_kept(installed: Cluster, namespace: str, kind: str) -> None:
    """A run with every field set is accepted and read back equal."""
    spec = full(SPECS[kind])
    kept = installed.get(create(installed, kind, namespace, spec.dump()))["spec"]
    assert kept == spec.dump()
    assert SPECS[kind].parse(kept, "stored") == spec


@pytest.mark.parametrize(
    "kind, change, sentence",
    [
        (
            "RolloutRun",
            {"steps": [{"kind": "setWeight", "share": "100%"}]},
            "a RolloutRun's spec is immutable: change the Rollout, and the next run takes it",
        ),
        (
            "MemberRolloutRun",
            {"steps": [{"kind": "setWeight", "share": "100%"}]},
            "a MemberRolloutRun's spec is immutable: change the Rollout on the hub, and the next run takes it",
        ),
        (
            "FleetRun",
            {"batches": []},
            "a FleetRun's spec is immutable: change the Rollout, and the next run takes it",
        ),
    ],
)
def test_a_run_is_immutable(
    installed: Cluster, namespace: str, *, kind: str, change: dict[str, Any], sentence: str
) -> None:
    """No gate of a run can be edited away while it runs, and no cluster moved from batch to batch."""
    path = create(installed, kind, namespace, spec_of(kind))
    status, answer = installed.request("PATCH", path, {"spec": change}, MERGE)
    assert status == 422
    assert sentence in answer["message"]


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
    assert ["NAME", "STATE", "ENGAGED", "EFFECT", "BY", "REASON", "PENDING", "WATCHING", "AGE"] in seen
    assert ["killswitch.sluice.dev/stop", "true", "Divert", "admin", "5xx"] in without_age


def test_kubectl_explains(installed: Cluster) -> None:
    """`kubectl explain` tells what a field means, with default and choices."""
    told = installed.kubectl("explain", "rollouts.spec.progressDeadline", "--api-version=sluice.dev/v1alpha1")
    assert "How long a run may wait for pods, endpoints or routes" in told
