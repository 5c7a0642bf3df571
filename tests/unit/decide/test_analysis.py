"""One measurement into a tally, and the verdict over all tallies."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.api.analysis import ResolvedMetric
from sluice.api.conditions import Reason
from sluice.api.rollout import MetricPhase, MetricStatus
from sluice.decide.analysis import BACKGROUND, Outcome, assess, begin, due, verdict
from sluice.decide.model import Measurement, Reading, ReadingKind

START = datetime(2026, 1, 31, 12, tzinfo=UTC)
NO_DATA = Reading(ReadingKind.NO_DATA, message="the query returned no series")
ERROR = Reading(ReadingKind.ERROR, message="connection refused")
NOT_A_NUMBER = Reading(ReadingKind.INCONCLUSIVE, message="the value is NaN")
ANSWERS: dict[str, Reading | float] = {"p": 0.0, "f": 1.0, "e": ERROR, "n": NO_DATA, "i": NOT_A_NUMBER}


def at(seconds: float) -> datetime:
    """A time so many seconds after the start."""
    return START + timedelta(seconds=seconds)


def value(number: float) -> Reading:
    """A reading that is a number."""
    return Reading(ReadingKind.VALUE, number)


def metric(**fields: Any) -> ResolvedMetric:
    """A metric as a manifest has it; its threshold is max 0.01."""
    base = {"name": "errors", "prometheus": {"query": "q"}, "threshold": {"max": 0.01}, "interval": "30s"}
    return ResolvedMetric.model_validate(base | fields)


def run(
    one: ResolvedMetric, *readings: Reading | float, scope: str = BACKGROUND, snapshot: float | None = None, **more: Any
) -> MetricStatus:
    """The tally after one reading each interval. `more` are the measurements' other readings."""
    [tally] = begin([one], scope, START)
    for index, answer in enumerate(readings, 1):
        reading = answer if isinstance(answer, Reading) else value(answer)
        measurement = Measurement(one.name, scope, at(30 * index), reading, **more)
        tally = assess(one, tally, measurement, snapshot)
    return tally


def judged(one: ResolvedMetric, tally: MetricStatus) -> tuple[Outcome, Reason]:
    """The verdict over a single metric."""
    found = verdict([one], [tally], tally.scope)
    return found.outcome, found.reason


# ------------------------------------------------------------------------------------------ begin and due


@pytest.mark.parametrize("delay, first", [({}, 30), ({"initialDelay": "2m"}, 120), ({"initialDelay": "0s"}, 0)])
def test_first_measurement_after_the_initial_delay(delay: dict[str, str], first: int) -> None:
    """Without one, the first comes after an interval; 0s means at once."""
    [tally] = begin([metric(**delay)], "step-2", START)
    assert (tally.phase, tally.scope, tally.first_at) == (MetricPhase.PENDING, "step-2", at(first))
    assert due(metric(**delay), tally, START) == at(first)


def test_threshold_in_words() -> None:
    """Status says what the number is compared with."""
    [tally] = begin(
        [metric(threshold={"max": 1, "min": 0.5, "maxIncrease": 0.005, "maxRatio": 2, "minRatio": 0.8})], "s", START
    )
    assert tally.threshold == "<= 1, >= 0.5, <= baseline + 0.005, <= 2 x baseline, >= 0.8 x baseline"


@pytest.mark.parametrize(
    "reading, interval, seconds", [(0.0, "30s", 60), (ERROR, "30s", 40), (ERROR, "5s", 35), (NO_DATA, "30s", 60)]
)
def test_errors_are_asked_again_sooner(reading: Reading | float, interval: str, seconds: int) -> None:
    """After an error the question comes again within ten seconds; an answer, whatever it is, lasts an interval."""
    one = metric(interval=interval)
    expected = at(seconds if interval == "30s" or isinstance(reading, Reading) else 35)
    assert due(one, run(one, reading), at(31)) == expected


def test_a_final_tally_is_never_due() -> None:
    """Failed and Successful metrics are not asked about any more."""
    one = metric()
    assert due(one, run(one, 1.0), at(60)) is None
    assert due(one, run(one, 0.0, scope="step-1"), at(60)) is None


def test_a_clock_put_back_does_not_stop_measuring() -> None:
    """A candidate must not run unmeasured until the clock has caught up with itself."""
    one = metric()
    assert due(one, run(one, 0.0), at(-3600)) == at(-3600)
    assert due(one, run(one), at(-3600)) == at(-3600)


