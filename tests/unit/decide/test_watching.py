"""Armed kill switches that measure: what trips one, what never does, and what it says of what it cannot see."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from sluice.api.analysis import AnalysisTemplateSpec
from sluice.api.autotrip import Watch
from sluice.api.common import ObjectRef
from sluice.api.conditions import Reason
from sluice.api.killswitch import KillSwitchSpec, KillSwitchStatus
from sluice.api.rollout import MetricPhase
from sluice.decide.model import Measurement, Reading, ReadingKind
from sluice.decide.tripwires import Wires, resolve_auto_trip
from sluice.decide.watching import SCOPE, Sight, WatchPlan, WatchSeen, current, is_news, plan_watch, sight_of
from sluice.errors import InvalidSpec
from unit.decide.observed import NOW

EVERY = timedelta(seconds=30)
ERRORS = {
    "name": "error-rate",
    "prometheus": {"query": 'errors{namespace="{{namespace}}"}[{{interval}}]'},
    "threshold": {"max": 0.05},
}
AWAY = Reading(ReadingKind.ERROR, message="connection refused")
EMPTY = Reading(ReadingKind.NO_DATA)
STRANGE = Reading(ReadingKind.INCONCLUSIVE, message="two series")


def value(number: float) -> Reading:
    """A number."""
    return Reading(ReadingKind.VALUE, number)


class Switch:
    """A switch over time: each answer comes one interval after the last."""

    def __init__(self, *metrics: dict[str, Any], **spec: Any) -> None:
        self.now = NOW
        self.spec = KillSwitchSpec.parse({"autoTrip": {"metrics": list(metrics or (ERRORS,))}, **spec}, "spec")
        self.status = KillSwitchStatus()
        self.plan = self.look()

    def seen(self, *measurements: Measurement) -> WatchSeen:
        """What is known of it now."""
        assert self.spec.auto_trip is not None
        wires = resolve_auto_trip(self.spec.auto_trip, lambda _: None, namespace="shop")
        ref = ObjectRef(namespace="shop", name="stop", uid="uid-stop")
        return WatchSeen(ref, 3, self.spec, self.status, Wires() if self.spec.engaged else wires, None, measurements)

    def look(self, *measurements: Measurement) -> WatchPlan:
        """Decide, and keep what comes of it."""
        self.plan = plan_watch(self.seen(*measurements), self.now)
        self.status = self.status.model_copy(
            update={
                "watch": self.plan.watch,
                "tripped_by": self.plan.tripped_by,
                "conditions": self.plan.conditions,
            }
        )
        return self.plan

    def answers(self, *readings: Reading, name: str = "error-rate", samples: Reading | None = None) -> WatchPlan:
        """Measure one after the other."""
        for reading in readings:
            self.now += EVERY
            self.look(Measurement(name=name, scope=SCOPE, at=self.now, reading=reading, samples=samples))
        return self.plan

    @property
    def watching(self) -> tuple[str, str]:
        """The condition."""
        [told] = self.plan.conditions
        return told.status, told.reason

    @property
    def message(self) -> str:
        """The condition's."""
        return self.plan.conditions[0].message


def test_a_bad_number_trips_it_and_the_reason_names_metric_value_and_threshold() -> None:
    """Without a failureLimit the first does; status tells what, when and by how much."""
    switch = Switch()
    plan = switch.answers(value(0.12))
    assert plan.engage == "tripped by itself: error-rate is 0.12, above max 0.05"
    assert plan.tripped_by is not None
    assert (plan.tripped_by.metric, plan.tripped_by.value, plan.tripped_by.threshold) == ("error-rate", 0.12, "<= 0.05")
    assert plan.tripped_by.at == NOW + EVERY
    assert not plan.measures
    assert switch.watching == ("True", Reason.TRIPPED)


