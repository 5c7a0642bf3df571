"""From templates to the metrics that a run keeps."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from sluice.api.analysis import Analysis, AnalysisTemplateSpec, TemplateRef
from sluice.api.fleet import Fleet
from sluice.api.rollout import RolloutSpec
from sluice.decide.templates import resolve, resolve_all
from sluice.errors import InvalidSpec


def metric(name: str = "errors", query: str = "sum(up)", **fields: Any) -> dict[str, Any]:
    """A metric as a manifest has it."""
    return {"name": name, "prometheus": {"query": query}, "threshold": {"max": 0.01}, **fields}


def template(*metrics: dict[str, Any], args: Mapping[str, str | None] | None = None) -> AnalysisTemplateSpec:
    """A template; an arg of None has no default."""
    declared = [{"name": name, "value": value} for name, value in (args or {}).items()]
    return AnalysisTemplateSpec.model_validate({"metrics": list(metrics), "args": declared})


def analysis(**fields: Any) -> Analysis:
    """An analysis as a manifest has it."""
    return Analysis.model_validate(fields)


class Shelf:
    """Templates by name; cluster templates begin with `cluster/`."""

    def __init__(self, **templates: AnalysisTemplateSpec) -> None:
        self.templates = templates

    def __call__(self, ref: TemplateRef) -> AnalysisTemplateSpec | None:
        """Find one."""
        return self.templates.get(("cluster_" if ref.cluster_scope else "") + ref.name)


def spec(strategy: dict[str, Any], background: dict[str, Any] | None = None) -> RolloutSpec:
    """A Rollout's spec."""
    return RolloutSpec.model_validate(
        {
            "workload": {"services": {"blue": "b", "green": "g"}, "active": "green"},
            "traffic": {"routes": [{"name": "r"}]},
            "strategy": strategy,
            "analysis": background,
        }
    )


def test_templates_come_before_inline_metrics() -> None:
    """The order is the templates' in the order named, then the analysis' own."""
    shelf = Shelf(a=template(metric("m1"), metric("m2")), cluster_b=template(metric("m3")))
    found = resolve(
        analysis(templates=[{"name": "a"}, {"name": "b", "clusterScope": True}], metrics=[metric("m4")]), shelf, "x"
    )
    assert [(one.name, one.cluster_scoped) for one in found] == [
        ("m1", False), ("m2", False), ("m3", True), ("m4", False),
    ]  # fmt: skip


def test_everything_else_of_a_metric_is_kept() -> None:
    """Limits, interval, Secret and the rest go into the run unchanged."""
    full = metric(
        prometheus={"query": "up", "address": "http://p:9090", "secretRef": {"name": "s"}},
        interval="45s", initialDelay="0s", count=3, failureLimit=2, onFailure="Hold", dryRun=True,
        minSamples={"query": "count(up)", "value": 10, "waitAtMost": "5m", "then": "Fail"},
    )  # fmt: skip
    [given] = Analysis.model_validate({"metrics": [full]}).metrics
    [found] = resolve(analysis(metrics=[full]), Shelf(), "x")
    assert found.model_dump(exclude={"cluster_scoped"}) == given.model_dump()
    assert found.interval == timedelta(seconds=45)


def test_args_given_beat_defaults() -> None:
    """A template's own value is a default; the analysis' counts, in the query and in the one for samples."""
    shelf = Shelf(
        a=template(
            metric(query='up{a="{{args.a}}",b="{{args.b}}"}', minSamples={"query": 'n{a="{{args.a}}"}', "value": 1}),
            args={"a": None, "b": "default"},
        )
    )
    [found] = resolve(analysis(templates=[{"name": "a"}], args=[{"name": "a", "value": "given"}]), shelf, "x")
    assert found.prometheus.query == 'up{a="given",b="default"}'
    assert found.min_samples is not None
    assert found.min_samples.query == 'n{a="given"}'


def test_inline_metrics_use_the_args_too() -> None:
    """An arg that only an inline metric takes is taken."""
    [found] = resolve(
        analysis(metrics=[metric(query='up{a="{{args.a}}"}')], args=[{"name": "a", "value": "1"}]), Shelf(), "x"
    )
    assert found.prometheus.query == 'up{a="1"}'


