"""A small asyncio client of one API server, for the benchmarks' own hands and eyes: requests and watches."""

from __future__ import annotations

import asyncio
import ssl
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, Self

import aiohttp
import orjson

Obj = dict[str, Any]
Test = Callable[[Obj], bool]
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
CORE = "/api/v1"
GATEWAY = "/apis/gateway.networking.k8s.io/v1"
SLUICE = "/apis/sluice.dev/v1alpha1"
_KEEPALIVE_SECONDS = 80.0
_LIST_SECONDS = 20.0


class ApiError(Exception):
    """The API server answered with 400 or more."""


class NotYetError(ApiError):
    """429: among others, the storage of a kind whose CRD is new is being prepared."""


class Api:
    """Requests as the bearer of one token. Use it with `async with`."""

    def __init__(self, server: str, ca_file: str, token: str, *, connections: int = 32) -> None:
        self._server = server
        self._ca_file = ca_file
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None
        self._turns = asyncio.Semaphore(connections)

    async def __aenter__(self) -> Self:
        tls = ssl.create_default_context(cafile=self._ca_file)
        connector = aiohttp.TCPConnector(limit=0, ssl=tls, keepalive_timeout=_KEEPALIVE_SECONDS)
        self._session = aiohttp.ClientSession(connector=connector, headers=self._headers)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()

    @property
    def session(self) -> aiohttp.ClientSession:
        """The open session."""
        if self._session is None:
            raise RuntimeError("use `async with Api(...)`")
        return self._session

    async def send(self, method: str, path: str, body: object = None, content_type: str = "application/json") -> bytes:
        """One request, as soon as there is a connection for it.

        Raises:
            ApiError: with the server's words.
        """
        data = body if isinstance(body, bytes | None) else orjson.dumps(body)
        async with (
            self._turns,
            self.session.request(
                method, self._server + path, data=data, headers={"Content-Type": content_type}
            ) as response,
        ):
            answer = await response.read()
            if response.status >= 400:
                kind = NotYetError if response.status == 429 else ApiError
                raise kind(f"{method} {path}: {response.status}: {answer[:500].decode(errors='replace')}")
            return answer

    async def json(self, method: str, path: str, body: object = None, content_type: str = "application/json") -> Any:
        """Like `send`, with the answer decoded."""
        return orjson.loads(await self.send(method, path, body, content_type))

    async def merge(self, path: str, body: object) -> Obj:
        """A merge patch."""
        answer: Obj = await self.json("PATCH", path, body, MERGE_PATCH)
        return answer

    async def create_all(self, objects: Iterable[tuple[str, Obj]]) -> None:
        """POST each object to its collection's path."""
        await asyncio.gather(*(self.send("POST", path, obj) for path, obj in objects))

    async def warm(self) -> None:
        """Open every connection."""
        await asyncio.gather(*(self.send("GET", "/version") for _ in range(self._connections)))

    async def events(self, path: str, version: str, take: Callable[[str, Obj], None]) -> None:
        """Watch from a version on until the server ends it."""
        params = {"watch": "1", "resourceVersion": version, "timeoutSeconds": "3600"}
        timeout = aiohttp.ClientTimeout(total=None)
        async with self.session.get(self._server + path, params=params, timeout=timeout) as response:
            if response.status != 200:
                raise ApiError(f"watch {path}: {response.status}")
            rest = b""
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    event = orjson.loads(line)
                    take(event["type"], event["object"])


def key(obj: Obj) -> str:
    """`<namespace>/<name>`."""
    metadata = obj["metadata"]
    return f"{metadata.get('namespace', '')}/{metadata['name']}"


class Goal:
    """What a watch is to see: when the last of some objects came to satisfy a test."""

    def __init__(self, what: str, test: Test, pending: set[str]) -> None:
        self._what = what
        self._test = test
        self._pending = pending
        self._reached: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        if not pending:
            self._reached.set_result(time.monotonic())

    def see(self, name: str, obj: Obj) -> None:
        """An object changed."""
        if name in self._pending and self._test(obj):
            self._pending.discard(name)
            if not self._pending and not self._reached.done():
                self._reached.set_result(time.monotonic())

    async def at(self, seconds: float) -> float:
        """The monotonic time at which it was reached.

        Raises:
            RuntimeError: it was not, within so many seconds.
        """
        try:
            return await asyncio.wait_for(asyncio.shield(self._reached), seconds)
        except TimeoutError:
            some = ", ".join(sorted(self._pending)[:3])
            raise RuntimeError(f"waited {seconds:g} s for {self._what}; not yet: {some}") from None


class Watch:
    """Sees one kind's objects, in `objects` by `<namespace>/<name>`."""

    def __init__(self, api: Api, path: str) -> None:
        self.objects: dict[str, Obj] = {}
        self.heard_at = time.monotonic()
        self._api = api
        self._path = path
        self._version = ""
        self._goals: list[Goal] = []
        self._listeners: list[Callable[[Obj], None]] = []
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> Self:
        """List, then watch until `stop`."""
        listed = await self._list()
        self.objects = {key(obj): obj for obj in listed["items"]}
        self._version = listed["metadata"]["resourceVersion"]
        self._task = asyncio.create_task(self._follow())
        return self

    async def _follow(self) -> None:
        """The server may end a watch, or be too busy to go on with it: another takes over where it ended."""
        while True:
            try:
                await self._api.events(self._path, self._version, self._take)
            except (ApiError, aiohttp.ClientError) as error:
                print(f"the watch of {self._path} broke and is opened again: {error!r}", file=sys.stderr, flush=True)
                await asyncio.sleep(0.1)

    async def _list(self) -> Obj:
        deadline = time.monotonic() + _LIST_SECONDS
        while True:
            try:
                listed: Obj = await self._api.json("GET", self._path)
            except NotYetError:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.5)
            else:
                return listed

    def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()

    def listen(self, listener: Callable[[Obj], None]) -> None:
        """Be told of every object that is added or changed."""
        self._listeners.append(listener)

    def expect(self, what: str, test: Test, names: Iterable[str]) -> Goal:
        """Begin to look out, before whatever is to bring it about."""
        pending = {name for name in names if name not in self.objects or not test(self.objects[name])}
        goal = Goal(what, test, pending)
        self._goals = [known for known in self._goals if known._pending] + [goal]  # noqa: SLF001 - of this module
        return goal

    async def until(self, what: str, test: Test, names: Iterable[str], seconds: float = 30.0) -> float:
        """Wait until every object satisfies the test."""
        return await self.expect(what, test, names).at(seconds)

    def _take(self, event: str, obj: Obj) -> None:
        self.heard_at = time.monotonic()
        if event == "ERROR":
            raise ApiError(f"watch {self._path}: {obj.get('message')}")
        self._version = obj["metadata"]["resourceVersion"]
        name = key(obj)
        if event == "DELETED":
            self.objects.pop(name, None)
            return
        self.objects[name] = obj
        for goal in self._goals:
            goal.see(name, obj)
        for listener in self._listeners:
            listener(obj)


async def quiet(watches: Iterable[Watch], seconds: float = 0.3, at_most: float = 20.0) -> None:
    """Wait until nothing has been heard on any of the watches for so long."""
    watches = list(watches)
    deadline = time.monotonic() + at_most
    while (now := time.monotonic()) < deadline:
        left = max(watch.heard_at for watch in watches) + seconds - now
        if left <= 0:
            return
        await asyncio.sleep(left)
