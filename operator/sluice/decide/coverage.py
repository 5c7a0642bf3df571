"""How much time measurements cover: only that counts for pauses and watches. Pure.

A good measurement at time t speaks for a short while before t, its *reach*. Good measurements that follow each other
within the reach cover the time between them; a longer silence is a gap, and gaps do not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from sluice.api.analysis import ResolvedMetric
from sluice.api.fleet import BatchStatus
from sluice.api.rollout import MetricStatus, StepStatus

BACKGROUND = "background"
Counted = TypeVar("Counted", StepStatus, BatchStatus)
ANSWER_MAX = timedelta(seconds=10)  # the longest a question may take, see the metrics adapter


def reach(metric: ResolvedMetric) -> timedelta:
    """How far back one good measurement speaks: twice the interval, or one interval and a slow answer."""
    return metric.interval + max(metric.interval, ANSWER_MAX)


def covered_until(
    metrics: Iterable[ResolvedMetric], tallies: Iterable[MetricStatus], scope: str, now: datetime
) -> datetime | None:
    """The time up to which every metric (dry runs aside) is known to be good.

    Returns:
        `now` where nothing is measured. None where a metric has had no good measurement, or none for longer than its
        reach (or only one that a clock since put back says is yet to come): whatever was once good, nothing is known
        about the present.
    """
    binding = [metric for metric in metrics if not metric.dry_run]
    good = _last_good(tallies, scope)
    until = now
    for metric in binding:
        at = good.get(metric.name)
        if at is None or not timedelta(0) <= now - at <= reach(metric):
            return None
        until = min(until, at)
    return until


def count_time(
    step: Counted,
    metrics: Sequence[ResolvedMetric],
    *,
    before: Iterable[MetricStatus],
    after: Iterable[MetricStatus],
    scope: str,
    now: datetime,
) -> Counted:
    """Count what a pass' measurements cover of a pause, watch or soak. To be called in every pass that is not held.

    Time that a gap has swallowed never counts later. With several metrics, a gap in one also discards the time before
    it that a slower one has not yet covered: rather too little than too much. A clock that jumps back takes nothing
    away, and counting starts anew once every metric is measured by it; a jump forward counts one reach at most. Where
    nothing is measured, time counts by the clock.

    Args:
        step: or batch, with the count so far.
        metrics: that must cover the time.
        before: the tallies as the pass found them.
        after: the same with this pass' measurements taken in.
        scope: of the tallies, usually "background".
        now: the time of the pass.

    Returns:
        The same with `counted_seconds` (never less than before) and `counted_until` brought forward.
    """
    since = step.counted_until or step.started_at
    binding = [metric for metric in metrics if not metric.dry_run]
    if not binding:
        return _counted(step, since, since, now)
    known, fresh = _last_good(before, scope), _last_good(after, scope)
    if now < since:
        anew = all(metric.name in fresh and fresh[metric.name] <= now for metric in binding)
        return step.model_copy(update={"counted_until": now}) if anew else step
    begins, until = since, now
    for metric in binding:
        at = fresh.get(metric.name)
        if at is None or at > now:
            until = since
            continue
        begins = max(begins, _gap_end(metric, known.get(metric.name), at))
        until = min(until, at)
    return _counted(step, since, begins, until)


def skip_time(step: StepStatus, now: datetime) -> StepStatus:
    """Leave out the time up to `now`: the run is, or until now was, held."""
    return step.model_copy(update={"counted_until": max(step.counted_until or step.started_at, now)})


def _counted(step: Counted, since: datetime, begins: datetime, until: datetime) -> Counted:
    seconds = max(0.0, (until - begins).total_seconds())
    return step.model_copy(
        update={"counted_seconds": step.counted_seconds + seconds, "counted_until": max(since, begins, until)}
    )


def _gap_end(metric: ResolvedMetric, before: datetime | None, at: datetime) -> datetime:
    """From where on the newest good measurement and the one before leave no gap; the distant past where they join."""
    joined = before is not None and timedelta(0) <= at - before <= reach(metric)
    return datetime.min.replace(tzinfo=at.tzinfo) if joined else at - reach(metric)


def _last_good(tallies: Iterable[MetricStatus], scope: str) -> dict[str, datetime]:
    return {tally.name: tally.covered_until for tally in tallies if tally.scope == scope and tally.covered_until}
