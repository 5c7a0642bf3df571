"""Asking the metric provider in the background, and keeping the answers until a status holds them.

A question takes up to some seconds; no pass waits for one. An answer that is lost with the process is simply asked for
again.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from sluice.api.common import ObjectRef
from sluice.api.names import Slot
from sluice.api.workload import SlotServices
from sluice.decide import promql
from sluice.decide.model import Measure, Measurement, Reading, ReadingKind
from sluice.errors import InvalidSpec
from sluice.ports import Clock, MetricProvider


class Inbox:
    """Answers by Rollout uid and run that no status holds yet."""

    def __init__(self) -> None:
        self._measurements: dict[str, list[tuple[str, Measurement]]] = defaultdict(list)
        self._baselines: dict[str, dict[str, tuple[str, Measurement]]] = defaultdict(dict)

    def measurements(self, uid: str, run: str | None) -> tuple[Measurement, ...]:
        """New measurements of the run, oldest first."""
        return tuple(measurement for of, measurement in self._measurements.get(uid, ()) if of == run)

    def baselines(self, uid: str, run: str | None) -> dict[str, Measurement]:
        """The last snapshot answers of the run by metric name."""
        return {name: answer for name, (of, answer) in self._baselines.get(uid, {}).items() if of == run}

    def put(self, uid: str, run: str, measurement: Measurement, *, snapshot: bool) -> None:
        """Keep an answer."""
        if snapshot:
            self._baselines[uid][measurement.name] = (run, measurement)
        else:
            self._measurements[uid].append((run, measurement))

    def drop(self, uid: str, run: str | None, taken: tuple[Measurement, ...]) -> None:
        """Forget what a written status holds now, and what belongs to other runs than the one it speaks of."""
        kept = [(of, each) for of, each in self._measurements.get(uid, ()) if of == run and each not in taken]
        if kept:
            self._measurements[uid] = kept
        else:
            self._measurements.pop(uid, None)

    def forget(self, uid: str) -> None:
        """Forget everything of a Rollout."""
        self._measurements.pop(uid, None)
        self._baselines.pop(uid, None)


class Subject(Protocol):
    """Which run is measured."""

    @property
    def ref(self) -> ObjectRef:
        """The Rollout."""
        ...

    @property
    def run(self) -> str:
        """Its RolloutRun, or FleetRun."""
        ...

    def values(self, measure: Measure, *, baseline: bool) -> promql.Values:
        """What the placeholders stand for in a question, or in the same question about the baseline."""
        ...


@dataclass(frozen=True, slots=True)
class FleetSubject:
    """A run over a fleet, of whose clusters the hub measures many as a whole."""

    ref: ObjectRef
    run: str

    def values(self, measure: Measure, *, baseline: bool) -> promql.Values:
        """As in `Subject`; there are no baselines."""
        if measure.values is None or baseline:
            raise AssertionError(f"{measure.metric.name} is of a slot, and a fleet has none")
        return measure.values


@dataclass(frozen=True, slots=True)
class WholeSubject:
    """What a switch covers, or a policy's error budget: no slot of anything.

    `run` tells one set of questions from the next.
    """

    ref: ObjectRef
    run: str

    def values(self, measure: Measure, *, baseline: bool) -> promql.Values:
        """As in `Subject`; there are no baselines."""
        del baseline
        return promql.SwitchValues(self.ref.namespace, measure.metric.interval)


@dataclass(frozen=True, slots=True)
class SlotSubject:
    """A run in one cluster."""

    ref: ObjectRef
    run: str
    version: str
    stable_version: str
    services: SlotServices
    stable: Slot
    cluster: str = ""

    def values(self, measure: Measure, *, baseline: bool) -> promql.Values:
        """As in `Subject`."""
        slot = self.stable if baseline or measure.slot is None else measure.slot
        return promql.QueryValues(
            rollout=self.ref.name,
            namespace=self.ref.namespace,
            slot=slot.value,
            service=self.services.of(slot),
            stable_slot=self.stable.value,
            stable_service=self.services.of(self.stable),
            version=self.stable_version if slot is self.stable else self.version,
            interval=measure.metric.interval,
            cluster=self.cluster,
        )


class Measurer:
    """Runs questions, each at most once at a time, and puts the answers into `inbox`."""

    def __init__(
        self, provider: MetricProvider, inbox: Inbox, clock: Clock, answered: Callable[[ObjectRef], None]
    ) -> None:
        self._provider = provider
        self.inbox = inbox
        self._clock = clock
        self._answered = answered
        self._asking: dict[tuple[str, str, str, str, bool], asyncio.Task[None]] = {}

    def ask(self, subject: Subject, measure: Measure) -> None:
        """Begin a question, unless it is being asked already."""
        key = (subject.ref.uid, subject.run, measure.scope, measure.metric.name, measure.snapshot)
        if key in self._asking:
            return
        task = asyncio.create_task(self._ask(subject, measure), name=f"measure {subject.ref} {measure.metric.name}")
        self._asking[key] = task
        task.add_done_callback(lambda _: self._asking.pop(key, None))

    async def stop(self) -> None:
        """Give up all questions."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, subject: Subject, measure: Measure) -> None:
        metric = measure.metric
        questions = [self._query(subject, measure, metric.prometheus.query)]
        if measure.with_baseline:
            questions.append(self._query(subject, measure, metric.prometheus.query, baseline=True))
        if metric.min_samples is not None and not measure.snapshot:
            questions.append(self._query(subject, measure, metric.min_samples.query))
        readings = await asyncio.gather(*questions)
        rest = list(readings[1:])
        measurement = Measurement(
            name=metric.name,
            scope=measure.scope,
            at=self._clock.now(),
            reading=readings[0],
            baseline=rest.pop(0) if measure.with_baseline else None,
            samples=rest.pop(0) if rest else None,
        )
        self.inbox.put(subject.ref.uid, subject.run, measurement, snapshot=measure.snapshot)
        self._answered(subject.ref)

    async def _query(self, subject: Subject, measure: Measure, query: str, *, baseline: bool = False) -> Reading:
        source = measure.metric.prometheus
        try:
            filled = promql.fill(query, subject.values(measure, baseline=baseline))
        except InvalidSpec as problem:
            return Reading(ReadingKind.ERROR, message=str(problem))
        return await self._provider.query(
            filled,
            address=source.address,
            namespace="" if measure.metric.cluster_scoped else subject.ref.namespace,
            secret=source.secret_ref.name if source.secret_ref else None,
        )
