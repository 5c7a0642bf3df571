"""The operator dies again and again, or its API server fails it: workloads go on, and nobody loses a request."""

from __future__ import annotations

import itertools
import logging
import os
import random
import threading
import time
from collections.abc import Iterator
from types import TracebackType

import pytest

from e2e import stories
from e2e.recorder import Recorder
from e2e.slot_recorder import SlotRecorder
from e2e.stories import PATIENCE_SECONDS, TWO_STOPS
from e2e.support.waiting import until
from e2e.support.workload import Workload
from e2e.support.world import World
from installation import Operator
from testbed import FaultyApi

log = logging.getLogger(__name__)
KILLS = 20
MOST_LIFE_SECONDS = 1.0  # of an operator that leads, before it is killed; more on a machine on which that is too short
FAULT_RATE = 0.1


class Reaper:
    """For the length of a ``with``: kills an operator at random moments, and starts it each time.

    After a life in which the operator got nothing done the next may be twice as long, so that what is killed is work
    and not start-up, however slow the machine.

    Args:
        operator: keeps its name over restarts.
        app: what it works at.
        draw: of the moments.

    Attributes:
        kills: how often it did so far.
    """

    def __init__(self, operator: Operator, app: Workload, draw: random.Random) -> None:
        self.kills = 0
        self._operator = operator
        self._app = app
        self._draw = draw
        self._ended = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="reaper", daemon=True)

    def done(self) -> bool:
        """Whether it has killed often enough; raises what kept it from it."""
        if self._failure is not None:
            raise AssertionError("the reaper failed") from self._failure
        return self.kills >= KILLS

    def __enter__(self) -> Reaper:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(60)

    def _run(self) -> None:
        most = MOST_LIFE_SECONDS
        try:
            while not self._ended.is_set() and self.kills < KILLS:
                until(self._operator.works, "the operator to work", PATIENCE_SECONDS)
                before = self._app.status
                self._ended.wait(self._draw.uniform(0.0, most))
                self._operator.kill()
                self.kills += 1
                most = MOST_LIFE_SECONDS if self._app.status != before else 2 * most
                self._operator.start(ready=False)
        except BaseException as failure:  # noqa: BLE001 - told by done(), to the test
            self._failure = failure


def life(app: Workload) -> Iterator[None]:
    """Story after story without end, one before each item."""
    for number in itertools.count(1):
        before = app.version_in(app.stable)
        stories.finished(app, f"v{number}1")
        yield
        stories.undone(app, before)
        yield
        stories.aborted(app, f"v{number}2")
        yield
        stories.superseded(app, f"v{number}3", f"v{number}4-crash", f"v{number}5")
        yield


@pytest.mark.timeout(600)
def test_twenty_crashes_in_the_life_of_a_workload(world: World, workload: Workload) -> None:
    """Killed at twenty random moments of canaries, aborts, undos and supersedes: every story ends as it should."""
    seed = int(os.environ.get("SLUICE_CRASH_SEED") or random.SystemRandom().randrange(2**32))
    log.warning("SLUICE_CRASH_SEED=%d repeats these moments", seed)
    with world.lone_operator() as operator:
        operator.start()
        workload.open(replicas=3).serve(TWO_STOPS)
        with workload.steady(rate=150), Recorder(workload) as record, SlotRecorder(workload) as slots:
            with Reaper(operator, workload, random.Random(seed)) as reaper:
                told = next(number for number, _ in enumerate(life(workload), 1) if reaper.done())
            until(operator.works, "the operator to work", PATIENCE_SECONDS)
            stories.finished(workload, "v100")
            slots.check()
            record.catch_up()
        record.check_audit()
    log.warning("%d stories were told over %d crashes", told, KILLS)


def test_an_api_server_that_fails_a_tenth_of_the_requests(world: World, workload: Workload) -> None:
    """With 429 and 500 in place of a tenth of the answers everything takes longer, and ends as it should."""
    seed = int(os.environ.get("SLUICE_FAULT_SEED") or random.SystemRandom().randrange(2**32))
    log.warning("SLUICE_FAULT_SEED=%d repeats these draws", seed)
    with FaultyApi(world.hub, FAULT_RATE, seed) as faulty, world.lone_operator(server=faulty.server) as operator:
        operator.start(ready=False)
        world.hub.wait(operator.ready, 60, "the operator to be ready")
        workload.open(replicas=3).serve(TWO_STOPS)
        began = time.monotonic()
        with workload.steady(rate=150), Recorder(workload) as record, SlotRecorder(workload) as slots:
            stories.finished(workload, "v2")
            stories.undone(workload, "v1")
            stories.aborted(workload, "v3")
            stories.superseded(workload, "v4", "v5-crash", "v6")
            slots.check()
            record.catch_up()
        record.check_audit()
        counts = faulty.counts()
        log.warning("four stories in %.0f s, with these requests: %s", time.monotonic() - began, dict(counts))
        assert faulty.failed() > FAULT_RATE / 3 * counts.total()
