"""What a kill switch measures: its templates' metrics and its own, resolved so that only bad numbers can trip it. Pure.

Metrics of templates are made for runs: what they say of errors, missing data and too few samples decides about those.
A switch never trips for lack of a number, so of all that it takes the query, the interval, the bounds, `minSamples` and
`failureLimit` alone.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import timedelta

from sluice.api.analysis import Analysis, Metric, MetricFailure, MinSamples, ResolvedMetric, TooFewSamples
from sluice.api.autotrip import AutoTrip, TripMetric
from sluice.api.conditions import Reason
from sluice.api.errorbudget import ErrorBudget, PrometheusServer
from sluice.decide.error_budget import questions
from sluice.decide.promql import switch_placeholders
from sluice.decide.templates import Lookup, resolve
from sluice.errors import InvalidSpec

WHERE = "spec.autoTrip"
INTERVAL_MIN = timedelta(seconds=5)
MOST_METRICS = 16
_NEVER = 2**31 - 1  # measurements


@dataclass(frozen=True, slots=True)
class Wires:
    """What a switch measures: metrics, and the ranges of an error budget."""

    metrics: tuple[ResolvedMetric, ...] = ()
    budget: ErrorBudget | None = None
    looks: tuple[ResolvedMetric, ...] = ()


def resolve_auto_trip(trip: AutoTrip, lookup: Lookup, *, namespace: str) -> Wires:
    """Resolve what a switch measures.

    Args:
        trip: the switch's `autoTrip`.
        lookup: finds a template, or None.
        namespace: the switch's; "" for a ClusterKillSwitch.

    Raises:
        InvalidSpec: TemplateMissing, or TemplateInvalid. Useless to retry until an object changes.
    """
    analysis = Analysis(templates=trip.templates, metrics=tuple(map(as_metric, trip.metrics)), args=trip.args)
    placeholders = switch_placeholders(namespace)
    found = resolve(analysis, lookup, WHERE, namespace=namespace, placeholders=placeholders)
    _check(found)
    if not namespace:
        _check_own_prometheus(trip)
    metrics = tuple(map(_as_wire, found))
    if trip.error_budget is None:
        return Wires(metrics)
    known = tuple(name for name in placeholders if name != "interval")
    return Wires(metrics, trip.error_budget, questions(trip.error_budget, f"{WHERE}.errorBudget", known))


def as_metric(metric: TripMetric) -> Metric:
    """A switch's own metric as one of a template."""
    samples = metric.min_samples
    return Metric(
        name=metric.name,
        prometheus=metric.prometheus,
        interval=metric.interval,
        initial_delay=metric.initial_delay,
        threshold=metric.threshold,
        min_samples=MinSamples(query=samples.query, value=samples.value) if samples is not None else None,
        failure_limit=metric.failure_limit,
        dry_run=metric.dry_run,
    )


def digest_of(wires: Wires, release_reason: str) -> str:
    """Tells apart what is measured, and the releases after which it is measured anew."""
    budget = wires.budget.dump() if wires.budget is not None else {}
    told = [[metric.dump() for metric in wires.metrics], budget, release_reason]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:10]


def _check(metrics: tuple[ResolvedMetric, ...]) -> None:
    if len(metrics) > MOST_METRICS:
        raise _invalid(f"{len(metrics)} metrics would be measured, and at most {MOST_METRICS} can be; leave some out")
    for metric in metrics:
        if metric.threshold.relative:
            raise _invalid(
                f"metric {metric.name} compares with a baseline, and a kill switch has none; set threshold.max or min, "
                "and let the query itself compare"
            )
        if metric.interval < INTERVAL_MIN:
            raise _invalid(
                f"metric {metric.name} would be measured more often than every 5s, for as long as the switch is armed; "
                "give it a longer interval"
            )


def _check_own_prometheus(trip: AutoTrip) -> None:
    """What is of no namespace may ask any address: that is for who may write ClusterAnalysisTemplates to say."""
    for metric in trip.metrics:
        if metric.prometheus.address is not None or metric.prometheus.secret_ref is not None:
            raise _invalid(
                f"metric {metric.name} names an address or a Secret; a ClusterKillSwitch asks the operator's own "
                "Prometheus: name a ClusterAnalysisTemplate instead"
            )
    if trip.error_budget is not None and trip.error_budget.prometheus != PrometheusServer():
        raise _invalid(
            "a ClusterKillSwitch asks the operator's own Prometheus of its errorBudget: leave prometheus out"
        )


def _as_wire(metric: ResolvedMetric) -> ResolvedMetric:
    """Without what could end it otherwise than by bad numbers. A dry run never ends."""
    samples = metric.min_samples
    changes = {
        "count": None,
        "on_failure": MetricFailure.ABORT,
        "inconclusive_limit": _NEVER,
        "min_samples": samples.model_copy(update={"then": TooFewSamples.HOLD}) if samples is not None else None,
        "failure_limit": _NEVER if metric.dry_run else metric.failure_limit,
    }
    return metric.model_copy(update=changes)


def _invalid(message: str) -> InvalidSpec:
    return InvalidSpec(Reason.TEMPLATE_INVALID, f"{WHERE}: {message}")
