"""What measurements mean for a run: each metric's tally, and the verdict over all of them. Pure.

A measurement ends in one of six ways, each counted by itself: passing, failing, error, no data, inconclusive, too few
samples. Only a passing one is a pass. Beyond its limit

- failing is final: the metric is Failed, and aborts the run (`onFailure: Abort`) or holds it (`Hold`);
- inconclusive holds the run for a person; measuring goes on, so that failing can still abort;
- errors and no data hold the run until good measurements come again: Prometheus being away is no reason to undo a good
  candidate, and none to go on;
- too few samples do what `minSamples.then` says.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sluice.api.analysis import MetricFailure, ResolvedMetric, TooFewSamples
from sluice.api.conditions import Reason
from sluice.api.rollout import MetricPhase, MetricStatus
from sluice.api.units import format_duration
from sluice.decide.coverage import BACKGROUND, count_time, covered_until, skip_time
from sluice.decide.model import Measurement, Reading, ReadingKind
from sluice.decide.texts import MESSAGE_BYTES, clip
from sluice.decide.thresholds import compare, describe, number

__all__ = [
    "BACKGROUND", "CAUSES", "Outcome", "Verdict", "assess", "begin", "count_time", "covered_until", "due", "skip_time",
    "verdict",
]  # fmt: skip

ERROR_RETRY_MAX = timedelta(seconds=10)
# Of what is measured in a step alone. All else (in the background; by the hub, of a fleet) goes on to the end.
_INLINE = "step-"
# Why a run ends whose analysis failed, or is held by it.
CAUSES = frozenset(
    {
        Reason.METRIC_FAILED,
        Reason.METRIC_ERRORS,
        Reason.METRIC_NO_DATA,
        Reason.METRIC_INCONCLUSIVE,
        Reason.TOO_FEW_SAMPLES,
    }
)
_FINAL = frozenset({MetricPhase.SUCCESSFUL, MetricPhase.FAILED})


def begin(metrics: Iterable[ResolvedMetric], scope: str, first_exposure: datetime) -> tuple[MetricStatus, ...]:
    """Start a tally for each metric; the first measurement comes after `initialDelay`, or one interval."""
    return tuple(
        MetricStatus(
            name=metric.name,
            scope=scope,
            threshold=describe(metric.threshold),
            first_at=first_exposure + _first_delay(metric),
            dry_run=metric.dry_run,
        )
        for metric in metrics
    )


def due(metric: ResolvedMetric, tally: MetricStatus, now: datetime) -> datetime | None:
    """When to measure next; None once the tally is final.

    May lie in the past. A clock that jumped back since the last measurement makes the next one due at once.
    """
    if tally.phase in _FINAL:
        return None
    if tally.measured_at is None:
        return tally.first_at if tally.first_at <= now + _first_delay(metric) else now
    if tally.measured_at > now:
        return now
    return tally.measured_at + (
        min(metric.interval, ERROR_RETRY_MAX) if tally.phase is MetricPhase.ERROR else metric.interval
    )


# ------------------------------------------------------------------------------------------ one measurement


@dataclass(frozen=True, slots=True)
class _Finding:
    """What one measurement says. `waited`: whether `minSamples.waitAtMost` is over."""

    phase: MetricPhase
    message: str = ""
    value: float | None = None
    baseline: float | None = None
    waited: bool = False


def assess(
    metric: ResolvedMetric, tally: MetricStatus, measurement: Measurement, baseline_snapshot: float | None
) -> MetricStatus:
    """Take one measurement into a tally. A final tally stays, and a measurement is counted once.

    Where the stable slot's reading is empty or not a number (it gets no traffic any more), the last good one counts,
    and before there was any, the snapshot.

    Args:
        metric: what was asked, and its limits.
        tally: so far.
        measurement: the readings.
        baseline_snapshot: the stable slot's number from before step 1, if one was taken.
    """
    if tally.phase in _FINAL or measurement.at == tally.measured_at:
        return tally
    finding = _find(metric, tally, measurement, baseline_snapshot)
    changes: dict[str, Any] = {
        "phase": finding.phase,
        "measured_at": measurement.at,
        "message": clip(finding.message, MESSAGE_BYTES),
        "value": finding.value,
        "baseline": tally.baseline if finding.baseline is None else finding.baseline,
        **_counts(tally, finding.phase),
    }
    if finding.phase is MetricPhase.PASSING:
        changes["covered_until"] = measurement.at
    return _concluded(metric, tally, tally.model_copy(update=changes), waited=finding.waited)


def _find(
    metric: ResolvedMetric, tally: MetricStatus, measurement: Measurement, baseline_snapshot: float | None
) -> _Finding:
    reading = measurement.reading
    if reading.kind is ReadingKind.ERROR:
        return _unanswered(metric.name, reading)
    lacking = _lacking_samples(metric, tally, measurement)
    if lacking is not None:
        return lacking
    if reading.kind is not ReadingKind.VALUE:
        return _unanswered(metric.name, reading)
    value = _finite(reading)
    if value is None:
        return _Finding(MetricPhase.INCONCLUSIVE, f"{metric.name}: the answer is not a finite number")
    baseline = _baseline(tally, measurement.baseline, baseline_snapshot)
    compared = compare(metric.name, value, metric.threshold, baseline)
    if compared.passed is None and measurement.baseline is not None and measurement.baseline.kind is ReadingKind.ERROR:
        return _unanswered(f"{metric.name}, baseline", measurement.baseline)
    phase = {True: MetricPhase.PASSING, False: MetricPhase.FAILING, None: MetricPhase.INCONCLUSIVE}[compared.passed]
    return _Finding(phase, compared.message, value, baseline if metric.threshold.relative else None)


def _unanswered(name: str, reading: Reading) -> _Finding:
    phase, text = {
        ReadingKind.ERROR: (MetricPhase.ERROR, "could not be measured"),
        ReadingKind.NO_DATA: (MetricPhase.NO_DATA, "has no data"),
        ReadingKind.INCONCLUSIVE: (MetricPhase.INCONCLUSIVE, "gave no usable number"),
    }[reading.kind]
    return _Finding(phase, f"{name} {text}: {reading.message}" if reading.message else f"{name} {text}")


def _lacking_samples(metric: ResolvedMetric, tally: MetricStatus, measurement: Measurement) -> _Finding | None:
    """What to say where the measurement rests on too little traffic, or None where there is enough (or no minimum)."""
    wanted = metric.min_samples
    if wanted is None:
        return None
    samples = measurement.samples or Reading(ReadingKind.ERROR, message="the number of samples was not asked for")
    if samples.kind in {ReadingKind.ERROR, ReadingKind.INCONCLUSIVE}:
        return _unanswered(f"{metric.name}, minSamples", samples)
    count = (_finite(samples) or 0.0) if samples.kind is ReadingKind.VALUE else 0.0
    if count >= wanted.value:
        return None
    waited = measurement.at - _waits_since(tally, wanted.then) >= wanted.wait_at_most
    text = f"{metric.name} rests on {number(count)} samples, and needs {number(wanted.value)}"
    if waited and wanted.then is TooFewSamples.PASS:
        message = f"{text}; passes all the same after {format_duration(wanted.wait_at_most)}, as minSamples.then says"
        return _Finding(MetricPhase.PASSING, message)
    return _Finding(MetricPhase.TOO_FEW_SAMPLES, text, _finite(measurement.reading), waited=waited)


def _waits_since(tally: MetricStatus, then: TooFewSamples) -> datetime:
    """Samples may run dry later too (a quiet night): holding and failing then wait anew, passing does not."""
    if then is TooFewSamples.PASS or tally.covered_until is None:
        return tally.first_at
    return max(tally.first_at, tally.covered_until)


def _finite(reading: Reading) -> float | None:
    return reading.value if reading.value is not None and math.isfinite(reading.value) else None


def _baseline(tally: MetricStatus, reading: Reading | None, snapshot: float | None) -> float | None:
    if reading is None:
        return snapshot if snapshot is not None else tally.baseline
    if reading.kind is ReadingKind.ERROR:
        return None
    now = _finite(reading) if reading.kind is ReadingKind.VALUE else None
    return next((value for value in (now, tally.baseline, snapshot) if value is not None), None)


def _counts(tally: MetricStatus, phase: MetricPhase) -> dict[str, int]:
    """The counters after a measurement. Any answer ends a row of errors; only a number ends a row of no data."""
    if phase is MetricPhase.ERROR:
        return {"errors": tally.errors + 1, "consecutive_errors": tally.consecutive_errors + 1}
    answered = {"consecutive_errors": 0}
    match phase:
        case MetricPhase.NO_DATA:
            return {**answered, "no_data": tally.no_data + 1}
        case MetricPhase.INCONCLUSIVE:
            return {**answered, "inconclusive": tally.inconclusive + 1}
        case MetricPhase.FAILING:
            return {**answered, "no_data": 0, "failures": tally.failures + 1}
        case MetricPhase.PASSING:
            return {**answered, "no_data": 0, "passes": tally.passes + 1}
    return answered


def _concluded(metric: ResolvedMetric, before: MetricStatus, tally: MetricStatus, *, waited: bool) -> MetricStatus:
    """Set the phase that lasts, where a limit is passed, and whether the metric holds the run."""
    too_few_fails = waited and metric.min_samples is not None and metric.min_samples.then is TooFewSamples.FAIL
    if tally.failures > metric.failure_limit or (tally.phase is MetricPhase.TOO_FEW_SAMPLES and too_few_fails):
        held = metric.on_failure is MetricFailure.HOLD
        return tally.model_copy(update={"phase": MetricPhase.FAILED, "held": held and not metric.dry_run})
    if tally.inconclusive > metric.inconclusive_limit:
        message = tally.message if tally.phase is MetricPhase.INCONCLUSIVE else before.message
        return tally.model_copy(
            update={
                "phase": MetricPhase.INCONCLUSIVE,
                "held": not metric.dry_run,
                "message": message,
                "covered_until": before.covered_until,
            }
        )
    away = tally.consecutive_errors > metric.consecutive_error_limit or tally.no_data > metric.no_data_limit
    changes: dict[str, Any] = {"held": (away or waited) and not metric.dry_run}
    if tally.phase is MetricPhase.PASSING and tally.scope.startswith(_INLINE) and tally.passes >= (metric.count or 1):
        changes["phase"] = MetricPhase.SUCCESSFUL
    return tally.model_copy(update=changes)


def _first_delay(metric: ResolvedMetric) -> timedelta:
    return metric.interval if metric.initial_delay is None else metric.initial_delay


# ------------------------------------------------------------------------------------------ all metrics


class Outcome(StrEnum):
    """What an analysis says to the run.

    PASSED: inline, every metric passed as often as it must; background, every last measurement was good.
    RUNNING: nothing bad so far, and not done. UNSURE: exposure may not grow. HELD: the run stands until good
    measurements come again, or a person acts. FAILED: abort.
    """

    PASSED = "Passed"
    RUNNING = "Running"
    UNSURE = "Unsure"
    HELD = "Held"
    FAILED = "Failed"


_WORST_FIRST = (Outcome.FAILED, Outcome.HELD, Outcome.UNSURE, Outcome.RUNNING, Outcome.PASSED)


@dataclass(frozen=True, slots=True)
class Verdict:
    """An analysis' outcome, and the metric that decides it ("" where all agree)."""

    outcome: Outcome
    reason: Reason
    message: str = ""
    metric: str = ""


