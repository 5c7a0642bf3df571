"""The process that sends requests: run as ``python -m testbed.load_worker JSON``, driven by :mod:`testbed.load`.

Every finished request becomes a line of the record file: end (Unix ns), end (monotonic ns), status, version, pod,
latency (µs), why it failed, separated by tabs. Orders come by standard input: ``flush N`` writes what there is and then
the line ``#N``; ``stop`` lets the requests in flight finish and ends with ``#end``.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TextIO, cast

from testbed.pod_server import run_loop

_TICK_SECONDS = 0.002
_RECONNECT_SECONDS = 0.02
_DETAIL_CHARACTERS = 160
_SERVER_ERROR = 500


@dataclass(frozen=True)
class Order:
    """What to send. ``count`` and ``rate`` (requests per second) of 0 mean: without end, and as fast as possible.

    With ``addresses_in_file``, ``address`` is a file of addresses that is read for each new connection.
    """

    record: str
    address: str
    host: str
    path: str
    headers: dict[str, str]
    connections: int
    rate: float
    count: int
    timeout_seconds: float
    addresses_in_file: bool = False
    keep_alive: bool = True
    request: bytes = field(init=False)

    def __post_init__(self) -> None:
        lines = [
            f"GET {self.path} HTTP/1.1",
            f"Host: {self.host}",
            *(f"{name}: {value}" for name, value in self.headers.items()),
        ]
        object.__setattr__(self, "request", ("\r\n".join(lines) + "\r\n\r\n").encode())


class Answer(NamedTuple):
    """Who answered, and for a failure what was said, or why nothing was."""

    version: str = ""
    pod: str = ""
    detail: str = ""


class Worker:
    """Hands requests to idle connections when they are due, and keeps the record."""

    def __init__(self, order: Order, record: TextIO) -> None:
        self.order = order
        self.ended = asyncio.Event()
        self.idle: deque[Connection] = deque()
        self._record = record
        self._stopping = False
        self._sent = 0
        self._in_flight = 0
        self._began = time.monotonic()
        self._turns = itertools.count()

    async def start(self) -> None:
        """Open the connections and begin."""
        loop = asyncio.get_running_loop()
        loop.add_reader(sys.stdin.fileno(), self._read_order)
        for _ in range(self.order.connections):
            self.idle.append(Connection(self))
        self._tick()

    def address(self) -> tuple[str, int]:
        """Host and port for a new connection.

        Raises:
            ConnectionRefusedError: there is no address now.
        """
        address = self.order.address
        if self.order.addresses_in_file:
            addresses = Path(address).read_text().split()
            if not addresses:
                raise ConnectionRefusedError("no endpoint is ready")
            address = addresses[next(self._turns) % len(addresses)]
        host, _, port = address.rpartition(":")
        return host, int(port)

    def _due(self) -> int:
        """How many more requests should be on their way by now."""
        order = self.order
        due = (
            order.connections
            if order.rate <= 0
            else int((time.monotonic() - self._began) * order.rate) + 1 - self._sent
        )
        return min(due, order.count - self._sent) if order.count else due

    def _tick(self) -> None:
        self.dispatch()
        if not self.ended.is_set():
            asyncio.get_running_loop().call_later(_TICK_SECONDS, self._tick)

    def dispatch(self) -> None:
        """Send what is due, as far as there are idle connections; end when all is done."""
        if not self._stopping:
            for _ in range(min(self._due(), len(self.idle))):
                self._sent += 1
                self._in_flight += 1
                self.idle.popleft().send()
        if self._in_flight == 0 and (self._stopping or (self.order.count and self._sent >= self.order.count)):
            self._end()

    def finished(self, connection: Connection, status: int, answer: Answer, began_ns: int) -> None:
        """A request that began at a time of the monotonic clock came to its end; status 0: no answer came."""
        # In this order: an interruption in between makes the request look as if it had been sent earlier, never later.
        ended_at_ns, ended_ns = time.time_ns(), time.monotonic_ns()
        micros = -((began_ns - ended_ns) // 1000)
        fields = (ended_at_ns, ended_ns, status, answer.version, answer.pod, micros, answer.detail)
        self._record.write("\t".join(map(str, fields)) + "\n")
        self._in_flight -= 1
        if status:
            self.idle.append(connection)
        else:
            # A refused connection must not turn into a busy loop of refusals.
            asyncio.get_running_loop().call_later(_RECONNECT_SECONDS, self.idle.append, connection)
        if self.order.rate <= 0 or self._stopping or self.order.count:
            self.dispatch()

    def _read_order(self) -> None:
        # Not by readline, which may keep a second order in its buffer, of which the loop would not hear.
        for line in os.read(sys.stdin.fileno(), 4096).decode().splitlines() or ["stop"]:
            if line.startswith("flush "):
                self._record.write(f"#{line[6:].strip()}\n")
                self._record.flush()
            else:  # "stop", or the end of the input: whoever asked for the load is gone
                self._stopping = True
                asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
                self.dispatch()
                return

    def _end(self) -> None:
        if not self.ended.is_set():
            self._record.write("#end\n")
            self._record.flush()
            self.ended.set()


class Connection(asyncio.Protocol):
    """One connection at a time with at most one request on its way; it connects again when it was closed."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._began_ns = 0
        self._busy = False
        self._timer: asyncio.TimerHandle | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._dropped = 0  # connections that we closed, and whose end we have not been told of

    def send(self) -> None:
        """Send one request, on a new connection where the old one was closed."""
        loop = asyncio.get_running_loop()
        self._busy = True
        self._began_ns = time.monotonic_ns()  # the loop's own time is that of its last turn
        self._timer = loop.call_later(self._worker.order.timeout_seconds, self._fail, "no answer in time")
        if self._transport and not self._transport.is_closing():
            self._transport.write(self._worker.order.request)
        else:
            self._connecting = loop.create_task(self._connect())

    async def _connect(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: self, *self._worker.address())
        except OSError as error:
            self._fail(f"could not connect: {error}")
            return
        if self._busy and self._transport:
            self._transport.write(self._worker.order.request)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self._transport = cast(asyncio.Transport, transport)
        self._buffer = b""

    def connection_lost(self, exc: Exception | None) -> None:
        """It was closed; what was on its way has failed."""
        if self._dropped:
            self._dropped -= 1
            return
        self._transport = None
        self._fail(f"the connection was closed: {exc or 'without an answer'}")

    def data_received(self, data: bytes) -> None:
        """Take a piece of the answer."""
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        fields = dict(line.split(": ", 1) for line in self._buffer[:head].decode("latin-1").split("\r\n")[1:])
        if "content-length" in fields:
            if len(self._buffer) < head + 4 + int(fields["content-length"]):
                return
        elif "transfer-encoding" in fields and not self._buffer.endswith(b"0\r\n\r\n"):
            return
        status = int(self._buffer[9:12])
        body = self._buffer[head + 4 :].decode("latin-1") if status >= _SERVER_ERROR else ""
        self._buffer = b""
        if not self._worker.order.keep_alive or fields.get("connection") == "close":
            self._drop()
        self._finish(status, Answer(fields.get("x-version", ""), fields.get("x-pod", ""), _line(body)))

    def _fail(self, why: str) -> None:
        if not self._busy:
            return
        self._drop()
        self._finish(0, Answer(detail=_line(why)))

    def _drop(self) -> None:
        if self._transport:
            self._transport.abort()
            self._transport = None
            self._dropped += 1

    def _finish(self, status: int, answer: Answer) -> None:
        if not self._busy:
            return
        self._busy = False
        if self._timer:
            self._timer.cancel()
        self._worker.finished(self, status, answer, self._began_ns)


def _line(text: str) -> str:
    return " ".join(text.split())[:_DETAIL_CHARACTERS]


async def _main(order: Order, record: TextIO) -> None:
    worker = Worker(order, record)
    await worker.start()
    await worker.ended.wait()


if __name__ == "__main__":
    given = Order(**json.loads(sys.argv[1]))
    with Path(given.record).open("w", buffering=1 << 16) as opened:
        run_loop(_main(given, opened))
