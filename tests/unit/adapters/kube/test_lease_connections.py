"""The Lease's renewals keep the connections open on which kills will go."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from aiohttp import web

from sluice.adapters.clock import SystemClock
from sluice.adapters.kube.client import AlwaysLeader, KubeCluster
from sluice.adapters.kube.register import LINE_PREFIX
from sluice.adapters.kube.shards import ShardKeeper
from sluice.adapters.kube.terms import LeaseTimes
from sluice.adapters.kube.transport import Timeouts
from sluice.decide.sharding import Shards
from unit.adapters.kube.server import Gate, serving

CONNECTIONS = 4
TIMES = LeaseTimes(duration=600.0, renew=0.05, retry=0.02, margin=0.4, request=60.0)


async def test_renewals_take_the_warm_connections_in_turn(tmp_path: Path) -> None:
    """Each goes over the connection that was idle longest, so that none of them is closed for being idle."""
    warmed: set[object] = set()
    renewed: list[object] = []
    lease: dict[str, Any] = {"metadata": {"name": "sluice", "resourceVersion": "1"}, "spec": {"holderIdentity": ""}}
    all_open, enough = Gate(), asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/version":
            warmed.add(request.transport)
            if len(warmed) < CONNECTIONS:
                await all_open.hold()
            all_open.open()
        elif request.method == "PATCH":
            _patch(lease, await request.json())
            renewed.append(request.transport)
            if len(renewed) > CONNECTIONS:
                enough.set()
        return web.json_response(lease)

    async with serving(tmp_path, Timeouts(connect=60.0, normal=60.0, kill=60.0)) as server:
        server.handler = answer
        await server.transport.warm(CONNECTIONS)
        cluster = KubeCluster(server.transport, AlwaysLeader())
        keeper = ShardKeeper(cluster, "sluice-system", "sluice", "one", clock=SystemClock(), times=TIMES)
        running = asyncio.create_task(keeper.run(lambda _: None, lambda _: None, _at_once))
        async with asyncio.timeout(15.0):
            await enough.wait()
        keeper.stop()
        await running
    assert set(renewed[:CONNECTIONS]) == warmed


def _patch(lease: dict[str, Any], patch: Any) -> None:
    """What an API server does with the two patches that a replica sends."""
    metadata = lease["metadata"]
    metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1)
    if isinstance(patch, list):
        line = next(each["value"] for each in patch if each["op"] == "replace" and "replica" in each["path"])
        metadata["annotations"] = {f"{LINE_PREFIX}one": line}
    else:
        lease["spec"] |= patch["spec"]
        metadata["annotations"] = {name: text for name, text in patch["metadata"]["annotations"].items() if text}


async def _at_once(_: Shards) -> None:
    """Nothing is under way."""
