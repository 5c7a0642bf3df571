"""The connections to an API server: lanes, timeouts, and what happens when things break."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from sluice.adapters.kube.client import AlwaysLeader, KubeCluster
from sluice.adapters.kube.credentials import Credentials
from sluice.adapters.kube.priority import KillPriority
from sluice.adapters.kube.transport import RequestLabels, Timeouts
from sluice.api.names import Kind
from sluice.errors import NotLeader, Unavailable
from sluice.ports import Lane
from unit.adapters.kube.server import Gate, Server, serving

PATIENT = Timeouts(connect=60.0, normal=60.0, kill=60.0)  # longer than any test
OPERATIONS = [{"op": "add", "path": "/metadata/labels", "value": {}}]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """A server that answers `{}`."""
    async with serving(tmp_path, PATIENT) as made:
        yield made


@pytest.fixture
def cluster(server: Server) -> KubeCluster:
    """A cluster over it."""
    return KubeCluster(server.transport, AlwaysLeader())


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, for up to a quarter of a minute."""
    async with asyncio.timeout(15.0):
        while not condition():  # noqa: ASYNC110 - what it looks at has no event
            await asyncio.sleep(0.001)


async def test_what_is_sent(server: Server, cluster: KubeCluster) -> None:
    """Each request tells who asks and what it accepts; patches name their kind and the field manager."""
    await cluster.patch_json(Kind.SERVICE, "shop", "web", OPERATIONS)
    assert server.asked == ["PATCH /api/v1/namespaces/shop/services/web"]
    headers = server.headers[0]
    assert headers["Authorization"] == "Bearer secret"
    assert headers["Content-Type"] == "application/json-patch+json"
    assert headers["User-Agent"].startswith("sluice/")
    assert server.bodies == [OPERATIONS]


