"""The linter against a real API server: it refuses the same samples, for the same fields."""

import re
from typing import Any

import pytest
import yaml

from contract.crds.resources import SAMPLES, collection
from sluice.ops.lint import crds
from sluice.ops.lint.finding import Level
from sluice.ops.lint.linter import Linter
from testbed import Cluster

pytestmark = pytest.mark.cluster
INVALID = sorted(path.stem for path in (SAMPLES / "invalid").glob("*.yaml"))
UNKNOWN = 'unknown field "'
WHOLE = "<nil>"
SKIPPED = "some validation rules were not checked"  # by the API server, once a field is wrong; the linter goes on


@pytest.fixture(scope="session")
def definitions() -> dict[str, dict[str, Any]]:
    """The CRDs by kind."""
    return crds.load()


@pytest.mark.parametrize("name", INVALID)
def test_lint_names_the_fields_that_the_api_server_names(
    installed: Cluster, shop: str, definitions: dict[str, Any], name: str
) -> None:
    """Neither fewer nor others, but that lint asks no rule about what holds a wrong field."""
    text = (SAMPLES / "invalid" / f"{name}.yaml").read_text(encoding="utf-8")
    body = yaml.safe_load(text)
    path = collection(body["kind"], shop)
    status, answer = installed.client.request("POST", f"{path}?dryRun=All&fieldValidation=Strict", body)
    assert status >= 400
    assert isinstance(answer, dict)
    linter = Linter(shop, definitions)
    linter.add(name, text)
    errors = {found.field for found in linter.finish() if found.level is Level.ERROR}
    around = {field for field in refused(answer) if any(error.startswith(f"{field}.") for error in errors)}
    assert errors == refused(answer) - around


def refused(answer: dict[str, Any]) -> set[str]:
    """The fields that an answer names: as causes, or in the sentence about fields that there are not."""
    causes = answer.get("details", {}).get("causes", [])
    fields = {as_lint_says(cause["field"]) for cause in causes if "field" in cause and SKIPPED not in cause["message"]}
    return fields | {part.partition('"')[0] for part in answer["message"].split(UNKNOWN)[1:]}


def as_lint_says(field: str) -> str:
    """A rule about the whole object has no field; keys of maps are told in two ways, of which the linter has one."""
    return re.sub(r"\[([^]0-9][^]]*)]", r".\1", field.removeprefix(WHOLE).removeprefix("."))
