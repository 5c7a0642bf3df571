"""Error budgets: how much is left, what burns too fast, and what is said where nobody knows."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from sluice.api.errorbudget import BudgetStatus, ErrorBudget
from sluice.decide.error_budget import (
    SCOPE,
    BudgetOutcome,
    BudgetVerdict,
    allowed_share,
    assess_budget,
    burn_rates,
    burning,
    due_looks,
    questions,
    ranges,
    taken_in,
)
from sluice.decide.model import Measurement, Reading, ReadingKind
from sluice.errors import InvalidSpec
from unit.decide.observed import NOW

HOUR = timedelta(hours=1)
AWAY = Reading(ReadingKind.ERROR, message="connection refused")
PLACES = ("namespace",)


def budget(**fields: Any) -> ErrorBudget:
    """99.9 % of 30 days, which leaves 0.1 %."""
    queries = {"goodQuery": "good[{{window}}]", "totalQuery": "all[{{window}}]"}
    return ErrorBudget.parse({"objective": "99.9%", **queries, **fields}, "budget")


class Events:
    """What Prometheus would say of each range."""

    def __init__(self, of: ErrorBudget) -> None:
        self.budget = of
        self.asked = questions(of, "spec", PLACES)
        self.status = BudgetStatus()
        self.now = NOW

    def see(self, failed: float | dict[str, float], total: float = 100_000) -> Events:
        """Look at every range: with one share that failed, or with one for each ("" for all others)."""
        shares = failed if isinstance(failed, dict) else {"": failed}
        for question in self.asked:
            share = shares.get(question.name.removeprefix("range-"), shares.get("", 0.0))
            self.tell(question.name, _value(1 - share), _value(total))
        return self

    def tell(self, name: str, good: Reading, total: Reading) -> None:
        """One answer."""
        measurement = Measurement(name=name, scope=SCOPE, at=self.now, reading=good, samples=total)
        self.status = taken_in(self.budget, self.status, [measurement], self.asked)

    @property
    def verdict(self) -> BudgetVerdict:
        """What that says."""
        return assess_budget(self.budget, self.status, self.asked, self.now)


def _value(number: float) -> Reading:
    return Reading(ReadingKind.VALUE, number)


@pytest.mark.parametrize(
    "window, expected",
    [
        ("720h", [(14.4, "1h", "5m"), (6, "6h", "30m")]),
        ("168h", [(14.4, "14m", "1m10s"), (6, "1h24m", "7m")]),
        ("24h", [(14.4, "2m", "1m"), (6, "12m", "1m")]),
    ],
)
def test_the_workbooks_rates_in_proportion_to_the_window(window: str, expected: list[tuple[float, str, str]]) -> None:
    """The same shares of the budget (2 % and 5 %) in the same parts of the window, over a minute at least."""
    found = [rate.dump() for rate in burn_rates(budget(window=window))]
    assert [(rate["factor"], rate["long"], rate["short"]) for rate in found] == expected


def test_rates_of_ones_own() -> None:
    """They stand for the workbook's; a range that two of them share is asked once."""
    own = [{"factor": 10, "long": "2h", "short": "10m"}, {"factor": 2, "long": "24h", "short": "2h"}]
    of = budget(burnRates=own)
    assert [rate.factor for rate in burn_rates(of)] == [10, 2]
    assert [question.name for question in questions(of, "spec", PLACES)] == [
        "range-720h", "range-2h", "range-10m", "range-24h",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "failed, outcome, message",
    [
        (0.0, BudgetOutcome.LEFT, "100% of the error budget is left"),
        (0.0005, BudgetOutcome.LEFT, "50% of the error budget is left"),
        ({"": 0.0005, "1h": 0.02}, BudgetOutcome.LEFT, "50% of"),
        ({"": 0.0005, "1h": 0.02, "5m": 0.02}, BudgetOutcome.BURNING, "burns at 20 times its rate over 1h and over 5m"),
        (
            {"": 0.0005, "6h": 0.007, "30m": 0.008},
            BudgetOutcome.BURNING,
            "7 times its rate over 6h and over 30m, above 6",
        ),
        ({"": 0.0005, "6h": 0.0059, "30m": 0.5}, BudgetOutcome.LEFT, "50% of"),
        (0.001, BudgetOutcome.EXHAUSTED, "of 99.9% over 720h is used up: 0% of it is left, and it stops at 0%"),
        (0.002, BudgetOutcome.EXHAUSTED, "-100% of it is left"),
    ],
)
def test_what_it_says(failed: float | dict[str, float], outcome: BudgetOutcome, message: str) -> None:
    """Used up by the window; burning where both ranges of one rate exceed it, and not where one does."""
    verdict = Events(budget()).see(failed).verdict
    assert verdict.outcome is outcome
    assert message in verdict.message


def test_it_can_stop_before_it_is_used_up() -> None:
    """`haltBelow: 10%` keeps a tenth for what else goes wrong."""
    events = Events(budget(haltBelow="10%"))
    assert events.see(0.00085).verdict.outcome is BudgetOutcome.LEFT
    assert events.see(0.00091).verdict.outcome is BudgetOutcome.EXHAUSTED


@pytest.mark.parametrize(
    "good, total",
    [
        (AWAY, _value(100)),
        (_value(1), AWAY),
        (Reading(ReadingKind.NO_DATA), _value(100)),
        (_value(float("nan")), _value(100)),
        (_value(1), _value(float("inf"))),
        (_value(1), Reading(ReadingKind.NO_DATA)),
    ],
)
@pytest.mark.parametrize("name", ["range-720h", "range-1h", "range-30m"])
def test_a_missing_number_is_neither_a_pass_nor_a_trip(name: str, good: Reading, total: Reading) -> None:
    """Whichever range it is of."""
    events = Events(budget()).see(0.0005)
    events.tell(name, good, total)
    assert events.verdict.outcome is BudgetOutcome.UNKNOWN
    assert "the error budget is not known" in events.verdict.message


