"""Error budgets: what share of events may fail within a window, and how fast that may be used up."""

from __future__ import annotations

from datetime import timedelta

from sluice.api.analysis import SecretRef
from sluice.api.common import Model
from sluice.api.units import NONE, Duration, Share, Time


class PrometheusServer(Model):
    """Whom to ask. `address` is absent for the operator's own Prometheus."""

    address: str | None = None
    secret_ref: SecretRef | None = None


class BurnRate(Model):
    """A rate of spending that is too fast, seen over a long range and over a short one that ends with it.

    A `factor` of 1 uses up the budget in just its window. The short range tells that it is still going on.
    """

    factor: float
    long: Duration
    short: Duration


class ErrorBudget(Model):
    """An objective such as "99.9%" of the events in a window, which leaves 0.1 % of them to fail."""

    objective: str
    window: Duration = timedelta(hours=720)
    good_query: str
    total_query: str
    prometheus: PrometheusServer = PrometheusServer()
    halt_below: Share = NONE  # of the budget: with this much left, or less, it counts as exhausted
    burn_rates: tuple[BurnRate, ...] = ()  # absent: those of the SRE workbook, scaled to the window
    min_total: float = 0  # events that the window, and each long range, need before they count
    interval: Duration = timedelta(seconds=30)


class BudgetLook(Model):
    """What was last seen over one range. `burn_rate` is absent where the last question gave no number."""

    range: Duration
    burn_rate: float | None = None
    asked_at: Time | None = None
    message: str = ""


class BudgetStatus(Model):
    """What is left of an error budget. `remaining` is a share of it: 1 is all, below 0 is overdrawn."""

    remaining: float | None = None
    had_some: bool = False  # it was seen with some left since measuring began: only then can it be used up
    looks: tuple[BudgetLook, ...] = ()
