"""Terms of leadership: one at a time, however the news of their end arrive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from sluice.adapters.clock import SystemClock
from sluice.errors import NotLeader
from sluice.handlers import terms as module
from sluice.handlers.terms import Terms


class Engine:
    """Runs until it is cancelled or told that it may write no more; as the real one, in a TaskGroup."""

    def __init__(self) -> None:
        self.running = 0
        self.terms = 0
        self.fenced = asyncio.Event()

    async def run(self) -> None:
        """One term."""
        self.running += 1
        self.terms += 1
        self.fenced = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as workers:
                workers.create_task(self._work())
                workers.create_task(asyncio.sleep(3600))
        except* NotLeader:
            raise NotLeader("the Lease is no longer ours") from None
        finally:
            self.running -= 1

    async def _work(self) -> None:
        await self.fenced.wait()
        raise NotLeader("fenced")


@pytest.fixture
def engine() -> Engine:
    """An engine that was never run."""
    return Engine()


@pytest.fixture
async def failures() -> list[str]:
    """What was told as a failure of the process."""
    return []


@pytest.fixture
async def terms(engine: Engine, failures: list[str]) -> AsyncIterator[Terms]:
    """Terms over the engine, closed in the end."""

    async def nothing() -> None: ...

    made = Terms(engine.run, nothing, SystemClock(), failures.append)
    yield made
    await made.close()
    assert not engine.running


async def _until_running(engine: Engine, number: int) -> None:
    async with asyncio.timeout(15):
        while not (engine.running and engine.terms == number):  # noqa: ASYNC110 - the engine is a stand-in
            await asyncio.sleep(0)


@pytest.mark.parametrize("order", ["told", "fenced", "fenced, told at once", "told, fenced at once"])
async def test_a_next_term_follows_however_the_last_one_ended(
    terms: Terms, engine: Engine, failures: list[str], order: str
) -> None:
    """A leader that was stopped for a while is fenced and told of it in one breath, and must lead again afterwards."""
    for number in range(1, 4):
        terms.begin()
        await _until_running(engine, number)
        if order.startswith("fenced"):
            engine.fenced.set()
        if order == "fenced":
            await asyncio.sleep(0.01)
        if order == "fenced, told at once":
            await asyncio.sleep(0)
        terms.end()
        if order == "told, fenced at once":
            engine.fenced.set()
    assert engine.terms == 3
    assert not failures


async def test_an_engine_that_ends_by_itself_is_a_failure(failures: list[str]) -> None:
    """A leader without an engine must be started anew, not live on."""

    async def nothing() -> None: ...

    terms = Terms(nothing, nothing, SystemClock(), failures.append)
    terms.begin()
    await terms._task  # type: ignore[misc]
    assert failures == ["the engine ended by itself"]


async def test_a_leader_without_an_engine_is_unhealthy(
    terms: Terms, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fenced, but never told: the Lease is held and nothing is done. That is said after a while."""
    monkeypatch.setattr(module, "STARTS_WITHIN_SECONDS", 0.0)
    assert not terms.problem()
    terms.begin()
    await _until_running(engine, 1)
    assert not terms.problem()
    engine.fenced.set()
    async with asyncio.timeout(15):
        while not terms.problem():  # noqa: ASYNC110 - it is a question, not an event
            await asyncio.sleep(0)
    terms.end()
    assert not terms.problem()