@pytest.mark.parametrize("dry_run", [False, True])
async def test_what_an_apply_sends(server: Server, cluster: KubeCluster, dry_run: bool) -> None:
    """The whole object with what and where it is, by force, as our manager; the caller's body stays as it was."""
    queries: list[dict[str, str]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        queries.append(dict(request.query))
        return web.json_response({})

    server.handler = answer
    body = {"metadata": {"uid": "u"}, "spec": {"selector": {"a": "b"}}}
    await cluster.apply(Kind.SERVICE, "shop", "web", body, dry_run=dry_run)
    assert server.asked == ["PATCH /api/v1/namespaces/shop/services/web"]
    assert server.headers[0]["Content-Type"] == "application/apply-patch+yaml"
    metadata = {"uid": "u", "namespace": "shop", "name": "web"}
    assert server.bodies == [{"apiVersion": "v1", "kind": "Service", **body, "metadata": metadata}]
    dry = {"dryRun": "All"} if dry_run else {}
    assert queries == [{"fieldManager": "sluice", "force": "true", **dry}]
    assert body["metadata"] == {"uid": "u"}


async def test_requests_are_counted(server: Server, cluster: KubeCluster) -> None:
    """By verb, kind, lane and answer."""
    await cluster.get(Kind.SERVICE, "shop", "web")
    await cluster.patch_json(Kind.SERVICE, "shop", "web", OPERATIONS, lane=Lane.KILL)
    assert server.transport.requests == {
        RequestLabels("get", "Service", "normal", "200"): 1,
        RequestLabels("patch", "Service", "kill", "200"): 1,
    }


async def test_redirects_are_not_followed(server: Server, cluster: KubeCluster) -> None:
    """A redirect would take our token elsewhere."""

    async def redirect(request: web.Request) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": "/elsewhere"})

    server.handler = redirect
    with pytest.raises(Unavailable, match="307"):
        await cluster.get(Kind.SERVICE, "shop", "web")
    assert len(server.asked) == 1


async def test_a_server_that_hangs(tmp_path: Path) -> None:
    """A request has an end, and the error names it."""
    gate = Gate()

    async def hang(request: web.Request) -> web.StreamResponse:
        await gate.hold()
        return web.json_response({})

    async with serving(tmp_path, replace(PATIENT, normal=0.5)) as server:
        server.handler = hang
        with pytest.raises(Unavailable, match="get Service shop/web: no answer"):
            await KubeCluster(server.transport, AlwaysLeader()).get(Kind.SERVICE, "shop", "web")
        gate.open()


async def test_a_broken_connection_is_replaced_once(server: Server, cluster: KubeCluster) -> None:
    """A patch on a connection that the server just closed is sent again; a create is left to its caller."""

    async def break_first(request: web.Request) -> web.StreamResponse:
        if len(server.asked) == 1:
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({})

    server.handler = break_first
    await cluster.patch_json(Kind.SERVICE, "shop", "web", OPERATIONS)
    assert len(server.asked) == 2
    server.asked.clear()
    with pytest.raises(Unavailable):
        await cluster.create(Kind.SERVICE, "shop", {"metadata": {"name": "web"}})
    assert len(server.asked) == 1


async def test_nothing_is_written_without_leadership(server: Server) -> None:
    """Every write asks, reads do not."""

    class Follower:
        def check(self) -> None:
            raise NotLeader("no")

    cluster = KubeCluster(server.transport, Follower())
    for write in (
        cluster.create(Kind.SERVICE, "shop", {"metadata": {"name": "web"}}),
        cluster.patch_json(Kind.SERVICE, "shop", "web", OPERATIONS, lane=Lane.KILL),
        cluster.patch_merge(Kind.SERVICE, "shop", "web", {}),
        cluster.delete(Kind.SERVICE, "shop", "web", uid="1"),
    ):
        with pytest.raises(NotLeader):
            await write
    await cluster.get(Kind.SERVICE, "shop", "web")
    assert server.asked == ["GET /api/v1/namespaces/shop/services/web"]


async def test_kills_pass_a_full_pool(server: Server, cluster: KubeCluster) -> None:
    """While every normal connection is taken by requests that hang, a kill is answered at once."""
    gate = Gate()

    async def hang_reads(request: web.Request) -> web.StreamResponse:
        if request.method == "GET":
            await gate.hold()
        return web.json_response({})

    server.handler = hang_reads
    reads = [asyncio.create_task(cluster.get(Kind.SERVICE, "shop", f"web-{number}")) for number in range(80)]
    await until(lambda: gate.waiting == 32)
    async with asyncio.timeout(15.0):  # no read ends before the gate is open
        await cluster.patch_json(Kind.SERVICE, "shop", "web", OPERATIONS, lane=Lane.KILL)
    gate.open()
    await asyncio.gather(*reads)


async def test_other_writes_wait_for_kills(server: Server, cluster: KubeCluster) -> None:
    """While a kill is on its way other writes are held back, and asked for their guard only afterwards."""
    gate = Gate()

    async def hang_kills(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("killed"):
            await gate.hold()
        return web.json_response({})

    server.handler = hang_kills
    asked: list[int] = []
    kill = asyncio.create_task(cluster.patch_json(Kind.SERVICE, "shop", "killed", OPERATIONS, lane=Lane.KILL))
    await until(lambda: gate.waiting == 1)
    other = asyncio.create_task(
        cluster.patch_json(Kind.SERVICE, "shop", "other", OPERATIONS, guard=lambda: asked.append(len(server.asked)))
    )
    await cluster.get(Kind.SERVICE, "shop", "read")  # reads are not held back
    assert asked == []
    gate.open()
    await asyncio.gather(kill, other)
    assert [line.rpartition("/")[2] for line in server.asked] == ["killed", "read", "other"]
    assert asked == [2]


async def test_a_kill_that_hangs_freezes_nobody() -> None:
    """Other writes wait for a bounded time only."""
    priority = KillPriority(max_wait_seconds=0.05)
    with priority.kill():
        async with asyncio.timeout(15.0):
            await priority.give_way()
    await priority.give_way()


async def test_warming_opens_connections(server: Server) -> None:
    """After warming, the kill lane's first writes find open connections."""
    connections: set[object] = set()
    gate = Gate()

    async def remember(request: web.Request) -> web.StreamResponse:
        connections.add(request.transport)
        if len(connections) < 8:
            await gate.hold()
        gate.open()
        return web.json_response({})

    server.handler = remember
    await server.transport.warm(8)
    assert len(connections) == 8
    cluster = KubeCluster(server.transport, AlwaysLeader())
    await asyncio.gather(
        *(cluster.patch_json(Kind.SERVICE, "shop", f"web-{n}", OPERATIONS, lane=Lane.KILL) for n in range(8))
    )
    assert len(connections) == 8


async def test_a_refused_token_is_told_to_the_credentials(server: Server, cluster: KubeCluster) -> None:
    """After a 401 the credentials are read anew."""

    async def refuse(request: web.Request) -> web.StreamResponse:
        return web.json_response({"message": "Unauthorized"}, status=401)

    server.handler = refuse
    with pytest.raises(Exception, match="401"):
        await cluster.get(Kind.SERVICE, "shop", "web")
    credentials = server.transport.credentials
    assert isinstance(credentials, Credentials)
    assert credentials._rejected


async def test_no_server_at_all(server: Server, cluster: KubeCluster) -> None:
    """A refused connection is Unavailable, with a reason."""
    credentials = server.transport.credentials
    assert isinstance(credentials, Credentials)
    credentials.server = "http://127.0.0.1:9"
    with pytest.raises(Unavailable, match="get Service shop/web: no answer from the API server"):
        await cluster.get(Kind.SERVICE, "shop", "web")
