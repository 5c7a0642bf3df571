"""What Prometheus says in a rehearsal: nothing at all, or what lets every analysis pass."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable

from sluice.api.analysis import ResolvedMetric, Threshold
from sluice.api.names import Kind
from sluice.api.policy import RolloutPolicySpec
from sluice.api.run import RolloutRunSpec
from sluice.decide.model import Reading, ReadingKind
from sluice.decide.policies import budget_questions
from sluice.errors import InvalidSpec
from sluice.ports import Obj
from sluice.sim.store import Change

_PLENTY = 1e12
_ALL_GOOD = 1.0  # the share of events, which is what a budget asks for
_PLACEHOLDER = re.compile(r"\{\{[^{}]*\}\}")


class NoMetrics:
    """A provider that has not answered yet."""

    async def query(self, query: str, **_source: str | None) -> Reading:
        """Never returns."""
        del query
        await asyncio.Event().wait()
        return Reading(ReadingKind.NO_DATA)


class PassingMetrics:
    """A provider whose every answer keeps the bounds of the metric that asks. What nobody is known to ask is 0."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[re.Pattern[str], float]] = {}

    def learn(self, change: Change) -> None:
        """Take note of what a run that is made will ask; for `FakeCluster.on_change`."""
        if change.kind is Kind.ROLLOUT_RUN and change.type == "ADDED":
            self.learn_run(change.after)

    def learn_run(self, run: Obj) -> None:
        """Take note of what a RolloutRun asks."""
        try:
            spec = RolloutRunSpec.parse(run.get("spec"), "spec")
        except InvalidSpec:
            return
        self._learn_all((*spec.analysis.metrics, *(each for step in spec.steps for each in step.metrics)))

    def learn_budget(self, policy: Obj) -> None:
        """Take note of what a RolloutPolicy asks about its error budget."""
        try:
            spec = RolloutPolicySpec.parse(policy.get("spec"), "spec")
            for question in budget_questions(spec.error_budget) if spec.error_budget is not None else ():
                self._learn(question.prometheus.query, _ALL_GOOD)
                self._learn(question.min_samples.query if question.min_samples else "", _PLENTY)
        except InvalidSpec:
            return

    def _learn_all(self, metrics: Iterable[ResolvedMetric]) -> None:
        for metric in metrics:
            self._learn(metric.prometheus.query, good_value(metric.threshold))
            if metric.min_samples is not None:
                self._learn(metric.min_samples.query, _PLENTY)

    def _learn(self, query: str, value: float) -> None:
        pieces = (re.escape(piece) for piece in _PLACEHOLDER.split(query))
        self._known[query] = (re.compile(".*".join(pieces), re.DOTALL), value)

    async def query(self, query: str, **_source: str | None) -> Reading:
        """Answer at once."""
        found = (value for pattern, value in self._known.values() if pattern.fullmatch(query))
        return Reading(ReadingKind.VALUE, next(found, 0.0))


def good_value(threshold: Threshold) -> float:
    """A number that keeps the absolute bounds; where the baseline is the same number, the relative ones as well.

    >>> good_value(Threshold(max=0.01)), good_value(Threshold(min=0.99)), good_value(Threshold(max=-3))
    (0.0, 0.99, -3.0)
    """
    if threshold.min is not None:
        return max(threshold.min, 0.0) if threshold.max is None or threshold.max >= 0 else threshold.min
    return min(threshold.max, 0.0) if threshold.max is not None else 0.0
