"""One Prometheus as one asker sees it: `prometheus-api-client` over the guarded transport."""

from __future__ import annotations

import json
import ssl
import threading

import certifi
import requests
from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException
from urllib3.exceptions import NameResolutionError, ProtocolError
from urllib3.exceptions import TimeoutError as TransportTimeout
from urllib3.util.retry import Retry

from sluice.adapters.metrics.allowlist import AddressRefused, Target
from sluice.adapters.metrics.credentials import Credentials
from sluice.adapters.metrics.exchange import CutOff, Exchange, Reply
from sluice.adapters.metrics.transport import GuardedSession, ReplyRefused

CONNECT_SECONDS = 3.0
READ_SECONDS = 5.0


class AskFailed(Exception):
    """There is no reply. The message is fit for a user.

    Attributes:
        retryable: whether asking again at once may help.
    """

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable


class PrometheusClient:
    """Asks one address with one set of credentials, from any number of threads.

    The library is only trusted to form the request: its result drops the result's type and the warnings that tell
    partial data from whole, and turns errors into text. So the reply is taken from the session beneath it.
    """

    def __init__(self, target: Target, credentials: Credentials) -> None:
        self._target = target
        self._credentials = credentials
        self._lock = threading.Lock()
        self._session: GuardedSession | None = None
        self._connect: PrometheusConnect | None = None

    def ask(self, query: str, exchange: Exchange) -> Reply:
        """Ask one instant query. Blocks, at most until `exchange.cut`.

        Raises:
            AskFailed: no reply.
        """
        try:
            with exchange.under_way():
                self._connected().custom_query(query, params={"timeout": f"{READ_SECONDS:.0f}s"})
        except (PrometheusApiClientException, json.JSONDecodeError, LookupError, TypeError, RecursionError) as error:
            if exchange.reply is None:
                raise AskFailed(f"asking failed ({type(error).__name__})", retryable=False) from error
        except (AddressRefused, ReplyRefused) as error:
            raise AskFailed(str(error), retryable=False) from error
        except (requests.RequestException, TransportTimeout, ProtocolError, OSError, ValueError) as error:
            raise _failed(error) from error
        if exchange.reply is None:
            raise AskFailed("asking brought no reply", retryable=False)
        return exchange.reply

    def close(self) -> None:
        """Close all connections; a request under way keeps its own until it is over."""
        with self._lock:
            if self._session is not None:
                self._session.close()

    def _connected(self) -> PrometheusConnect:
        # Made in a worker thread, for reading the certificates of a TLS context takes a while.
        with self._lock:
            if self._connect is None:
                self._session = GuardedSession(self._tls())
                self._connect = PrometheusConnect(
                    url=self._target.base,
                    session=self._session,
                    retry=Retry(total=0),
                    auth=self._credentials.auth,
                    timeout=(CONNECT_SECONDS, READ_SECONDS),
                )
            return self._connect

    def _tls(self) -> ssl.SSLContext | None:
        if self._target.scheme != "https":
            return None
        ca = self._credentials.ca
        if ca is None:
            return ssl.create_default_context(cafile=certifi.where())
        try:
            return ssl.create_default_context(cadata=ca.decode("ascii"))
        except (ValueError, ssl.SSLError) as error:
            raise AskFailed("ca.crt in the Secret cannot be read as PEM", retryable=False) from error


def _failed(error: Exception) -> AskFailed:
    """Say what went wrong without the library's text, which can hold the URL and parts of the reply."""
    causes = tuple(_causes(error))
    if any(isinstance(cause, CutOff) for cause in causes):
        return AskFailed("the request was cut off", retryable=False)
    if any(isinstance(cause, NameResolutionError) for cause in causes):
        return AskFailed("its host cannot be resolved; check the name", retryable=True)
    if isinstance(error, requests.exceptions.SSLError):
        return AskFailed(
            "its certificate is not trusted; put the authority's certificate into the Secret as ca.crt", retryable=False
        )
    if isinstance(error, requests.Timeout | TransportTimeout):
        return AskFailed("it does not answer in time", retryable=True)
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return AskFailed("it refuses the connection", retryable=True)
    if isinstance(error, requests.ConnectionError | ProtocolError):
        return AskFailed("the connection broke", retryable=True)
    return AskFailed(f"asking failed ({type(error).__name__})", retryable=False)


def _causes(error: BaseException) -> list[BaseException]:
    """The error, what it was raised from, and what urllib3 keeps in its arguments."""
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting and len(found) < 20:
        one = waiting.pop()
        if one is None or one in found:
            continue
        found.append(one)
        kept = [argument for argument in one.args if isinstance(argument, BaseException)]
        reason = getattr(one, "reason", None)
        waiting += [one.__cause__, one.__context__, *kept, reason if isinstance(reason, BaseException) else None]
    return found
