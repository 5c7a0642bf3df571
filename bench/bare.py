"""The bare client: a process that watches a switch and patches weights, and does nothing else.

It is what a kill cannot be quicker than with Python, asyncio and aiohttp: no rules, no caches, no status, no audit. Its
switches are ConfigMaps; for each it is told which routes to patch. It keeps its connections open as Sluice does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys

import uvloop

from wire import CORE, JSON_PATCH, Api, ApiError, Obj

CONNECTIONS = 32
_WARM_EVERY_SECONDS = 20.0
# The smallest patch that takes a candidate, the second backend of the first rule, to 0.
PATCH = b'[{"op":"replace","path":"/spec/rules/0/backendRefs/1/weight","value":0}]'


async def run(order: Obj) -> None:
    """Until it is ended. `order`: server, ca_file, token, namespace, and the routes' paths by switch."""
    async with Api(order["server"], order["ca_file"], order["token"], connections=CONNECTIONS) as api:
        path = f"{CORE}/namespaces/{order['namespace']}/configmaps"
        listed = await api.json("GET", path)
        tasks: set[asyncio.Task[bytes]] = set()

        def take(event: str, obj: Obj) -> None:
            if event == "MODIFIED" and obj["data"]["engaged"] == "true":
                for route in order["routes"].get(obj["metadata"]["name"], ()):
                    task = asyncio.create_task(api.send("PATCH", route, PATCH, JSON_PATCH))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)

        await api.warm()
        keeping = asyncio.create_task(_keep_warm(api))
        print("ready", flush=True)
        try:
            await api.events(path, listed["metadata"]["resourceVersion"], take)
        finally:
            keeping.cancel()


async def _keep_warm(api: Api) -> None:
    while True:
        await asyncio.sleep(_WARM_EVERY_SECONDS)
        with contextlib.suppress(ApiError):
            await api.warm()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(json.loads(sys.argv[1])))
