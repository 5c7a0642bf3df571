"""Copies of objects, written straight into etcd: ten thousand in a moment, and any number of times.

What is copied was made through the API server and led there by Sluice, so it is as Sluice would have made it: an
object, its status, annotations and labels, with another name and other UIDs. Only kinds that are stored as JSON, which
those of CRDs are.
"""

from __future__ import annotations

import asyncio
import base64
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import aiohttp
import orjson

from testbed import Cluster

_AT_ONCE = 32


class Store:
    """What a cluster's API server keeps in etcd. Use it with `async with`."""

    def __init__(self, cluster: Cluster) -> None:
        self._url = f"{cluster.etcd_url}/v3/kv"
        self._prefix = cluster.etcd_prefix
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Store:
        self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def read(self, key: str) -> str:
        """An object, such as `sluice.dev/rollouts/shop/checkout`, as it is stored."""
        found = await self._ask("range", {"key": _encode(f"{self._prefix}/{key}")})
        if not found.get("kvs"):
            raise KeyError(key)
        return base64.b64decode(found["kvs"][0]["value"]).decode()

    async def write(self, objects: Mapping[str, str]) -> None:
        """Put objects, whatever is there: one by one, for a watch goes on from a revision, and each needs its own."""
        left = iter(objects.items())

        async def put() -> None:
            for key, value in left:
                await self._ask("put", {"key": _encode(f"{self._prefix}/{key}"), "value": _encode(value)})

        await asyncio.gather(*(put() for _ in range(_AT_ONCE)))

    async def _ask(self, what: str, body: object) -> Any:
        if self._session is None:
            raise RuntimeError("use `async with Store(...)`")
        async with self._session.post(f"{self._url}/{what}", data=orjson.dumps(body)) as response:
            response.raise_for_status()
            return orjson.loads(await response.read())


def copies(originals: Mapping[str, str], name: str, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Objects that belong together, under other names.

    Args:
        originals: as they are stored, by their keys.
        name: what stands for itself in them wherever it is found.
        names: of the copies.
    """
    own = [orjson.loads(value)["metadata"]["uid"] for value in originals.values()]
    for each in names:
        uids = {uid: str(uuid.uuid4()) for uid in own}
        for key, value in originals.items():
            text = value.replace(name, each)
            for uid, other in uids.items():
                text = text.replace(uid, other)
            yield key.replace(name, each), text


def _encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
