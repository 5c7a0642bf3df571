"""The HTTP connections to one API server: a pool for each lane, one more for watches.

Kill writes have connections of their own, so no burst of other requests is ahead of them; and while one is on its
way, other writes wait (see `KillPriority`).
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Protocol, Self

import aiohttp
from aiohttp.abc import AbstractResolver

from sluice import __version__
from sluice.adapters.kube.failures import failure_of
from sluice.adapters.kube.priority import KillPriority
from sluice.api.names import Kind
from sluice.errors import BadAnswer, Unavailable
from sluice.ports import Guard, Lane

NORMAL_CONNECTIONS = 32
# All of them are open before a kill needs them. More would each begin with a TLS handshake, which costs both ends more
# than several patches do: with 64, two hundred kills took three times as long.
KILL_CONNECTIONS = 16

_LONGEST_REQUEST_SECONDS = 60.0
_KEEPALIVE_SECONDS = 88.0  # the API server closes idle connections after 90; a Lease is renewed 16 times in 80

# Before these versions, TLS connections whose peer is slow to say goodbye stay open; aiohttp knows how to end them.
CLOSES_LATE = sys.version_info < (3, 12, 8) or (3, 13) <= sys.version_info < (3, 13, 1)

JSON = "application/json"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"  # JSON is YAML


@dataclass(frozen=True, slots=True)
class Timeouts:
    """In seconds. A kill gives up sooner: it is tried again, on another connection."""

    connect: float = 3.0
    normal: float = 10.0
    kill: float = 5.0
    list_page: float = 30.0


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes:
        what: in words, for messages, such as `patch HTTPRoute shop/checkout`.
        kind: for the counters.
        guard: asked when nothing is left to wait for but the network; raises to send nothing.
        seconds: total timeout; 0 is the lane's.
    """

    method: str
    path: str
    what: str
    kind: str
    body: bytes | None = None
    content_type: str = JSON
    params: Mapping[str, str] | None = None
    lane: Lane = Lane.NORMAL
    guard: Guard | None = None
    seconds: float = 0.0

    @property
    def writes(self) -> bool:
        """Whether it may change anything."""
        return self.method != "GET"


class RequestLabels(NamedTuple):
    """What requests are counted by. `status` is the HTTP status, or `error` where no answer came."""

    verb: str
    kind: str
    lane: str
    status: str


class Identity(Protocol):
    """Who we are to one API server, and how we know that it is the right one."""

    @property
    def server(self) -> str:
        """Base URL without a trailing slash."""
        ...

    @property
    def proxy(self) -> str | None:
        """URL of the proxy to go through."""
        ...

    @property
    def tls(self) -> ssl.SSLContext | None:
        """How connections are protected; None for http."""
        ...

    async def authorization(self) -> str | None:
        """The value of the Authorization header; None where a client certificate is all."""
        ...

    def reject(self) -> None:
        """The server answered 401."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What one API server may take of this process.

    Attributes:
        connections: of the normal lane.
        kill_connections: of the kill lane.
        reply_bytes: the largest answer that is read; 0 for any.
        resolver: turns its host into IP addresses; None for the system's way.
    """

    connections: int = NORMAL_CONNECTIONS
    kill_connections: int = KILL_CONNECTIONS
    reply_bytes: int = 0
    resolver: AbstractResolver | None = None


class Wire(Protocol):
    """What sends requests to one API server, and opens watches there: a `Transport`, or what guards one."""

    async def send(self, request: Request) -> bytes:
        """See `Transport.send`."""
        ...

    def stream(
        self, path: str, params: Mapping[str, str], what: str, *, idle_seconds: float
    ) -> contextlib.AbstractAsyncContextManager[aiohttp.StreamReader]:
        """See `Transport.stream`."""
        ...


