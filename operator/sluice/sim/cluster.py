"""The Cluster port in memory: one API server with its watches, latency and faults.

Time passes only in the loop's timers, so that a virtual clock makes it exact and quick.
"""

from __future__ import annotations

import asyncio
import copy
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from sluice.api.names import FIELD_MANAGER, Kind
from sluice.decide.metadata import labels_of
from sluice.errors import Unavailable
from sluice.ports import Clock, Guard, Lane, Leadership, Obj
from sluice.sim.patches import clone
from sluice.sim.store import Change, EventType, ObjectStore, describe

Verb = Literal["get", "list", "create", "patch_json", "patch_merge", "apply", "delete"]
Callback = Callable[[EventType, Obj], None]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """One request, as faults see it: `before` it takes effect, and `after`, when only the answer is missing."""

    verb: Verb
    kind: Kind
    namespace: str
    name: str
    manager: str
    subresource: str = ""
    lane: Lane = Lane.NORMAL
    dry_run: bool = False
    phase: Literal["before", "after"] = "before"
    client: str = ""

    @property
    def writes(self) -> bool:
        """Whether it may change anything."""
        return self.verb not in ("get", "list") and not self.dry_run


Fault = Callable[[Call], float | None]
"""Raises what the caller shall get (Unavailable, Conflict, ...), or answers seconds to wait, or None."""


class Subscription:
    """One watch. Events come in order, `delay_seconds` after the change.

    `hold()` keeps them back, as a cut connection or a busy client does; `release()` delivers what gathered.
    """

    def __init__(self, kind: Kind, callback: Callback, delay_seconds: float) -> None:
        self.kind = kind
        self.delay_seconds = delay_seconds
        self._callback = callback
        self._waiting: deque[tuple[EventType, Obj]] = deque()
        self._held = False
        self._closed = False

    @property
    def behind(self) -> bool:
        """Whether something is not delivered yet."""
        return bool(self._waiting)

    def tell(self, event: EventType, obj: Obj) -> None:
        """Queue an event."""
        if self._closed:
            return
        self._waiting.append((event, clone(obj)))
        self._schedule()

    def hold(self) -> None:
        """Deliver nothing from now on."""
        self._held = True

    def release(self) -> None:
        """Deliver what was kept back, then go on."""
        self._held = False
        for _ in self._waiting:
            self._schedule()

    def close(self) -> None:
        """End the watch; nothing more is delivered."""
        self._closed = True
        self._waiting.clear()

    def _schedule(self) -> None:
        loop = asyncio.get_running_loop()
        if self.delay_seconds > 0:
            loop.call_later(self.delay_seconds, self._deliver)
        else:
            loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        if self._waiting and not self._held:
            self._callback(*self._waiting.popleft())


