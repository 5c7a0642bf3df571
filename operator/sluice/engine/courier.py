"""Carries what a hub orders into one member: the newest order for each Rollout, tried until it is there.

Orders are not kept anywhere: they follow from the hub's status, and are given anew after a restart.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from sluice.api.names import ORDER_ANNOTATION, Kind
from sluice.decide.metadata import annotation_of
from sluice.decide.sharding import Shards, shard_of
from sluice.engine.fence import Fence
from sluice.engine.queue import WorkQueue
from sluice.engine.store import Key, Obj, Store
from sluice.errors import Conflict, NotLeader, Permanent, SluiceError, Unavailable
from sluice.ports import Cluster

_log = logging.getLogger(__name__)
CARRIERS = 4
REFUSED_RETRY_SECONDS = 15.0


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
        give_way: returns once no kill is being written.
        foreign: what belongs to other hubs there, by whose it is; changes while we work.
    """

    def __init__(
        self,
        name: str,
        cluster: Cluster,
        store: Store,
        fence: Fence,
        *,
        give_way: Callable[[], Awaitable[None]],
        foreign: Mapping[Key, str],
    ) -> None:
        self._name = name
        self._cluster = cluster
        self._store = store
        self._fence = fence
        self._give_way = give_way
        self._foreign = foreign
        self._orders: dict[Key, Order] = {}
        self._problems: dict[Key, str] = {}
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

    def give_up(self, shards: Shards) -> None:
        """Forget what was ordered of Rollouts in these shards."""

        def given_up(key: Key) -> bool:
            return shard_of(Kind.ROLLOUT, *key) in shards

        self._queue.discard(given_up)
        for key in list(filter(given_up, self._orders)):
            del self._orders[key]
            self._problems.pop(key, None)

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
        await self._give_way()
        order = self._orders.get(key)
        if order is None or self._is_done(key, order) or not order.still_holds():
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
            self._store.apply(Kind.ROLLOUT, "MODIFIED", await self._cluster.apply(Kind.ROLLOUT, *key, body))
        elif known is not None:
            await self._cluster.delete(Kind.ROLLOUT, *key, uid=known["metadata"]["uid"])

    def _is_done(self, key: Key, order: Order) -> bool:
        known = self._store.get(Kind.ROLLOUT, *key)
        if order.body is None:
            return known is None or "deletionTimestamp" in known["metadata"]
        return known is not None and annotation_of(known, ORDER_ANNOTATION) == order.digest
