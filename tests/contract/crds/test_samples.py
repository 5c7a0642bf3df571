"""Samples against a real API server: valid ones are accepted and mean to the models what they mean to the server."""

from typing import Any

import pytest

from contract.crds.resources import (
    SAMPLES,
    SPECS,
    Sample,
    as_people_write,
    collection,
    leaves,
    samples,
    without_empty,
)
from testbed import Cluster

pytestmark = pytest.mark.cluster

STAMPED = {"actor", "actorGroups", "engagedBy", "forcedBy"}  # by admission policies


def stored(cluster: Cluster, body: dict[str, Any]) -> dict[str, Any]:
    """What the API server would store, defaults filled in. Unknown fields are an error."""
    path = collection(body["kind"], body["metadata"].get("namespace", ""))
    kept: dict[str, Any] = cluster.client.checked("POST", f"{path}?dryRun=All&fieldValidation=Strict", body)["spec"]
    return kept


def workload(sample: Sample) -> dict[str, Any]:
    """What a sample Rollout runs; empty for other kinds."""
    found: dict[str, Any] = sample.body["spec"].get("workload", {})
    return found


@pytest.mark.parametrize("sample", samples("minimal", "complete"), ids=str)
def test_a_valid_sample_is_accepted_with_the_models_defaults(installed: Cluster, shop: str, sample: Sample) -> None:
    """The server takes it, and fills in exactly the defaults that the models have."""
    given, model = sample.body["spec"], SPECS[sample.body["kind"]]
    kept = {key: value for key, value in stored(installed, sample.body).items() if key in given or key not in STAMPED}
    written = as_people_write(model.parse(given, "sample").dump(), given)
    if "engaged" not in given:
        written.pop("engaged", None)  # without a default on the server: it stays out of Git
    assert model.parse(kept, "stored") == model.parse(given, "sample")
    assert set(leaves(without_empty(kept))) == set(leaves(without_empty(written)))


@pytest.mark.parametrize("sample", samples("minimal", "complete"), ids=str)
def test_what_the_models_write_is_accepted_unchanged(installed: Cluster, shop: str, sample: Sample) -> None:
    """Parsed, dumped and applied again, an object is accepted and means the same: no field is lost on the way."""
    model = SPECS[sample.body["kind"]]
    parsed = model.parse(stored(installed, sample.body), "stored")
    written = as_people_write(parsed.dump(), sample.body["spec"])
    if sample.body["kind"] == "KillSwitch":
        del written["scope"]["namespaceSelector"]  # the model serves both kinds of switch
    again = stored(installed, {**sample.body, "spec": written})
    assert model.parse(again, "stored again") == parsed
    assert without_empty(again) == without_empty(written)


INVALID = sorted(path.stem for path in (SAMPLES / "invalid").glob("*.yaml"))


@pytest.mark.parametrize("name", INVALID)
def test_an_invalid_sample_is_refused_with_its_sentence(installed: Cluster, shop: str, name: str) -> None:
    """`kubectl apply` refuses it and says what its first line announces: how to mend it."""
    file = SAMPLES / "invalid" / f"{name}.yaml"
    [first, *_] = file.read_text(encoding="utf-8").splitlines()
    sentence = first.removeprefix("# refused: ")
    assert sentence != first, f"{file} must begin with `# refused: <part of the sentence>`"
    answer = installed.kubectl("apply", "--dry-run=server", "-f", str(file), check=False)
    assert sentence in answer
    assert "created" not in answer


@pytest.mark.parametrize("sample", [s for s in samples("minimal", "complete") if "template" in workload(s)], ids=str)
def test_a_samples_template_is_one_that_a_deployment_takes(installed: Cluster, shop: str, sample: Sample) -> None:
    """What Sluice makes of a sample, the API server takes: its pod template is a valid one."""
    given = workload(sample)["template"]
    labels = {"sluice.dev/rollout": "r", "sluice.dev/slot": "blue"}
    metadata = {**given.get("metadata", {}), "labels": {**given.get("metadata", {}).get("labels", {}), **labels}}
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "r-blue"},
        "spec": {"selector": {"matchLabels": labels}, "template": {**given, "metadata": metadata}},
    }
    path = f"/apis/apps/v1/namespaces/{shop}/deployments?dryRun=All&fieldValidation=Strict"
    assert installed.client.checked("POST", path, body)["metadata"]["name"] == "r-blue"