class FakeCluster:
    """Implements `ports.Cluster` over an ObjectStore.

    Args:
        clock: for the server's timestamps.
        namespaces: those that exist from the start.

    Attributes:
        store: the objects; tests may look, and `seed` writes around the CRDs' rules.
        faults: asked in order at each call.
        on_change: called synchronously at the moment of every stored change.
        latency_seconds: of the network: half before a call takes effect, half after.
        manager: the field manager of this view, see `as_manager`.
        severed: this view's client is cut off: its calls have no effect and raise Unavailable.
        client: who uses this view, where several of one field manager are told apart.
        leadership: asked right before each write of this view is sent, after any wait.
    """

    def __init__(self, clock: Clock, *, namespaces: Sequence[str] = ("default",)) -> None:
        self.store = ObjectStore(clock.now, self._changed)
        self.faults: list[Fault] = []
        self.on_change: list[Callable[[Change], None]] = []
        self.latency_seconds = 0.0
        self.manager = FIELD_MANAGER
        self.severed = False
        self.client = ""
        self.leadership: Leadership | None = None
        self._subscriptions: list[Subscription] = []
        for name in namespaces:
            self.seed(Kind.NAMESPACE, {"metadata": {"name": name}})

    def as_manager(self, manager: str) -> FakeCluster:
        """The same cluster over a connection of its own, written by somebody else."""
        view = copy.copy(self)
        view.manager = manager
        return view

    @property
    def reader(self) -> StoreReader:
        """The Reader port over the present state: a cache that is never behind."""
        return StoreReader(self.store)

    def seed(self, kind: Kind, body: Obj) -> Obj:
        """Store an object as it is, status and nonsense included, without a request. The namespace is metadata's."""
        namespace = body["metadata"].get("namespace", "")
        stored: Obj = clone(self.store.create(kind, namespace, body, manager=self.manager, checked=False))
        return stored

    def subscribe(self, kind: Kind, callback: Callback, *, delay_seconds: float = 0.0) -> Subscription:
        """Watch a kind: ADDED for what is there, then each change. Needs a running loop."""
        subscription = Subscription(kind, callback, delay_seconds)
        self._subscriptions.append(subscription)
        for obj in self.store.all(kind):
            subscription.tell("ADDED", obj)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """End a watch."""
        subscription.close()
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)

    def _changed(self, change: Change) -> None:
        for observer in self.on_change:
            observer(change)
        for subscription in self._subscriptions:
            if subscription.kind is change.kind:
                subscription.tell(change.type, change.after)

    # ------------------------------------------------------------------------------------------ the port

    async def get(self, kind: Kind, namespace: str, name: str) -> Obj:
        """Read one object."""
        call = Call("get", kind, namespace, name, self.manager)
        return await self._do(call, lambda: self.store.get(kind, namespace, name))

    async def list(self, kind: Kind, namespace: str = "", *, labels: Mapping[str, str] | None = None) -> Sequence[Obj]:
        """Read all, or those that have these labels."""
        asked = (labels or {}).items()
        call = Call("list", kind, namespace, "", self.manager)
        return await self._do(
            call, lambda: [each for each in self.store.all(kind, namespace) if asked <= labels_of(each).items()]
        )

    async def create(self, kind: Kind, namespace: str, body: Obj) -> Obj:
        """Create."""
        call = Call("create", kind, namespace, body.get("metadata", {}).get("name", ""), self.manager)
        return await self._do(call, lambda: self.store.create(kind, namespace, body, manager=self.manager))

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
        call = Call("patch_json", kind, namespace, name, self.manager, lane=lane)
        return await self._do(
            call, lambda: self.store.json(kind, namespace, name, list(operations), manager=self.manager), guard
        )

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
        call = Call("patch_merge", kind, namespace, name, self.manager, subresource, lane, dry_run)
        return await self._do(
            call,
            lambda: self.store.merge(
                kind, namespace, name, body, subresource=subresource, manager=self.manager, dry_run=dry_run
            ),
        )

    async def apply(self, kind: Kind, namespace: str, name: str, body: Obj, *, dry_run: bool = False) -> Obj:
        """Server-side apply with force."""
        call = Call("apply", kind, namespace, name, self.manager, dry_run=dry_run)
        return await self._do(
            call,
            lambda: self.store.apply(kind, namespace, name, body, manager=self.manager, dry_run=dry_run),
        )

    async def delete(self, kind: Kind, namespace: str, name: str, *, uid: str) -> None:
        """Delete, if the uid matches. A pod on a node ends after its grace period."""
        call = Call("delete", kind, namespace, name, self.manager)
        await self._do(call, lambda: self.store.delete(kind, namespace, name, uid=uid, manager=self.manager))

    async def _do(self, call: Call, effect: Callable[[], T], guard: Guard | None = None) -> T:
        call = replace(call, client=self.client)
        await asyncio.sleep(self._fault(call))
        if self.leadership is not None and call.verb not in ("get", "list"):
            self.leadership.check()
        if guard is not None:
            guard()
        if self.latency_seconds:
            await asyncio.sleep(self.latency_seconds / 2)
        if self.severed:
            raise Unavailable(f"{call.verb} {describe(call.kind, call.namespace, call.name)}: the connection was lost")
        answer: T = clone(effect())
        await asyncio.sleep(self.latency_seconds / 2 + self._fault(replace(call, phase="after")))
        return answer

    def _fault(self, call: Call) -> float:
        """Let the faults raise, or say how long they keep the caller waiting."""
        return sum(fault(call) or 0.0 for fault in tuple(self.faults))


class StoreReader:
    """Implements `ports.Reader` over an ObjectStore."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def get(self, kind: Kind, namespace: str, name: str) -> Obj | None:
        """One object, or None."""
        return self._store.peek(kind, namespace, name)

    def of_namespace(self, kind: Kind, namespace: str) -> Iterator[Obj]:
        """All objects of a kind in a namespace."""
        return iter(self._store.all(kind, namespace))

    def endpoint_slices(self, namespace: str, service: str) -> Iterator[Obj]:
        """The EndpointSlices of a Service."""
        return (
            obj
            for obj in self._store.all(Kind.ENDPOINT_SLICE, namespace)
            if obj["metadata"].get("labels", {}).get("kubernetes.io/service-name") == service
        )
