"""One request in a worker thread, which the event loop can cut off."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from sluice.adapters.metrics.allowlist import Target


class CutOff(OSError):
    """The deadline passed while the request was under way."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, of bounded size."""

    status: int
    body: bytes


class Exchange:
    """The state that a request's thread and the event loop share.

    Timeouts of sockets start anew with each byte, so they cannot bound a request. `cut` can: it shuts the connection
    down under the thread, which then fails and is free.

    Attributes:
        target: what is asked.
        reply: set by the thread once there is one.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.reply: Reply | None = None
        self._lock = threading.Lock()
        self._handle: socket.socket | None = None
        self._is_cut = False

    def attach(self, connection: socket.socket) -> None:
        """Make this the connection that `cut` shuts down. Keeps a handle of its own, whatever TLS does to the socket.

        Raises:
            CutOff: it is too late.
        """
        handle = socket.fromfd(connection.fileno(), connection.family, connection.type)
        with self._lock:
            self._drop()
            if self._is_cut:
                handle.close()
                raise CutOff
            self._handle = handle

    def cut(self) -> None:
        """End the request. From any thread; harmless when it is over."""
        with self._lock:
            self._is_cut = True
            if self._handle is not None:
                with suppress(OSError):
                    self._handle.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Make this the calling thread's exchange."""
        _here.exchange = self
        try:
            if self._is_cut:
                raise CutOff
            yield
        finally:
            _here.exchange = None
            with self._lock:
                self._drop()

    def _drop(self) -> None:
        if self._handle is not None:
            self._handle.close()
            self._handle = None


class _Here(threading.local):
    exchange: Exchange | None = None


_here = _Here()


def current() -> Exchange:
    """The calling thread's exchange."""
    if _here.exchange is None:
        raise AssertionError("a request outside of an exchange")
    return _here.exchange
