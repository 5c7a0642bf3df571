"""The bare client: a process that watches a switch and patches weights, and does nothing else.

It is what a kill cannot be quicker than with Python, asyncio and aiohttp: no rules, no caches, no status, no audit. Its
switches are ConfigMaps; for each it is told which routes to patch. It keeps its connections open as Sluice does.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import sys
from collections.abc import Sequence

from running import play
from wire import CORE, JSON_PATCH, Api, ApiError, Obj

CONNECTIONS = 32
_WARM_EVERY_SECONDS = 20.0
# The smallest patch that takes a candidate, the second backend of the first rule, to 0.
PATCH = b'[{"op":"replace","path":"/spec/rules/0/backendRefs/1/weight","value":0}]'


async def run(order: Obj) -> None:
    """Until it is ended.

    Args:
        order: server, ca_file, token and namespace of the switches, and the routes' paths by switch. Where the routes
            are in other clusters, `members`: server, ca_file, token and connections of each; all have the same routes.
    """
    async with contextlib.AsyncExitStack() as stack:
        api = await stack.enter_async_context(_api(order))
        members = [await stack.enter_async_context(_api(each)) for each in order.get("members", ())]
        places = members or [api]
        path = f"{CORE}/namespaces/{order['namespace']}/configmaps"
        listed = await api.json("GET", path)
        tasks: set[asyncio.Task[bytes]] = set()

        def take(event: str, obj: Obj) -> None:
            if event == "MODIFIED" and obj["data"]["engaged"] == "true":
                for route, place in itertools.product(order["routes"].get(obj["metadata"]["name"], ()), places):
                    task = asyncio.create_task(place.send("PATCH", route, PATCH, JSON_PATCH))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)

        await _warm(places)
        keeping = asyncio.create_task(_keep_warm(places))
        print("ready", flush=True)
        try:
            await api.events(path, listed["metadata"]["resourceVersion"], take)
        finally:
            keeping.cancel()


def _api(place: Obj) -> Api:
    return Api(place["server"], place["ca_file"], place["token"], connections=place.get("connections", CONNECTIONS))


async def _warm(places: Sequence[Api]) -> None:
    await asyncio.gather(*(place.warm() for place in places))


async def _keep_warm(places: Sequence[Api]) -> None:
    while True:
        await asyncio.sleep(_WARM_EVERY_SECONDS)
        with contextlib.suppress(ApiError):
            await _warm(places)


if __name__ == "__main__":
    play(run(json.loads(sys.stdin.read())))