def test_what_is_surely_spent_counts_whatever_else_is_not_known() -> None:
    """A window that is used up is, though nobody can tell how fast it burns now."""
    events = Events(budget()).see(0.002)
    events.tell("range-5m", AWAY, AWAY)
    assert events.verdict.outcome is BudgetOutcome.EXHAUSTED


def test_a_number_grows_old() -> None:
    """What was so two intervals ago is not known to be so: nobody asked since."""
    events = Events(budget()).see({"": 0.0005, "1h": 0.02, "5m": 0.02})
    events.now += timedelta(seconds=60)
    assert events.verdict.outcome is BudgetOutcome.BURNING
    events.now += timedelta(seconds=1)
    later = events.verdict
    assert later.outcome is BudgetOutcome.UNKNOWN


def test_too_few_events_are_no_number() -> None:
    """One of three requests failed: not 333 times the rate. Short ranges need no minimum of their own."""
    events = Events(budget(minTotal=1000))
    assert events.see(0.33, total=3).verdict.outcome is BudgetOutcome.UNKNOWN
    assert "3 events in 720h, and 1000 are needed" in events.verdict.message
    assert {look.message for look in events.status.looks if look.range == timedelta(minutes=5)} == {""}


def test_no_event_is_no_failure() -> None:
    """A night without requests spends nothing, though 0 of 0 is no number."""
    events = Events(budget())
    for question in events.asked:
        events.tell(question.name, Reading(ReadingKind.NO_DATA), _value(0))
    assert events.verdict.outcome is BudgetOutcome.LEFT


def test_more_good_than_all_is_rounding() -> None:
    """`increase` extrapolates: nothing is gained by that."""
    events = Events(budget()).see(-0.01)
    assert events.status.remaining == 1.0


def test_how_often_each_range_is_asked() -> None:
    """A sixtieth of the range, between the interval and ten minutes; at once where the last question failed."""
    events = Events(budget())
    told = {question.name: question.interval.total_seconds() for question in events.asked}
    assert told == {"range-720h": 600, "range-1h": 60, "range-5m": 30, "range-6h": 360, "range-30m": 30}
    assert month_due(events, NOW) == NOW
    events.see(0.0)
    assert month_due(events, NOW) == NOW + timedelta(minutes=10)
    assert month_due(events, NOW - HOUR) == NOW - HOUR  # the clock was put back
    events.tell("range-720h", AWAY, AWAY)
    assert month_due(events, NOW) == NOW + timedelta(seconds=10)


def month_due(events: Events, now: datetime) -> datetime:
    """When the whole window is to be looked at next."""
    due = {
        measure.metric.name: due_at for due_at, measure in due_looks(events.budget, events.status, events.asked, now)
    }
    return due["range-720h"]


def test_a_burn_since_then_lies_after_it() -> None:
    """What failed before a release is in the short range for as long as that range is."""
    events = Events(budget()).see({"": 0.0005, "1h": 0.02, "5m": 0.02})
    before, after = NOW - timedelta(minutes=4), NOW - timedelta(minutes=5)
    assert burning(events.budget, events.status, events.asked, NOW, since=before) is None
    assert burning(events.budget, events.status, events.asked, NOW, since=after) is not None


def test_whether_there_ever_was_some() -> None:
    """Remembered from the first look with some left, and only from that."""
    events = Events(budget()).see(0.002)
    assert not events.status.had_some
    assert events.see(0.0005).status.had_some
    assert events.see(0.002).status.had_some


def test_its_ranges_stand_in_its_queries() -> None:
    """Everything else that the queries hold stays for the moment at which they are asked."""
    of = budget(goodQuery='sum(increase(ok{namespace="{{namespace}}"}[{{window}}]))')
    first, *_ = questions(of, "spec", PLACES)
    assert first.prometheus.query == '(\nsum(increase(ok{namespace="{{namespace}}"}[720h]))\n) / (\nall[720h]\n)'
    assert first.min_samples is not None
    assert first.min_samples.query == "all[720h]"
    assert ranges(of)[0] == 720 * HOUR


@pytest.mark.parametrize(
    "fields, problem",
    [
        ({"goodQuery": "good"}, "goodQuery: it has no {{window}}"),
        ({"totalQuery": "all[{{window}}] + {{slot}}"}, "totalQuery: there is no placeholder {{slot}}"),
        ({"objective": "100%"}, 'an objective is a percentage such as "99.9%"'),
        ({"objective": "0.999"}, "an objective is a percentage"),
        ({"objective": "lots%"}, "an objective is a percentage"),
    ],
)
def test_what_cannot_be_asked(fields: dict[str, str], problem: str) -> None:
    """Refused before anything is asked, in a sentence."""
    with pytest.raises(InvalidSpec) as refused:
        questions(budget(**fields), "spec", PLACES)
    assert problem in str(refused.value)


@pytest.mark.parametrize("objective, share", [("99.9%", 0.001), ("99.9999%", 0.000001), ("50%", 0.5), ("0.1%", 0.999)])
def test_an_objective_is_read_exactly(objective: str, share: float) -> None:
    """As decimals: 100 - 99.9 is 0.1."""
    assert allowed_share(objective) == share
