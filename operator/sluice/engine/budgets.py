"""What RolloutPolicies ask of Prometheus: how much of an error budget is left."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sluice.api.common import ObjectRef
from sluice.api.errorbudget import BudgetStatus, ErrorBudget
from sluice.api.names import Kind
from sluice.decide import error_budget
from sluice.decide.policies import budget_questions
from sluice.engine.measure import Inbox, Measurer, WholeSubject
from sluice.ports import Clock, MetricProvider


class BudgetMeter:
    """Measures error budgets.

    Args:
        metrics: whom to ask.
        clock: tells when.
        wake: has a policy looked at again when an answer is there.
    """

    def __init__(self, metrics: MetricProvider, clock: Clock, wake: Callable[[Kind, str, str], None]) -> None:
        self._clock = clock
        self._measurer = Measurer(metrics, Inbox(), clock, lambda ref: wake(Kind.ROLLOUT_POLICY, "", ref.name))

    def look(self, ref: ObjectRef, budget: ErrorBudget, known: BudgetStatus) -> tuple[BudgetStatus, datetime]:
        """Take in what was measured, and ask what is due.

        Returns:
            What is known now, and when to look again.

        Raises:
            InvalidSpec: a query that cannot be filled in.
        """
        asked, run = budget_questions(budget), budget.model_dump_json()
        measured = self._measurer.inbox.measurements(ref.uid, run)
        seen = error_budget.taken_in(budget, known, measured, asked)
        self._measurer.inbox.drop(ref.uid, run, measured)
        now, times = self._clock.now(), []
        for due_at, measure in error_budget.due_looks(budget, seen, asked, now):
            if due_at <= now:
                self._measurer.ask(WholeSubject(ref, run), measure)
            times.append(due_at if due_at > now else now + measure.metric.interval)
        return seen, min(times)

    def forget(self, uid: str) -> None:
        """Drop what was measured for a policy that is gone."""
        self._measurer.inbox.forget(uid)

    async def stop(self) -> None:
        """Give up all questions."""
        await self._measurer.stop()
