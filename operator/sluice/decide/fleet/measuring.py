"""What the hub measures itself, of a batch and of the whole fleet, and what that says to the run. Pure.

What a cluster is measured by is its own run's matter. Here clusters are measured as a whole: those of a batch, from the
first one that has candidate traffic to the end of its soak; those of all batches so far, from there to the end of the
run. Tallies, limits and verdicts are those of every analysis (`decide.analysis`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sluice.api.analysis import ResolvedMetric
from sluice.api.conditions import Reason
from sluice.api.fleet import BatchStage, BatchStatus, ClusterPhase, FleetRunSpec, HubAnalysis, RunBatch
from sluice.api.rollout import MetricStatus
from sluice.api.units import NONE
from sluice.decide import analysis, coverage
from sluice.decide.analysis import Outcome, Verdict
from sluice.decide.fleet.course import Course
from sluice.decide.fleet.stock import was_new
from sluice.decide.fleet.tallies import FLEET, scope_of
from sluice.decide.hold import Hold
from sluice.decide.measuring import at_end_of_wait, taken_in
from sluice.decide.model import Measure
from sluice.decide.promql import FleetValues

_MEASURED = frozenset({BatchStage.MOVING, BatchStage.SOAKING})
_OF_THE_RUN = frozenset({ClusterPhase.MOVING, ClusterPhase.DONE, ClusterPhase.COMPLETED})


@dataclass(frozen=True, slots=True)
class Whole:
    """Clusters that are measured as a whole, now."""

    scope: str
    title: str  # for people
    metrics: tuple[ResolvedMetric, ...]
    clusters: tuple[str, ...]


def measures(run: FleetRunSpec) -> bool:
    """Whether the hub measures anything in a run."""
    return bool(run.hub_analysis) or any(batch.hub_analysis for batch in run.batches)


def wholes(course: Course) -> tuple[Whole, ...]:
    """What is measured now: the whole fleet in every stage, the batch while it moves and soaks."""
    run, batch = course.run_spec, course.batch
    if run is None or batch is None or not course.under_way or not measures(run):
        return ()
    so_far = tuple(name for each in run.batches[: course.at.index] for name in each.clusters)
    found = [Whole(FLEET, "the fleet", _metrics(course, FLEET, run.hub_analysis), so_far)]
    if course.at.stage in _MEASURED:
        scope = scope_of(batch.name)
        metrics = _metrics(course, scope, batch.hub_analysis)
        found.insert(0, Whole(scope, f"batch {batch.name}", metrics, batch.clusters))
    return tuple(whole for whole in found if whole.metrics)


def absorb(course: Course) -> None:
    """Take in new measurements; begin to measure what has candidate traffic now; forget batches that are past."""
    if not course.under_way:
        return
    now = wholes(course)
    metrics = {(whole.scope, metric.name): metric for whole in now for metric in whole.metrics}
    kept = {FLEET, scope_of(course.batch.name) if course.batch is not None else FLEET}
    tallies = taken_in(
        (tally for tally in course.status.metrics if tally.scope in kept), metrics, course.observed.measurements
    )
    begun = {tally.scope for tally in tallies}
    for whole in now:
        if whole.scope not in begun and _has_traffic(course, whole.clusters):
            tallies += analysis.begin(whole.metrics, whole.scope, course.now)
    course.update(metrics=tallies)


def ask(course: Course) -> None:
    """Ask what is due, and wake when the next is."""
    run, batch = course.run_spec, course.batch
    if run is None or batch is None:
        return
    for whole in wholes(course):
        tallies = {tally.name: tally for tally in course.status.metrics if tally.scope == whole.scope}
        for metric in whole.metrics:
            if metric.name in tallies:
                _ask(course, whole, metric, tallies[metric.name], _values(course, run, batch, whole, metric))


def verdicts(course: Course) -> tuple[tuple[Whole, Verdict], ...]:
    """What is said of everything that is being measured; of what has no candidate traffic yet nothing is."""
    tallies = course.status.metrics
    return tuple(
        (whole, analysis.verdict(whole.metrics, tallies, whole.scope))
        for whole in wholes(course)
        if any(tally.scope == whole.scope for tally in tallies)
    )


def failure(course: Course) -> Verdict | None:
    """What failed for good; its message names the batch, or the fleet."""
    found = ((whole, verdict) for whole, verdict in verdicts(course) if verdict.outcome is Outcome.FAILED)
    return next((Verdict(v.outcome, v.reason, f"{whole.title}: {v.message}", v.metric) for whole, v in found), None)


def bad(course: Course) -> Hold | None:
    """A metric failed, waits for a person, or its last measurement was none."""
    for whole, verdict in verdicts(course):
        if verdict.outcome is Outcome.UNSURE:
            return Hold(verdict.reason, f"{whole.title}: {verdict.message}")
        if verdict.outcome in {Outcome.FAILED, Outcome.HELD}:
            return Hold(Reason.ANALYSIS_HOLDS, f"{whole.title}: {verdict.message}")
    return None


def in_the_way(course: Course, since: datetime | None = None) -> Hold | None:
    """What measurements have against going on; also where there is none that speaks for now, or none after `since`."""
    found = bad(course)
    if found is not None:
        return found
    for whole, _ in verdicts(course):
        covered = coverage.covered_until(whole.metrics, course.status.metrics, whole.scope, course.now)
        if covered is None or (since is not None and covered < since):
            return Hold(Reason.NO_MEASUREMENT, f"waits for every metric of {whole.title} to be measured")
    return None


def counted(course: Course) -> BatchStatus | None:
    """The batch with what measurements cover of its soak counted; None where nothing is measured."""
    scopes = [(whole.scope, whole.metrics) for whole, _ in verdicts(course)]
    metrics = [
        metric.model_copy(update={"name": f"{scope}/{metric.name}"}) for scope, found in scopes for metric in found
    ]
    if all(metric.dry_run for metric in metrics):
        return None
    before, after = (_as_one(tallies) for tallies in (course.observed.status.metrics, course.status.metrics))
    return coverage.count_time(
        course.at, metrics, before=before, after=after, scope=coverage.BACKGROUND, now=course.now
    )


def set_aside(course: Course) -> str:
    """A person lets go what is held for one. It is measured anew: nothing grows unmeasured. Returns what was; or ""."""
    held = next(((whole, v) for whole, v in verdicts(course) if v.outcome is Outcome.HELD), None)
    if held is None:
        return ""
    whole, verdict = held
    fresh = {tally.name: tally for tally in analysis.begin(whole.metrics, whole.scope, course.now)}
    course.update(
        metrics=tuple(
            fresh[tally.name] if (tally.scope, tally.name) == (whole.scope, verdict.metric) else tally
            for tally in course.status.metrics
        )
    )
    return f"set aside: {whole.title}: {verdict.message}; {verdict.metric} is measured anew"


# --------------------------------------------------------------------------------------------- inside


def _metrics(course: Course, scope: str, fixed: dict[str, Any] | None) -> tuple[ResolvedMetric, ...]:
    if scope not in course.measured:
        where = f"FleetRun {course.fleet.run}: hubAnalysis of {scope}"
        course.measured[scope] = HubAnalysis.parse(fixed, where).metrics if fixed else ()
    return course.measured[scope]


def _has_traffic(course: Course, clusters: tuple[str, ...]) -> bool:
    """Whether the candidate has traffic in one of them. What serves where nothing did before is no candidate."""
    run = course.run_spec
    return run is not None and any(_is_exposed(course, run, name) for name in clusters)


def _is_exposed(course: Course, run: FleetRunSpec, name: str) -> bool:
    phase, leg = course.phases.get(name), course.leg(name)
    if phase not in _OF_THE_RUN:
        return False
    if leg.runs(run):
        return leg.weight > NONE
    return phase is not ClusterPhase.MOVING and not was_new(course, run, name)


def _values(course: Course, run: FleetRunSpec, batch: RunBatch, whole: Whole, metric: ResolvedMetric) -> FleetValues:
    return FleetValues(
        rollout=course.observed.ref.name,
        namespace=course.observed.ref.namespace,
        version=run.version or "",
        batch=batch.name,
        clusters=whole.clusters,
        interval=metric.interval,
    )


def _ask(course: Course, whole: Whole, metric: ResolvedMetric, tally: MetricStatus, values: FleetValues) -> None:
    due = analysis.due(metric, tally, course.now)
    if due is None:
        return
    due = at_end_of_wait(course.status.next_transition_at, tally, due)
    if due > course.now:
        course.wakes.append(due)
        return
    course.measures.append(Measure(metric=metric, scope=whole.scope, values=values))


def _as_one(tallies: Iterable[MetricStatus]) -> tuple[MetricStatus, ...]:
    """Tallies of several scopes as if they were of one analysis."""
    return tuple(
        tally.model_copy(update={"scope": coverage.BACKGROUND, "name": f"{tally.scope}/{tally.name}"})
        for tally in tallies
    )
