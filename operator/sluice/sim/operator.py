"""The operator as a process of the world: it starts, watches, crashes, and starts again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Protocol

from sluice.api.common import ObjectRef
from sluice.api.names import Kind
from sluice.api.rollout import Audit, AuditEntry
from sluice.decide.model import Note
from sluice.decide.sharding import ALL
from sluice.errors import NotLeader
from sluice.ports import Clock, Obj
from sluice.sim.cluster import FakeCluster, Subscription
from sluice.sim.store import Change, EventType

# The engine's caches: what is read one by one, only written, or looked after apart is not in them.
_ELSEWHERE = (
    *(Kind.EVENT, Kind.LEASE, Kind.SECRET, Kind.MEMBER_CLUSTER, Kind.AUDIT_SEGMENT),
    *(Kind.SERVICE_ACCOUNT, Kind.CLUSTER_ROLE, Kind.CLUSTER_ROLE_BINDING),
)
WATCHED = tuple(kind for kind in Kind if kind not in _ELSEWHERE)


class Cache(Protocol):
    """Where watch events go."""

    def apply(self, kind: Kind, event: EventType, obj: Obj, /) -> object:
        """Take one event."""
        ...


class Engine(Protocol):
    """What a world needs of the engine."""

    @property
    def store(self) -> Cache:
        """Its caches."""
        ...

    async def run(self) -> None:
        """Work until cancelled."""
        ...


class FakeMastery:
    """The Mastery port: all shards, until they are taken away."""

    def __init__(self) -> None:
        self.held = ALL

    def holds(self, shard: int) -> bool:
        """Whether it was not taken away."""
        return shard in self.held

    def check_shard(self, shard: int) -> None:
        """Raises NotLeader once it is taken away."""
        if shard not in self.held:
            raise NotLeader(f"another replica holds shard {shard}")


class FakeNotifier:
    """The Notifier port: keeps what was told, and when.

    Attributes:
        notes: time, name of the object, and the note.
        on_note: told each note as it comes, with the name of the object.
    """

    def __init__(self, clock: Clock) -> None:
        self.notes: list[tuple[datetime, str, Note]] = []
        self.on_note: list[Callable[[str, Note], None]] = []
        self._clock = clock

    def note(self, about: Obj, note: Note) -> None:
        """Keep one note, with the name of the object it is about."""
        name: str = about["metadata"]["name"]
        self.notes.append((self._clock.now(), name, note))
        for listener in self.on_note:
            listener(name, note)


class FakeAudit:
    """The AuditSink port: keeps what was sent."""

    def __init__(self) -> None:
        self.entries: list[tuple[ObjectRef, AuditEntry]] = []

    def follow(self, rollout: ObjectRef, cluster: str, audit: Audit, since: int) -> None:  # noqa: ARG002 - the port's
        """Keep what is new."""
        self.entries += [(rollout, entry) for entry in audit.entries if entry.seq > since]


Build = Callable[[FakeCluster, FakeMastery], Engine]
"""Makes an engine over a connection to the cluster."""


class Operator:
    """The only replica.

    Args:
        cluster: where it works.
        build: makes its engine anew at each start.

    Attributes:
        watch_delay_seconds: how long its watches trail, from the next start on.
        on_sever: called when a process is cut off from all it is connected to.
        mastery: which shards are its own; all of them, from each start on.
    """

    def __init__(self, cluster: FakeCluster, build: Build) -> None:
        self.watch_delay_seconds = 0.0
        self.on_sever: list[Callable[[], None]] = []
        self.mastery = FakeMastery()
        self._cluster = cluster
        self._build = build
        self._connection = cluster
        self._watches: list[Subscription] = []
        self._task: asyncio.Task[None] | None = None
        self._writes_left: int | None = None
        self.count_writes(cluster)

    def count_writes(self, cluster: FakeCluster) -> None:
        """Have what it writes to a cluster count for `crash_after_writes`, too."""
        cluster.on_change.append(self._count)

    @property
    def running(self) -> bool:
        """Whether it is up."""
        return self._task is not None and not self._task.done()

    @property
    def watches(self) -> dict[Kind, Subscription]:
        """Its watches, to hold and release."""
        return {watch.kind: watch for watch in self._watches}

    def start(self) -> None:
        """Start a new process: empty caches that fill from the watches. Needs a running loop."""
        self._writes_left = None
        self._connection = self._cluster.as_manager(self._cluster.manager)
        self.mastery = FakeMastery()
        engine = self._build(self._connection, self.mastery)
        self._watches = [
            self._cluster.subscribe(kind, partial(_tell, engine, kind), delay_seconds=self.watch_delay_seconds)
            for kind in WATCHED
        ]
        self._task = asyncio.get_running_loop().create_task(engine.run(), name="sim operator")

    async def crash(self) -> None:
        """Die as by SIGKILL: nothing more is written from this moment on, answers under way are lost."""
        self._sever()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def crash_after_writes(self, count: int) -> None:
        """Cut this process off right after that many further writes of its own; `crash` or `start` then follow."""
        self._writes_left = count

    def failure(self) -> BaseException | None:
        """What ended the engine, if it ended by itself."""
        task = self._task
        return task.exception() if task is not None and task.done() and not task.cancelled() else None

    def _count(self, change: Change) -> None:
        if self._writes_left is None or change.manager != self._cluster.manager:
            return
        self._writes_left -= 1
        if self._writes_left <= 0:
            self._writes_left = None
            self._sever()

    def _sever(self) -> None:
        self._connection.severed = True
        for watch in self._watches:
            watch.close()
        for listener in self.on_sever:
            listener()


def _tell(engine: Engine, kind: Kind, event: EventType, obj: Obj) -> None:
    engine.store.apply(kind, event, obj)
