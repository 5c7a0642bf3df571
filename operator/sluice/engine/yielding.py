"""A cluster whose ordinary writes wait while kills are being written there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from sluice.api.names import Kind
from sluice.ports import Cluster, Guard, Lane, Obj


class Yielding:
    """Implements `ports.Cluster` over another.

    A pass waits for kills before it begins. But one that was held up in its midst, by a server that did not answer,
    goes on in the moment in which it answers again: then kills are due first.

    Args:
        cluster: the other.
        give_way: returns once no kill is being written.
    """

    def __init__(self, cluster: Cluster, give_way: Callable[[], Awaitable[None]]) -> None:
        self._cluster = cluster
        self._give_way = give_way

    async def get(self, kind: Kind, namespace: str, name: str) -> Obj:
        """Read one object."""
        return await self._cluster.get(kind, namespace, name)

    async def list(self, kind: Kind, namespace: str = "") -> Sequence[Obj]:
        """Read all."""
        return await self._cluster.list(kind, namespace)

    async def create(self, kind: Kind, namespace: str, body: Obj) -> Obj:
        """Create."""
        await self._give_way()
        return await self._cluster.create(kind, namespace, body)

    async def patch_json(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        operations: Sequence[Obj],
        *,
        lane: Lane = Lane.NORMAL,
        guard: Guard | None = None,
    ) -> Obj:
        """Apply a JSON Patch."""
        if lane is not Lane.KILL:
            await self._give_way()
        return await self._cluster.patch_json(kind, namespace, name, operations, lane=lane, guard=guard)

    async def patch_merge(
        self, kind: Kind, namespace: str, name: str, body: Obj, *, subresource: str = "", lane: Lane = Lane.NORMAL
    ) -> Obj:
        """Apply a merge patch."""
        if lane is not Lane.KILL:
            await self._give_way()
        return await self._cluster.patch_merge(kind, namespace, name, body, subresource=subresource, lane=lane)

    async def apply(self, kind: Kind, namespace: str, name: str, body: Obj, *, dry_run: bool = False) -> Obj:
        """Server-side apply with force."""
        await self._give_way()
        return await self._cluster.apply(kind, namespace, name, body, dry_run=dry_run)

    async def delete(self, kind: Kind, namespace: str, name: str, *, uid: str) -> None:
        """Delete, if the uid still matches."""
        await self._give_way()
        await self._cluster.delete(kind, namespace, name, uid=uid)
