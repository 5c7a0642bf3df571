"""Requests by the thousand, each one recorded: did any fail, which version answered, and when."""

from __future__ import annotations

import itertools
import json
import math
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from testbed import netns
from testbed.errors import TestbedError
from testbed.processes import Child, session
from testbed.waiting import wait_for

_number = itertools.count()
_FLUSH_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Request:
    """One finished request.

    Attributes:
        ended_at: Unix time, seconds.
        ended_monotonic_ns: the same on the monotonic clock of the machine, nanoseconds.
        status: the HTTP status; 0 where the connection was refused or reset, or no answer came in time.
        version: of the pod that answered; "" where none did.
        pod: its name; "" likewise.
        latency_seconds: from the moment it was sent.
        detail: of a failure: what was answered, or why nothing was.
    """

    ended_at: float
    ended_monotonic_ns: int
    status: int
    version: str
    pod: str
    latency_seconds: float
    detail: str = ""

    @property
    def sent_at(self) -> float:
        """When it was sent, in Unix time, seconds."""
        return self.ended_at - self.latency_seconds

    @property
    def failed(self) -> bool:
        """Refused, reset, unanswered, or answered with 500 or more."""
        return self.status == 0 or self.status >= 500

    @classmethod
    def parse(cls, line: str) -> Request:
        """Read a line of the record."""
        ended, monotonic, status, version, pod, latency, detail = line.split("\t")
        return cls(int(ended) / 1e9, int(monotonic), int(status), version, pod, int(latency) / 1e6, detail)


class Requests(tuple[Request, ...]):
    """Finished requests in the order they ended."""

    __slots__ = ()

    def failed(self) -> Requests:
        """Those answered with 500 or more, refused, reset, or unanswered."""
        return Requests(request for request in self if request.failed)

    def by_version(self) -> Counter[str]:
        """How many each version answered; what no pod answered counts as ``status 503``, or ``no answer``."""
        return Counter(
            request.version or (f"status {request.status}" if request.status else "no answer") for request in self
        )

    def by_status(self) -> Counter[int]:
        """How many ended with each status."""
        return Counter(request.status for request in self)

    def told(self, most: int = 10) -> str:
        """How many failed, of how many by version and status; and the first of them, by time since the first request.

        >>> print(Requests([Request(5, 0, 200, "v1", "p", 0.1), Request(7.5, 0, 503, "", "", 0, "no upstream")]).told())
        1 of 2 requests failed; by version: {'v1': 1, 'status 503': 1}; by status: {200: 1, 503: 1}
          after 2.500 s: 503 no upstream
        """
        failed = self.failed()
        counts = f"by version: {dict(self.by_version())}; by status: {dict(self.by_status())}"
        return "\n".join((f"{len(failed)} of {len(self)} requests failed; {counts}", *map(self._line, failed[:most])))

    def _line(self, request: Request) -> str:
        said = (f"{request.status}", request.version, request.pod, request.detail)
        return f"  after {request.ended_at - self[0].ended_at:.3f} s: {' '.join(filter(None, said))}"

    def of(self, version: str) -> Requests:
        """Those that one version answered."""
        return Requests(request for request in self if request.version == version)

    def between(self, start: float, end: float) -> Requests:
        """Those that ended in [start, end), in Unix time."""
        return Requests(request for request in self if start <= request.ended_at < end)

    def since(self, start: float) -> Requests:
        """Those that ended at or after this Unix time."""
        return self.between(start, float("inf"))

    def sent_since(self, start: float) -> Requests:
        """Those that were sent at or after this Unix time: what was on its way then is not among them."""
        return Requests(request for request in self if request.sent_at >= start)

    def first(self, version: str) -> Request | None:
        """The first that a version answered."""
        return next((request for request in self if request.version == version), None)

    def last(self, version: str) -> Request | None:
        """The last that a version answered."""
        return next((request for request in reversed(self) if request.version == version), None)

    def latency_seconds(self, quantile: float) -> float:
        """The latency that this share of the requests stayed below; NaN where there are none.

        >>> Requests([Request(0, 0, 200, "v1", "p", 0.1 * n) for n in range(10)]).latency_seconds(0.5)
        0.5
        """
        values = sorted(request.latency_seconds for request in self)
        return values[min(int(quantile * len(values)), len(values) - 1)] if values else float("nan")


