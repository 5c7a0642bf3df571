"""How a query travels: `requests` under `prometheus-api-client`, with its freedoms taken away.

No proxies, `.netrc` or variables of the environment; no redirects; no retries (the provider has its own); no compressed
replies, and none above `REPLY_MAX_BYTES`; connections only to addresses that the target allows, checked after they are
resolved.
"""

from __future__ import annotations

import io
import socket
import ssl
from typing import Any
from urllib.parse import urlencode

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NameResolutionError, NewConnectionError
from urllib3.util.connection import create_connection

from sluice.adapters.metrics.allowlist import AddressRefused
from sluice.adapters.metrics.exchange import Reply, current

REPLY_MAX_BYTES = 1024 * 1024
ADDRESSES_MAX = 3  # of one host that are tried
CONNECTIONS_MAX = 16  # kept open
# Of parameters: proxies between take no more than 8 KiB, and a query may name thousands of clusters.
URL_MAX_BYTES = 4096


class ReplyRefused(Exception):
    """The reply cannot be used. Asking again would bring the same."""


class GuardedSession(requests.Session):
    """A session that leaves its one reply in the thread's exchange.

    Args:
        tls: for https; verifies the server. None for http.
    """

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        super().__init__()
        self.trust_env = False
        self.headers["Accept-Encoding"] = "identity"
        self.headers["User-Agent"] = "sluice"
        self._adapter = _GuardedAdapter(tls)

    def get_adapter(self, url: str | bytes) -> HTTPAdapter:  # noqa: ARG002 - the library mounts its own for the URL
        """The guarded adapter, whatever was mounted."""
        return self._adapter

    def request(self, method: str | bytes, url: str | bytes, **options: Any) -> requests.Response:  # type: ignore[override]
        """Ask, and read the whole reply, bounded. Parameters that are too long for a URL go as a form.

        Raises:
            ReplyRefused: too large, or compressed.
        """
        options.update(allow_redirects=False, stream=True)
        if len(urlencode(options.get("params") or {})) > URL_MAX_BYTES:
            method, options["data"] = "POST", options.pop("params")
        with super().request(method, url, **options) as response:
            body = _read(response)
        current().reply = Reply(response.status_code, body)
        whole = requests.Response()
        whole.status_code, whole.headers, whole.url = response.status_code, response.headers, response.url
        whole.raw = io.BytesIO(body)
        return whole

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002 - wherever it points
        """Nowhere: to prepare a redirect, even one that is not followed, the library reads its body without bounds."""
        return None

    def close(self) -> None:
        """Close all connections."""
        super().close()
        self._adapter.close()


def _read(response: requests.Response) -> bytes:
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise ReplyRefused("the reply is compressed, though that was not asked for")
    chunks, size = [], 0
    while chunk := response.raw.read(64 * 1024, decode_content=False):
        size += len(chunk)
        if size > REPLY_MAX_BYTES:
            raise ReplyRefused(f"the reply is larger than {REPLY_MAX_BYTES // 1024} KiB; aggregate the query")
        chunks.append(chunk)
    return b"".join(chunks)


class _GuardedAdapter(HTTPAdapter):
    """Connects through `_Guarded` connections, with a TLS context of its own."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self._tls = tls
        super().__init__(max_retries=0)

    def init_poolmanager(self, *_: Any, **__: Any) -> None:
        """Make the pools of guarded connections."""
        self.poolmanager = PoolManager(num_pools=1, ssl_context=self._tls, maxsize=CONNECTIONS_MAX)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}

    def cert_verify(self, *_: Any, **__: Any) -> None:
        """Nothing: the context verifies, and trusts nobody beside its own authorities."""

    def get_connection_with_tls_context(self, *_: Any, **__: Any) -> HTTPConnectionPool:
        """The pool for the exchange's target."""
        target = current().target
        pool: HTTPConnectionPool = self.poolmanager.connection_from_host(target.host, target.port, target.scheme)
        return pool


class _Guarded(HTTPConnection):
    """Resolves by itself, connects only to what the target allows, and tells the exchange its socket."""

    def _new_conn(self) -> socket.socket:
        failure: OSError | None = None
        for address in self._allowed_addresses():
            try:
                connection = create_connection((address, self.port), self.timeout, None, self.socket_options)
            except OSError as error:
                failure = error
                continue
            try:
                current().attach(connection)
            except BaseException:
                connection.close()  # cut off while it was being made: nobody else knows of it yet
                raise
            return connection
        raise NewConnectionError(self, "no address of the host accepts connections") from failure

    def _allowed_addresses(self) -> list[str]:
        try:
            found = socket.getaddrinfo(self._dns_host, self.port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError) as error:
            gaierror = error if isinstance(error, socket.gaierror) else socket.gaierror(str(error))
            raise NameResolutionError(self.host, self, gaierror) from error
        addresses = list(dict.fromkeys(str(info[4][0]) for info in found))
        for address in addresses:
            refusal = current().target.refusal(address)
            if refusal is not None:
                raise AddressRefused(f"{current().target.base} leads to {refusal}, which metrics cannot come from")
        return addresses[:ADDRESSES_MAX]

    def request(self, *args: Any, **options: Any) -> None:
        if self.sock is not None:
            current().attach(self.sock)
        super().request(*args, **options)


class _GuardedTLS(_Guarded, HTTPSConnection):
    """The same with TLS."""


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _Guarded


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _GuardedTLS