# The largest of everything.
PORTS = [{"name": f"{number:02}" + "p" * 61, "port": 60000 + number, "targetPort": "p" * 15} for number in range(16)]
KEYS = [f"{'d' * 63}.{'d' * 63}.{'d' * 63}.{'d' * 61}/{number:02}{'k' * 61}" for number in range(32)]
ROLE = {"labels": dict.fromkeys(KEYS, "v" * 63), "annotations": dict.fromkeys(KEYS, "v" * 1024)}
CONTAINERS = [{"name": f"{number:02}" + "c" * 61, "image": "i" * 1024, "args": ["a" * 1000]} for number in range(64)]
LARGEST: dict[str, dict[str, Any]] = {
    "services": {"services": {"blue": "b" * 63, "green": "g" * 63}, "active": "blue"},
    "template": {
        "template": {
            "metadata": {"labels": {f"l{number}": "v" * 63 for number in range(256)}},
            "spec": {"containers": CONTAINERS},
        },
        "replicas": 100_000,
        "ports": PORTS,
        "scaleDownDelay": "8000h45599m60s",
        "drain": "100h59m59s",
        "stableMetadata": ROLE,
        "candidateMetadata": ROLE,
    },
}


def step(metrics: int) -> dict[str, Any]:
    """A step that measures so much."""
    bounds = {"max": 2, "min": 1, "maxRatio": 2, "minRatio": 1}
    metric = {"prometheus": {"query": "q", "address": "http://prometheus:9090"}, "threshold": bounds}
    return {"analysis": {"metrics": [{"name": f"m{number}", **metric} for number in range(metrics)]}}


def by_hub(metrics: int, length: int = 16) -> dict[str, Any]:
    """What the hub measures: so much, by queries of so many characters."""
    metric = {
        "prometheus": {"query": "q" * length},
        "threshold": {"min": 98.5},
        "minSamples": {"query": "q", "value": 1},
    }
    return {"metrics": [{"name": f"m{number}", **metric} for number in range(metrics)]}


def test_the_largest_fleet_is_within_the_servers_budget(installed: Cluster, namespace: str) -> None:
    """32 batches of 16 steps, one of them of 5,000 clusters by name, all measured: judged when made, when changed."""
    # An object may have 1.5 MB, so that not every step can have 16 metrics.
    steps = [{"setWeight": "0.01%"}, *(step(3) for _ in range(14)), {"setWeight": 100}]
    batch: dict[str, Any] = {"maxConcurrency": "33.33%", "pause": {"duration": "1h30m10s"}, "soak": "24h"}
    batch |= {"maxFailures": "0.5%", "analysis": by_hub(2)}
    batches = [{"name": f"{number:02}" + "b" * 61, "size": "10.25%", "steps": steps, **batch} for number in range(31)]
    by_name: dict[str, Any] = {
        "name": "named",
        "clusters": [f"{number:04}" + "c" * 59 for number in range(5000)],
        "steps": steps,
    }
    spec: dict[str, Any] = {
        "workload": LARGEST["services"],
        "traffic": {"service": {"active": "a", "preview": "p"}},
        "strategy": {"canary": {"steps": [{"setWeight": 100}]}},
    }
    # With a Service every step's weight is judged once more: all or nothing.
    whole = [{"setWeight": "100.00%"} for _ in range(16)]
    for name, given in (
        (
            "routes",
            {
                **spec,
                "traffic": {"routes": [{"name": "r"}]},
                "fleet": {"batches": [*batches, by_name], "analysis": by_hub(16, 4096)},
            },
        ),
        ("service", {**spec, "fleet": {"batches": [{**each, "steps": whole} for each in (*batches, by_name)]}}),
    ):
        body = {"apiVersion": "sluice.dev/v1alpha1", "kind": "Rollout", "metadata": {"name": name}, "spec": given}
        path = collection("Rollout", namespace)
        kept = installed.client.checked("POST", f"{path}?fieldValidation=Strict", body)["spec"]
        assert len(kept["fleet"]["batches"][31]["clusters"]) == 5000
        change, how = {"spec": {"revisionHistoryLimit": 11}}, "application/merge-patch+json"
        changed = installed.client.checked("PATCH", f"{path}/{name}", change, how)
        assert changed["spec"] == {**kept, "revisionHistoryLimit": 11}


