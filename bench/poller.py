"""The bare client of who comes back: asks /readyz until it is answered, then patches one route, and ends."""

from __future__ import annotations

import asyncio
import json
import sys

import aiohttp

from bare import PATCH
from running import play
from wire import JSON_PATCH, Api, ApiError, Obj

POLL_SECONDS = 0.05


async def run(order: Obj) -> None:
    """`order`: server, ca_file, token, and the path of the route."""
    async with Api(order["server"], order["ca_file"], order["token"]) as api:
        print("ready", flush=True)
        while True:
            try:
                await api.send("GET", "/readyz")
                await api.send("PATCH", order["route"], PATCH, JSON_PATCH)
            except (ApiError, aiohttp.ClientError):
                await asyncio.sleep(POLL_SECONDS)
            else:
                return


if __name__ == "__main__":
    play(run(json.loads(sys.stdin.read())))
