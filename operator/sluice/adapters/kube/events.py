"""Kubernetes Events about our objects: for people who `kubectl describe`, never for machines.

A thing that happens again is the same Event with a higher count. What comes too fast, or while the API server is
away, is dropped and counted: nothing waits for an Event.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sluice.api.names import Kind
from sluice.decide.model import Note
from sluice.errors import Conflict, NotFound, SluiceError, Unavailable
from sluice.ports import Clock, Cluster, Obj

_log = logging.getLogger(__name__)
V = TypeVar("V")

MESSAGE_BYTES = 1024
QUEUE_LENGTH = 1000
_REMEMBERED = 4096
_TRIES = 3
_MAX_WAIT_SECONDS = 30.0
_NAME_CHARACTERS = 236  # with a dot and the hash, 253: the longest name there is


@dataclass(frozen=True, slots=True)
class EventLimits:
    """As client-go's: a burst per object, then one in five minutes; and a pace for all together."""

    object_burst: int = 25
    object_seconds_each: float = 300.0
    per_second: float = 10.0


@dataclass(slots=True)
class _Pending:
    """An Event that has yet to be written; `times` it happened since it was written last."""

    about: Obj
    note: Note
    first_at: str
    last_at: str
    times: int = 1


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class _Recent(Generic[V]):
    """A dict that forgets what was used longest ago."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._items: OrderedDict[str, V] = OrderedDict()

    def get(self, key: str) -> V | None:
        if key in self._items:
            self._items.move_to_end(key)
        return self._items.get(key)

    def put(self, key: str, value: V) -> None:
        self._items[key] = value
        self._items.move_to_end(key)
        if len(self._items) > self._size:
            self._items.popitem(last=False)

    def forget(self, key: str) -> None:
        self._items.pop(key, None)


class EventRecorder:
    """Implements `ports.Notifier`. `note` belongs to one event loop; `run` does the writing there.

    Args:
        cluster: where the objects are.
        clock: for timestamps and pace.
        instance: this process, such as the pod's name.
        limits: see EventLimits.

    Attributes:
        written: Events written or counted up.
        dropped: Events that nobody will see: too many, or refused.
    """

    def __init__(self, cluster: Cluster, clock: Clock, instance: str, *, limits: EventLimits | None = None) -> None:
        self.written = 0
        self.dropped = 0
        self._cluster = cluster
        self._clock = clock
        self._instance = instance[:128]
        self._limits = limits or EventLimits()
        self._queue: OrderedDict[str, _Pending] = OrderedDict()
        self._wanted = asyncio.Event()
        self._counts: _Recent[int] = _Recent(_REMEMBERED)
        self._buckets: _Recent[_Bucket] = _Recent(_REMEMBERED)

    def note(self, about: Obj, note: Note) -> None:
        """Tell about an object. Never blocks or raises; may drop."""
        reference = _reference(about)
        if not reference["name"] or not self._take_token(
            f"{reference['namespace']}/{reference['name']}/{reference['uid']}"
        ):
            self.dropped += 1
            return
        note = Note(note.warning, note.reason[:128], cut(note.message, MESSAGE_BYTES))
        now = self._clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        name = event_name(reference, note)
        pending = self._queue.get(name)
        if pending is not None:
            pending.times += 1
            pending.last_at = now
            return
        self._queue[name] = _Pending(reference, note, now, now)
        if len(self._queue) > QUEUE_LENGTH:
            self._queue.popitem(last=False)
            self.dropped += 1
        self._wanted.set()

    async def run(self) -> None:
        """Write what was noted, until cancelled."""
        while True:
            await self._wanted.wait()
            while self._queue:
                name, pending = self._queue.popitem(last=False)
                await self._deliver(name, pending)
                await asyncio.sleep(1.0 / self._limits.per_second)
            self._wanted.clear()

    def _take_token(self, key: str) -> bool:
        now = self._clock.monotonic()
        burst = float(self._limits.object_burst)
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = _Bucket(burst, now)
            self._buckets.put(key, bucket)
        bucket.tokens = min(burst, bucket.tokens + (now - bucket.at) / self._limits.object_seconds_each)
        bucket.at = now
        if bucket.tokens < 1.0:
            return False
        bucket.tokens -= 1.0
        return True

    async def _deliver(self, name: str, pending: _Pending) -> None:
        for _ in range(_TRIES):
            try:
                await self._write(name, pending)
            except Unavailable as error:
                await asyncio.sleep(min(max(error.retry_after_seconds, 1.0), _MAX_WAIT_SECONDS))
            except SluiceError as error:
                _log.debug("event refused", extra={"event": name, "error": str(error)})
                break
            else:
                self.written += 1
                return
        self.dropped += 1

    async def _write(self, name: str, pending: _Pending) -> None:
        namespace = pending.about["namespace"] or "default"
        count = self._counts.get(name)
        if count is not None:
            try:
                await self._count_up(namespace, name, count + pending.times, pending)
            except NotFound:  # Events live for an hour
                self._counts.forget(name)
            else:
                return
        try:
            await self._cluster.create(Kind.EVENT, namespace, self._body(name, namespace, pending))
            self._counts.put(name, pending.times)
        except Conflict:  # written before we started
            stored = await self._cluster.get(Kind.EVENT, namespace, name)
            known = stored.get("count")
            await self._count_up(namespace, name, (known if isinstance(known, int) else 1) + pending.times, pending)

    async def _count_up(self, namespace: str, name: str, count: int, pending: _Pending) -> None:
        body = {"count": count, "lastTimestamp": pending.last_at}
        await self._cluster.patch_merge(Kind.EVENT, namespace, name, body)
        self._counts.put(name, count)

    def _body(self, name: str, namespace: str, pending: _Pending) -> Obj:
        return {
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": {key: value for key, value in pending.about.items() if value},
            "type": "Warning" if pending.note.warning else "Normal",
            "reason": pending.note.reason,
            "message": pending.note.message,
            "firstTimestamp": pending.first_at,
            "lastTimestamp": pending.last_at,
            "count": pending.times,
            "source": {"component": "sluice"},
            "reportingComponent": "sluice",
            "reportingInstance": self._instance,
        }


def event_name(reference: Obj, note: Note) -> str:
    """The same name for the same thing about the same object. Pure."""
    content = "\0".join((str(reference["uid"]), str(note.warning), note.reason, note.message))
    digest = hashlib.sha256(content.encode(errors="replace")).hexdigest()[:16]
    return f"{str(reference['name'])[:_NAME_CHARACTERS].rstrip('-.')}.{digest}"


def cut(text: str, limit_bytes: int) -> str:
    """Shorten to so many bytes of UTF-8, on a character's border, and drop what is not printable. Pure.

    >>> cut("naïve", 3)
    'na'
    """
    clean = re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", " ", text)
    return clean.encode(errors="replace")[:limit_bytes].decode(errors="ignore")


def _reference(about: Any) -> Obj:
    """An ObjectReference of an object. "" where it does not say."""
    about = about if isinstance(about, dict) else {}
    metadata = about.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    reference = {field: str(about.get(field) or "") for field in ("apiVersion", "kind")}
    return reference | {
        field: str(metadata.get(field) or "") for field in ("namespace", "name", "uid", "resourceVersion")
    }
