"""The informer against a server that cuts, splits, forgets and refuses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from sluice.adapters.kube.watch import Informer
from sluice.api.names import Kind
from sluice.ports import Obj
from unit.adapters.kube.server import Server, serving


def service(name: str, version: int) -> Obj:
    """A Service."""
    return {"metadata": {"name": name, "resourceVersion": str(version)}}


def line(event: str, obj: Obj) -> bytes:
    """One watch event."""
    return json.dumps({"type": event, "object": obj}).encode() + b"\n"


class Script:
    """A server's answers: `lists` in turn (the last one again and again), and `watches` in turn, then silence.

    A watch is a status, or the chunks of a body.
    """

    def __init__(self, lists: list[Any], watches: list[Any]) -> None:
        self.lists = lists
        self.watches = watches
        self.versions: list[str] = []
        self.queries: list[dict[str, str]] = []
        self.listed = 0
        self._end = asyncio.Event()

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """Answer."""
        self.queries.append(dict(request.query))
        if "watch" not in request.query:
            answer = self.lists[min(self.listed, len(self.lists) - 1)]
            self.listed += 1
            return web.Response(status=answer) if isinstance(answer, int) else web.json_response(answer)
        self.versions.append(request.query["resourceVersion"])
        turn = self.watches.pop(0) if self.watches else None
        if isinstance(turn, int):
            return web.json_response({"message": "no", "code": turn}, status=turn)
        response = web.StreamResponse()
        await response.prepare(request)
        for chunk in turn or ():
            await response.write(chunk)
            await asyncio.sleep(0.01)
        if turn is None:
            await self._end.wait()
        return response

    def end(self) -> None:
        """End the watch that is silent."""
        self._end.set()


def listing(version: int, *names: str, more: str = "") -> dict[str, Any]:
    """An answer to LIST."""
    metadata = {"resourceVersion": str(version), **({"continue": more} if more else {})}
    return {"metadata": metadata, "items": [service(name, version) for name in names]}


class Watched:
    """An informer and what it told."""

    def __init__(self, server: Server) -> None:
        self.events: list[tuple[str, str]] = []
        self.lists: list[list[str]] = []
        self.informer = Informer(server.transport, Kind.SERVICE, self._event, self._list)

    def _event(self, event: str, obj: Obj) -> None:
        self.events.append((event, obj["metadata"]["name"]))

    def _list(self, objects: list[Obj]) -> None:
        self.lists.append([obj["metadata"]["name"] for obj in objects])


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """A server."""
    async with serving(tmp_path) as made:
        yield made


async def follow(server: Server, script: Script, done: Callable[[Watched], bool]) -> Watched:
    """Run an informer against a script until a condition holds."""
    server.handler = script
    watched = Watched(server)
    task = asyncio.create_task(watched.informer.run())
    async with asyncio.timeout(15.0):
        while not done(watched):  # noqa: ASYNC110 - what it looks at has no event
            await asyncio.sleep(0.002)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    script.end()
    return watched


async def test_events_split_over_chunks(server: Server) -> None:
    """Where the network cuts a line does not matter, nor that one chunk holds several."""
    body = line("ADDED", service("näme", 6)) + line("MODIFIED", service("b", 7)) + line("DELETED", service("a", 8))
    chunks = [body[:10], body[10:33], body[33:34], body[34:]]
    watched = await follow(server, Script([listing(5, "a")], [chunks]), lambda it: len(it.events) == 3)
    assert watched.lists == [["a"]]
    assert watched.events == [("ADDED", "näme"), ("MODIFIED", "b"), ("DELETED", "a")]


async def test_a_watch_that_ended_goes_on_where_it_was(server: Server) -> None:
    """The next watch starts from the last version seen, bookmarks included, without a list."""
    script = Script([listing(5)], [[line("ADDED", service("a", 6)), line("BOOKMARK", service("", 9))]])
    watched = await follow(server, script, lambda _: len(script.versions) == 2)
    assert script.versions == ["5", "9"]
    assert (len(watched.lists), watched.events) == (1, [("ADDED", "a")])


@pytest.mark.parametrize(
    "expired",
    [410, [line("ERROR", {"code": 410, "message": "too old resource version"})]],
    ids=["refused", "told in the stream"],
)
async def test_an_expired_version_is_listed_anew(server: Server, expired: Any) -> None:
    """What was deleted while nobody watched is missing from the new list: the cache learns that it is gone."""
    script = Script([listing(5, "a", "ghost"), listing(50, "a")], [expired])
    watched = await follow(server, script, lambda it: len(it.lists) == 2 and len(script.versions) == 2)
    assert watched.lists == [["a", "ghost"], ["a"]]
    assert script.versions == ["5", "50"]


async def test_another_error_in_the_stream(server: Server) -> None:
    """An error of the server's leads to a new list, after a pause, and is told meanwhile."""
    broken = [line("ERROR", {"code": 500, "message": "etcd is away"})]
    script = Script([listing(5, "a"), listing(6, "a")], [broken])
    watched = await follow(server, script, lambda it: len(it.lists) == 2)
    assert watched.informer.problem == ""


async def test_a_kind_that_is_not_there_yet(server: Server) -> None:
    """404 and 403 are waited out: the CRD or the role may come."""
    script = Script([404, 403, 503, listing(5, "a")], [])
    watched = await follow(server, script, lambda it: it.informer.synced)
    assert watched.lists == [["a"]]


async def test_nonsense_in_the_stream(server: Server) -> None:
    """A line that is not JSON ends the watch; the next one goes on."""
    script = Script([listing(5)], [[b"<html>\n"], [line("ADDED", service("a", 6))]])
    watched = await follow(server, script, lambda it: bool(it.events))
    assert watched.events == [("ADDED", "a")]


async def test_pages_are_put_together(server: Server) -> None:
    """A list of several pages is one list; a token that grew too old between two begins it anew."""
    first, second = listing(5, "a", more="t"), listing(5, "b")
    script = Script([first, 410, first, second], [])
    watched = await follow(server, script, lambda it: it.informer.synced)
    assert watched.lists == [["a", "b"]]


async def test_a_watch_that_ends_at_once_is_not_a_busy_loop(server: Server) -> None:
    """A server that ends every watch right away is asked again with growing pauses."""
    script = Script([listing(5)], [[] for _ in range(1000)])
    await follow(server, script, lambda _: len(script.versions) >= 3)
    assert len(script.versions) < 20


async def test_only_what_is_selected_is_asked_for(server: Server) -> None:
    """The selector is in the list and in the watch; of what is listed, no more is kept than is wanted."""
    script = Script([listing(5, "a")], [[line("ADDED", service("b", 6))]])
    server.handler = script
    lists: list[list[Obj]] = []
    events: list[Obj] = []
    informer = Informer(
        server.transport,
        Kind.SERVICE,
        lambda _, obj: events.append(obj),
        lists.append,
        selectors={"labelSelector": "app"},
        keep=lambda obj: {"name": obj["metadata"]["name"]},
    )
    task = asyncio.create_task(informer.run())
    async with asyncio.timeout(8.0):
        while not events:  # noqa: ASYNC110 - what it looks at has no event
            await asyncio.sleep(0.002)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    script.end()
    assert lists == [[{"name": "a"}]]
    assert {query["labelSelector"] for query in script.queries} == {"app"}
    assert informer.version == "6"
