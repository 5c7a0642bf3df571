"""From analysis templates and inline metrics to the metrics that a run keeps, with args filled in. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import TypeAlias

from sluice.api.analysis import Analysis, AnalysisTemplateSpec, Metric, ResolvedMetric, TemplateRef
from sluice.api.conditions import Reason
from sluice.api.names import Kind
from sluice.api.rollout import RolloutSpec
from sluice.decide.model import Templates
from sluice.decide.promql import FLEET_PLACEHOLDERS, PLACEHOLDERS, arg_names, fill_args
from sluice.errors import InvalidSpec

Lookup: TypeAlias = Callable[[TemplateRef], AnalysisTemplateSpec | None]

_INTERVAL_MIN = timedelta(seconds=1)
_AT_A_TIME = 32  # metrics: each has a place in the status, and is a question to Prometheus every interval


def resolve_all(spec: RolloutSpec, lookup: Lookup, *, namespace: str = "") -> Templates:
    """Resolve every analysis of a Rollout.

    Args:
        spec: the Rollout's.
        lookup: finds a template, or None. May raise InvalidSpec for one that cannot be parsed.
        namespace: the Rollout's, for messages.

    Returns:
        The metrics; or, with `problem` set, none at all: then no run can start.
    """
    try:
        background = resolve(spec.analysis, lookup, "spec.analysis", namespace=namespace) if spec.analysis else ()
        inline = tuple(
            resolve(analysis, lookup, where, namespace=namespace) for where, analysis in inline_analyses(spec)
        )
        fleet, batches = _of_fleet(spec, lookup, namespace)
        _check_baselines((background, *inline))
        _check_number(background, inline, "the background's and one step's")
        _check_number(fleet, batches, "the whole fleet's and one batch's")
    except InvalidSpec as error:
        reason = Reason.TEMPLATE_INVALID if error.reason == Reason.INVALID_SPEC else error.reason
        return Templates(problem_reason=reason, problem=str(error))
    return Templates(background=background, inline=inline, fleet=fleet, batches=batches)


def _of_fleet(
    spec: RolloutSpec, lookup: Lookup, namespace: str
) -> tuple[tuple[ResolvedMetric, ...], tuple[tuple[ResolvedMetric, ...], ...]]:
    """What the hub measures: of the whole fleet, and of each batch."""
    if spec.fleet is None:
        return (), ()

    def resolved(analysis: Analysis | None, where: str) -> tuple[ResolvedMetric, ...]:
        if analysis is None:
            return ()
        metrics = resolve(analysis, lookup, where, namespace=namespace, placeholders=FLEET_PLACEHOLDERS)
        _check_absolute(metrics, where)
        return metrics

    batches = tuple(
        resolved(batch.analysis, f"spec.fleet.batches[{index}].analysis")
        for index, batch in enumerate(spec.fleet.batches)
    )
    return resolved(spec.fleet.analysis, "spec.fleet.analysis"), batches


def inline_analyses(spec: RolloutSpec) -> tuple[tuple[str, Analysis], ...]:
    """The analyses that are steps, in strategy order, each with its place in the spec."""
    if canary := spec.strategy.canary:
        return tuple(
            (f"spec.strategy.canary.steps[{index}].analysis", step.analysis)
            for index, step in enumerate(canary.steps)
            if step.analysis is not None
        )
    if blue_green := spec.strategy.blue_green:
        found = (("prePromotion", blue_green.pre_promotion), ("postPromotion", blue_green.post_promotion))
        return tuple((f"spec.strategy.blueGreen.{name}", analysis) for name, analysis in found if analysis is not None)
    return ()


def resolve(
    analysis: Analysis,
    lookup: Lookup,
    where: str,
    *,
    namespace: str = "",
    placeholders: tuple[str, ...] = PLACEHOLDERS,
) -> tuple[ResolvedMetric, ...]:
    """Resolve one analysis: its templates' metrics first, then its own.

    Args:
        analysis: templates, inline metrics and args. Inline metrics can use the args too.
        lookup: finds a template, or None.
        where: the analysis' place in the spec, for messages.
        namespace: the Rollout's, for messages.
        placeholders: that queries may have, beside the args.

    Raises:
        InvalidSpec: TemplateMissing, or TemplateInvalid: an arg without value, two metrics of one name, a threshold
            without bounds, a query that cannot be filled in. Useless to retry until an object changes.
    """
    given = _given_args(analysis, where)
    taken: set[str] = set()
    metrics: list[ResolvedMetric] = []
    for ref in analysis.templates:
        template = lookup(ref)
        if template is None:
            raise _missing(ref, where, namespace)
        title = _title(ref, namespace)
        args = _template_args(template, given, title, where)
        taken |= {arg.name for arg in template.args}
        metrics += [
            _resolved(metric, args, title, placeholders, cluster_scoped=ref.cluster_scope)
            for metric in template.metrics
        ]
    for metric in analysis.metrics:
        taken |= _asked_args(metric, where)
        metrics.append(_resolved(metric, given, where, placeholders, cluster_scoped=False))
    _check_taken(given, taken, where)
    _check_names(metrics, where)
    return tuple(metrics)


def _given_args(analysis: Analysis, where: str) -> dict[str, str]:
    given: dict[str, str] = {}
    for arg in analysis.args:
        if arg.value is None:
            raise _invalid(f"{where}: arg {arg.name} has no value; give it one, or remove it")
        if "{{" in arg.value:
            raise _invalid(f"{where}: the value of arg {arg.name} is plain text; placeholders go into the query itself")
        given[arg.name] = arg.value
    return given


def _template_args(template: AnalysisTemplateSpec, given: Mapping[str, str], title: str, where: str) -> dict[str, str]:
    values = {arg.name: given.get(arg.name, arg.value) for arg in template.args}
    without = [name for name, value in values.items() if value is None]
    if without:
        raise _invalid(f"{where}: {title} needs a value for arg {', '.join(without)}; add it under args")
    return {name: value for name, value in values.items() if value is not None}


def _resolved(
    metric: Metric, args: Mapping[str, str], title: str, placeholders: tuple[str, ...], *, cluster_scoped: bool
) -> ResolvedMetric:
    where = f"{title}: metric {metric.name}"
    _check_metric(metric, where)
    query = fill_args(metric.prometheus.query, args, where, placeholders)
    prometheus = metric.prometheus.model_copy(update={"query": query})
    samples = metric.min_samples
    if samples is not None:
        query = fill_args(samples.query, args, f"{where}: minSamples", placeholders)
        samples = samples.model_copy(update={"query": query})
    fields = {name: getattr(metric, name) for name in Metric.model_fields}
    changed = {"prometheus": prometheus, "min_samples": samples, "cluster_scoped": cluster_scoped}
    return ResolvedMetric.model_validate(fields | changed)


def _check_metric(metric: Metric, where: str) -> None:
    bounds = metric.threshold
    if all(getattr(bounds, name) is None for name in type(bounds).model_fields):
        raise _invalid(f"{where}: its threshold has no bound, so nothing could fail; set max, min or a relative bound")
    if bounds.max is not None and bounds.min is not None and bounds.max < bounds.min:
        raise _invalid(f"{where}: no number is at most {bounds.max:g} and at least {bounds.min:g}; mend max or min")
    if metric.interval < _INTERVAL_MIN:
        raise _invalid(f"{where}: its interval must be at least 1s")
    if metric.prometheus.address is not None and "{{" in metric.prometheus.address:
        raise _invalid(f"{where}: its address cannot have placeholders; write it out")


def _asked_args(metric: Metric, where: str) -> frozenset[str]:
    asked = arg_names(metric.prometheus.query, where)
    return asked | arg_names(metric.min_samples.query, where) if metric.min_samples else asked


def _check_taken(given: Mapping[str, str], taken: Iterable[str], where: str) -> None:
    unused = sorted(set(given) - set(taken))
    if unused:
        known = ", ".join(sorted(taken)) or "none"
        names = ", ".join(unused)
        raise _invalid(f"{where}: no template or metric takes arg {names} (they take: {known}); mend its name")


def _check_names(metrics: Iterable[ResolvedMetric], where: str) -> None:
    seen: set[str] = set()
    for metric in metrics:
        if metric.name in seen:
            raise _invalid(f"{where}: two metrics are called {metric.name}; rename one")
        seen.add(metric.name)


def _check_number(
    always: tuple[ResolvedMetric, ...], in_turn: Iterable[tuple[ResolvedMetric, ...]], whose: str
) -> None:
    number = len(always) + max((len(metrics) for metrics in in_turn), default=0)
    if number > _AT_A_TIME:
        raise _invalid(
            f"spec: {number} metrics would be measured at a time ({whose}), and at most {_AT_A_TIME} can be; leave "
            "some out"
        )


def _check_absolute(metrics: Iterable[ResolvedMetric], where: str) -> None:
    """Slots have a baseline; clusters as a whole have none: an earlier number of theirs was of other clusters."""
    relative = next((metric.name for metric in metrics if metric.threshold.relative), None)
    if relative is not None:
        raise _invalid(
            f"{where}: metric {relative} compares with a baseline, which there is of a slot only; set threshold.max or "
            "min, and let the query itself compare"
        )


def _check_baselines(analyses: Iterable[tuple[ResolvedMetric, ...]]) -> None:
    """Baselines are kept by metric name: two that need one may share a name only if they ask the same."""
    asked: dict[str, ResolvedMetric] = {}
    for metric in (metric for metrics in analyses for metric in metrics if metric.threshold.relative):
        other = asked.setdefault(metric.name, metric)
        if (other.prometheus, other.cluster_scoped) != (metric.prometheus, metric.cluster_scoped):
            raise _invalid(
                f"spec: two metrics called {metric.name} compare different queries with a baseline; rename one of them"
            )


def _title(ref: TemplateRef, namespace: str) -> str:
    if ref.cluster_scope:
        return f"{Kind.CLUSTER_ANALYSIS_TEMPLATE} {ref.name}"
    return f"{Kind.ANALYSIS_TEMPLATE} {namespace}/{ref.name}" if namespace else f"{Kind.ANALYSIS_TEMPLATE} {ref.name}"


def _missing(ref: TemplateRef, where: str, namespace: str) -> InvalidSpec:
    place = "" if ref.cluster_scope or namespace else " in the Rollout's namespace"
    hint = "" if ref.cluster_scope else ", or say clusterScope: true if a ClusterAnalysisTemplate is meant"
    message = f"{where}: {_title(ref, namespace)} does not exist{place}; create it, or mend the name{hint}"
    return InvalidSpec(Reason.TEMPLATE_MISSING, message)


def _invalid(message: str) -> InvalidSpec:
    return InvalidSpec(Reason.TEMPLATE_INVALID, message)
