"""The client of the tests: a connection that the server closed while it was idle costs no request."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable

import pytest

from testbed import ApiClient, Testbed

pytestmark = pytest.mark.e2e

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


def _with_notice(connection: ssl.SSLSocket) -> None:
    with contextlib.suppress(OSError):
        connection.settimeout(0.1)
        connection.unwrap()
    connection.close()


def _without_notice(connection: ssl.SSLSocket) -> None:
    connection.shutdown(socket.SHUT_RDWR)
    connection.close()


def _by_reset(connection: ssl.SSLSocket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class _Closing:
    """Answers one request of each connection, then closes it in some way."""

    def __init__(self, context: ssl.SSLContext, close: Callable[[ssl.SSLSocket], None]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._context = context
        self._close = close
        self.address = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self._was_read = threading.Semaphore(0)
        self._closed = threading.Semaphore(0)
        threading.Thread(target=self._serve, daemon=True).start()

    def close_one(self) -> None:
        """Close the connection whose answer was read."""
        self._was_read.release()
        assert self._closed.acquire(timeout=10)

    def stop(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection = self._context.wrap_socket(self._listener.accept()[0], server_side=True)
                received = b""
                while b"\r\n\r\n" not in received:
                    received += connection.recv(4096)
                connection.sendall(_ANSWER)
                self._was_read.acquire()
                self._close(connection)
                self._closed.release()


@pytest.mark.parametrize("close", [_with_notice, _without_notice, _by_reset])
def test_a_connection_that_was_closed_while_idle(testbed: Testbed, close: Callable[[ssl.SSLSocket], None]) -> None:
    """However it was closed, the next request goes over another one."""
    hub = testbed.hub
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(hub.folder / "apiserver.crt", hub.folder / "apiserver.key")
    server = _Closing(context, close)
    client = ApiClient(server.address, str(hub.ca_file), "")
    try:
        for _ in range(20):
            assert client.request("GET", "/")[0] == 200
            server.close_one()
    finally:
        client.close()
        server.stop()
