"""Promises about the documents: links lead somewhere, and what they show exists."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from prometheus_client import CollectorRegistry

from sluice.cli.main import cli
from sluice.telemetry import PrometheusMeter

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "helm").rglob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CALL = re.compile(r"(?:^|`|then |or, |\$ )(?:kubectl )?sluice ([a-z]+)([^`\n#]*)", re.MULTILINE)
OPTION = re.compile(r"(?<![\w-])(--?[a-zA-Z][a-z-]*)")
LATER_TOOL = re.compile(r"\s(?:\||&&|kubectl)\s")


def name_of(page: Path) -> str:
    """A page as test names show it."""
    return str(page.relative_to(ROOT))


def anchors_of(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#{1,6} (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links_of(page: Path) -> Iterator[str]:
    """The links of a page that stay inside of this repository."""
    for link in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if not re.match(r"[a-z]+:", link):
            yield link


def calls_of(page: Path) -> Iterator[tuple[str, str]]:
    """Each `sluice VERB ...` that a page shows: the verb, and what follows it."""
    for verb, rest in CALL.findall(page.read_text(encoding="utf-8")):
        yield verb, LATER_TOOL.split(rest)[0]


def command_of(verb: str, rest: str) -> click.Command | None:
    """The command that is called; of a group, the one that the next word names."""
    command = cli.commands.get(verb)
    if isinstance(command, click.Group) and rest.split():
        return command.commands.get(rest.split(maxsplit=1)[0])
    return command


def schemas() -> dict[str, dict[str, Any]]:
    """The schema of each kind, from the CRDs."""
    found = {}
    for path in sorted((ROOT / "crds").glob("*.yaml")):
        for crd in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            if crd and crd["kind"] == "CustomResourceDefinition":
                found[crd["spec"]["names"]["kind"]] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def unknown_fields(value: object, schema: dict[str, Any], path: str) -> Iterator[str]:
    """Fields of a value that its schema does not have."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from unknown_fields(item, schema.get("items", {}), f"{path}[{index}]")
    if not isinstance(value, dict) or "properties" not in schema:
        return
    for key, inner in value.items():
        if key in schema["properties"]:
            yield from unknown_fields(inner, schema["properties"][key], f"{path}.{key}")
        elif schema.get("x-kubernetes-preserve-unknown-fields"):
            continue  # a pod template's
        elif path or key not in {"apiVersion", "kind", "metadata"}:
            yield f"{path}.{key}"


def patches_of(page: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each merge patch that a page shows for one of Sluice's kinds."""
    text = page.read_text(encoding="utf-8")
    for kind, patch in re.findall(r"kubectl patch (\w+) .*?--type merge -p '(\{.*?\})'", text):
        yield kind, json.loads(patch)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    """Each relative link of a page names a file or folder that is there, and each anchor a heading in it."""
    broken = []
    for link in links_of(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_that_pages_show_exist(page: Path) -> None:
    """Each `sluice VERB --option` in a page is a verb and an option of the command line."""
    unknown = []
    for verb, rest in calls_of(page):
        command = command_of(verb, rest)
        if command is None:
            unknown.append(f"sluice {verb}")
            continue
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        unquoted = re.sub(r"\"[^\"]*\"|'[^']*'", "", rest)
        unknown += [f"sluice {verb} {option}" for option in OPTION.findall(unquoted) if option not in known]
    assert unknown == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_manifests_that_pages_show_have_only_known_fields(page: Path) -> None:
    """A manifest, or a merge patch, of one of Sluice's kinds in a page names no field that its CRD has not."""
    known = schemas()
    unknown: list[str] = []
    for language, block in FENCE.findall(page.read_text(encoding="utf-8")):
        for document in yaml.safe_load_all(block) if language == "yaml" else ():
            if isinstance(document, dict) and str(document.get("apiVersion", "")).startswith("sluice.dev/"):
                unknown += unknown_fields(document, known[document["kind"]], "")
    by_resource = {kind.lower(): schema for kind, schema in known.items()}
    for kind, patch in patches_of(page):
        if kind in by_resource:
            unknown += unknown_fields(patch, by_resource[kind], "")
    assert unknown == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_tests_that_pages_name_exist(page: Path) -> None:
    """Each `tests/<file>.py::<test>` that a page names is there."""
    missing = [
        f"{path}::{name}"
        for path, name in re.findall(r"(tests/[\w/]+\.py)::(\w+)", page.read_text(encoding="utf-8"))
        if f"def {name}(" not in (ROOT / path).read_text(encoding="utf-8")
    ]
    assert missing == []


def test_every_metric_is_explained() -> None:
    """docs/reference/metrics.md names exactly the metrics of the operator's registry, and those of its requests."""
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"^\| `(sluice_\w+)` \|", page, re.MULTILINE))
    assert explained == metrics_of(PrometheusMeter().registry) | {
        "sluice_api_requests_total",
        "sluice_api_request_seconds_total",
        "sluice_member_probes_total",
    }


def metrics_of(registry: CollectorRegistry) -> set[str]:
    """The metrics' names as Prometheus shows them."""
    return {f"{metric.name}_total" if metric.type == "counter" else metric.name for metric in registry.collect()}


def test_the_canary_of_the_readme_is_the_sample() -> None:
    """README.md shows the sample that it tells people to apply."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    sample = (ROOT / "manifests" / "samples" / "minimal" / "template.yaml").read_text(encoding="utf-8")
    [shown] = [yaml.safe_load(block) for language, block in FENCE.findall(readme) if language == "yaml"]
    assert shown == yaml.safe_load(sample)