# ------------------------------------------------------------------------------------------ one measurement


@pytest.mark.parametrize(
    "threshold, number, baseline, phase, told",
    [
        ({"max": 0.01}, 0.01, None, MetricPhase.PASSING, ""),
        ({"max": 0.01}, 0.12, None, MetricPhase.FAILED, "errors is 0.12, above max 0.01"),
        ({"min": 0.9}, 0.9, None, MetricPhase.PASSING, ""),
        ({"min": 0.9}, 0.5, None, MetricPhase.FAILED, "errors is 0.5, below min 0.9"),
        ({"maxIncrease": 0.005}, 0.035, 0.03, MetricPhase.PASSING, ""),
        ({"maxIncrease": 0.005}, 0.036, 0.03, MetricPhase.FAILED, "errors is 0.036, above baseline 0.03 + 0.005"),
        ({"maxRatio": 2}, 0.6, 0.3, MetricPhase.PASSING, ""),
        ({"maxRatio": 2}, 0.7, 0.3, MetricPhase.FAILED, "errors is 0.7, above 2 x baseline 0.3"),
        ({"minRatio": 0.8}, 80, 100, MetricPhase.PASSING, ""),
        ({"minRatio": 0.8}, 79, 100, MetricPhase.FAILED, "errors is 79, below 0.8 x baseline 100"),
        ({"max": 1, "maxRatio": 2}, 0.7, 0.3, MetricPhase.FAILED, "above 2 x baseline"),
        ({"maxRatio": 1}, 0, 0, MetricPhase.PASSING, ""),
        ({"maxRatio": 0.9}, 0, 0, MetricPhase.FAILED, "above 0.9 x baseline 0"),
        ({"minRatio": 1.2}, 0, 0, MetricPhase.FAILED, "below 1.2 x baseline 0"),
        ({"minRatio": 1.2}, 5, 0, MetricPhase.PASSING, ""),
        ({"maxRatio": 2}, 1e-6, 0, MetricPhase.INCONCLUSIVE, "its baseline 0, so their ratio says nothing; add max"),
        ({"maxRatio": 2, "max": 0.01}, 1e-6, 0, MetricPhase.PASSING, ""),
        ({"maxRatio": 2, "maxIncrease": 0.01}, 1e-6, 0, MetricPhase.PASSING, ""),
        ({"maxRatio": 2, "max": 0.01}, 0.02, 0, MetricPhase.FAILED, "above max 0.01"),
        ({"maxRatio": 2}, -1, -5, MetricPhase.INCONCLUSIVE, "negative baseline -5"),
        ({"maxIncrease": 2}, -4, -5, MetricPhase.PASSING, ""),
        ({"maxRatio": 2}, 0.5, None, MetricPhase.INCONCLUSIVE, "there is no baseline to compare it with"),
        ({"maxRatio": 2, "max": 0.1}, 0.5, None, MetricPhase.FAILED, "above max 0.1"),
    ],
)  # fmt: skip
def test_thresholds(
    threshold: dict[str, float], number: float, baseline: float | None, phase: MetricPhase, told: str
) -> None:
    """Every bound must hold, bounds themselves are fine, and what fails is said with its numbers."""
    tally = run(metric(threshold=threshold), number, snapshot=baseline)
    assert tally.phase is phase
    assert told in tally.message
    assert bool(told) == bool(tally.message)


