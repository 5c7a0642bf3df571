"""The MetricProvider port over Prometheus' HTTP API."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from sluice.adapters.metrics.allowlist import AddressRefused, AllowList, Target
from sluice.adapters.metrics.client import AskFailed, PrometheusClient
from sluice.adapters.metrics.credentials import NOBODY, Credentials, CredentialsUnusable, Keyring, SecretLoader
from sluice.adapters.metrics.exchange import Exchange, Reply
from sluice.adapters.metrics.flights import Flights
from sluice.adapters.metrics.parsing import read_reply
from sluice.decide.model import Reading, ReadingKind
from sluice.errors import SluiceError

_log = logging.getLogger(__name__)

DEADLINE_SECONDS = 10.0
KEEP_SECONDS = 1.0
ATTEMPTS = 3
THREADS = 16
THREADS_PER_ADDRESS = 4
CLIENTS_MAX = 64
_AGAIN = frozenset({429, 502, 503, 504})
_UNAUTHORIZED = 401


class PrometheusProvider:
    """Asks Prometheus, and whatever speaks its API, off the event loop.

    A question takes at most `deadline_seconds`, with up to three attempts, waiting for its turn included; four
    questions at a time to one address, so that one that hangs starves no other. The same question at the same time, or
    within a second, is asked once. To be used within one event loop.

    Args:
        default_address: the operator's own Prometheus, if it has one.
        allowed: URL prefixes that objects in namespaces may name beside it.
        secret_loader: reads Secrets.
        default_secret: the Secret for the operator's own Prometheus, in the operator's namespace; used where a metric
            names neither an address nor a Secret.
        denied: (IP address, port) pairs that nobody may reach, such as the API server's.
        deadline_seconds: of one question.
        jitter: from 0 to 1, for the pauses between attempts.

    Raises:
        AddressRefused: the configuration names something that is not an address.
    """

    def __init__(
        self,
        default_address: str | None,
        allowed: Iterable[str],
        secret_loader: SecretLoader,
        *,
        default_secret: str | None = None,
        denied: Iterable[tuple[str, int]] = (),
        deadline_seconds: float = DEADLINE_SECONDS,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._addresses = AllowList(default_address, allowed, denied)
        self._keyring = Keyring(secret_loader)
        self._default_secret = default_secret
        self._deadline_seconds = deadline_seconds
        self._jitter = jitter
        self._flights: Flights[Reading] = Flights(KEEP_SECONDS)
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._clients: OrderedDict[tuple[str, Credentials], PrometheusClient] = OrderedDict()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="sluice-metrics")

    async def query(self, query: str, *, address: str | None, namespace: str, secret: str | None) -> Reading:
        """Ask one instant query; see the port."""
        try:
            target = self._addresses.target(address, namespaced=bool(namespace))
        except AddressRefused as refused:
            return _error(str(refused))
        holder = namespace
        if secret is None and target.is_default:
            holder, secret = "", self._default_secret
        key = (target.base, holder if secret else "", secret, query)
        return await self._flights.share(key, lambda: self._answer(target, holder, secret, query))

    async def close(self) -> None:
        """Cut off what is under way and free threads and connections."""
        await self._flights.close()
        await self._keyring.close()
        await asyncio.to_thread(self._threads.shutdown, wait=True, cancel_futures=True)
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    async def _answer(self, target: Target, holder: str, secret: str | None, query: str) -> Reading:
        """The port's promise: no exception gets out, and none stays without a word about which address it was."""
        try:
            async with asyncio.timeout(self._deadline_seconds):
                return _about(target, await self._ask(target, holder, secret, query))
        except TimeoutError:
            return _about(target, _error(f"no answer within {self._deadline_seconds:g} seconds"))
        except AskFailed as failed:
            return _about(target, _error(str(failed)))
        except (CredentialsUnusable, SluiceError) as unusable:
            return _error(str(unusable))
        except Exception as error:  # noqa: BLE001 - the port never raises: a bug here is no pass, and must end no run
            _log.exception("asking %s failed unexpectedly", target.base)
            return _about(target, _error(f"asking failed unexpectedly ({type(error).__name__})"))

    async def _ask(self, target: Target, holder: str, secret: str | None, query: str) -> Reading:
        if secret is None:
            return read_reply(await self._asked_patiently(target, NOBODY, query))
        credentials = await self._keyring.get(holder, secret)
        reply = await self._asked_patiently(target, credentials, query)
        if reply.status == _UNAUTHORIZED:
            self._keyring.forget(holder, secret)
            rotated = await self._keyring.get(holder, secret)
            if rotated != credentials:
                reply = await self._asked_patiently(target, rotated, query)
        return read_reply(reply)

    async def _asked_patiently(self, target: Target, credentials: Credentials, query: str) -> Reply:
        """Ask again, after a growing pause, where that may help. The caller's deadline bounds it."""
        for attempt in range(1, ATTEMPTS):
            try:
                reply = await self._asked_once(target, credentials, query)
            except AskFailed as failed:
                if not failed.retryable:
                    raise
            else:
                if reply.status not in _AGAIN:
                    return reply
            await asyncio.sleep(0.2 * 2**attempt * (0.5 + self._jitter()))
        return await self._asked_once(target, credentials, query)

    async def _asked_once(self, target: Target, credentials: Credentials, query: str) -> Reply:
        turn = self._turns.setdefault(target.base, asyncio.Semaphore(THREADS_PER_ADDRESS))
        async with turn:
            exchange = Exchange(target)
            client = self._client(target, credentials)
            try:
                return await asyncio.get_running_loop().run_in_executor(self._threads, client.ask, query, exchange)
            finally:
                exchange.cut()

    def _client(self, target: Target, credentials: Credentials) -> PrometheusClient:
        key = (target.base, credentials)
        client = self._clients.get(key)
        if client is None:
            client = self._clients[key] = PrometheusClient(target, credentials)
        self._clients.move_to_end(key)
        while len(self._clients) > CLIENTS_MAX:
            self._clients.popitem(last=False)[1].close()
        return client


def _about(target: Target, reading: Reading) -> Reading:
    """Say which address an error comes from; answers are about the query, not the address."""
    if reading.kind is not ReadingKind.ERROR or target.base in reading.message:
        return reading
    return _error(f"Prometheus at {target.base}: {reading.message}")


def _error(message: str) -> Reading:
    return Reading(ReadingKind.ERROR, message=message)
