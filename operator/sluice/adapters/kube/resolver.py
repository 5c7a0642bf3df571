"""Turns the host of a member's API server into IP addresses, and lets none through that it may not have.

The addresses that are checked are those that are connected to, each time anew, so that no name can be turned elsewhere
after it was checked. Lookups run in threads of their own: a name server that hangs for members holds up nothing of the
hub's.
"""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor

from aiohttp.abc import AbstractResolver, ResolveResult

from sluice.api.addresses import member_refusal

_THREADS = 32
_ADDRESSES = 4  # of one host that are tried
_lookups = ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="member-names")


class GuardedResolver(AbstractResolver):
    """The resolver of one member.

    Attributes:
        refusal: why the last lookup's addresses may not be connected to, in a sentence; "" where they may.
    """

    def __init__(self) -> None:
        self.refusal = ""
        self._pending: asyncio.Future[list[tuple[int, str]]] | None = None

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a host.

        Raises:
            OSError: it has none, or one that it may not have.
        """
        if self._pending is None or self._pending.done():
            # A lookup that hangs keeps its one thread; the next try waits for the same, and takes no second one.
            self._pending = asyncio.get_running_loop().run_in_executor(_lookups, _look_up, host, port)
        found = await asyncio.shield(self._pending)
        self.refusal = next(
            (f"{host} leads to {refusal}" for _, address in found if (refusal := member_refusal(address))), ""
        )
        if self.refusal:
            raise OSError(self.refusal)
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST)
            for kind, address in found[:_ADDRESSES]
            if family in (socket.AF_UNSPEC, kind)
        ]

    async def close(self) -> None:
        """Nothing to close: a lookup under way ends by itself."""


def _look_up(host: str, port: int) -> list[tuple[int, str]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys((int(kind), str(address[0])) for kind, *_, address in found))