@pytest.mark.parametrize(
    "readings, limits, expected",
    [
        ("p", {}, (Outcome.PASSED, Reason.MEASUREMENTS_PASS)),
        ("", {}, (Outcome.RUNNING, Reason.NO_MEASUREMENT)),
        ("f", {}, (Outcome.FAILED, Reason.METRIC_FAILED)),
        ("f", {"onFailure": "Hold"}, (Outcome.HELD, Reason.METRIC_FAILED)),
        ("f", {"failureLimit": 1}, (Outcome.UNSURE, Reason.METRIC_FAILED)),
        ("fp", {"failureLimit": 1}, (Outcome.PASSED, Reason.MEASUREMENTS_PASS)),
        ("fpf", {"failureLimit": 1}, (Outcome.FAILED, Reason.METRIC_FAILED)),
        ("e", {}, (Outcome.UNSURE, Reason.METRIC_ERRORS)),
        ("eeee", {}, (Outcome.UNSURE, Reason.METRIC_ERRORS)),
        ("eeeee", {}, (Outcome.HELD, Reason.METRIC_ERRORS)),
        ("eeeeep", {}, (Outcome.PASSED, Reason.MEASUREMENTS_PASS)),
        ("eeeepeeee", {}, (Outcome.UNSURE, Reason.METRIC_ERRORS)),
        ("eeeneee", {}, (Outcome.UNSURE, Reason.METRIC_ERRORS)),
        ("eeeeef", {}, (Outcome.FAILED, Reason.METRIC_FAILED)),
        ("n", {}, (Outcome.UNSURE, Reason.METRIC_NO_DATA)),
        ("nnnnn", {}, (Outcome.HELD, Reason.METRIC_NO_DATA)),
        ("nnenenn", {}, (Outcome.HELD, Reason.METRIC_NO_DATA)),
        ("nnnnnp", {}, (Outcome.PASSED, Reason.MEASUREMENTS_PASS)),
        ("nnnnpnnnn", {}, (Outcome.UNSURE, Reason.METRIC_NO_DATA)),
        ("n", {"noDataLimit": 0}, (Outcome.HELD, Reason.METRIC_NO_DATA)),
        ("i", {}, (Outcome.HELD, Reason.METRIC_INCONCLUSIVE)),
        ("ippp", {}, (Outcome.HELD, Reason.METRIC_INCONCLUSIVE)),
        ("if", {}, (Outcome.FAILED, Reason.METRIC_FAILED)),
        ("i", {"inconclusiveLimit": 1}, (Outcome.UNSURE, Reason.METRIC_INCONCLUSIVE)),
        ("ip", {"inconclusiveLimit": 1}, (Outcome.PASSED, Reason.MEASUREMENTS_PASS)),
        ("ipi", {"inconclusiveLimit": 1}, (Outcome.HELD, Reason.METRIC_INCONCLUSIVE)),
    ],
)  # fmt: skip
def test_each_way_of_not_being_good_has_its_limit(
    readings: str, limits: dict[str, Any], expected: tuple[Outcome, Reason]
) -> None:
    """Failing aborts for good; errors and no data hold until they are over; inconclusive holds for a person."""
    one = metric(**limits)
    tally = run(one, *(ANSWERS[letter] for letter in readings))
    assert judged(one, tally) == expected


def test_prometheus_away_for_a_while() -> None:
    """An outage holds the run and says that it goes on by itself; then it does, the count of errors kept."""
    one = metric()
    away = run(one, 0.0, *[ERROR] * 6)
    found = verdict([one], [away], BACKGROUND)
    assert found.message == "errors could not be measured: connection refused; goes on when it can be measured again"
    assert (away.held, away.errors, away.covered_until) == (True, 6, at(30))
    back = assess(one, away, Measurement("errors", BACKGROUND, at(300), value(0)), None)
    assert (back.held, back.consecutive_errors, back.errors, back.covered_until) == (False, 0, 6, at(300))


def test_inconclusive_keeps_measuring() -> None:
    """While a person is waited for, a candidate that turns bad is still aborted; the time meanwhile does not count."""
    one = metric()
    tally = run(one, 0.0, NOT_A_NUMBER, 0.0)
    assert due(one, tally, at(100)) == at(120)
    assert tally.covered_until == at(30)
    assert "the value is NaN" in tally.message


@pytest.mark.parametrize("answer", [Reading(ReadingKind.VALUE), value(math.nan), value(math.inf)])
def test_a_value_that_is_no_number_is_inconclusive(answer: Reading) -> None:
    """Even where a provider calls it a value."""
    assert run(metric(), answer).phase is MetricPhase.INCONCLUSIVE


def test_a_measurement_counts_once() -> None:
    """Told twice, it is taken once."""
    one = metric(failureLimit=5)
    tally = run(one, 1.0)
    assert assess(one, tally, Measurement("errors", BACKGROUND, at(30), value(1)), None) == tally


