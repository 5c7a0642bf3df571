"""An armed kill switch that measures: what it asks, what it says of that, and when it trips. Pure.

It trips when a metric fails more often in a row than `failureLimit` tolerates, or when an error budget is used up, or
is being used up too fast. A number that cannot be had is neither:
it trips nothing and ends no row of failures, and the condition `Watching` says that the switch is blind, and why. While
the switch is engaged nothing is measured; after a release all is measured anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sluice.api.analysis import ResolvedMetric
from sluice.api.autotrip import TrippedBy, Watch
from sluice.api.common import ObjectRef
from sluice.api.conditions import Condition, ConditionType, Reason, Status
from sluice.api.errorbudget import BudgetLook, BudgetStatus
from sluice.api.killswitch import KillSwitchSpec, KillSwitchStatus
from sluice.api.rollout import MetricPhase, MetricStatus
from sluice.api.units import JSON
from sluice.decide import analysis, error_budget
from sluice.decide.conditions import tell_condition
from sluice.decide.error_budget import BudgetOutcome, BudgetVerdict
from sluice.decide.metadata import mapping, sequence
from sluice.decide.model import Measure, Measurement
from sluice.decide.moments import latest
from sluice.decide.texts import CONDITION_BYTES, REASON_BYTES, clip, count_of, some
from sluice.decide.tripwires import WHERE, Wires, digest_of

SCOPE = "switch"
ERROR_BUDGET = "error-budget"
_NO_WIRES = Wires()
REFRESHED_AFTER = timedelta(minutes=1)
_BLIND = {
    MetricPhase.ERROR: Reason.METRIC_ERRORS,
    MetricPhase.NO_DATA: Reason.METRIC_NO_DATA,
    MetricPhase.INCONCLUSIVE: Reason.METRIC_INCONCLUSIVE,
}


class Sight(StrEnum):
    """How well a switch with `autoTrip` sees what may trip it."""

    WATCHING = "Watching"
    BLIND = "Blind"
    UNSURE = "Unsure"  # it has not measured yet, or there was too little traffic
    LATCHED = "Latched"  # engaged: it measures nothing


def sight_of(switch: JSON) -> Sight | None:
    """By its status as it is stored, whatever that holds; None of one that does not measure."""
    conditions = map(mapping, sequence(mapping(switch.get("status")).get("conditions")))
    told = next((each for each in conditions if each.get("type") == ConditionType.WATCHING), None)
    if told is None:
        return None
    if told.get("reason") == Reason.LATCHED:
        return Sight.LATCHED
    return {"True": Sight.WATCHING, "False": Sight.BLIND}.get(str(told.get("status")), Sight.UNSURE)


@dataclass(frozen=True, slots=True)
class WatchSeen:
    """What one decision about a switch's measurements needs.

    Attributes:
        ref: the switch; a ClusterKillSwitch has no namespace.
        generation: of its spec.
        spec: of the switch.
        known: the newest tallies, and what it tripped by.
        wires: what is to be measured.
        problem: why they cannot be known, a Reason and a message; None where they can.
        measurements: new ones, oldest first.
    """

    ref: ObjectRef
    generation: int
    spec: KillSwitchSpec
    known: KillSwitchStatus
    wires: Wires = _NO_WIRES
    problem: tuple[str, str] | None = None
    measurements: tuple[Measurement, ...] = ()


@dataclass(frozen=True, slots=True)
class WatchPlan:
    """What a switch says of its measurements and asks now; where it is to be engaged, with what reason."""

    watch: Watch | None = None
    tripped_by: TrippedBy | None = None
    conditions: tuple[Condition, ...] = ()
    measures: tuple[Measure, ...] = ()
    engage: str = ""
    wake_at: datetime | None = None


def plan_watch(seen: WatchSeen, now: datetime) -> WatchPlan:
    """Decide about one switch."""
    if seen.spec.engaged:
        return _latched(seen, now)
    if seen.spec.auto_trip is None:
        return WatchPlan()
    if seen.problem is not None:
        reason, message = seen.problem
        return WatchPlan(conditions=(_condition(seen, now, "False", reason, f"blind: {message}"),))
    watch = _absorbed(seen, now)
    tripped = seen.known.tripped_by if current(seen) is not None else None
    tripped = tripped or _by_metric(watch, now) or _by_budget(seen, watch, now)
    if tripped is not None:
        reason = f"tripped by itself: {tripped.message}"
        condition = _condition(seen, now, "True", Reason.TRIPPED, reason)
        return WatchPlan(watch, tripped, (condition,), engage=clip(reason, CONDITION_BYTES))
    due = [*_due_metrics(seen, watch, now)]
    if seen.wires.budget is not None and watch.budget is not None:
        due += error_budget.due_looks(seen.wires.budget, watch.budget, seen.wires.looks, now)
    measures = tuple(measure for at, measure in due if at <= now)
    wake_at = min((at for at, _ in due if at > now), default=None)
    return WatchPlan(watch, None, (_said(seen, watch, now),), measures, wake_at=wake_at)


def run_of(watch: Watch | None) -> str:
    """What answers to a watch's questions are kept under: those to an earlier one are for nobody."""
    return f"{watch.digest}/{watch.since.isoformat()}" if watch is not None else ""


