"""Samples against a real API server: valid ones are accepted and mean to the models what they mean to the server."""

from typing import Any

import pytest

from contract.crds.resources import SAMPLES, SPECS, Sample, collection, leaves, samples, without_empty
from testbed import Cluster

pytestmark = pytest.mark.cluster

STAMPED = {"actor", "engagedBy"}  # by admission policies


def stored(cluster: Cluster, body: dict[str, Any]) -> dict[str, Any]:
    """What the API server would store, defaults filled in. Unknown fields are an error."""
    path = collection(body["kind"], body["metadata"].get("namespace", ""))
    kept: dict[str, Any] = cluster.client.checked("POST", f"{path}?dryRun=All&fieldValidation=Strict", body)["spec"]
    return kept


@pytest.mark.parametrize("sample", samples("minimal", "complete"), ids=str)
def test_a_valid_sample_is_accepted_with_the_models_defaults(installed: Cluster, shop: str, sample: Sample) -> None:
    """The server takes it, and fills in exactly the defaults that the models have."""
    given, model = sample.body["spec"], SPECS[sample.body["kind"]]
    kept = {key: value for key, value in stored(installed, sample.body).items() if key in given or key not in STAMPED}
    written = model.parse(given, "sample").dump()
    if "engaged" not in given:
        written.pop("engaged", None)  # without a default on the server: it stays out of Git
    assert model.parse(kept, "stored") == model.parse(given, "sample")
    assert set(leaves(without_empty(kept))) == set(leaves(without_empty(written)))


@pytest.mark.parametrize("sample", samples("minimal", "complete"), ids=str)
def test_what_the_models_write_is_accepted_unchanged(installed: Cluster, shop: str, sample: Sample) -> None:
    """Parsed, dumped and applied again, an object is accepted and means the same: no field is lost on the way."""
    model = SPECS[sample.body["kind"]]
    parsed = model.parse(stored(installed, sample.body), "stored")
    written = parsed.dump()
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


def test_the_largest_rollout_is_within_the_servers_budget(installed: Cluster, shop: str) -> None:
    """As many steps, metrics, args and routes as the bounds allow are still judged, not refused for the cost of it."""
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
        "metadata": {"name": "n" * 52, "namespace": shop},
        "spec": {
            "workload": {"services": {"blue": "b" * 63, "green": "g" * 63}, "active": "blue"},
            "traffic": {"routes": [{"name": f"r{number}"} for number in range(8)]},
            "strategy": {"canary": {"steps": [{"setWeight": "99.99%"}, *({"analysis": short} for _ in range(63))]}},
            "analysis": analysis,
        },
    }
    assert stored(installed, body)["strategy"]["canary"]["steps"][63]["analysis"]["metrics"][15]["interval"] == "30s"