def test_inline_analysis_succeeds_after_count_passes() -> None:
    """Inline, a metric is done when it passed as often as it must (once by default); then nothing changes it."""
    one = metric(count=2, failureLimit=1)
    halfway = run(one, 0.0, 1.0, scope="step-3")
    assert judged(one, run(one, 0.0, scope="step-3")) == (Outcome.RUNNING, Reason.MEASURING)
    assert judged(one, halfway) == (Outcome.UNSURE, Reason.METRIC_FAILED)
    done = run(one, 0.0, 1.0, 0.0, 1.0, 1.0, scope="step-3")
    assert (done.phase, done.passes, done.failures) == (MetricPhase.SUCCESSFUL, 2, 1)
    assert judged(one, done) == (Outcome.PASSED, Reason.MEASUREMENTS_PASS)
    assert run(metric(), 0.0, scope="step-3").phase is MetricPhase.SUCCESSFUL
    assert run(metric(count=1), 0.0, 0.0).phase is MetricPhase.PASSING


def test_dry_run_binds_nothing() -> None:
    """A dry run is tallied like any other, but neither holds nor fails the run."""
    one = metric(dryRun=True)
    for readings in ([1.0], [NOT_A_NUMBER], [ERROR] * 9):
        tally = run(one, *readings)
        assert not tally.held
        assert judged(one, tally) == (Outcome.PASSED, Reason.NO_ANALYSIS)
    assert run(one, 1.0).phase is MetricPhase.FAILED


# ------------------------------------------------------------------------------------------ baselines


RELATIVE = {"threshold": {"maxRatio": 2}}


@pytest.mark.parametrize("starved", [NO_DATA, NOT_A_NUMBER])
def test_a_starved_stable_slot_is_remembered(starved: Reading) -> None:
    """Once stable gets no traffic, its last good number goes on being the baseline."""
    one = metric(**RELATIVE)
    tally = run(one, 0.5, baseline=value(0.3), snapshot=9.0)
    assert tally.baseline == 0.3
    tally = assess(one, tally, Measurement("errors", BACKGROUND, at(60), value(0.5), baseline=starved), 9.0)
    assert (tally.phase, tally.baseline) == (MetricPhase.PASSING, 0.3)


def test_a_stable_slot_that_never_had_traffic() -> None:
    """Then the snapshot counts; without one nothing can be said."""
    one = metric(**RELATIVE)
    assert run(one, 0.5, baseline=NO_DATA, snapshot=0.3).phase is MetricPhase.PASSING
    assert run(one, 0.5, baseline=NO_DATA).phase is MetricPhase.INCONCLUSIVE


def test_a_baseline_that_cannot_be_asked_is_an_error() -> None:
    """Not an old number, for nothing says that stable is still so; unless an absolute bound fails without it."""
    tally = run(metric(**RELATIVE), 0.5, baseline=ERROR, snapshot=0.3)
    assert (tally.phase, tally.consecutive_errors) == (MetricPhase.ERROR, 1)
    assert run(metric(threshold={"max": 0.1, "maxRatio": 2}), 0.5, baseline=ERROR).phase is MetricPhase.FAILED


# ------------------------------------------------------------------------------------------ too few samples


def sampled(then: str) -> ResolvedMetric:
    """A metric that needs 100 samples and waits a minute for them."""
    return metric(minSamples={"query": "n", "value": 100, "waitAtMost": "60s", "then": then})


@pytest.mark.parametrize("samples", [value(99), NO_DATA])
@pytest.mark.parametrize("reading", [1.0, 0.0, NO_DATA, NOT_A_NUMBER])
def test_too_few_samples_do_not_count(samples: Reading, reading: Reading | float) -> None:
    """Whatever the number (or no number) is, too little traffic explains it: no pass, no failure."""
    one = sampled("Hold")
    tally = run(one, reading, samples=samples)
    assert tally.phase is MetricPhase.TOO_FEW_SAMPLES
    assert (tally.passes, tally.failures, tally.inconclusive, tally.no_data, tally.covered_until) == (0, 0, 0, 0, None)
    assert judged(one, tally) == (Outcome.UNSURE, Reason.TOO_FEW_SAMPLES)


@pytest.mark.parametrize(
    "samples, phase", [(value(100), MetricPhase.PASSING), (ERROR, MetricPhase.ERROR), (None, MetricPhase.ERROR),
                       (NOT_A_NUMBER, MetricPhase.INCONCLUSIVE)]
)  # fmt: skip
def test_other_answers_about_samples(samples: Reading | None, phase: MetricPhase) -> None:
    """Enough is enough; not knowing how many is no pass."""
    assert run(sampled("Hold"), 0.0, samples=samples).phase is phase