def test_the_largest_run_over_a_fleet_is_kept(installed: Cluster, namespace: str) -> None:
    """5,000 clusters with names of 63 characters, and a letter and a failure for each."""
    names = [f"{number:04}" + "c" * 59 for number in range(5000)]
    batch = {"name": "all", "clusters": names, "maxConcurrency": 5000, "maxFailures": 5000}
    spec = {"rollout": "r", "rolloutUid": "u", "revision": 1, "hash": "h", "batches": [batch], "spec": {"paused": True}}
    body = {"apiVersion": "sluice.dev/v1alpha1", "kind": "FleetRun", "metadata": {"name": "r-1"}, "spec": spec}
    path = collection("FleetRun", namespace)
    installed.client.checked("POST", f"{path}?fieldValidation=Strict", body)
    at = "2026-01-31T12:00:00Z"
    failures = [{"name": name, "reason": "DeadlinePassed", "message": "m" * 60, "at": at} for name in names]
    status = {"batches": [{"name": "all", "clusters": "f" * 5000, "startedAt": at}], "failures": failures}
    kept = installed.client.checked("PATCH", f"{path}/r-1/status", {"status": status}, "application/merge-patch+json")
    assert kept["status"] == status
    assert kept["spec"]["batches"][0]["clusters"] == names


@pytest.mark.parametrize("kind", sorted(LARGEST))
def test_the_largest_rollout_is_within_the_servers_budget(installed: Cluster, namespace: str, kind: str) -> None:
    """As much of everything as the bounds allow is still judged, created or changed, not refused for the cost of it."""
    metric: dict[str, Any] = {
        "prometheus": {"query": "q" * 4096, "address": "http://prometheus:9090", "secretRef": {"name": "s"}},
        "threshold": {"max": 2, "min": 1, "maxRatio": 2, "minRatio": 1},
        "minSamples": {"query": "q", "value": 100, "waitAtMost": "1h30m10s"},
    }
    analysis = {
        "templates": [{"name": f"t{number}"} for number in range(8)],
        "metrics": [{"name": f"m{number}", **metric} for number in range(16)],
        "args": [{"name": f"a{number}", "value": "v" * 1024} for number in range(16)],
    }
    # An object may have 1.5 MB, so that not every step can hold the longest queries.
    brief = {**metric, "prometheus": {**metric["prometheus"], "query": "q"}}
    short = {**analysis, "metrics": [{"name": f"m{number}", **brief} for number in range(16)], "args": []}
    body = {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": "n" * 52},
        "spec": {
            "workload": LARGEST[kind],
            "traffic": {
                "routes": [{"name": f"r{number}"} for number in range(8)],
                "service": {"active": "a" * 63, "preview": "p" * 63},
                "stableService": "s" * 63,
            },
            "strategy": {"canary": {"steps": [{"setWeight": 100}, *({"analysis": short} for _ in range(63))]}},
            "analysis": analysis,
        },
    }
    path = collection("Rollout", namespace)
    kept = installed.client.checked("POST", f"{path}?fieldValidation=Strict", body)["spec"]
    assert kept["strategy"]["canary"]["steps"][63]["analysis"]["metrics"][15]["interval"] == "30s"
    change, how = {"spec": {"revisionHistoryLimit": 11}}, "application/merge-patch+json"
    changed = installed.client.checked("PATCH", f"{path}/{'n' * 52}", change, how)
    assert changed["spec"] == {**kept, "revisionHistoryLimit": 11}
