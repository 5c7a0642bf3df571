"""A fake Prometheus, and the adapter that asks it."""

from collections.abc import AsyncIterator, Callable

import pytest

from contract.metrics.fake_prometheus import FakePrometheus, fake_prometheus
from contract.metrics.secrets import Secrets
from sluice.adapters.metrics import client
from sluice.adapters.metrics.prometheus import PrometheusProvider

MakeProvider = Callable[..., PrometheusProvider]
PATIENT_SECONDS = 60.0


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that waits for a busy machine is no fault either."""
    for name in ("CONNECT_SECONDS", "READ_SECONDS"):
        monkeypatch.setattr(client, name, PATIENT_SECONDS)


@pytest.fixture
async def fake() -> AsyncIterator[FakePrometheus]:
    """A server on a loopback address."""
    async with fake_prometheus() as server:
        yield server


@pytest.fixture
def secrets() -> Secrets:
    """The Secrets of a cluster."""
    return Secrets()


@pytest.fixture
async def make_provider(fake: FakePrometheus, secrets: Secrets) -> AsyncIterator[MakeProvider]:
    """Makes adapters, by default with the fake as the operator's own Prometheus; closes them in the end.

    A deadline that a test does not set is one that a busy machine does not miss.
    """
    made: list[PrometheusProvider] = []

    def make(default: str | None = fake.address, *allowed: str, **options: object) -> PrometheusProvider:
        settings = {"jitter": lambda: 0.0, "deadline_seconds": PATIENT_SECONDS} | options
        made.append(PrometheusProvider(default, allowed, secrets.load, **settings))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for provider in made:
        await provider.close()
