"""Receivers of audit events behind the port, each with what its keeper has, and with a way to take it away."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from sluice.adapters.audit.cloudevents import MODES, HttpReceiver
from sluice.adapters.audit.lines import FileReceiver, StdoutReceiver
from sluice.ports import AuditReceiver
from sluice.sim.receiver import FakeReceiver

Json = dict[str, Any]
ATTRIBUTES = ("specversion", "id", "source", "type", "subject", "time")
KINDS = ("fake", "file", "stdout", *MODES)


@dataclass
class Keeper:
    """A server that keeps what is POSTed to it, as CloudEvents.

    Attributes:
        status: what it answers.
        headers: of its answers.
        body: of its answers.
        events: those that it kept.
        seen: the headers of each request, kept or not.
    """

    status: int = 202
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    events: list[Json] = field(default_factory=list)
    seen: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    async def take(self, request: web.Request) -> web.Response:
        """One request."""
        self.seen.append(dict(request.headers))
        if 200 <= self.status < 300:
            self.events += events_in(dict(request.headers), await request.read())
        return web.Response(status=self.status, headers=self.headers, body=self.body)


def events_in(headers: dict[str, str], body: bytes) -> list[Json]:
    """The events of a request, whichever way they are put in, as the specification reads them."""
    kind = headers["Content-Type"]
    if kind == "application/cloudevents-batch+json":
        return list(json.loads(body))
    if kind == "application/cloudevents+json":
        return [json.loads(body)]
    given = {name.lower(): value for name, value in headers.items()}
    attributes = {name: given[f"ce-{name}"] for name in ATTRIBUTES}
    return [{**attributes, "datacontenttype": kind, "data": json.loads(body)}]


@asynccontextmanager
async def serving() -> AsyncIterator[Keeper]:
    """One on a port of 127.0.0.1."""
    keeper = Keeper()
    app = web.Application()
    app.router.add_post("/audit", keeper.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    keeper.url = f"http://{host}:{port}/audit"
    try:
        yield keeper
    finally:
        await runner.cleanup()


@dataclass(frozen=True)
class Place:
    """A receiver; what its keeper has; and whether that is there (`be_there(False)` takes it away)."""

    receiver: AuditReceiver
    kept: Callable[[], list[Json]]
    be_there: Callable[[bool], None]


@asynccontextmanager
async def place_of(kind: str, folder: Path) -> AsyncIterator[Place]:
    """One of KINDS."""
    if kind == "fake":
        fake = FakeReceiver(at_once=2)
        yield Place(fake, lambda: fake.events, lambda there: setattr(fake, "away", not there))
    elif kind == "file":
        yield _file(folder / "sub" / "audit.jsonl")
    elif kind == "stdout":
        yield _stdout()
    else:
        async with serving() as keeper:
            receiver = HttpReceiver(keeper.url, kind)
            yield Place(receiver, lambda: keeper.events, lambda there: setattr(keeper, "status", 202 if there else 503))
            await receiver.close()


def _lines(path: Path) -> list[Json]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _file(path: Path) -> Place:
    path.parent.mkdir()

    def be_there(there: bool) -> None:
        away = path.parent.with_name("away")
        (away if there else path.parent).rename(path.parent if there else away)

    return Place(FileReceiver(path), lambda: _lines(path), be_there)


class _Pipe(io.StringIO):
    """A stdout whose other end may be closed."""

    there = True

    def flush(self) -> None:
        if not self.there:
            self.truncate(0)
            self.seek(0)
            raise BrokenPipeError


def _stdout() -> Place:
    pipe = _Pipe()

    def kept() -> list[Json]:
        return [json.loads(line) for line in pipe.getvalue().splitlines()]

    return Place(StdoutReceiver(pipe), kept, lambda there: setattr(pipe, "there", there))
