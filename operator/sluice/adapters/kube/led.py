"""A member cluster as the engine sees it: where a MemberRollout stands for a Rollout.

The kinds differ so that the hub can be a member of its own: what it leads, and what is led in it, do not meet.
"""

from __future__ import annotations

from collections.abc import Sequence

from sluice.api.names import Kind
from sluice.ports import Cluster, Guard, Lane, Obj

STANDS_FOR = {Kind.ROLLOUT: Kind.MEMBER_ROLLOUT, Kind.ROLLOUT_RUN: Kind.MEMBER_ROLLOUT_RUN}


def there(kind: Kind) -> Kind:
    """The kind in a member that stands for a kind in the hub."""
    return STANDS_FOR.get(kind, kind)


class LedCluster:
    """Implements `ports.Cluster` over another, in which kinds have the names that they have in a member."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def get(self, kind: Kind, namespace: str, name: str) -> Obj:
        """Read one object."""
        return await self._cluster.get(there(kind), namespace, name)

    async def list(self, kind: Kind, namespace: str = "") -> Sequence[Obj]:
        """Read all."""
        return await self._cluster.list(there(kind), namespace)

    async def create(self, kind: Kind, namespace: str, body: Obj) -> Obj:
        """Create."""
        return await self._cluster.create(there(kind), namespace, body)

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
        return await self._cluster.patch_json(there(kind), namespace, name, operations, lane=lane, guard=guard)

    async def patch_merge(
        self, kind: Kind, namespace: str, name: str, body: Obj, *, subresource: str = "", lane: Lane = Lane.NORMAL
    ) -> Obj:
        """Apply a merge patch."""
        return await self._cluster.patch_merge(there(kind), namespace, name, body, subresource=subresource, lane=lane)

    async def apply(self, kind: Kind, namespace: str, name: str, body: Obj, *, dry_run: bool = False) -> Obj:
        """Server-side apply with force."""
        return await self._cluster.apply(there(kind), namespace, name, body, dry_run=dry_run)

    async def delete(self, kind: Kind, namespace: str, name: str, *, uid: str) -> None:
        """Delete, if the uid still matches."""
        await self._cluster.delete(there(kind), namespace, name, uid=uid)
