"""A small HTTP server on loopback that answers as a test wants, and keeps what it was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from sluice.adapters.kube.credentials import load_credentials
from sluice.adapters.kube.transport import Timeouts, Transport

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Server:
    """Answers with `handler`; `{}` at first."""

    transport: Transport
    handler: Handler
    asked: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)


async def answer_empty(request: web.Request) -> web.StreamResponse:
    """An empty object."""
    return web.json_response({})


@asynccontextmanager
async def serving(folder: Path, timeouts: Timeouts | None = None) -> AsyncIterator[Server]:
    """A server, and a transport to it."""
    servers: list[Server] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        server = servers[0]
        server.asked.append(f"{request.method} {request.path}")
        server.headers.append(dict(request.headers))
        raw = await request.read()
        server.bodies.append(json.loads(raw) if raw else None)
        return await server.handler(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    config = folder / "kubeconfig"
    config.write_text(
        json.dumps(
            {
                "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
                "users": [{"name": "u", "user": {"token": "secret"}}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "x",
            }
        )
    )
    async with Transport(load_credentials(str(config)), timeouts=timeouts) as transport:
        servers.append(Server(transport, answer_empty))
        yield servers[0]
    await runner.cleanup()


class Gate:
    """Requests that are told to wait until the test opens it."""

    def __init__(self) -> None:
        self.waiting = 0
        self._open = asyncio.Event()

    async def hold(self) -> None:
        """Wait."""
        self.waiting += 1
        await self._open.wait()

    def open(self) -> None:
        """Let all go on."""
        self._open.set()
