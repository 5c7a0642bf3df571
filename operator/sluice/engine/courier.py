"""Carries what a hub orders into one member: the newest order for each Rollout, tried until it is there.

Orders are not kept anywhere: they follow from the hub's status, and are given anew after a restart.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sluice.api.names import FIELD_MANAGER, ORDER_ANNOTATION, Kind
from sluice.decide.metadata import annotation_of, labels_of, mapping, metadata_of, sequence
from sluice.decide.sharding import Shards, shard_of
from sluice.engine.fence import Fence
from sluice.engine.precedence import Precedence
from sluice.engine.queue import WorkQueue
from sluice.engine.store import Key, Obj, Store
from sluice.errors import Conflict, NotLeader, Permanent, SluiceError, Unavailable
from sluice.ports import Cluster

_log = logging.getLogger(__name__)
CARRIERS = 4
REFUSED_RETRY_SECONDS = 15.0
KILL_FIRST_SECONDS, KILL_FIRST_LOOKS = 6.0, 30  # a kill that failed is tried again within two seconds


_Stamp = tuple[object, object, str, dict[str, str]]


@dataclass(frozen=True, slots=True)
class Order:
    """What a member is to have of a Rollout.

    Attributes:
        digest: tells orders apart; it is in the annotations of the body.
        body: the object, without apiVersion, kind, namespace and name; None where it shall be deleted.
        still_holds: asked just before it is sent.
    """

    digest: str
    body: Obj | None
    still_holds: Callable[[], bool] = lambda: True


class Courier:
    """Takes orders, and carries them out while `run` runs.

    Args:
        name: of the member.
        cluster: its API.
        store: its caches.
        fence: asked before each write, about the Rollout in the hub.
        owes_divert: whether a kill of a part comes first, which is not written yet: it may have failed a moment ago.
        precedence: of kills.
        foreign: what belongs to other hubs there, by whose it is; changes while we work.
    """

    def __init__(
        self,
        name: str,
        cluster: Cluster,
        store: Store,
        fence: Fence,
        *,
        precedence: Precedence,
        owes_divert: Callable[[Obj], bool],
        foreign: Mapping[Key, str],
    ) -> None:
        self._name = name
        self._cluster = cluster
        self._store = store
        self._fence = fence
        self._precedence = precedence
        self._owes_divert = owes_divert
        self._waits: dict[Key, int] = {}
        self._foreign = foreign
        self._orders: dict[Key, Order] = {}
        self._problems: dict[Key, str] = {}
        self._sent: dict[Key, _Stamp] = {}
        self._queue: WorkQueue[Key] = WorkQueue()

    def give(self, namespace: str, name: str, order: Order) -> None:
        """Order something; it takes the place of what was ordered before. What is there already costs nothing.

        What is another process's to lead is not carried: it orders by itself what it knows.
        """
        key = (namespace, name)
        if not self._fence.holds((Kind.ROLLOUT, *key)):
            return
        known = self._orders.get(key)
        self._orders[key] = order
        if self._is_done(key, order):
            self._problems.pop(key, None)
        elif known is None or known.digest != order.digest or key not in self._problems:
            self._queue.add(key)

    def look_again(self, namespace: str, name: str) -> None:
        """Something that was in an order's way is gone."""
        if (namespace, name) in self._orders:
            self._queue.add((namespace, name))

    def is_back(self) -> None:
        """The member answers again: only from now on could it refuse the kills that orders wait for."""
        self._waits.clear()

    def give_up(self, shards: Shards) -> None:
        """Forget what was ordered of Rollouts in these shards."""

        def given_up(key: Key) -> bool:
            return shard_of(Kind.ROLLOUT, *key) in shards

        self._queue.discard(given_up)
        for key in list(filter(given_up, self._orders)):
            del self._orders[key]
            for known in (self._problems, self._sent, self._waits):
                known.pop(key, None)

    def problem(self, namespace: str, name: str) -> str:
        """Why the newest order is not carried out; "" where nothing is known to be in its way."""
        return self._problems.get((namespace, name), "")

    async def run(self) -> None:
        """Carry until cancelled."""
        try:
            async with asyncio.TaskGroup() as carriers:
                for _ in range(CARRIERS):
                    carriers.create_task(self._carry())
        finally:
            self._queue.clear()
            self._problems.clear()

    async def _carry(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                await self._try(key)
            finally:
                self._queue.done(key)

    async def _try(self, key: Key) -> None:
        await self._precedence.give_way()
        order = self._orders.get(key)
        if order is None or self._is_done(key, order) or not order.still_holds():
            self._problems.pop(key, None)  # else `give` would take it for one whose retry is still to come
            return
        if self._kill_comes_first(key):
            self._queue.add_after(key, KILL_FIRST_SECONDS / KILL_FIRST_LOOKS)
            return
        try:
            with self._fence.acting((Kind.ROLLOUT, *key)):
                await self._send(key, order)
        except NotLeader:
            self._queue.retry(key)  # for where it was only unsure: what is another's is forgotten then
        except (Conflict, Unavailable) as error:
            self._note(key, error)
            self._queue.retry(key, error.retry_after_seconds if isinstance(error, Unavailable) else 0.0)
        except Permanent as error:
            self._note(key, error)
            self._queue.retry(key, REFUSED_RETRY_SECONDS)
        except SluiceError as error:
            self._note(key, error)
            self._queue.retry(key)
        else:
            self._problems.pop(key, None)
            self._queue.succeeded(key)

    def _kill_comes_first(self, key: Key) -> bool:
        """Whether to wait for a kill; not for ever, for what refuses that one may take the order."""
        known = self._store.get(Kind.ROLLOUT, *key)
        if known is None or not self._owes_divert(known):
            self._waits.pop(key, None)
            return False
        self._waits[key] = self._waits.get(key, 0) + 1
        return self._waits[key] <= KILL_FIRST_LOOKS

    def _note(self, key: Key, error: SluiceError) -> None:
        if self._problems.get(key) != str(error):
            _log.warning("an order is not carried out", extra={"member": self._name, "error": str(error)})
        self._problems[key] = str(error)

    async def _send(self, key: Key, order: Order) -> None:
        known = self._store.get(Kind.ROLLOUT, *key)
        if key in self._foreign:
            whose = self._foreign[key] or "nobody says which"
            raise Permanent(
                f"MemberRollout {key[0]}/{key[1]} in {self._name} belongs to another hub ({whose}): delete it there, "
                "or leave that cluster out of this fleet"
            )
        if order.body is not None:
            uid = {"uid": known["metadata"]["uid"]} if known is not None else {"resourceVersion": "1"}
            body = {**order.body, "metadata": {**order.body["metadata"], **uid}}
            if known is not None and _has_other_writers(known):
                await self._clear(key, known, order.body.get("spec"))
            stored = await self._cluster.apply(Kind.ROLLOUT, *key, body)
            self._sent[key] = _stamp_of(stored)
            self._store.apply(Kind.ROLLOUT, "MODIFIED", stored)
        elif known is not None:
            await self._cluster.delete(Kind.ROLLOUT, *key, uid=known["metadata"]["uid"])

    async def _clear(self, key: Key, known: Obj, spec: object) -> None:
        """Take out of the spec what others put there: an apply leaves what it does not name to them."""
        operations = [
            {"op": "test", "path": "/metadata/uid", "value": known["metadata"]["uid"]},
            {"op": "replace", "path": "/spec", "value": spec},
        ]
        await self._cluster.patch_json(Kind.ROLLOUT, *key, operations)

    def _is_done(self, key: Key, order: Order) -> bool:
        known = self._store.get(Kind.ROLLOUT, *key)
        if order.body is None:
            return known is None or "deletionTimestamp" in known["metadata"]
        if known is None or annotation_of(known, ORDER_ANNOTATION) != order.digest:
            return False
        # As it was stored when it was sent, whatever that member's CRD or webhooks made of it; else as it was ordered.
        if self._sent.get(key) == _stamp_of(known):
            return True
        is_so = (
            not _has_other_writers(known)
            and _holds(order.body.get("spec"), known.get("spec"))
            and _holds(order.body["metadata"], known["metadata"])
        )
        if is_so:
            self._sent[key] = _stamp_of(known)
        return is_so


def _stamp_of(part: Obj) -> _Stamp:
    """What of a part is the hub's: changed by somebody else, it is another one."""
    metadata = metadata_of(part)
    return metadata.get("uid"), metadata.get("generation"), annotation_of(part, ORDER_ANNOTATION), labels_of(part)


def _has_other_writers(part: Obj) -> bool:
    """Whether somebody else has fields of the spec, which is the hub's alone."""
    entries = map(mapping, sequence(metadata_of(part).get("managedFields")))
    return any("f:spec" in mapping(each.get("fieldsV1")) and each.get("manager") != FIELD_MANAGER for each in entries)


def _holds(ordered: object, there: object) -> bool:
    """Whether all that was ordered is there; defaults may be there beside it."""
    if isinstance(ordered, dict):
        return isinstance(there, dict) and all(
            name in there and _holds(value, there[name]) for name, value in ordered.items()
        )
    if isinstance(ordered, list):
        return (
            isinstance(there, list)
            and len(ordered) == len(there)
            and all(_holds(mine, theirs) for mine, theirs in zip(ordered, there, strict=True))
        )
    return ordered == there
