"""Error budgets: how much is left, and whether it is being used up too fast. Pure.

Source: B. Beyer et al., The Site Reliability Workbook (2018), chapter 5, "Alerting on SLOs", section 6, "Multiwindow,
Multi-Burn-Rate Alerts" (sre.google/workbook/alerting-on-slos). There

    burn rate = share of events that failed / share of events that may fail,

and a burn rate of 1 uses up the budget in just its window. To use up a share `s` of the budget within a range takes a
burn rate of `s * window / range`: of a window of 30 days 2 % in 1 h is 14.4, 5 % in 6 h is 6 (table 5-8). Either is too
fast where it is seen both over that range and over one of a twelfth of it, so that what is over already alarms nobody.
(The third line of that table, 10 % in 3 days, is for a ticket and not for a page: it stops nothing here.)

A number that cannot be had, or is too old, says neither that there is budget left nor that there is none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum

from sluice.api.analysis import MinSamples, PrometheusQuery, ResolvedMetric, Threshold
from sluice.api.conditions import Reason
from sluice.api.errorbudget import BudgetLook, BudgetStatus, BurnRate, ErrorBudget
from sluice.api.units import FULL, format_duration
from sluice.decide.analysis import ERROR_RETRY_MAX
from sluice.decide.coverage import reach
from sluice.decide.model import Measure, Measurement, Reading, ReadingKind
from sluice.decide.promql import fill_window
from sluice.decide.texts import REASON_BYTES, clip
from sluice.decide.thresholds import number
from sluice.errors import InvalidSpec

SCOPE = "budget"
_WORKBOOK = ((14.4, 720), (6.0, 120))  # factor, and the part of the window that its long range is
_SHORT = 12  # a short range is a twelfth of the long one
_RANGE_MIN = timedelta(minutes=1)
_ASKED_PER_RANGE = 60
_INTERVAL_MAX = timedelta(minutes=10)
_ROUNDING = 1e-6


class BudgetOutcome(StrEnum):
    """What a budget says. Whoever grows exposure needs LEFT; whoever kills, EXHAUSTED or BURNING."""

    LEFT = "Left"
    UNKNOWN = "Unknown"
    BURNING = "Burning"
    EXHAUSTED = "Exhausted"


@dataclass(frozen=True, slots=True)
class BudgetVerdict:
    """An outcome, in words, and the number and the bound that decided it."""

    outcome: BudgetOutcome
    message: str
    value: float | None = None
    threshold: str = ""


def allowed_share(objective: str) -> float:
    """The share of events that may fail.

    >>> round(allowed_share("99.9%"), 9)
    0.001

    Raises:
        InvalidSpec: not a percentage above 0 and below 100.
    """
    try:
        percent = Decimal(objective.removesuffix("%"))
    except InvalidOperation:
        percent = Decimal(0)
    if not objective.endswith("%") or not 0 < percent < 100:
        raise InvalidSpec(Reason.INVALID_SPEC, f'an objective is a percentage such as "99.9%", not {objective[:20]!r}')
    return float((100 - percent) / 100)


def burn_rates(budget: ErrorBudget) -> tuple[BurnRate, ...]:
    """The rates that are too fast: the budget's own, or the workbook's, with ranges in proportion to the window.

    >>> of_month = ErrorBudget(objective="99.9%", good_query="g", total_query="t")
    >>> [(each.factor, format_duration(each.long), format_duration(each.short)) for each in burn_rates(of_month)]
    [(14.4, '1h', '5m'), (6.0, '6h', '30m')]
    """
    if budget.burn_rates:
        return budget.burn_rates
    return tuple(_scaled(factor, budget.window / part) for factor, part in _WORKBOOK)


def _scaled(factor: float, long: timedelta) -> BurnRate:
    return BurnRate(factor=factor, long=max(_whole(long), _RANGE_MIN), short=max(_whole(long / _SHORT), _RANGE_MIN))


def _whole(span: timedelta) -> timedelta:
    return timedelta(seconds=round(span.total_seconds()))


def questions(
    budget: ErrorBudget, where: str, placeholders: tuple[str, ...], *, cluster_scoped: bool = False
) -> tuple[ResolvedMetric, ...]:
    """What is to be asked: one metric for each range, whose query is of the share of events that were good.

    That is one query, so that both counts are of one moment: a scrape between two would look like events that failed.
    Its samples are all events.

    Long ranges are asked more seldom, a sixtieth of them apart: what a month holds does not change within a minute.

    Args:
        budget: an error budget.
        where: its place, for messages.
        placeholders: that its queries may have, beside `{{window}}`.
        cluster_scoped: whether the operator's own Secrets are meant.

    Raises:
        InvalidSpec: a query that cannot be filled in, or an objective that is none.
    """
    allowed_share(budget.objective)
    server = budget.prometheus

    def question(span: timedelta) -> ResolvedMetric:
        good = fill_window(budget.good_query, span, f"{where}: goodQuery", placeholders)
        total = fill_window(budget.total_query, span, f"{where}: totalQuery", placeholders)
        return ResolvedMetric(
            name=_name(span),
            prometheus=PrometheusQuery(query=_share(good, total), address=server.address, secret_ref=server.secret_ref),
            interval=max(budget.interval, min(span / _ASKED_PER_RANGE, _INTERVAL_MAX)),
            threshold=Threshold(min=0),
            min_samples=MinSamples(query=total, value=0),
            cluster_scoped=cluster_scoped,
        )

    return tuple(map(question, ranges(budget)))


def ranges(budget: ErrorBudget) -> tuple[timedelta, ...]:
    """The ranges that are looked at, each once; the window itself first."""
    rates = burn_rates(budget)
    return tuple(dict.fromkeys([budget.window, *(span for rate in rates for span in (rate.long, rate.short))]))


def due_looks(
    budget: ErrorBudget, known: BudgetStatus, asked: Iterable[ResolvedMetric], now: datetime
) -> Iterator[tuple[datetime, Measure]]:
    """What is to be asked next of each range, and when, which may lie in the past."""
    looks = {look.range: look for look in known.looks}
    for span, question in zip(ranges(budget), asked, strict=True):
        yield _due(looks.get(span), question, now), Measure(metric=question, scope=SCOPE)


def _due(look: BudgetLook | None, question: ResolvedMetric, now: datetime) -> datetime:
    if look is None or look.asked_at is None or look.asked_at > now:
        return now
    failed = look.burn_rate is None
    return look.asked_at + (min(question.interval, ERROR_RETRY_MAX) if failed else question.interval)


def taken_in(
    budget: ErrorBudget, known: BudgetStatus, measurements: Iterable[Measurement], asked: Iterable[ResolvedMetric]
) -> BudgetStatus:
    """What is known of a budget with new measurements, oldest first. Answers to other questions do not count."""
    looks = {_name(look.range): look for look in known.looks}
    spans = {_name(span): span for span in ranges(budget)}
    wanted = {question.name for question in asked}
    for measurement in measurements:
        span = spans.get(measurement.name)
        if measurement.scope == SCOPE and span is not None and measurement.name in wanted:
            looks[measurement.name] = _look(budget, span, measurement)
    kept = tuple(looks[name] for name in spans if name in looks)
    whole = looks.get(_name(budget.window))
    remaining = 1 - whole.burn_rate if whole is not None and whole.burn_rate is not None else None
    some = known.had_some or (remaining is not None and not _is_used_up(budget, remaining))
    return BudgetStatus(remaining=remaining, had_some=some, looks=kept)


def assess_budget(
    budget: ErrorBudget, known: BudgetStatus, asked: Iterable[ResolvedMetric], now: datetime
) -> BudgetVerdict:
    """What a budget says now. What is surely spent counts, whatever else is not known.

    Args:
        budget: the objective, and the rates that are too fast.
        known: what was seen of it.
        asked: the questions, whose intervals tell how old an answer may be.
        now: the time.
    """
    fresh = _fresh(known, {question.name: question for question in asked}, now)
    whole = fresh.get(budget.window)
    if whole is not None and _is_used_up(budget, 1 - whole):
        return _used_up(budget, 1 - whole)
    burns = _burning(budget, fresh, timedelta.max)
    if burns is not None:
        return burns
    lacking = next((span for span in ranges(budget) if span not in fresh), None)
    if whole is None or lacking is not None:
        return BudgetVerdict(BudgetOutcome.UNKNOWN, _lacking(known, lacking or budget.window))
    return BudgetVerdict(BudgetOutcome.LEFT, f"{_percent(1 - whole)} of the error budget is left", 1 - whole)


def burning(
    budget: ErrorBudget, known: BudgetStatus, asked: Iterable[ResolvedMetric], now: datetime, *, since: datetime
) -> BudgetVerdict | None:
    """Whether it is being used up too fast, by short ranges that lie wholly after `since`; see `assess_budget`."""
    return _burning(budget, _fresh(known, {question.name: question for question in asked}, now), now - since)


# --------------------------------------------------------------------------------------------- inside


def _share(good: str, total: str) -> str:
    """One expression of two, each on lines of its own: it may end in a comment."""
    return f"(\n{good}\n) / (\n{total}\n)"


def _name(span: timedelta) -> str:
    return f"range-{format_duration(span)}"


def _look(budget: ErrorBudget, span: timedelta, measurement: Measurement) -> BudgetLook:
    """What one answer says: the reading is of the share that was good, the samples are the events."""
    events, said = _number(measurement.samples), format_duration(span)
    is_short = any(span == rate.short for rate in burn_rates(budget))
    if events is None:
        return _unknown(span, measurement, f"totalQuery over {said} gave no number", measurement.samples)
    if events < budget.min_total and not is_short:
        text = f"{number(events)} events in {said}, and {number(budget.min_total)} are needed"
        return _unknown(span, measurement, text, None)
    share = 1.0 if events == 0 else _number(measurement.reading)  # where nothing happened nothing failed
    if share is None:
        return _unknown(span, measurement, f"goodQuery over {said} gave no number", measurement.reading)
    failed = min(1.0, max(0.0, 1 - share))
    return BudgetLook(range=span, burn_rate=failed / allowed_share(budget.objective), asked_at=measurement.at)


def _number(reading: Reading | None) -> float | None:
    if reading is None or reading.kind is not ReadingKind.VALUE or reading.value is None:
        return None
    return reading.value if math.isfinite(reading.value) else None


def _unknown(span: timedelta, measurement: Measurement, text: str, reading: Reading | None) -> BudgetLook:
    why = f": {reading.message}" if reading is not None and reading.message else ""
    return BudgetLook(range=span, asked_at=measurement.at, message=clip(text + why, REASON_BYTES))


def _fresh(known: BudgetStatus, asked: Mapping[str, ResolvedMetric], now: datetime) -> dict[timedelta, float]:
    found = dict[timedelta, float]()
    for look in known.looks:
        question = asked.get(_name(look.range))
        if look.burn_rate is None or look.asked_at is None or question is None:
            continue
        if timedelta(0) <= now - look.asked_at <= reach(question):
            found[look.range] = look.burn_rate
    return found


def _is_used_up(budget: ErrorBudget, remaining: float) -> bool:
    return remaining <= budget.halt_below / FULL


def _used_up(budget: ErrorBudget, remaining: float) -> BudgetVerdict:
    least = _percent(budget.halt_below / FULL)
    told = (
        f"the error budget of {budget.objective} over {format_duration(budget.window)} is used up: "
        f"{_percent(remaining)} of it is left, and it stops at {least}"
    )
    return BudgetVerdict(BudgetOutcome.EXHAUSTED, told, remaining, f"> {least} left")


def _burning(budget: ErrorBudget, fresh: Mapping[timedelta, float], so_far: timedelta) -> BudgetVerdict | None:
    for rate in burn_rates(budget):
        long, short = fresh.get(rate.long), fresh.get(rate.short)
        if long is not None and short is not None and min(long, short) > rate.factor and rate.short <= so_far:
            return _burns(budget, rate, long)
    return None


def _burns(budget: ErrorBudget, rate: BurnRate, seen: float) -> BudgetVerdict:
    long, short = format_duration(rate.long), format_duration(rate.short)
    told = (
        f"the error budget of {budget.objective} over {format_duration(budget.window)} burns at {number(seen)} times "
        f"its rate over {long} and over {short}, above {number(rate.factor)}"
    )
    return BudgetVerdict(BudgetOutcome.BURNING, told, seen, f"<= {number(rate.factor)} x")


def _lacking(known: BudgetStatus, span: timedelta) -> str:
    look = next((look for look in known.looks if look.range == span), None)
    if look is None:
        return f"the error budget was not looked at over {format_duration(span)} yet"
    return f"the error budget is not known: {look.message or f'nothing new over {format_duration(span)}'}"


def _percent(share: float) -> str:
    """A share for people, never rounded up to more than there is.

    >>> _percent(0.12345), _percent(-0.5)
    ('12.3%', '-50%')
    """
    return f"{math.floor(share * 1000 + _ROUNDING) / 10:.6g}%"