def test_good_numbers_are_watched_at_the_interval() -> None:
    """Nothing trips; the next question is due one interval later."""
    switch = Switch()
    assert switch.watching == ("Unknown", Reason.NO_MEASUREMENT)
    assert switch.plan.wake_at == NOW + EVERY
    plan = switch.answers(value(0.01), value(0.05))
    assert not plan.engage
    assert plan.wake_at == switch.now + EVERY
    assert switch.watching == ("True", Reason.MEASUREMENTS_PASS)
    switch.now += EVERY
    [asked] = switch.look().measures
    assert (asked.metric.name, asked.scope) == ("error-rate", SCOPE)


def test_failures_count_in_a_row() -> None:
    """A switch is armed for months: what failed last week and passed since is no reason to stop today."""
    switch = Switch({**ERRORS, "failureLimit": 2})
    switch.answers(value(0.2), value(0.2), value(0.01), value(0.2))
    assert switch.message == "error-rate is not <= 0.05: 1 failing measurement in a row, and 3 trip it"
    assert not switch.answers(value(0.2)).engage
    assert switch.answers(value(0.2)).engage == "tripped by itself: error-rate is 0.2, above max 0.05, 3 times in a row"


@pytest.mark.parametrize(
    "reading, reason",
    [
        (AWAY, Reason.METRIC_ERRORS),
        (EMPTY, Reason.METRIC_NO_DATA),
        (STRANGE, Reason.METRIC_INCONCLUSIVE),
        (value(float("nan")), Reason.METRIC_INCONCLUSIVE),
    ],
)
def test_a_missing_number_never_trips_and_is_never_called_fine(reading: Reading, reason: str) -> None:
    """However long there is none, it says that it is blind; with the next number it sees again."""
    switch = Switch()
    for _ in range(50):
        assert not switch.answers(reading).engage
        assert switch.watching == ("False", reason)
    assert switch.message.startswith("blind: error-rate")
    switch.answers(value(0.01))
    assert switch.watching == ("True", Reason.MEASUREMENTS_PASS)
    assert switch.answers(value(0.06)).engage


def test_a_missing_number_neither_continues_nor_ends_a_row() -> None:
    """Two failures with an outage between them are two in a row."""
    switch = Switch({**ERRORS, "failureLimit": 1})
    switch.answers(value(0.2), AWAY, EMPTY)
    assert not switch.plan.engage
    assert switch.answers(value(0.2)).engage


def test_too_few_samples_are_no_number() -> None:
    """One error of three requests at night is not 33 %: it waits, for as long as it takes."""
    switch = Switch({**ERRORS, "minSamples": {"query": "requests", "value": 100}})
    for _ in range(60):
        assert not switch.answers(value(0.33), samples=value(3)).engage
        assert switch.watching == ("Unknown", Reason.TOO_FEW_SAMPLES)
    assert switch.answers(value(0.33), samples=value(100)).engage


def test_one_blind_metric_hides_no_failure_of_another() -> None:
    """It is blind in one, says so, and is tripped by the other."""
    other = {"name": "cost", "prometheus": {"query": "cost"}, "threshold": {"max": 0.5}}
    switch = Switch(ERRORS, other)
    switch.answers(AWAY)
    switch.answers(value(0.4), name="cost")
    assert switch.watching == ("False", Reason.METRIC_ERRORS)
    assert switch.answers(value(0.6), name="cost").engage == "tripped by itself: cost is 0.6, above max 0.5"


def test_a_dry_run_trips_nothing_and_is_measured_on() -> None:
    """It is there to be seen."""
    switch = Switch({**ERRORS, "dryRun": True})
    switch.answers(value(0.2), value(0.2), value(0.2))
    assert not switch.plan.engage
    assert switch.message == "error-rate is beyond <= 0.05, and trips nothing: it is a dry run"
    assert switch.plan.wake_at is not None


def test_engaged_it_measures_nothing_and_released_it_needs_a_fresh_failure() -> None:
    """Latched: what failed before the release is forgotten, and so are answers to earlier questions."""
    switch = Switch({**ERRORS, "failureLimit": 1})
    switch.answers(value(0.2), value(0.2))
    tripped = switch.plan.tripped_by
    switch.spec = switch.spec.model_copy(update={"engaged": True})
    plan = switch.look()
    assert (plan.measures, plan.wake_at, plan.engage, plan.watch) == ((), None, "", None)
    assert plan.tripped_by == tripped
    assert switch.watching == ("False", Reason.LATCHED)
    switch.spec = switch.spec.model_copy(update={"engaged": False, "release_reason": "fixed"})
    assert switch.look().tripped_by is None
    assert not switch.answers(value(0.2)).engage
    assert switch.answers(value(0.2)).engage