@pytest.mark.parametrize(
    "then, outcome, phase",
    [
        ("Hold", Outcome.HELD, MetricPhase.TOO_FEW_SAMPLES),
        ("Fail", Outcome.FAILED, MetricPhase.FAILED),
        ("Pass", Outcome.PASSED, MetricPhase.PASSING),
    ],
)
def test_too_few_samples_for_too_long(then: str, outcome: Outcome, phase: MetricPhase) -> None:
    """After waitAtMost from the first measurement's time, minSamples.then says what happens."""
    one = sampled(then)
    waiting, over = run(one, 0.0, 0.0, samples=value(3)), run(one, 0.0, 0.0, 0.0, samples=value(3))
    assert judged(one, waiting)[0] is Outcome.UNSURE
    assert over.phase is phase
    found = verdict([one], [over], BACKGROUND)
    assert found.outcome is outcome
    if outcome is not Outcome.PASSED:
        assert found.reason is Reason.TOO_FEW_SAMPLES
        assert "errors rests on 3 samples, and needs 100" in found.message


def test_held_for_samples_goes_on_when_they_come() -> None:
    """Traffic that comes late is measured as if it had come in time."""
    one = sampled("Hold")
    held = run(one, 0.0, 0.0, 0.0, samples=value(3))
    after = assess(one, held, Measurement("errors", BACKGROUND, at(120), value(0), samples=value(100)), None)
    assert (after.phase, after.held) == (MetricPhase.PASSING, False)


def test_a_quiet_night_does_not_fail_a_good_run() -> None:
    """Where samples run dry long after the start, the wait for them begins anew with the last good measurement."""
    one = sampled("Fail")
    tally = run(one, *[0.0] * 20, samples=value(100))
    for seconds, phase in ((630, MetricPhase.TOO_FEW_SAMPLES), (660, MetricPhase.FAILED)):
        tally = assess(one, tally, Measurement("errors", BACKGROUND, at(seconds), value(0), samples=NO_DATA), None)
        assert tally.phase is phase


# ------------------------------------------------------------------------------------------ the verdict


def test_the_worst_metric_decides() -> None:
    """Failed before held before unsure before running before passed; the verdict names the metric."""
    readings: dict[str, list[Reading | float]] = {
        "passed": [0.0], "running": [], "unsure": [ERROR], "held": [NO_DATA] * 5, "failed": [1.0],
    }  # fmt: skip
    metrics, tallies = [], []
    for name, each in readings.items():
        metrics.append(metric(name=name))
        tallies.append(run(metrics[-1], *each))
        found = verdict(metrics, tallies, BACKGROUND)
        assert found.outcome.value.lower() == name
        assert found.metric == ("" if name == "passed" else name)


def test_tallies_of_other_scopes_say_nothing() -> None:
    """An inline analysis that failed in an earlier step is not this one's."""
    one = metric()
    assert verdict([one], [run(one, 1.0, scope="step-1")], "step-2").outcome is Outcome.RUNNING


def test_no_metrics_pass() -> None:
    """Where nothing is measured, nothing is in the way, and the reason says so."""
    assert verdict([], [], BACKGROUND).reason is Reason.NO_ANALYSIS


LETTERS = st.sampled_from("pfeni")
LIMITS = st.fixed_dictionaries(
    {"failureLimit": st.integers(0, 3), "consecutiveErrorLimit": st.integers(0, 3), "noDataLimit": st.integers(0, 3),
     "inconclusiveLimit": st.integers(0, 3), "onFailure": st.sampled_from(["Abort", "Hold"]),
     "count": st.integers(1, 3)}
)  # fmt: skip


@given(
    readings=st.lists(LETTERS, min_size=1, max_size=30),
    limits=LIMITS,
    scope=st.sampled_from([BACKGROUND, "step-1"]),
)
def test_only_a_good_number_lets_a_run_go_on(readings: list[str], limits: dict[str, Any], scope: str) -> None:
    """After anything but a passing measurement no verdict is Passed, unless that was already final."""
    one = metric(**limits)
    tally = run(one, *(ANSWERS[letter] for letter in readings), scope=scope)
    outcome = verdict([one], [tally], scope).outcome
    if outcome is Outcome.PASSED and tally.phase is not MetricPhase.SUCCESSFUL:
        assert readings[-1] == "p"
    if "p" not in readings:
        assert outcome is not Outcome.PASSED
        assert tally.covered_until is None
    if outcome is Outcome.FAILED:
        assert readings.count("f") > limits["failureLimit"]
    assert tally.passes + tally.failures + tally.errors + tally.inconclusive <= len(readings)
