"""CRDs and models say the same, and the check that says so is not blind."""

import copy
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]


def load_tool(name: str) -> ModuleType:
    """Import a script of tools/, which is no package."""
    spec = importlib.util.spec_from_file_location(f"tools_{name}", ROOT / "tools" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


check_crds = load_tool("check_crds")


@pytest.fixture(scope="module")
def crds() -> dict[str, Any]:
    """Every CRD, by kind."""
    loaded: dict[str, Any] = check_crds.load()
    return loaded


def test_crds_and_models_agree(crds: dict[str, Any]) -> None:
    """Property names, required, types, enums and defaults are the same in crds/ and sluice.api, in both directions."""
    assert check_crds.problems(crds) == []


GONE = object()


def changed(crds: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """Return the CRDs with one thing set or taken away in the schema of Rollout's spec; `path` splits at slashes."""
    result = copy.deepcopy(crds)
    parent = check_crds.root_schema(result["Rollout"])["properties"]["spec"]
    *way, last = path.split("/")
    for part in way:
        parent = parent[int(part) if part.isdigit() else part]
    if value is GONE:
        del parent[last]
    else:
        parent[last] = value
    return result


@pytest.mark.parametrize(
    "path, value, complaint",
    [
        ("properties/paused", GONE, "Rollout: spec.paused: is in RolloutSpec, not in the CRD"),
        ("properties/pace", {"type": "object"}, "Rollout: spec.pace: is in the CRD, not in RolloutSpec"),
        ("required", ["workload"], "Rollout: spec: required is"),
        ("properties/readiness/enum", ["Serving"], "Rollout: spec.readiness: enum is"),
        ("properties/progressDeadline/default", "5m", "Rollout: spec.progressDeadline: the default is '10m' in"),
        ("properties/revisionHistoryLimit/default", GONE, "Rollout: spec.revisionHistoryLimit: the default is 10 in"),
        ("properties/revisionHistoryLimit/type", "string", "Rollout: spec.revisionHistoryLimit: type is 'integer' in"),
        (
            "properties/traffic/properties/routes/items/properties/name/type",
            "integer",
            "Rollout: spec.traffic.routes[].name: type is 'string' in the model",
        ),
        (
            "properties/workload/properties/template/x-kubernetes-preserve-unknown-fields",
            GONE,
            "Rollout: spec.workload.template: x-kubernetes-preserve-unknown-fields is True in the model, None in",
        ),
        (
            "properties/workload/properties/replicas/default",
            1,
            "Rollout: spec.workload.replicas: the default is None in Workload, 1 in the CRD",
        ),
        (
            "properties/workload/properties/ports/items/properties/targetPort/x-kubernetes-int-or-string",
            GONE,
            "Rollout: spec.workload.ports[].targetPort: x-kubernetes-int-or-string is True in the model, None in",
        ),
        (
            "properties/strategy/properties/canary/properties/canarySize/properties/full/enum",
            [True, False],
            "Rollout: spec.strategy.canary.canarySize.full: enum is [True] in the model",
        ),
        ("properties/paused/description", GONE, "Rollout: .spec.paused: has no description"),
        ("properties/workload/properties/version/maxLength", GONE, "Rollout: .spec.workload.version: has no maxLength"),
        (
            "properties/analysis/properties/metrics/items/properties/threshold/x-kubernetes-validations",
            [],
            "AnalysisTemplate: spec.metrics[]: differs from Rollout's",
        ),
    ],
)
def test_a_difference_is_found(crds: dict[str, Any], path: str, value: object, complaint: str) -> None:
    """Each way in which a CRD can stray from the models is told, with kind and path."""
    found = check_crds.problems(changed(crds, path, value))
    assert any(line.startswith(complaint) for line in found), found


def test_a_slot_that_is_not_told_is_found(crds: dict[str, Any]) -> None:
    """Where a map's keys are an enum, the CRD has a property for each of them."""
    strayed = copy.deepcopy(crds)
    slots = check_crds.root_schema(strayed["Rollout"])["properties"]["status"]["properties"]["slots"]["properties"]
    del slots["green"]
    del slots["blue"]["properties"]["pods"]
    assert check_crds.problems(strayed) == [
        "Rollout: status.slots: the keys are ['blue', 'green'] in the model, ['blue'] in the CRD",
        "Rollout: status.slots.blue.pods: is in SlotStatus, not in the CRD",
    ]


def test_a_missing_crd_is_found(crds: dict[str, Any]) -> None:
    """A kind without a CRD could never be installed."""
    assert "KillSwitch: the CRD is missing in crds/" in check_crds.problems(
        {kind: crd for kind, crd in crds.items() if kind != "KillSwitch"}
    )


def test_kinds_have_unique_short_names(crds: dict[str, Any]) -> None:
    """Two kinds with one short name would make kubectl pick either."""
    short = [name for crd in crds.values() for name in crd["spec"]["names"]["shortNames"]]
    assert len(short) == len(set(short)) == len(crds)
