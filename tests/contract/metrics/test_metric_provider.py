"""What every MetricProvider promises: the adapter over HTTP, and the sim's."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest

from contract.metrics.conftest import PATIENT_SECONDS
from contract.metrics.fake_prometheus import fake_prometheus, hang, reply, until, vector
from sluice.adapters.clock import SystemClock
from sluice.adapters.metrics.prometheus import PrometheusProvider
from sluice.decide.model import Reading, ReadingKind
from sluice.ports import MetricProvider
from sluice.sim.metrics import FakeMetrics, constant, error, inconclusive, no_data


@dataclass
class World:
    """A provider and a way to say what Prometheus answers: a number, "no data", "Inf" or "down"."""

    provider: MetricProvider
    answer: Callable[[float | str], None]

    async def ask(self, query: str = "up") -> Reading:
        """Ask the operator's own Prometheus, for a Rollout in a namespace."""
        return await self.provider.query(query, address=None, namespace="shop", secret=None)


@pytest.fixture(params=["adapter", "sim"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """Each implementation."""
    if request.param == "sim":
        metrics = FakeMetrics(SystemClock())
        readings = {"no data": no_data(), "Inf": inconclusive(), "down": error()}
        yield World(metrics, lambda answer: metrics.script(constant(readings.get(str(answer)) or float(answer))))
        return
    async with fake_prometheus() as fake:

        async def secret(namespace: str, name: str) -> dict[str, bytes]:
            raise AssertionError("no Secret was named")

        def answer(what: float | str) -> None:
            behaviours = {"no data": vector(), "Inf": vector("+Inf"), "down": reply("sorry", 500)}
            fake.behaviour = behaviours.get(str(what)) or vector(str(what))

        provider = PrometheusProvider(fake.address, (), secret, deadline_seconds=PATIENT_SECONDS)
        yield World(provider, answer)
        await provider.close()


@pytest.mark.parametrize("number", [0.0, 0.5, -1.0, 1e-9, 1e12])
async def test_a_number_is_a_value(world: World, number: float) -> None:
    """Exactly as Prometheus has it, and without a message."""
    world.answer(number)
    assert await world.ask() == Reading(ReadingKind.VALUE, number)


@pytest.mark.parametrize(
    "answer, kind",
    [("no data", ReadingKind.NO_DATA), ("Inf", ReadingKind.INCONCLUSIVE), ("down", ReadingKind.ERROR)],
)
async def test_whatever_is_no_number_says_so(world: World, answer: str, kind: ReadingKind) -> None:
    """The three other outcomes are told apart, carry no value, and say what was wrong."""
    world.answer(answer)
    reading = await world.ask()
    assert (reading.kind, reading.value) == (kind, None)
    assert reading.message


async def test_different_questions_at_once(world: World) -> None:
    """Each asker gets an answer."""
    world.answer(3.0)
    readings = await asyncio.gather(*(world.ask(f"up{n}") for n in range(20)))
    assert {reading.value for reading in readings} == {3.0}


async def test_an_asker_may_give_up() -> None:
    """Cancelling is the one exception that gets through, and at once."""
    async with fake_prometheus() as fake:
        fake.behaviour = hang

        async def secret(namespace: str, name: str) -> dict[str, bytes]:
            raise AssertionError("no Secret was named")

        provider = PrometheusProvider(fake.address, (), secret, deadline_seconds=PATIENT_SECONDS)
        asking = asyncio.create_task(provider.query("up", address=None, namespace="", secret=None))
        await until(lambda: bool(fake.asked))
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await provider.close()
