"""A Prometheus that misbehaves on request, on a loopback address."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

# An authority of these tests' own and a key that it certifies for 127.0.0.1. They protect nothing.
TLS = Path(__file__).parent / "tls"
AUTHORITY = (TLS / "ca.crt").read_bytes()


@dataclass(frozen=True)
class Request:
    """What was asked."""

    path: str
    query: str
    headers: dict[str, str]
    method: str = "GET"


Behaviour = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


async def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for what another thread or the server does."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - threads set no asyncio events
            await asyncio.sleep(0.01)


def raw(head: str, body: bytes = b"") -> Behaviour:
    """Answer with exactly these bytes."""

    async def behave(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
        await writer.drain()

    return behave


def reply(payload: object, status: int = 200, *headers: str) -> Behaviour:
    """Answer with JSON."""
    body = json.dumps(payload).encode()
    lines = [f"HTTP/1.1 {status} X", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return raw("\n".join(lines), body)


def result(kind: str, value: object, **more: object) -> Behaviour:
    """Answer a query."""
    return reply({"status": "success", "data": {"resultType": kind, "result": value}, **more})


def vector(*values: str, **more: object) -> Behaviour:
    """Answer with one series for each value."""
    series = [{"metric": {"n": str(n)}, "value": [1769860800.0, value]} for n, value in enumerate(values)]
    return result("vector", series, **more)


def api_error(status: int, kind: str, text: str) -> Behaviour:
    """Answer with an error as Prometheus words it."""
    return reply({"status": "error", "errorType": kind, "error": text}, status)


def guarded(authorization: str, inner: Behaviour) -> Behaviour:
    """Answer 401 without the right header."""

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        allowed = request.headers.get("authorization") == authorization
        await (inner if allowed else reply("who are you?", 401))(request, writer)

    return behave


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """Each once; the last one stays."""
    waiting = list(behaviours)

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        await (waiting.pop(0) if len(waiting) > 1 else waiting[0])(request, writer)

    return behave


async def hang(_: Request, __: asyncio.StreamWriter) -> None:
    """Never answer."""
    await asyncio.Event().wait()


def held(gate: asyncio.Event, inner: Behaviour) -> Behaviour:
    """Answer once the gate is open."""

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        await inner(request, writer)

    return behave


async def close(_: Request, writer: asyncio.StreamWriter) -> None:
    """Hang up."""
    writer.close()


def cut_short(head: str, body: bytes) -> Behaviour:
    """Hang up in the middle of an answer."""

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        await raw(head, body)(request, writer)
        writer.close()

    return behave


def drip(head: str) -> Behaviour:
    """Answer with a head, and then one byte after the other without end, so that no read ever times out."""

    async def behave(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(head.replace("\n", "\r\n").encode())
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    return behave


@dataclass
class FakePrometheus:
    """The server's address, what it was asked, and what it does next."""

    address: str
    behaviour: Behaviour = field(default_factory=lambda: vector("1"))
    asked: list[Request] = field(default_factory=list)
    connections: int = 0
    under_way: int = 0
    most_under_way: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        self.connections += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                request = _parse(head, await reader.readexactly(_length(head)))
                self.asked.append(request)
                self.under_way += 1
                self.most_under_way = max(self.most_under_way, self.under_way)
                try:
                    await self.behaviour(request, writer)
                finally:
                    self.under_way -= 1
        writer.close()


def _length(head: bytes) -> int:
    return int(_headers(head).get("content-length", "0"))


def _headers(head: bytes) -> dict[str, str]:
    lines = head.decode().strip().split("\r\n")[1:]
    return {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}


def _parse(head: bytes, body: bytes) -> Request:
    method, target, _ = head.decode().split(" ", 2)
    url = urlsplit(target)
    asked = parse_qs(body.decode() if method == "POST" else url.query)
    return Request(url.path, asked.get("query", [""])[0], _headers(head), method)


@asynccontextmanager
async def fake_prometheus(*, tls: bool = False) -> AsyncIterator[FakePrometheus]:
    """Run one; its connections are cut at the end."""
    fake = FakePrometheus("")
    tasks: set[asyncio.Task[Any]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(fake.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    context = None
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(TLS / "server.pem")
    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    fake.address = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    try:
        yield fake
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