def verdict(metrics: Iterable[ResolvedMetric], tallies: Iterable[MetricStatus], scope: str) -> Verdict:
    """The worst that any metric says; dry runs say nothing.

    How old a good measurement may be is not looked at here: see `covered_until`.

    Args:
        metrics: of the analysis.
        tallies: of any scope.
        scope: the analysis', "background" or "step-<n>".
    """
    by_name = {tally.name: tally for tally in tallies if tally.scope == scope}
    judged = [_judge(metric, by_name.get(metric.name)) for metric in metrics if not metric.dry_run]
    if not judged:
        return Verdict(Outcome.PASSED, Reason.NO_ANALYSIS, "nothing is measured that could fail")
    worst = min(judged, key=lambda each: _WORST_FIRST.index(each.outcome))
    if worst.outcome is not Outcome.PASSED:
        return worst
    return Verdict(Outcome.PASSED, Reason.MEASUREMENTS_PASS, f"passing: {', '.join(each.metric for each in judged)}")


def _judge(metric: ResolvedMetric, tally: MetricStatus | None) -> Verdict:
    if tally is None or tally.phase is MetricPhase.PENDING:
        return Verdict(Outcome.RUNNING, Reason.NO_MEASUREMENT, f"{metric.name} has not been measured yet", metric.name)
    cause, message = _cause(metric, tally), tally.message or metric.name
    if tally.phase is MetricPhase.FAILED:
        failed = Outcome.HELD if metric.on_failure is MetricFailure.HOLD else Outcome.FAILED
        return Verdict(failed, cause, message, metric.name)
    if tally.held:
        return Verdict(Outcome.HELD, cause, f"{message}; {_release(cause)}", metric.name)
    if tally.phase is MetricPhase.PASSING and tally.scope.startswith(_INLINE):
        progress = f"{metric.name} passed {tally.passes} of {metric.count or 1} measurements"
        return Verdict(Outcome.RUNNING, Reason.MEASURING, progress, metric.name)
    if tally.phase in {MetricPhase.PASSING, MetricPhase.SUCCESSFUL}:
        return Verdict(Outcome.PASSED, Reason.MEASUREMENTS_PASS, "", metric.name)
    return Verdict(Outcome.UNSURE, cause, message, metric.name)


def _cause(metric: ResolvedMetric, tally: MetricStatus) -> Reason:
    if tally.failures > metric.failure_limit:
        return Reason.METRIC_FAILED
    return {
        MetricPhase.FAILING: Reason.METRIC_FAILED,
        MetricPhase.ERROR: Reason.METRIC_ERRORS,
        MetricPhase.NO_DATA: Reason.METRIC_NO_DATA,
        MetricPhase.INCONCLUSIVE: Reason.METRIC_INCONCLUSIVE,
    }.get(tally.phase, Reason.TOO_FEW_SAMPLES)


def _release(cause: Reason) -> str:
    if cause is Reason.METRIC_INCONCLUSIVE:
        return "a person decides: abort or promote"
    return "goes on when it can be measured again"
