"""Probes and metrics: /healthz, /readyz, /metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from sluice.telemetry import PrometheusMeter

Check = Callable[[], str]
"""Says what is wrong; "" where all is well."""


class HttpServer:
    """Serves until `stop`.

    Args:
        healthy: asked by /healthz; anything wrong should get the process restarted.
        ready: asked by /readyz.
        meter: whose registry /metrics shows.
        refresh: called before each scrape.
    """

    def __init__(self, healthy: Check, ready: Check, meter: PrometheusMeter, refresh: Callable[[], None]) -> None:
        self._meter = meter
        self._refresh = refresh
        app = web.Application()
        app.router.add_get("/healthz", _probe(healthy))
        app.router.add_get("/readyz", _probe(ready))
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None)
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Listen. `port` 0 picks a free one; `self.port` tells which."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    async def _metrics(self, _: web.Request) -> web.Response:
        self._refresh()
        body = generate_latest(self._meter.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})


def _probe(check: Check) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(_: web.Request) -> web.StreamResponse:
        problem = check()
        return web.Response(status=500 if problem else 200, text=(problem or "ok") + "\n")

    return answer
