"""Load around a test: through Envoy, or at a plain Service's endpoints, as a proxy on the client's node would."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from e2e.support.waiting import PLENTY_SECONDS
from testbed import ApiUnreachableError, Load, NotReadyError, Requests, wait_for
from testbed.processes import session

_REFRESH_SECONDS = 0.05


class Steady:
    """Requests at a steady rate for the length of a ``with``; at its end, none may have failed.

    >>> with app.steady(rate=100) as load:            # doctest: +SKIP
    ...     app.release("v2")
    >>> load.requests.by_version()                    # doctest: +SKIP

    Args:
        host: sent as ``Host``.
        rate: requests per second.
        address: see :class:`testbed.Load`.
        connections: see :class:`testbed.Load`.
        keep_alive: see :class:`testbed.Load`.

    Attributes:
        requests: all of them, once the ``with`` is over.
    """

    def __init__(
        self, host: str, rate: float, address: str | Path, *, connections: int = 16, keep_alive: bool = True
    ) -> None:
        self.host = host
        self.requests = Requests()
        self._load = Load(host, rate, address, connections=connections, keep_alive=keep_alive)
        self._on_purpose: set[str] = set()

    def count_apart(self, *versions: str) -> Steady:
        """Errors answered by these versions are made on purpose: they are not failures."""
        self._on_purpose |= set(versions)
        return self

    def snapshot(self) -> Requests:
        """Everything that ended until now."""
        return self._load.snapshot()

    def failed(self) -> Requests:
        """What failed, but for errors made on purpose."""
        return Requests(request for request in self.requests.failed() if request.version not in self._on_purpose)

    def last_sent(self) -> str:
        """The version that answered the last request of all, once the ``with`` is over."""
        return max(self.requests, key=lambda request: request.sent_at).version

    def wait_for_version(self, version: str, timeout: float = PLENTY_SECONDS) -> None:
        """Wait until a version has answered a request sent from now on."""
        since = time.time()
        wait_for(
            lambda: self.snapshot().sent_since(since).of(version),
            timeout,
            f"{version} to answer on {self.host}",
            interval=0.1,
        )

    def __enter__(self) -> Steady:
        self._load.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.requests = self._load.stop()
        if kind is None:
            assert self.requests, f"no request to {self.host} was recorded"
            failed = self.failed()
            assert not failed, f"{self.host}: {len(failed)} requests failed that should not. {self.requests.told()}"


class Proxy:
    """A node's view of a Service: keeps a file of the ready endpoints, of which each new connection takes one.

    Args:
        name: of the file.
        endpoints: looks the ready addresses up, as ``ip:port``.
    """

    def __init__(self, name: str, endpoints: Callable[[], Sequence[str]]) -> None:
        self.file = session().folder / f"{name}.endpoints"
        self._endpoints = endpoints
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Proxy:
        self._write()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(10)

    def _follow(self) -> None:
        while not self._ended.wait(_REFRESH_SECONDS):
            with contextlib.suppress(ApiUnreachableError):  # the API server is busy: a node goes by what it knows
                self._write()

    def _write(self) -> None:
        addresses = self._endpoints()
        if not addresses and not self.file.exists():
            raise NotReadyError(f"{self.file.stem}: there is no ready endpoint to send requests to")
        fresh = self.file.with_suffix(".new")
        fresh.write_text("\n".join(addresses))
        fresh.rename(self.file)
