"""How a run would go: the real engine in virtual time, where pods come up, analyses pass, and people answer at once.

Time passes only where the operator waits for it: pauses, watches, intervals of analyses, windows of policies. So the
course is the shortest that there is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from sluice.api.conditions import ConditionType, condition_of
from sluice.api.names import Kind, Slot
from sluice.api.rollout import Phase, RolloutSpec, RolloutStatus
from sluice.api.run import RolloutRunSpec
from sluice.decide.metadata import labels_of, mapping, sequence
from sluice.decide.progress import describe
from sluice.engine.store import key_of
from sluice.errors import InvalidSpec
from sluice.ports import Obj
from sluice.sim.gateway import SERVICE_NAME_LABEL
from sluice.sim.rehearsal.metrics import PassingMetrics
from sluice.sim.rehearsal.people import People
from sluice.sim.rehearsal.verdicts import status_of
from sluice.sim.rehearsal.world import Copy, Rehearsal
from sluice.sim.store import Change
from sluice.views.plans import Course, CourseLine

Key = tuple[str, str]
SETTLE_SECONDS = 30.0
FIRST_SECONDS = 3.0
HORIZON = timedelta(days=14)
_MOST_LINES = 200
_MOST_CHANGES = 1_500  # in all, for each Rollout that is followed: half a day of measurements, in some seconds
_ENDED = (Phase.HEALTHY, Phase.ABORTED, Phase.KILLED)


async def rehearse_course(
    copies: Sequence[Copy], own: Sequence[Key], follow: Iterable[Key], now: datetime
) -> dict[Key, Course]:
    """Let the runs of some Rollouts go to their end.

    Args:
        copies: what is there, with what is applied.
        own: the Rollouts that the operator acts on.
        follow: those whose course is asked for.
        now: the time.
    """
    metrics = PassingMetrics()
    starts_at = now - timedelta(seconds=SETTLE_SECONDS)
    kept = [each for each in copies if each[0] not in {Kind.POD, Kind.ENDPOINT_SLICE}]
    world = Rehearsal(kept, own=own, metrics=metrics, starts_at=starts_at)
    world.cluster.on_change.append(metrics.learn)
    for each in world.cluster.store.all(Kind.ROLLOUT_RUN):
        metrics.learn_run(each)
    for each in world.cluster.store.all(Kind.ROLLOUT_POLICY):
        metrics.learn_budget(each)
    _run_pods(world, copies)
    world.start_controllers()
    await asyncio.sleep(SETTLE_SECONDS)
    keys = list(follow)
    recorders = {key: _Recorder(world, key, _MOST_CHANGES * len(keys)) for key in keys}
    world.operator.start()
    await asyncio.gather(*(recorder.record() for recorder in recorders.values()))
    failure = world.operator.failure()
    if failure is not None:
        raise failure
    await world.operator.crash()
    return {key: recorder.course() for key, recorder in recorders.items()}


def _run_pods(world: Rehearsal, copies: Sequence[Copy]) -> None:
    """Have pods behind each slot's Service that is not Sluice's: as many as there were, and at least one.

    A Service without a selector keeps the slices that somebody else writes for it.
    """
    slices = [obj for kind, obj in copies if kind is Kind.ENDPOINT_SLICE]
    ready: dict[Key, int] = {}
    for each in slices:
        place = (key_of(each)[0], labels_of(each).get(SERVICE_NAME_LABEL, ""))
        ready[place] = ready.get(place, 0) + sum(map(_is_ready, sequence(each.get("endpoints"))))
    for rollout in list(world.cluster.store.all(Kind.ROLLOUT)):
        for name in _slots_of(rollout):
            home = key_of(rollout)[0]
            service = world.cluster.store.peek(Kind.SERVICE, home, name)
            selector = mapping(mapping((service or {}).get("spec")).get("selector"))
            if selector:
                world.endpoints.run_pods(home, name, selector, ready=max(1, ready.get((home, name), 0)))
    for each in slices:
        home, name = key_of(each)[0], labels_of(each).get(SERVICE_NAME_LABEL, "")
        service = world.cluster.store.peek(Kind.SERVICE, home, name)
        if service is not None and not mapping(service.get("spec")).get("selector"):
            world.put(Kind.ENDPOINT_SLICE, each)


def _slots_of(rollout: Obj) -> Iterator[str]:
    try:
        spec = RolloutSpec.parse(rollout.get("spec"), "spec")
    except InvalidSpec:
        return
    if spec.workload.services is not None:
        yield from (spec.workload.services.of(slot) for slot in Slot)


def _is_ready(endpoint: object) -> bool:
    return mapping(mapping(endpoint).get("conditions")).get("ready") is not False


class _Recorder:
    """Follows one Rollout, and has people act."""

    def __init__(self, world: Rehearsal, key: Key, most_changes: int) -> None:
        self._world = world
        self._most_changes = most_changes
        self._key = key
        self._began = world.clock.now()
        self._people = People(world, *key)
        self._lines: list[CourseLine] = []
        self._told: set[tuple[object, ...]] = set()
        self._stirred = asyncio.Event()
        self._last: RolloutStatus | None = None
        self._changes = 0
        self._ended_seconds: int | None = None
        self._begin(status_of(world.rollout(*key)))
        world.cluster.on_change.append(self._on_change)

    def _begin(self, status: RolloutStatus) -> None:
        """What is so already is the first line; a run that ended before is none."""
        if status.revision is not None and status.revision.outcome is not None:
            self._told.add(("ended", status.revision.number))
            self._last = status
        else:
            self._look(self._world.rollout(*self._key))

    def _on_change(self, change: Change) -> None:
        self._changes += 1
        if change.kind is Kind.ROLLOUT and key_of(change.after) == self._key:
            self._look(change.after)
            self._stirred.set()
        elif self._changes > self._most_changes:
            self._stirred.set()

    def _status(self) -> RolloutStatus:
        return status_of(self._world.rollout(*self._key))

    async def record(self) -> None:
        """Go on until the run has ended, or nothing more happens within the horizon."""
        left = HORIZON.total_seconds() - (self._world.clock.now() - self._began).total_seconds()
        with suppress(TimeoutError):
            async with asyncio.timeout(max(left, 0.0)):
                while True:
                    self._stirred.clear()  # before the look: what changes while people act is looked at again
                    if await self._is_over():
                        return
                    if self._people.needed(self._status()):
                        continue
                    with suppress(TimeoutError):
                        async with asyncio.timeout(None if self._is_settled() else FIRST_SECONDS):
                            await self._stirred.wait()

    async def _is_over(self) -> bool:
        status = self._status()
        if len(self._lines) >= _MOST_LINES or self._changes > self._most_changes or not self._world.operator.running:
            return True
        if self._people.needed(status):
            return not await self._people.act(status)
        return self._is_settled() and self._is_answered() and status.under_way is None and status.phase in _ENDED

    def _is_settled(self) -> bool:
        """Whether the operator has looked, which it does also where the Rollout itself is as it was."""
        return (self._world.clock.now() - self._began).total_seconds() >= FIRST_SECONDS

    def _is_answered(self) -> bool:
        """Whether the status is about the present spec."""
        rollout = self._world.rollout(*self._key)
        return self._status().observed_generation == int(rollout["metadata"].get("generation", 0))

    # ------------------------------------------------------------------ what is seen

    def _look(self, rollout: Obj) -> None:
        status = status_of(rollout)
        number = status.revision.number if status.revision is not None else 0
        before, self._last = self._last, status
        if before is not None and status.stable is not None and before.stable is None:
            version = f" ({status.stable.version})" if status.stable.version else ""
            self._tell(f"adopted: {status.stable.slot}{version} is stable", "adopted")
        if status.step is not None and status.under_way is not None:
            self._tell(self._step(status), "step", number, status.step.index)
        self._look_at_waits(status, number)
        if status.revision is not None and status.revision.outcome is not None:
            self._tell(status.revision.message, "ended", number)
            self._ended_seconds = self._lines[-1].seconds if self._lines else None

    def _step(self, status: RolloutStatus) -> str:
        at = status.step
        spec = self._run(status)
        if at is None:
            return ""
        step = spec.steps[at.index - 1] if spec is not None and 0 < at.index <= len(spec.steps) else None
        return f"step {at.index} of {at.of}: {describe(step) if step is not None else at.kind}"

    def _look_at_waits(self, status: RolloutStatus, number: int) -> None:
        at = status.step.index if status.step is not None else 0
        for kind in (ConditionType.PAUSED, ConditionType.STALLED):
            found = condition_of(status.conditions, kind)
            if found is not None and found.status == "True":
                needs = self._people.needed(status) if kind is ConditionType.PAUSED else ""
                self._tell(found.message, "waits", number, at, found.reason, needs=needs)

    def _tell(self, message: str, *what: object, needs: str = "") -> None:
        if what in self._told:
            return
        self._told.add(what)
        seconds = round((self._world.clock.now() - self._began).total_seconds())
        self._lines.append(CourseLine(seconds, message, needs))

    def _run(self, status: RolloutStatus) -> RolloutRunSpec | None:
        found = self._world.cluster.store.peek(Kind.ROLLOUT_RUN, self._key[0], status.run or "")
        try:
            return RolloutRunSpec.parse(found.get("spec"), "spec") if found is not None else None
        except InvalidSpec:
            return None

    def course(self) -> Course:
        """All that was seen."""
        status = self._last or self._status()
        done = status.phase is Phase.HEALTHY and self._is_answered()
        if not done and self._changes > self._most_changes:
            spec, at = self._run(status), status.step.index if status.step is not None else 0
            rest = ", ".join(map(describe, spec.steps[at:])) if spec is not None else ""
            told = "it takes more measurements than are rehearsed"
            return Course(tuple(self._lines), None, f"{told}; still to come: {rest}" if rest else told)
        return Course(tuple(self._lines), self._ended_seconds if done else None, "" if done else status.message)
