"""What an armed kill switch measures, and by which it engages itself."""

from __future__ import annotations

from datetime import timedelta

from sluice.api.analysis import Arg, PrometheusQuery, TemplateRef, Threshold
from sluice.api.common import Model
from sluice.api.errorbudget import BudgetStatus, ErrorBudget
from sluice.api.rollout import MetricStatus
from sluice.api.units import Duration, Time


class TripSamples(Model):
    """How much traffic a measurement needs before it counts."""

    query: str
    value: float


class TripMetric(Model):
    """One number that is asked as long as the switch is armed, and the bounds that trip it.

    Bounds are absolute: many Rollouts as a whole have no baseline. `failure_limit` is how many failing measurements in
    a row are tolerated.
    """

    name: str
    prometheus: PrometheusQuery
    interval: Duration = timedelta(seconds=30)
    initial_delay: Duration | None = None  # absent: one interval
    threshold: Threshold
    min_samples: TripSamples | None = None
    failure_limit: int = 0
    dry_run: bool = False


class AutoTrip(Model):
    """What is measured while the switch is armed: templates' metrics, its own, and an error budget."""

    templates: tuple[TemplateRef, ...] = ()
    metrics: tuple[TripMetric, ...] = ()
    args: tuple[Arg, ...] = ()
    error_budget: ErrorBudget | None = None


class TrippedBy(Model):
    """What had a switch engage itself."""

    metric: str
    value: float | None = None
    threshold: str = ""
    message: str = ""
    at: Time


class Watch(Model):
    """What has been measured since the switch was armed.

    `digest` tells what is measured, and since which release: of anything else it says nothing.
    """

    digest: str
    since: Time
    metrics: tuple[MetricStatus, ...] = ()
    budget: BudgetStatus | None = None