@pytest.mark.parametrize(
    "fields, told",
    [
        ({"templates": [{"name": "needs"}]}, "AnalysisTemplate shop/needs needs a value for arg a"),
        ({"metrics": [metric(), metric()]}, "two metrics are called errors; rename one"),
        ({"templates": [{"name": "one"}], "metrics": [metric()]}, "two metrics are called errors; rename one"),
        ({"metrics": [metric(threshold={})]}, "metric errors: its threshold has no bound"),
        ({"metrics": [metric(threshold={"max": 1, "min": 2})]}, "no number is at most 1 and at least 2"),
        ({"metrics": [metric(interval="0s")]}, "interval must be at least 1s"),
        ({"metrics": [metric(query="{{x}}")]}, "metric errors: there is no placeholder {{x}}"),
        ({"metrics": [metric(prometheus={"query": "up", "address": "http://{{slot}}"})]}, "address cannot have"),
        ({"args": [{"name": "a"}]}, "arg a has no value"),
        ({"templates": [{"name": "one"}], "args": [{"name": "b", "value": "1"}]}, r"takes arg b \(they take: none\)"),
        ({"templates": [{"name": "needs"}], "args": [{"name": "a", "value": "{{slot}}"}]}, "is plain text"),
        ({"templates": [{"name": "sloppy"}]}, "no placeholder {{args.b}}"),
    ],
)
def test_what_is_invalid_is_told(fields: dict[str, Any], told: str) -> None:
    """Each mistake names its place and what to do."""
    shelf = Shelf(
        one=template(metric()),
        needs=template(metric(), args={"a": None}),
        sloppy=template(metric(query='up{b="{{args.b}}"}'), args={"a": "1"}),
    )
    with pytest.raises(InvalidSpec, match=told) as caught:
        resolve(analysis(**fields), shelf, "spec.analysis", namespace="shop")
    assert caught.value.reason == "TemplateInvalid"


@pytest.mark.parametrize(
    "ref, told",
    [
        ({"name": "t"}, "spec.analysis: AnalysisTemplate shop/t does not exist; .*clusterScope: true"),
        ({"name": "t", "clusterScope": True}, "spec.analysis: ClusterAnalysisTemplate t does not exist; create it"),
    ],
)
def test_a_missing_template_is_named_with_its_kind(ref: dict[str, Any], told: str) -> None:
    """The message says which kind, and in which namespace it was looked for."""
    with pytest.raises(InvalidSpec, match=told) as caught:
        resolve(analysis(templates=[ref]), Shelf(), "spec.analysis", namespace="shop")
    assert caught.value.reason == "TemplateMissing"


def test_canary_analyses_in_step_order() -> None:
    """One tuple for each analysis step, and the background's metrics apart."""
    found = resolve_all(
        spec(
            {"canary": {"steps": [{"analysis": {"metrics": [metric("a")]}}, {"setWeight": 5},
                                  {"analysis": {"metrics": [metric("b"), metric("c")]}}]}},
            {"metrics": [metric("d")]},
        ),
        Shelf(),
    )  # fmt: skip
    assert [[one.name for one in group] for group in found.inline] == [["a"], ["b", "c"]]
    assert [one.name for one in found.background] == ["d"]
    assert not found.problem


@pytest.mark.parametrize(
    "present, expected",
    [
        (("prePromotion", "postPromotion"), ["prePromotion", "postPromotion"]),
        (("postPromotion",), ["postPromotion"]),
        ((), []),
    ],
)
def test_blue_green_analyses_before_and_after(present: tuple[str, ...], expected: list[str]) -> None:
    """The check before comes first, and an absent one leaves no place."""
    found = resolve_all(spec({"blueGreen": {name: {"metrics": [metric(name)]} for name in present}}), Shelf())
    assert [group[0].name for group in found.inline] == expected


def test_a_problem_leaves_no_metrics() -> None:
    """A run must not start with half of its analysis: the problem is told and nothing resolved."""
    found = resolve_all(
        spec({"canary": {"steps": [{"analysis": {"templates": [{"name": "gone"}]}}]}}, {"metrics": [metric()]}), Shelf()
    )
    assert found.problem_reason == "TemplateMissing"
    assert "spec.strategy.canary.steps[0].analysis: AnalysisTemplate gone does not exist" in found.problem
    assert (found.background, found.inline) == ((), ())