class Load:
    """Requests to one host from a process of its own.

    Args:
        host: sent as ``Host``.
        rate: requests per second; 0 for as fast as possible.
        address: ``DataPlane.envoy_address``; or a file of addresses, one in a line, of which each new connection takes
            one in turn, as the file is then: how a proxy on the client's node spreads connections over a Service.
        connections: each carries one request at a time.
        keep_alive: whether a connection carries one request after the other, or is closed after each.
        count: end by itself after so many; 0 for until :meth:`stop`.
        headers: sent with each request.
        path: asked for.
        timeout_seconds: after which a request counts as unanswered.
    """

    def __init__(
        self,
        host: str,
        rate: float,
        address: str | Path,
        *,
        connections: int = 16,
        keep_alive: bool = True,
        count: int = 0,
        headers: Mapping[str, str] | None = None,
        path: str = "/",
        timeout_seconds: float = 30.0,
    ) -> None:
        self._record = session().folder / f"load-{next(_number)}.tsv"
        self._order = {
            "record": str(self._record),
            "address": str(address),
            "host": host,
            "path": path,
            "headers": dict(headers or {}),
            "connections": connections,
            "rate": rate,
            "count": count,
            "timeout_seconds": timeout_seconds,
            "addresses_in_file": isinstance(address, Path),
            "keep_alive": keep_alive,
        }
        self._child: Child | None = None
        self._reader = _Reader(self._record)
        self._flushes = itertools.count(1)

    def start(self) -> Load:
        """Begin; returns itself once requests are being sent."""
        arguments = [sys.executable, "-m", "testbed.load_worker", json.dumps(self._order)]
        self._child = session().spawn(self._record.stem, arguments, env=netns.environment(), stdin=True)
        self._until("#0", "flush 0")
        return self

    def snapshot(self) -> Requests:
        """Everything that ended until now; the load goes on."""
        mark = next(self._flushes)
        self._until(f"#{mark}", f"flush {mark}")
        return Requests(self._reader.requests)

    def stop(self) -> Requests:
        """Send nothing more, let what is on its way finish, and return every request."""
        self._until("#end", "stop")
        assert self._child
        self._child.stop()
        return Requests(self._reader.requests)

    def wait(self, timeout: float = 120.0) -> Requests:
        """Wait until a load with a ``count`` has ended by itself, and return every request.

        Raises:
            NotReadyError: it has not ended within ``timeout`` seconds.
        """
        self._await("#end", timeout)
        return self.stop()

    def __enter__(self) -> Load:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self._child:
            self._child.stop()

    def _until(self, mark: str, order: str) -> None:
        if self._child is None or self._child.popen.stdin is None:
            raise TestbedError("This load was not started: call start(), or use it in a `with` statement.")
        if not self._reader.saw("#end"):
            try:
                self._child.popen.stdin.write(f"{order}\n".encode())
                self._child.popen.stdin.flush()
            except BrokenPipeError:  # it has ended by itself; its record is complete
                mark = "#end"
        self._await(mark, _FLUSH_SECONDS)

    def _await(self, mark: str, timeout: float) -> None:
        child = self._child
        wait_for(
            lambda: self._reader.saw(mark) or self._reader.saw("#end"),
            timeout,
            f"{mark} of load {child and child.name}",
            interval=0.005,
        )


class _Reader:
    """Reads the lines that the record grew by."""

    def __init__(self, record: Path) -> None:
        self.requests: list[Request] = []
        self._record = record
        self._offset = 0
        self._marks: set[str] = set()

    def saw(self, mark: str) -> bool:
        if mark not in self._marks and self._record.exists():
            for line in self._new_lines():
                if line.startswith("#"):
                    self._marks.add(line)
                else:
                    self.requests.append(Request.parse(line))
        return mark in self._marks

    def _new_lines(self) -> Iterator[str]:
        with self._record.open("rb") as record:
            record.seek(self._offset)
            data = record.read()
        complete = data[: data.rfind(b"\n") + 1]
        self._offset += len(complete)
        return iter(complete.decode().splitlines())


def sample(
    host: str, n: int, address: str, *, headers: Mapping[str, str] | None = None, connections: int = 32
) -> Counter[str]:
    """Send exactly ``n`` requests as fast as possible and count them by version (see :meth:`Requests.by_version`)."""
    with Load(host, 0, address, count=n, headers=headers, connections=connections) as load:
        return load.wait().by_version()


def standard_error(share: float, n: int) -> float:
    """The standard error of a share seen in n requests; a right share is within 5 of them but once in a million or so.

    >>> round(standard_error(0.1, 10_000), 4)
    0.003
    """
    return math.sqrt(share * (1 - share) / n)


def merge(*parts: Iterable[Request]) -> Requests:
    """Several records as one, in order of time."""
    return Requests(
        sorted((request for part in parts for request in part), key=lambda request: request.ended_monotonic_ns)
    )