def current(seen: WatchSeen) -> Watch | None:
    """The watch so far, if it speaks of the present metrics and of the time since the last release."""
    watch = seen.known.watch
    digest = digest_of(seen.wires, seen.spec.release_reason)
    return watch if watch is not None and watch.digest == digest else None


def unseen(plan: WatchPlan) -> str:
    """What an armed switch adds to its message while it does not see all that it is to watch."""
    return "".join(f"; {condition.message}" for condition in plan.conditions if condition.status != "True")


def is_news(old: KillSwitchStatus, new: KillSwitchStatus) -> bool:
    """Whether a status is worth a write. What merely was measured again is, once in a while."""
    if _telling(old) != _telling(new):
        return True
    then, now = (_measured_at(status.watch) for status in (old, new))
    return now is not None and (then is None or abs(now - then) >= REFRESHED_AFTER)


# --------------------------------------------------------------------------------------------- inside


def _latched(seen: WatchSeen, now: datetime) -> WatchPlan:
    if seen.spec.auto_trip is None:
        return WatchPlan(tripped_by=seen.known.tripped_by)
    told = "measures nothing while it is engaged; once a person has released it, it measures anew"
    return WatchPlan(
        tripped_by=seen.known.tripped_by, conditions=(_condition(seen, now, "False", Reason.LATCHED, told),)
    )


def _absorbed(seen: WatchSeen, now: datetime) -> Watch:
    """The tallies with what came in; or new ones, of whatever is to be measured from now on."""
    watch = current(seen)
    if watch is None:
        return Watch(
            digest=digest_of(seen.wires, seen.spec.release_reason),
            since=now,
            metrics=analysis.begin(seen.wires.metrics, SCOPE, now),
            budget=BudgetStatus() if seen.wires.budget is not None else None,
        )
    metrics = {metric.name: metric for metric in seen.wires.metrics}
    measured = [measurement for measurement in seen.measurements if measurement.scope == SCOPE]
    tallies = tuple(_taken(metrics, tally, measured) for tally in watch.metrics)
    budget = watch.budget
    if budget is not None and seen.wires.budget is not None:
        budget = error_budget.taken_in(seen.wires.budget, budget, seen.measurements, seen.wires.looks)
    return watch.model_copy(update={"metrics": tallies, "budget": budget})


def _taken(
    metrics: Mapping[str, ResolvedMetric], tally: MetricStatus, measurements: Iterable[Measurement]
) -> MetricStatus:
    for measurement in measurements:
        if measurement.name == tally.name and tally.name in metrics:
            tally = analysis.assess(metrics[tally.name], tally, measurement, None)
            if tally.phase is MetricPhase.PASSING:
                tally = tally.model_copy(update={"failures": 0})  # what counts is a row of them
    return tally.model_copy(update={"message": clip(tally.message, REASON_BYTES)})


def _by_metric(watch: Watch, now: datetime) -> TrippedBy | None:
    tally = next((tally for tally in watch.metrics if tally.phase is MetricPhase.FAILED), None)
    if tally is None:
        return None
    often = f", {tally.failures} times in a row" if tally.failures > 1 else ""
    return TrippedBy(
        metric=tally.name,
        value=tally.value,
        threshold=tally.threshold,
        message=f"{tally.message or tally.name}{often}",
        at=tally.measured_at or now,
    )


def _by_budget(seen: WatchSeen, watch: Watch, now: datetime) -> TrippedBy | None:
    verdict = _verdict(seen, watch, now)
    used_up = verdict is not None and verdict.outcome is BudgetOutcome.EXHAUSTED
    if verdict is None or not _had_some(watch) or not used_up:
        # What was spent before it was armed, or was released, was spent then; how it burns now is another matter.
        verdict = _burning(seen, watch, now)
    if verdict is None:
        return None
    value, bound = verdict.value, verdict.threshold
    return TrippedBy(metric=ERROR_BUDGET, value=value, threshold=bound, message=verdict.message, at=now)


def _verdict(seen: WatchSeen, watch: Watch, now: datetime) -> BudgetVerdict | None:
    if seen.wires.budget is None or watch.budget is None:
        return None
    return error_budget.assess_budget(seen.wires.budget, watch.budget, seen.wires.looks, now)


