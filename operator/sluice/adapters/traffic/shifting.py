"""How a shift reaches the API server: one patch, and for what takes exposure away, another try."""

from __future__ import annotations

from collections.abc import Callable

from sluice.decide.model import Shift
from sluice.errors import Conflict, NotFound
from sluice.ports import Cluster, Guard, Lane, Obj, Reader

_TRIES = 4


class Shifter:
    """Writes shifts of one kind of target.

    Args:
        reader: the caches, from which a patch is made without a GET.
        cluster: where the target is.
        operations: the JSON Patch for a shift of this object. Raises Rejected where there is none.
    """

    def __init__(self, reader: Reader, cluster: Cluster, operations: Callable[[Obj, Shift], list[Obj]]) -> None:
        self._reader = reader
        self._cluster = cluster
        self._operations = operations

    async def write(self, shift: Shift, *, lane: Lane, guard: Guard | None) -> Obj:
        """Write it; what grows exposure only onto the very object that the decision was made from.

        A reduction asks for no such thing. Where the cache is behind, so that the patch does not fit, the object is
        read and the patch made anew, up to three times.

        Raises:
            Conflict: see `ports.TrafficRouter`.
            NotFound: the target is gone, or another object has its name.
        """
        ref = shift.target.ref
        obj = self._reader.get(ref.kind, ref.namespace, ref.name)
        if shift.grows:
            if obj is None or obj["metadata"].get("resourceVersion") != shift.target.resource_version:
                raise Conflict(f"{ref}: it changed since the decision to give the candidate more was made")
            return await self._patch(obj, shift, lane, guard)
        for tries_left in reversed(range(_TRIES)):
            if obj is None or obj["metadata"].get("uid") != shift.target.uid:
                obj = await self._cluster.get(ref.kind, ref.namespace, ref.name)
            if obj["metadata"].get("uid") != shift.target.uid:
                break
            try:
                return await self._patch(obj, shift, lane, guard)
            except Conflict:
                if not tries_left:
                    raise
                obj = None
        raise NotFound(f"{ref}: it was deleted, and another object has its name now")

    async def _patch(self, obj: Obj, shift: Shift, lane: Lane, guard: Guard | None) -> Obj:
        ref = shift.target.ref
        operations = self._operations(obj, shift)
        return await self._cluster.patch_json(ref.kind, ref.namespace, ref.name, operations, lane=lane, guard=guard)
