"""AnalysisTemplate, ClusterAnalysisTemplate and inline metrics: what is measured and when it fails."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

from sluice.api.common import Model
from sluice.api.units import Duration


class Baseline(StrEnum):
    """What relative thresholds compare with."""

    SNAPSHOT = "Snapshot"  # the stable slot, once, before step 1
    STABLE = "Stable"  # the stable slot at the same moment; its last value once it gets no traffic


class MetricFailure(StrEnum):
    """What a failed metric does to the run."""

    ABORT = "Abort"
    HOLD = "Hold"


class TooFewSamples(StrEnum):
    """What happens when the minimum of samples did not come in time."""

    HOLD = "Hold"
    FAIL = "Fail"
    PASS = "Pass"  # noqa: S105 - an outcome, not a password


class SecretRef(Model):
    """A Secret in the object's namespace (Cluster kinds: the operator's).

    Keys: `token`, or `username` and `password`, and optionally `ca.crt`.
    """

    name: str


class PrometheusQuery(Model):
    """One instant query. `address` is absent for the operator's own Prometheus."""

    query: str
    address: str | None = None
    secret_ref: SecretRef | None = None


class Threshold(Model):
    """Bounds that all must hold. Relative ones need a baseline."""

    max: float | None = None
    min: float | None = None
    max_increase: float | None = None
    max_ratio: float | None = None
    min_ratio: float | None = None

    @property
    def relative(self) -> bool:
        """Whether a baseline is needed."""
        return any(bound is not None for bound in (self.max_increase, self.max_ratio, self.min_ratio))


class MinSamples(Model):
    """How much traffic a measurement needs before it counts."""

    query: str
    value: float
    wait_at_most: Duration = timedelta(minutes=10)
    then: TooFewSamples = TooFewSamples.HOLD


class Metric(Model):
    """One number, asked again and again, with a limit for each way of not being good."""

    name: str
    prometheus: PrometheusQuery
    interval: Duration = timedelta(seconds=30)
    initial_delay: Duration | None = None  # absent: one interval
    count: int | None = None  # inline analysis: measurements that must pass (1); background: endless
    threshold: Threshold
    min_samples: MinSamples | None = None
    failure_limit: int = 0
    consecutive_error_limit: int = 4
    no_data_limit: int = 4
    inconclusive_limit: int = 0
    on_failure: MetricFailure = MetricFailure.ABORT
    dry_run: bool = False


class Arg(Model):
    """A value for `{{args.name}}`; a template's own may be a default."""

    name: str
    value: str | None = None


class TemplateRef(Model):
    """A template by name, in the Rollout's namespace or (clusterScope) a ClusterAnalysisTemplate."""

    name: str
    cluster_scope: bool = False


class AnalysisTemplateSpec(Model):
    """Spec of AnalysisTemplate and ClusterAnalysisTemplate."""

    args: tuple[Arg, ...] = ()
    metrics: tuple[Metric, ...]


class Analysis(Model):
    """Templates and inline metrics of one analysis."""

    templates: tuple[TemplateRef, ...] = ()
    metrics: tuple[Metric, ...] = ()
    args: tuple[Arg, ...] = ()


class BackgroundAnalysis(Analysis):
    """Analysis from the first exposure to the end of the watch."""

    baseline: Baseline = Baseline.SNAPSHOT


class ResolvedMetric(Metric):
    """A metric with its template's args filled in, as a run keeps it.

    `name` is unique within the run's analysis. `cluster_scoped` says where `secretRef` and `address` come from.
    The query's other placeholders (slot, interval, ...) are filled in at each measurement.
    """

    cluster_scoped: bool = False