class Transport:
    """Sends requests to one API server. Use it within one event loop; `close` it there, or use `async with`.

    Attributes:
        requests: finished requests.
        seconds: time spent in them, from the first wait to the last byte.
    """

    def __init__(
        self,
        credentials: Identity,
        *,
        name: str = "hub",
        timeouts: Timeouts | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.name = name
        self.credentials = credentials
        self.requests: Counter[RequestLabels] = Counter()
        self.seconds: defaultdict[RequestLabels, float] = defaultdict(float)
        self._timeouts = timeouts or Timeouts()
        self._limits = limits or Limits()
        self._priority = KillPriority()
        self._turns = {
            Lane.NORMAL: asyncio.Semaphore(self._limits.connections),
            Lane.KILL: asyncio.Semaphore(self._limits.kill_connections),
        }
        self._sessions: dict[Lane | None, aiohttp.ClientSession] = {}
        self._left: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Nothing to do: sessions are opened when they are first used."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()

    async def close(self) -> None:
        """End every connection. Requests under way fail with Unavailable."""
        sessions, self._sessions = self._sessions, {}
        left, self._left = self._left, set()
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        for session in sessions.values():
            await session.close()
        for _ in range(2):  # the event loop closes aborted sockets in its next rounds
            await asyncio.sleep(0)

    async def send(self, request: Request) -> bytes:
        """Send one request and return the body of a successful answer.

        Raises:
            SluiceError: see `failures.failure_of`; Unavailable where no answer came. Or what the guard raises.
        """
        loop = asyncio.get_running_loop()
        started_at, status = loop.time(), "error"
        try:
            async with self._turn(request):
                answer = await self._exchange(request)
                status = str(answer.status)
        finally:
            labels = RequestLabels(request.method.lower(), request.kind, request.lane.value, status)
            self.requests[labels] += 1
            self.seconds[labels] += loop.time() - started_at
        if 200 <= answer.status < 300:
            return answer.body
        if answer.status == 401:
            self.credentials.reject()
        raise failure_of(
            answer.status, answer.headers, answer.body, request.what, json_patch=request.content_type == JSON_PATCH
        )

    @contextlib.asynccontextmanager
    async def stream(
        self, path: str, params: Mapping[str, str], what: str, *, idle_seconds: float
    ) -> AsyncIterator[aiohttp.StreamReader]:
        """Open a watch and give its body; it ends with an error when nothing comes for `idle_seconds`.

        Raises:
            SluiceError: as `send`.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._timeouts.connect, sock_read=idle_seconds)
        headers = await self._headers(JSON, has_body=False)
        try:
            async with self._session(None).get(
                self.credentials.server + path, params=params, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                if response.status != 200:
                    if response.status == 401:
                        self.credentials.reject()
                    raise failure_of(response.status, response.headers, await response.read(), what)
                yield response.content
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"{what}: {_no_answer(error)}") from error

    async def warm(self, connections: int = KILL_CONNECTIONS) -> None:
        """Open the connections of the kill lane, so that a kill waits for no TLS handshake. Best effort.

        Each request takes the connection that was idle longest, so what goes through the lane now and then (the Lease's
        renewals do) keeps all of them open.
        """
        await asyncio.gather(*(self._touch() for _ in range(connections)))

    @property
    def is_crowded_by_kills(self) -> bool:
        """Whether what goes through the lane of kills would have to wait for its turn."""
        return self._turns[Lane.KILL].locked()

    def renew_kills(self) -> None:
        """Give the kills to come turns and connections of their own. Those under way may hang; they are left to end."""
        self._turns[Lane.KILL] = asyncio.Semaphore(self._limits.kill_connections)
        session = self._sessions.pop(Lane.KILL, None)
        if session is not None:
            leaving = asyncio.create_task(_close_later(session), name="leave connections of kills")
            self._left.add(leaving)
            leaving.add_done_callback(self._left.discard)

    async def _touch(self) -> None:
        # What the answer is does not matter, only that a connection is open after it.
        request = Request("GET", "/version", "read the version", "Version", lane=Lane.KILL)
        with contextlib.suppress(Unavailable):
            await self._exchange(request)

    @contextlib.asynccontextmanager
    async def _turn(self, request: Request) -> AsyncIterator[None]:
        """Wait until the request may be sent. The pools' own queues stay empty: whoever has a turn has a connection.

        The Lease's one small write waits for no turn: thousands of queued kills must not cost the right to write them.
        """
        if request.kind == Kind.LEASE and request.lane is Lane.KILL:
            yield
            return
        if request.lane is Lane.KILL and request.writes:
            with self._priority.kill():
                async with self._turns[Lane.KILL]:
                    yield
            return
        async with self._turns[request.lane]:
            if request.writes:
                await self._priority.give_way()
            yield

    async def _exchange(self, request: Request) -> _Answer:
        """Send and read. A connection that the server closed while it was idle is replaced by another, once.

        A patch that did take effect before its connection broke is refused the second time, or changes nothing:
        patches test what they rest on, and set values; an apply says what shall be there. A POST is left to its caller.
        """
        try:
            return await self._attempt(request)
        except _BROKEN as error:
            if request.method == "POST":
                raise Unavailable(f"{request.what}: {_no_answer(error)}") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"{request.what}: {_no_answer(error)}") from error
        try:
            return await self._attempt(request)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"{request.what}: {_no_answer(error)}") from error

    async def _attempt(self, request: Request) -> _Answer:
        headers = await self._headers(request.content_type, has_body=request.body is not None)
        if request.guard is not None:
            request.guard()
        usual = self._timeouts.kill if request.lane is Lane.KILL else self._timeouts.normal
        async with self._session(request.lane).request(
            request.method,
            self.credentials.server + request.path,
            params=request.params,
            data=request.body,
            headers=headers,
            timeout=aiohttp.ClientTimeout(
                total=request.seconds or usual, sock_connect=max(self._timeouts.connect, request.seconds)
            ),
            allow_redirects=False,
        ) as response:
            return _Answer(response.status, response.headers, await self._read(response, request.what))

    async def _read(self, response: aiohttp.ClientResponse, what: str) -> bytes:
        """The body, up to the limit.

        Raises:
            BadAnswer: it is larger.
        """
        limit = self._limits.reply_bytes
        if not limit:
            return await response.read()
        chunks, size = [], 0
        async for chunk in response.content.iter_any():
            chunks.append(chunk)
            size += len(chunk)
            if size > limit:
                response.close()
                raise BadAnswer(f"{what}: the answer is larger than {limit // 1024} KiB")
        return b"".join(chunks)

    async def _headers(self, content_type: str, *, has_body: bool) -> dict[str, str]:
        headers = {"Content-Type": content_type} if has_body else {}
        authorization = await self.credentials.authorization()
        if authorization:
            headers["Authorization"] = authorization
        return headers

    def _session(self, lane: Lane | None) -> aiohttp.ClientSession:
        """The session of a lane; of watches for None. Opened late, because it belongs to the running loop."""
        session = self._sessions.get(lane)
        if session is None:
            limits = {Lane.NORMAL: self._limits.connections, Lane.KILL: self._limits.kill_connections + 1, None: 0}
            tls: ssl.SSLContext | bool = self.credentials.tls or True
            connector = aiohttp.TCPConnector(
                limit=limits[lane],
                ssl=tls,
                resolver=self._limits.resolver,
                keepalive_timeout=_KEEPALIVE_SECONDS,
                enable_cleanup_closed=CLOSES_LATE,
            )
            session = self._sessions[lane] = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                # The network inside a cluster is quicker than compressing on one side and expanding on the other.
                headers={"Accept": JSON, "Accept-Encoding": "identity", "User-Agent": f"sluice/{__version__}"},
                proxy=self.credentials.proxy,
            )
        return session


async def _close_later(session: aiohttp.ClientSession) -> None:
    try:
        await asyncio.sleep(_LONGEST_REQUEST_SECONDS)
    finally:
        await session.close()


class _Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


_BROKEN = (aiohttp.ServerDisconnectedError, ConnectionResetError, BrokenPipeError)


def _no_answer(error: BaseException) -> str:
    detail = str(error)[:200]
    return f"no answer from the API server ({type(error).__name__}{': ' + detail if detail else ''})"
