"""A process that edits Rollouts at full speed: annotations, as tools and people do."""

from __future__ import annotations

import asyncio
import json
import sys

from running import play
from wire import MERGE_PATCH, Api, Obj

IN_FLIGHT = 16


async def run(order: Obj) -> None:
    """Send `edits` merge patches over the Rollouts at `paths` in turn. `order`: also server, ca_file, token."""
    async with Api(order["server"], order["ca_file"], order["token"], connections=IN_FLIGHT) as api:
        print("ready", flush=True)
        numbers = iter(range(order["edits"]))

        async def edit() -> None:
            for number in numbers:
                path = order["paths"][number % len(order["paths"])]
                body = {"metadata": {"annotations": {"bench.example/edit": f"{order['name']}-{number}"}}}
                await api.send("PATCH", path, body, MERGE_PATCH)

        await asyncio.gather(*(edit() for _ in range(IN_FLIGHT)))


if __name__ == "__main__":
    play(run(json.loads(sys.stdin.read())))
