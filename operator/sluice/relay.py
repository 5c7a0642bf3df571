"""A cluster that hands what it is asked to another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sluice.api.names import Kind
from sluice.ports import Cluster, Guard, Lane, Obj


class Relay:
    """Implements `ports.Cluster` over another. Subclasses say what differs.

    Args:
        cluster: the other.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def there(self, kind: Kind) -> Kind:
        """The kind that the other has for this one."""
        return kind

    async def await_turn(self, lane: Lane) -> None:
        """Called before each write; it returns when that may be sent."""

    async def get(self, kind: Kind, namespace: str, name: str) -> Obj:
        """Read one object."""
        return await self._cluster.get(self.there(kind), namespace, name)

    async def list(self, kind: Kind, namespace: str = "", *, labels: Mapping[str, str] | None = None) -> Sequence[Obj]:
        """Read all, or those that have these labels."""
        return await self._cluster.list(self.there(kind), namespace, labels=labels)

    async def create(self, kind: Kind, namespace: str, body: Obj) -> Obj:
        """Create."""
        await self.await_turn(Lane.NORMAL)
        return await self._cluster.create(self.there(kind), namespace, body)

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
        await self.await_turn(lane)
        return await self._cluster.patch_json(self.there(kind), namespace, name, operations, lane=lane, guard=guard)

    async def patch_merge(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        body: Obj,
        *,
        subresource: str = "",
        lane: Lane = Lane.NORMAL,
        dry_run: bool = False,
    ) -> Obj:
        """Apply a merge patch."""
        await self.await_turn(lane)
        return await self._cluster.patch_merge(
            self.there(kind), namespace, name, body, subresource=subresource, lane=lane, dry_run=dry_run
        )

    async def apply(self, kind: Kind, namespace: str, name: str, body: Obj, *, dry_run: bool = False) -> Obj:
        """Server-side apply with force."""
        await self.await_turn(Lane.NORMAL)
        return await self._cluster.apply(self.there(kind), namespace, name, body, dry_run=dry_run)

    async def delete(self, kind: Kind, namespace: str, name: str, *, uid: str) -> None:
        """Delete, if the uid still matches."""
        await self.await_turn(Lane.NORMAL)
        await self._cluster.delete(self.there(kind), namespace, name, uid=uid)