def test_a_crash_between_the_status_and_the_spec_leaves_a_switch_that_trips() -> None:
    """Whoever looks next engages it, with the same reason and the time of the measurement."""
    switch = Switch()
    first = switch.answers(value(0.12))
    switch.status = KillSwitchStatus.parse(switch.status.dump(), "status")
    switch.now += timedelta(hours=1)
    again = switch.look()
    assert (again.engage, again.tripped_by) == (first.engage, first.tripped_by)


def test_a_release_that_came_in_between_is_not_undone() -> None:
    """Engaged and released by hand before the operator engaged it: what it measured is of before."""
    switch = Switch()
    switch.answers(value(0.12))
    switch.spec = switch.spec.model_copy(update={"release_reason": "was a false alarm"})
    assert not switch.look().engage


def test_another_bound_begins_anew() -> None:
    """What was counted against another threshold says nothing."""
    switch = Switch({**ERRORS, "failureLimit": 1})
    switch.answers(value(0.2))
    before = switch.status.watch
    switch.spec = KillSwitchSpec.parse({"autoTrip": {"metrics": [{**ERRORS, "threshold": {"max": 0.1}}]}}, "spec")
    assert current(switch.seen()) is None
    after = switch.look().watch
    assert before is not None
    assert after is not None
    assert (before.metrics[0].failures, after.metrics[0].failures) == (1, 0)
    assert after.since == switch.now


def test_without_auto_trip_it_says_nothing_of_watching() -> None:
    """Switches that people alone engage are as they were."""
    seen = WatchSeen(ObjectRef(namespace="shop", name="stop", uid="u"), 1, KillSwitchSpec(), KillSwitchStatus())
    assert plan_watch(seen, NOW) == WatchPlan()


def test_what_cannot_be_resolved_is_blind() -> None:
    """A template that is gone: nothing trips, and the condition names it."""
    switch = Switch()
    seen = replace(
        switch.seen(), problem=("TemplateMissing", "spec.autoTrip: AnalysisTemplate shop/http does not exist")
    )
    plan = plan_watch(seen, NOW)
    assert (plan.conditions[0].status, plan.conditions[0].reason) == ("False", "TemplateMissing")
    assert "blind: spec.autoTrip: AnalysisTemplate shop/http" in plan.conditions[0].message
    assert not plan.engage


@pytest.mark.parametrize(
    "conditions, sight",
    [
        ([], None),
        ([{"type": "Effective", "status": "True"}], None),
        ([{"type": "Watching", "status": "True", "reason": "MeasurementsPass"}], Sight.WATCHING),
        ([{"type": "Watching", "status": "True", "reason": "MetricFailed"}], Sight.WATCHING),
        ([{"type": "Watching", "status": "False", "reason": "MetricErrors"}], Sight.BLIND),
        ([{"type": "Watching", "status": "Unknown", "reason": "NoMeasurement"}], Sight.UNSURE),
        ([{"type": "Watching", "status": "False", "reason": "Latched"}], Sight.LATCHED),
        ([{"type": "Watching"}, "rubbish"], Sight.UNSURE),
        ("rubbish", None),
    ],
)
def test_how_well_it_sees(conditions: Any, sight: Sight | None) -> None:
    """For who counts blind switches; of a status that makes no sense no more than it says."""
    assert sight_of({"status": {"conditions": conditions}}) == sight