def _burning(seen: WatchSeen, watch: Watch, now: datetime) -> BudgetVerdict | None:
    if seen.wires.budget is None or watch.budget is None:
        return None
    return error_budget.burning(seen.wires.budget, watch.budget, seen.wires.looks, now, since=watch.since)


def _had_some(watch: Watch) -> bool:
    return watch.budget is not None and watch.budget.had_some


def _due_metrics(seen: WatchSeen, watch: Watch, now: datetime) -> Iterator[tuple[datetime, Measure]]:
    metrics = {metric.name: metric for metric in seen.wires.metrics}
    for tally in watch.metrics:
        due = analysis.due(metrics[tally.name], tally, now)
        if due is not None:
            yield due, Measure(metric=metrics[tally.name], scope=SCOPE)


def _said(seen: WatchSeen, watch: Watch, now: datetime) -> Condition:
    """Blind in one metric is blind, whatever the others say. Dry runs count: they are asked for to be seen."""
    tallies = watch.metrics
    blind = [tally for tally in tallies if tally.phase in _BLIND]
    if blind:
        first, others = blind[0], [tally.name for tally in blind[1:]]
        also = f"; blind too: {some(others)}" if others else ""
        told = f"blind: {first.message}; nothing trips it by {first.name} until there is a number again{also}"
        return _condition(seen, now, "False", _BLIND[first.phase], told)
    few = next((tally for tally in tallies if tally.phase is MetricPhase.TOO_FEW_SAMPLES), None)
    if few is not None:
        return _condition(seen, now, "Unknown", Reason.TOO_FEW_SAMPLES, few.message)
    waiting = [tally.name for tally in tallies if tally.phase is MetricPhase.PENDING]
    if waiting:
        return _condition(seen, now, "Unknown", Reason.NO_MEASUREMENT, f"has not measured {some(waiting)} yet")
    verdict = _verdict(seen, watch, now)
    if verdict is not None and verdict.outcome is BudgetOutcome.UNKNOWN:
        new = watch.budget is None or len(watch.budget.looks) < len(seen.wires.looks)
        if new:
            return _condition(seen, now, "Unknown", Reason.NO_MEASUREMENT, verdict.message)
        return _condition(seen, now, "False", Reason.BUDGET_UNKNOWN, f"blind: {verdict.message}")
    failing = next((tally for tally in tallies if tally.phase is MetricPhase.FAILING), None)
    if failing is not None:
        return _condition(seen, now, "True", Reason.METRIC_FAILED, _nearly(seen, failing))
    if verdict is not None and verdict.outcome is BudgetOutcome.EXHAUSTED:
        told = f"{ERROR_BUDGET} was used up before it was armed; it trips when there was some left and that is used up"
        return _condition(seen, now, "True", Reason.BUDGET_EXHAUSTED, told)
    names = [*(tally.name for tally in tallies), *([ERROR_BUDGET] if verdict is not None else [])]
    measured = f"{WHERE} measures {some(names, 8)}"
    return _condition(seen, now, "True", Reason.MEASUREMENTS_PASS, measured)


def _nearly(seen: WatchSeen, tally: MetricStatus) -> str:
    if tally.dry_run:
        return f"{tally.name} is beyond {tally.threshold}, and trips nothing: it is a dry run"
    limit = next(metric.failure_limit for metric in seen.wires.metrics if metric.name == tally.name)
    row = count_of(tally.failures, "failing measurement")
    return f"{tally.name} is not {tally.threshold}: {row} in a row, and {limit + 1} trip it"


def _condition(seen: WatchSeen, now: datetime, status: Status, reason: str, message: str) -> Condition:
    return tell_condition(ConditionType.WATCHING, status, reason, message, generation=seen.generation, at=now)


def _telling(status: KillSwitchStatus) -> KillSwitchStatus:
    """The status without what changes with every measurement that says nothing new."""
    if status.watch is None:
        return status
    tallies = tuple(
        MetricStatus(
            name=each.name,
            scope=each.scope,
            phase=each.phase,
            failures=0 if each.dry_run else each.failures,
            first_at=each.first_at,
        )
        for each in status.watch.metrics
    )
    return status.model_copy(
        update={"watch": status.watch.model_copy(update={"metrics": tallies, "budget": _quiet(status.watch.budget)})}
    )


def _quiet(budget: BudgetStatus | None) -> BudgetStatus | None:
    """Whether it had some, and what is not known of it."""
    if budget is None:
        return None
    looks = tuple(BudgetLook(range=look.range, message="?" if look.message else "") for look in budget.looks)
    return BudgetStatus(had_some=budget.had_some, looks=looks)


def _measured_at(watch: Watch | None) -> datetime | None:
    if watch is None:
        return None
    times = [tally.measured_at for tally in watch.metrics]
    times += [look.asked_at for look in watch.budget.looks] if watch.budget is not None else []
    return latest(*times)