def test_a_template_that_cannot_be_parsed_is_invalid() -> None:
    """What the lookup finds wrong with a template is a problem of the Rollout's templates."""

    def broken(ref: TemplateRef) -> AnalysisTemplateSpec | None:
        return AnalysisTemplateSpec.parse({"metrics": [{}]}, f"AnalysisTemplate {ref.name}: spec")

    found = resolve_all(spec({"blueGreen": {}}, {"templates": [{"name": "t"}]}), broken)
    assert found.problem_reason == "TemplateInvalid"
    assert "AnalysisTemplate t: spec: metrics.0.name" in found.problem


def test_one_name_has_one_baseline() -> None:
    """Baselines are kept by metric name: two queries under one name would compare with the wrong number."""
    relative = {"threshold": {"maxRatio": 2}}
    steps = {"canary": {"steps": [{"analysis": {"metrics": [metric("a", "up", **relative)]}}]}}
    assert not resolve_all(spec(steps, {"metrics": [metric("a", "up", **relative)]}), Shelf()).problem
    found = resolve_all(spec(steps, {"metrics": [metric("a", "down", **relative)]}), Shelf())
    assert "two metrics called a compare different queries" in found.problem


# ---------------------------------------------------------------------------------------------- by the hub


def fleet_spec(*batches: dict[str, Any] | None, fleet: dict[str, Any] | None = None) -> RolloutSpec:
    """A Rollout over a fleet whose batches, and which itself, are measured so."""
    named = [{"name": f"b{index}", **({"analysis": each} if each else {})} for index, each in enumerate(batches)]
    given = {"batches": named, **({"analysis": fleet} if fleet else {})}
    return spec({"canary": {"steps": [{"setWeight": 5}]}}).model_copy(update={"fleet": Fleet.model_validate(given)})


def test_what_the_hub_measures_is_resolved_apart() -> None:
    """Of the whole fleet, and of each batch in order; in queries clusters are named as a whole."""
    shelf = Shelf(members=template(metric("responding", 'sum(up{cluster=~"{{clusters}}", job="{{args.job}}"})'),
                                   args={"job": "members"}))  # fmt: skip
    found = resolve_all(fleet_spec(None, {"templates": [{"name": "members"}]}, fleet={"metrics": [metric("x")]}), shelf)
    assert not found.problem
    assert [[each.name for each in metrics] for metrics in (found.fleet, *found.batches)] == [["x"], [], ["responding"]]
    assert found.batches[1][0].prometheus.query == 'sum(up{cluster=~"{{clusters}}", job="members"})'
    assert (found.background, found.inline) == ((), ())


@pytest.mark.parametrize(
    "given, told",
    [
        (metric(query='up{c="{{cluster}}"}'), "metric errors: there is no placeholder {{cluster}}"),
        (metric(threshold={"maxRatio": 1.2}), "metric errors compares with a baseline, which there is of a slot only"),
        (metric(minSamples={"query": 'up{s="{{slot}}"}', "value": 1}), "minSamples: there is no placeholder {{slot}}"),
    ],
)
def test_what_makes_no_sense_of_clusters_as_a_whole(given: dict[str, Any], told: str) -> None:
    """It is told with its place, in a template as well as inline; then no run begins."""
    for found, where in (
        (resolve_all(fleet_spec(None, {"metrics": [given]}), Shelf()), "spec.fleet.batches[1].analysis"),
        (
            resolve_all(fleet_spec(None, fleet={"templates": [{"name": "t"}]}), Shelf(t=template(given))),
            "AnalysisTemplate t" if "placeholder" in told else "spec.fleet.analysis",
        ),
    ):
        assert found.problem_reason == "TemplateInvalid"
        assert told in found.problem
        assert found.problem.startswith(where)
        assert (found.fleet, found.batches) == ((), ())


def test_fleet_and_batch_together_measure_so_much_at_a_time() -> None:
    """Each metric has a place in the status: 32 of the fleet's and one batch's together."""
    some = {"metrics": [metric(f"m{number}") for number in range(17)]}
    assert not resolve_all(fleet_spec(some, some), Shelf()).problem
    found = resolve_all(fleet_spec(some, some, fleet=some), Shelf())
    assert "34 metrics would be measured at a time (the whole fleet's and one batch's)" in found.problem
