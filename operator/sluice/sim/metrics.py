"""The MetricProvider port, scripted: what Prometheus would say is a function of the query and of virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, repeat

from sluice.decide.model import Reading, ReadingKind
from sluice.ports import Clock

Answer = float | Reading


@dataclass(frozen=True, slots=True)
class Question:
    """One query as the provider got it. `at_seconds` is the clock's monotonic time."""

    query: str
    address: str | None
    namespace: str
    secret: str | None
    at_seconds: float


Script = Callable[[Question], Answer | None]
"""Answers a number or a Reading; None passes the question on to the next script."""


def no_data(message: str = "the query returned no series") -> Reading:
    """An empty result."""
    return Reading(ReadingKind.NO_DATA, message=message)


def error(message: str = "connection refused") -> Reading:
    """A question without an answer."""
    return Reading(ReadingKind.ERROR, message=message)


def inconclusive(message: str = "the query returned NaN") -> Reading:
    """An answer that is not a number."""
    return Reading(ReadingKind.INCONCLUSIVE, message=message)


def constant(value: Answer, *, where: str = "") -> Script:
    """Always the same, for queries that contain `where`."""
    return lambda question: value if where in question.query else None


def sequence(*values: Answer, where: str = "") -> Script:
    """One after the other, for queries that contain `where`; the last one stays."""
    upcoming = chain(values, repeat(values[-1]))
    return lambda question: next(upcoming) if where in question.query else None


def outage(start_seconds: float, end_seconds: float) -> Script:
    """Errors from one monotonic time up to another."""
    return lambda question: error() if start_seconds <= question.at_seconds < end_seconds else None


class FakeMetrics:
    """Asks its scripts in order; the first that answers counts. Nobody answering is an empty result.

    Attributes:
        scripts: the newest first, as `script` puts them.
        asked: every question so far.
        latency_seconds: how long an answer takes.
    """

    def __init__(self, clock: Clock, *scripts: Script) -> None:
        self.scripts: list[Script] = list(scripts)
        self.asked: list[Question] = []
        self.latency_seconds = 0.0
        self._clock = clock

    def script(self, script: Script) -> None:
        """Put a script before the others."""
        self.scripts.insert(0, script)

    async def query(self, query: str, *, address: str | None, namespace: str, secret: str | None) -> Reading:
        """Answer one instant query."""
        question = Question(query, address, namespace, secret, self._clock.monotonic())
        self.asked.append(question)
        await asyncio.sleep(self.latency_seconds)
        answers = (script(question) for script in self.scripts)
        answer = next((answer for answer in answers if answer is not None), no_data())
        return answer if isinstance(answer, Reading) else Reading(ReadingKind.VALUE, float(answer))
