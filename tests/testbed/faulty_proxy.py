"""The process between a client and its API server that fails requests: ``python -m testbed.faulty_proxy JSON``.

Driven by :mod:`testbed.faults`. It passes everything on as it is, watches included, but for the requests that it draws:
those are answered 429, or 500 before or after the API server did what was asked. And it can take its time: then each
answer, and each piece of a watch, comes so much later.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import sys
from collections import Counter
from dataclasses import dataclass

import aiohttp
from aiohttp import web

CONTROL_PATH = "/-/faults"
RETRY_AFTER_SECONDS = 1
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "upgrade", "host", "content-length"}
_MESSAGES = {429: "too many requests", 500: "etcdserver: request timed out"}
_REASONS = {429: "TooManyRequests", 500: "InternalError"}


@dataclass
class Order:
    """What to do; ``rate`` is the share of requests that fail, ``delay_seconds`` how long answers are kept back."""

    port: int
    server: str
    ca_file: str
    certificate: str
    key: str
    rate: float
    seed: int
    delay_seconds: float = 0.0


class Proxy:
    """Passes requests on, but for those that it draws."""

    def __init__(self, order: Order, session: aiohttp.ClientSession) -> None:
        self._order = order
        self._draw = random.Random(order.seed)
        self._session = session
        self._counts: Counter[str] = Counter()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        if request.path == CONTROL_PATH:
            return await self._control(request)
        kind = "watch" if "watch" in request.query else request.method
        # Two draws for each request, so that the rate changes only which of them fail.
        fails, how = self._draw.random() < self._order.rate, self._draw.choice(("429", "500", "500 after"))
        self._counts[f"{kind} {how}" if fails else kind] += 1
        if fails and how != "500 after":
            return _status(int(how))
        return await self._pass_on(request, lose=fails)

    async def _control(self, request: web.BaseRequest) -> web.Response:
        if request.method == "POST":
            for name, value in (await request.json()).items():
                setattr(self._order, name, value)
        return web.json_response(self._counts)

    async def _pass_on(self, request: web.BaseRequest, *, lose: bool) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        body = await request.read()
        url = self._order.server + request.raw_path
        try:
            async with self._session.request(request.method, url, headers=headers, data=body or None) as answer:
                if lose:
                    return _status(500)
                return await self._copy(request, answer)
        except aiohttp.ClientConnectionError:
            return _status(500)

    async def _copy(self, request: web.BaseRequest, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        headers = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP}
        response = web.StreamResponse(status=answer.status, headers=headers)
        await asyncio.sleep(self._order.delay_seconds)
        await response.prepare(request)
        async for chunk in answer.content.iter_any():
            await asyncio.sleep(self._order.delay_seconds if "watch" in request.query else 0.0)
            await response.write(chunk)
        await response.write_eof()
        return response


def _status(code: int) -> web.Response:
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": _MESSAGES[code],
        "reason": _REASONS[code],
        "code": code,
    }
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if code == 429 else {}
    return web.json_response(body, status=code, headers=headers)


async def _main(order: Order) -> None:
    trust = ssl.create_default_context(cafile=order.ca_file)
    mine = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    mine.load_cert_chain(order.certificate, order.key)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
    connector = aiohttp.TCPConnector(ssl=trust, limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as session:
        proxy = Proxy(order, session)
        runner = web.ServerRunner(web.Server(proxy.handle, access_log=None))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", order.port, ssl_context=mine).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(Order(**json.loads(sys.argv[1]))))