def test_the_status_is_written_for_news_and_once_a_minute() -> None:
    """A switch is armed for months: good numbers are not worth a write each."""

    def told(phase: MetricPhase, at: datetime, failures: int = 0) -> KillSwitchStatus:
        assert switch.status.watch is not None
        changes = {"phase": phase, "measured_at": at, "failures": failures, "value": at.second / 100}
        tally = switch.status.watch.metrics[0].model_copy(update=changes)
        watch: Watch = switch.status.watch.model_copy(update={"metrics": (tally,)})
        return switch.status.model_copy(update={"watch": watch})

    switch = Switch()
    good = told(MetricPhase.PASSING, NOW)
    assert not is_news(good, told(MetricPhase.PASSING, NOW + EVERY))
    assert is_news(good, told(MetricPhase.PASSING, NOW + 2 * EVERY))
    assert is_news(good, told(MetricPhase.FAILING, NOW + EVERY, failures=1))
    assert is_news(told(MetricPhase.FAILING, NOW, failures=1), told(MetricPhase.FAILING, NOW + EVERY, failures=2))


RELATIVE = {"name": "p99", "prometheus": {"query": "p99"}, "threshold": {"maxRatio": 2}}


@pytest.mark.parametrize(
    "metric, namespace, problem",
    [
        (RELATIVE, "shop", "metric p99 compares with a baseline, and a kill switch has none"),
        ({**ERRORS, "interval": "1s"}, "shop", "more often than every 5s"),
        ({**ERRORS, "prometheus": {"query": 'up{slot="{{slot}}"}'}}, "shop", "there is no placeholder {{slot}}"),
        (ERRORS, "", "there is no placeholder {{namespace}}"),
    ],
)
def test_what_a_template_may_hold_and_a_switch_cannot_use(metric: dict[str, Any], namespace: str, problem: str) -> None:
    """The CRD refuses these where they are the switch's own; of templates the condition tells."""
    template = AnalysisTemplateSpec.parse({"metrics": [metric]}, "template")
    spec = KillSwitchSpec.parse({"autoTrip": {"templates": [{"name": "http", "clusterScope": True}]}}, "spec")
    assert spec.auto_trip is not None
    with pytest.raises(InvalidSpec) as refused:
        resolve_auto_trip(spec.auto_trip, lambda _: template, namespace=namespace)
    assert problem in str(refused.value)


@pytest.mark.parametrize("more", [{"address": "http://inside:80"}, {"secretRef": {"name": "token"}}])
def test_a_cluster_switch_chooses_no_address(more: dict[str, Any]) -> None:
    """What is of no namespace could ask any: on-call people may patch such switches."""
    metric = {**ERRORS, "prometheus": {"query": "up", **more}}
    spec = KillSwitchSpec.parse({"autoTrip": {"metrics": [metric]}}, "spec")
    assert spec.auto_trip is not None
    with pytest.raises(InvalidSpec, match="name a ClusterAnalysisTemplate instead"):
        resolve_auto_trip(spec.auto_trip, lambda _: None, namespace="")


def test_nor_does_its_error_budget() -> None:
    """The same holds for whom it is asked of."""
    queries = {"goodQuery": "good[{{window}}]", "totalQuery": "all[{{window}}]"}
    budget = {"objective": "99%", **queries, "prometheus": {"address": "http://inside:80"}}
    spec = KillSwitchSpec.parse({"autoTrip": {"errorBudget": budget}}, "spec")
    assert spec.auto_trip is not None
    with pytest.raises(InvalidSpec, match="leave prometheus out"):
        resolve_auto_trip(spec.auto_trip, lambda _: None, namespace="")


def test_what_a_template_says_of_missing_numbers_trips_nothing() -> None:
    """`minSamples.then: Fail`, limits of errors and of inconclusive answers are about runs."""
    metric = {
        **ERRORS,
        "minSamples": {"query": "requests", "value": 100, "waitAtMost": "1s", "then": "Fail"},
        "onFailure": "Hold",
        "count": 3,
    }
    template = AnalysisTemplateSpec.parse({"metrics": [metric]}, "template")
    spec = KillSwitchSpec.parse({"autoTrip": {"templates": [{"name": "http"}]}}, "spec")
    assert spec.auto_trip is not None
    [resolved] = resolve_auto_trip(spec.auto_trip, lambda _: template, namespace="shop").metrics
    assert resolved.min_samples is not None
    assert (resolved.min_samples.then, resolved.on_failure, resolved.count) == ("Hold", "Abort", None)
