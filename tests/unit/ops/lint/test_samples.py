"""The linter and the API server agree about every sample; the contract tests hold the API server to the same files."""

from pathlib import Path
from typing import Any

import pytest

from sluice.api.names import GROUP
from sluice.ops.lint import crds
from sluice.ops.lint.finding import Finding, Level
from sluice.ops.lint.linter import Linter
from sluice.ops.lint.rules import Evaluator
from sluice.ops.lint.schema import KEYWORDS, Schema

SAMPLES = Path(__file__).parents[4] / "manifests" / "samples"
INVALID = sorted(path.stem for path in (SAMPLES / "invalid").glob("*.yaml"))
REFUSED = "# refused: "


def lint(definitions: dict[str, Any], *paths: Path) -> list[Finding]:
    """What is found in files."""
    linter = Linter("shop", definitions)
    for path in paths:
        linter.add(path.name, path.read_text(encoding="utf-8"))
    return linter.finish()


@pytest.mark.parametrize("folder", ["minimal", "complete"])
def test_valid_samples_pass(definitions: dict[str, Any], folder: str) -> None:
    """Without a warning, too."""
    assert lint(definitions, *sorted((SAMPLES / folder).glob("*.yaml"))) == []


@pytest.mark.parametrize("name", INVALID)
def test_an_invalid_sample_is_refused_as_the_api_server_does(definitions: dict[str, Any], name: str) -> None:
    """With the sentence that its first line announces, which is the API server's, for the field that is wrong."""
    path = SAMPLES / "invalid" / f"{name}.yaml"
    sentence = path.read_text(encoding="utf-8").splitlines()[0].removeprefix(REFUSED)
    errors = [found for found in lint(definitions, path) if found.level is Level.ERROR]
    assert [found for found in errors if sentence in f"{found.field}: {found.message}"]
    assert all(found.line > 1 for found in errors)


def schemas(schema: Schema) -> list[Schema]:
    """A schema, and all that are in it."""
    inner = [*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")]
    return [schema, *(found for each in inner if isinstance(each, dict) for found in schemas(each))]


def test_every_keyword_of_the_crds_is_understood(definitions: dict[str, Any]) -> None:
    """One that is new in a CRD has to be new here too, for the API server goes by it."""
    every = [each for crd in definitions.values() for each in schemas(crds.schema_of(crd))]
    assert {keyword for each in every for keyword in each} <= KEYWORDS
    # A string of another format is no string to a rule. An AuditSegment has one rule, about the object before.
    with_rules = [crd for kind, crd in definitions.items() if kind != "AuditSegment"]
    formats = {each.get("format") for crd in with_rules for each in schemas(crds.schema_of(crd))}
    assert formats <= {None, "int32", "int64"}


def test_every_rule_of_the_crds_can_be_evaluated(definitions: dict[str, Any]) -> None:
    """None has to be reported as not checked."""
    evaluator = Evaluator()
    assert not evaluator.missing
    every = [each for crd in definitions.values() for each in schemas(crds.schema_of(crd))]
    rules = [rule for each in every for rule in each.get("x-kubernetes-validations", ())]
    assert len(rules) > 100
    for rule in rules:
        if "oldSelf" not in rule["rule"]:
            evaluator.broken(rule, {})


def test_all_kinds_are_known(definitions: dict[str, Any]) -> None:
    """And all are of our group."""
    assert {crd["spec"]["group"] for crd in definitions.values()} == {GROUP}
    assert {"Rollout", "AnalysisTemplate", "KillSwitch", "MemberCluster"} <= set(definitions)
