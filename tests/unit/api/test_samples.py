"""The valid samples mean something to the core too: their templates exist and their queries can be filled in."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from sluice.api.analysis import AnalysisTemplateSpec, TemplateRef
from sluice.api.rollout import RolloutSpec
from sluice.decide.steps import compile_steps
from sluice.decide.templates import resolve_all

SAMPLES = Path(__file__).parents[3] / "manifests" / "samples"
OBJECTS: list[dict[str, Any]] = [
    body
    for folder in ("minimal", "complete")
    for path in sorted((SAMPLES / folder).glob("*.yaml"))
    for body in yaml.safe_load_all(path.read_text(encoding="utf-8"))
]
ROLLOUTS = [body for body in OBJECTS if body["kind"] == "Rollout"]


def template(ref: TemplateRef) -> AnalysisTemplateSpec | None:
    """Find a template among the samples."""
    kind = "ClusterAnalysisTemplate" if ref.cluster_scope else "AnalysisTemplate"
    found = (body for body in OBJECTS if body["kind"] == kind and body["metadata"]["name"] == ref.name)
    return next((AnalysisTemplateSpec.parse(body["spec"], ref.name) for body in found), None)


@pytest.mark.parametrize("body", ROLLOUTS, ids=lambda body: body["metadata"]["name"])
def test_a_sample_rollout_can_run(body: dict[str, Any]) -> None:
    """No template is missing, no arg is without a value, no query has an unknown placeholder; the run ends at 100 %."""
    spec = RolloutSpec.parse(body["spec"], "sample")
    templates = resolve_all(spec, template, namespace="shop")
    assert templates.problem == ""
    steps = compile_steps(spec.strategy, templates.inline)
    assert [step.share for step in steps if step.kind == "setWeight"][-1] == 10_000
