"""When to ask Prometheus, and what the answers do to the run. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType

from sluice.api.analysis import Baseline, ResolvedMetric
from sluice.api.outcome import Outcome
from sluice.api.rollout import MetricStatus
from sluice.api.run import RolloutRunSpec
from sluice.api.units import FULL
from sluice.decide import analysis
from sluice.decide.analysis import Outcome as Finding
from sluice.decide.coverage import BACKGROUND
from sluice.decide.draft import Draft
from sluice.decide.model import Measure, Measurement, ReadingKind
from sluice.decide.progress import relative_metrics, scope_of
from sluice.decide.texts import MESSAGE_BYTES, TALLIES_BYTES, clip

BASELINE_RETRY = timedelta(seconds=10)
_NO_BASELINES: Mapping[str, float] = MappingProxyType({})


def absorb(draft: Draft) -> None:
    """Take new measurements and baselines into the status; none from a drill, in which the candidate has no traffic."""
    spec = draft.run_spec
    if spec is None or draft.status.drilled is not None:
        return
    wanted = {metric.name for metric in relative_metrics(spec)}
    answers = {
        name: answer.reading.value
        for name, answer in draft.observed.baselines.items()
        if name in wanted
        and name not in draft.status.baselines
        and answer.reading.kind is ReadingKind.VALUE
        and answer.reading.value is not None
        and math.isfinite(answer.reading.value)
    }
    if answers and draft.status.step is None:
        draft.update(baselines={**draft.status.baselines, **answers})
    taken = taken_in(
        draft.status.metrics, _metrics(draft, spec), draft.observed.measurements, baselines=draft.status.baselines
    )
    draft.update(metrics=taken)


def taken_in(
    known: Iterable[MetricStatus],
    metrics: Mapping[tuple[str, str], ResolvedMetric],
    measurements: Iterable[Measurement],
    *,
    baselines: Mapping[str, float] = _NO_BASELINES,
) -> tuple[MetricStatus, ...]:
    """The tallies with new measurements, and with messages for which a status has room.

    Args:
        known: the tallies so far.
        metrics: that are measured now, by scope and name; what is said of others does not count.
        measurements: oldest first.
        baselines: snapshots, by metric name.
    """
    tallies = {(tally.scope, tally.name): tally for tally in known}
    for measurement in measurements:
        key = (measurement.scope, measurement.name)
        if key in tallies and key in metrics:
            tallies[key] = analysis.assess(metrics[key], tallies[key], measurement, baselines.get(measurement.name))
    room = min(MESSAGE_BYTES, TALLIES_BYTES // max(1, len(tallies)))
    return tuple(_within(tally, room) for tally in tallies.values())


def _within(tally: MetricStatus, most_bytes: int) -> MetricStatus:
    if len(tally.message.encode()) <= most_bytes:
        return tally
    return tally.model_copy(update={"message": clip(tally.message, most_bytes)})


def judge(draft: Draft) -> None:
    """Abort the run whose analysis failed."""
    spec, at = draft.run_spec, draft.status.step
    if spec is None:
        return
    groups: list[tuple[tuple[ResolvedMetric, ...], str]] = [(spec.analysis.metrics, BACKGROUND)]
    if at is not None:
        groups.append((draft.inline, scope_of(at.index)))
    for metrics, scope in groups:
        verdict = analysis.verdict(metrics, draft.status.metrics, scope)
        if verdict.outcome is Finding.FAILED:
            draft.end_run(Outcome.ABORTED, verdict.reason, verdict.message)
            return


def measure(draft: Draft) -> None:
    """Ask what is due, and wake when the next is."""
    spec = draft.run_spec
    if spec is None or draft.status.drilled is not None:
        return
    if draft.status.step is None:
        _ask_baselines(draft, spec)
        return
    if spec.analysis.metrics and draft.served and not any(tally.scope == BACKGROUND for tally in draft.status.metrics):
        begun = analysis.begin(spec.analysis.metrics, BACKGROUND, draft.now)
        draft.update(metrics=(*draft.status.metrics, *begun))
    metrics = _metrics(draft, spec)
    for tally in draft.status.metrics:
        metric = metrics.get((tally.scope, tally.name))
        if metric is not None:
            _ask(draft, spec, metric, tally)


def _metrics(draft: Draft, spec: RolloutRunSpec) -> dict[tuple[str, str], ResolvedMetric]:
    """The metrics that are measured now, by scope and name."""
    found = {(BACKGROUND, metric.name): metric for metric in spec.analysis.metrics}
    at = draft.status.step
    if at is not None:
        found |= {(scope_of(at.index), metric.name): metric for metric in draft.inline}
    return found


def _ask(draft: Draft, spec: RolloutRunSpec, metric: ResolvedMetric, tally: MetricStatus) -> None:
    due = analysis.due(metric, tally, draft.now)
    if due is None:
        return
    due = at_end_of_wait(draft.status.next_transition_at, tally, due)
    if due > draft.now:
        draft.wake(due)
        return
    stable_serves = any(target.share(draft.candidate) < FULL for target in draft.observed.targets)
    draft.measures.append(
        Measure(
            metric=metric,
            scope=tally.scope,
            slot=draft.candidate,
            with_baseline=metric.threshold.relative and spec.analysis.baseline is Baseline.STABLE and stable_serves,
        )
    )


def at_end_of_wait(end: datetime | None, tally: MetricStatus, due: datetime) -> datetime:
    """Measure just when a pause, watch or soak could end, so that it need not wait for the measurement after that."""
    if end is None or tally.measured_at is None or tally.measured_at >= end:
        return due
    return min(due, end)


def _ask_baselines(draft: Draft, spec: RolloutRunSpec) -> None:
    if spec.analysis.baseline is not Baseline.SNAPSHOT:
        return
    for metric in relative_metrics(spec):
        if metric.name in draft.status.baselines:
            continue
        answer = draft.observed.baselines.get(metric.name)
        again = draft.now if answer is None else answer.at + BASELINE_RETRY
        if draft.now < again <= draft.now + BASELINE_RETRY:
            draft.wake(again)
        else:
            draft.measures.append(Measure(metric=metric, scope=BACKGROUND, slot=draft.stable.slot, snapshot=True))
