"""No fault leaves a connection open: one that is only closed by the garbage collector is one too many on a bad day."""

import gc
import socket
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from urllib3.util.connection import create_connection

from contract.metrics.conftest import MakeProvider
from contract.metrics.fake_prometheus import (
    AUTHORITY,
    Behaviour,
    FakePrometheus,
    close,
    cut_short,
    drip,
    fake_prometheus,
    hang,
    raw,
    reply,
    vector,
)
from contract.metrics.secrets import Secrets
from sluice.adapters.metrics.exchange import Exchange, current
from sluice.adapters.metrics.prometheus import PrometheusProvider
from sluice.decide.model import Reading, ReadingKind

LARGE = b"[" * 2_000_000


@contextmanager
def all_closed() -> Iterator[None]:
    """Fail where something that the block opened is left to the garbage collector."""
    gc.collect()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", ResourceWarning)
        yield
        gc.collect()
    assert [str(warning.message) for warning in seen] == []


async def ask(provider: PrometheusProvider, secret: str | None = None) -> Reading:
    """Ask the operator's own Prometheus, and end the provider."""
    reading = await provider.query("up", address=None, namespace="shop", secret=secret)
    await provider.close()
    return reading


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(vector("1"), id="an answer"),
        pytest.param(reply("who are you?", 401), id="401"),
        pytest.param(reply("", 503), id="503, asked again"),
        pytest.param(reply("", 302, "Location: http://169.254.169.254/"), id="redirect"),
        pytest.param(reply("", 302, "Location: http://["), id="redirect to nowhere"),
        pytest.param(raw(f"HTTP/1.1 302 X\nLocation: /\nContent-Length: {len(LARGE)}", LARGE), id="large redirect"),
        pytest.param(cut_short("HTTP/1.1 302 X\nLocation: /\nContent-Length: 9", b"x"), id="redirect cut short"),
        pytest.param(raw(f"HTTP/1.1 200 OK\nContent-Length: {len(LARGE)}", LARGE), id="large reply"),
        pytest.param(raw("HTTP/1.1 200 OK\nContent-Length: 4\nContent-Encoding: gzip", b"abcd"), id="compressed"),
        pytest.param(cut_short("HTTP/1.1 200 OK\nContent-Length: 500", b"{"), id="cut short"),
        pytest.param(raw("SSH-2.0-OpenSSH_9.9"), id="not HTTP"),
        pytest.param(close, id="hung up"),
        pytest.param(hang, id="silence"),
        pytest.param(drip("HTTP/1.1 200 OK\nX-Slow: "), id="endless head"),
        pytest.param(drip("HTTP/1.1 200 OK\nContent-Length: 900000\n\n"), id="endless body"),
        pytest.param(drip("HTTP/1.1 302 X\nLocation: /\nContent-Length: 900000\n\n"), id="endless redirect"),
    ],
)
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
async def test_a_fault_leaves_no_connection(
    make_provider: MakeProvider, secrets: Secrets, behaviour: Behaviour, tls: bool
) -> None:
    """Whatever the server does, once the provider is closed all of its connections are."""
    secrets.put("shop", "prom", token="abc", ca_crt=AUTHORITY)
    async with fake_prometheus(tls=tls) as server:
        server.behaviour = behaviour
        with all_closed():
            await ask(make_provider(server.address, deadline_seconds=1.0), "prom")


async def test_a_failed_handshake_leaves_no_connection(make_provider: MakeProvider) -> None:
    """A certificate that is not trusted, and a server that speaks no TLS."""
    async with fake_prometheus(tls=True) as strange, fake_prometheus() as plain:
        for address in (strange.address, plain.address.replace("http:", "https:")):
            with all_closed():
                reading = await ask(make_provider(address, deadline_seconds=1.0))
            assert reading.kind is ReadingKind.ERROR


@pytest.mark.parametrize("moment", ["just connected", "about to be used again"])
async def test_a_deadline_at_a_bad_moment_leaves_no_connection(
    fake: FakePrometheus, make_provider: MakeProvider, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """A deadline that passes between connecting and asking closes the connection that nobody has heard of yet."""
    made: list[socket.socket] = []

    def connect_late(*arguments: Any) -> socket.socket:
        made.append(create_connection(*arguments))
        current().cut()
        return made[-1]

    provider = make_provider()
    with all_closed():
        if moment == "just connected":
            monkeypatch.setattr("sluice.adapters.metrics.transport.create_connection", connect_late)
        else:
            assert (await provider.query("first", address=None, namespace="shop", secret=None)).value == 1.0
            monkeypatch.setattr(Exchange, "attach", _cut_then(Exchange.attach))
        reading = await ask(provider)
    assert "the request was cut off" in reading.message
    assert [connection.fileno() for connection in made] == [-1] * len(made)


def _cut_then(attach: Callable[..., None]) -> Callable[..., None]:
    def cut_and_attach(exchange: Exchange, connection: socket.socket) -> None:
        exchange.cut()
        attach(exchange, connection)

    return cut_and_attach
