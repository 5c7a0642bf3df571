"""The caches: what the watches told, newest version of each object, with the indexes that observing needs.

Objects are plain dicts and must not be changed by who reads them. An older version never replaces a newer one,
wherever it comes from (a watch, a LIST, the answer to one of our own writes); resourceVersions of one API server
compare as integers since Kubernetes 1.35 (KEP-5504), and did so in practice before.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from sluice.api.names import Kind
from sluice.engine.slim import slim

Obj = dict[str, Any]
Key = tuple[str, str]  # namespace ("" for cluster-scoped kinds), name
Listener = Callable[[Kind, Obj | None, Obj | None], None]
_SERVICE_LABEL = "kubernetes.io/service-name"
_TOMBSTONES = 20_000
P = TypeVar("P")
K = TypeVar("K")
V = TypeVar("V")


def key_of(obj: Obj) -> Key:
    """Namespace and name of an object."""
    metadata = obj.get("metadata") or {}
    return metadata.get("namespace") or "", metadata.get("name") or ""


def version_of(obj: Obj) -> int:
    """The resourceVersion as a number; 0 where it is not one."""
    text = str((obj.get("metadata") or {}).get("resourceVersion") or "0")
    return int(text) if text.isdecimal() else 0


class Store:
    """Implements `ports.Reader`. Not thread-safe: used from the engine's loop alone."""

    def __init__(self) -> None:
        self._objects: dict[Kind, dict[Key, Obj]] = {kind: {} for kind in Kind}
        self._by_namespace: dict[tuple[Kind, str], dict[str, Obj]] = defaultdict(dict)
        self._slices: dict[Key, dict[str, Obj]] = defaultdict(dict)
        self._dead: OrderedDict[tuple[Kind, Key], int] = OrderedDict()
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Be told of every change: kind, the object before (None: new) and after (None: gone)."""
        self._listeners.append(listener)

    def unlisten(self, listener: Listener) -> None:
        """Be told no more."""
        self._listeners.remove(listener)

    def get(self, kind: Kind, namespace: str, name: str) -> Obj | None:
        """One object, or None."""
        return self._objects[kind].get((namespace, name))

    def all(self, kind: Kind) -> Iterator[Obj]:
        """All objects of a kind."""
        return iter(tuple(self._objects[kind].values()))

    def of_namespace(self, kind: Kind, namespace: str) -> Iterator[Obj]:
        """All objects of a kind in a namespace."""
        return iter(tuple(self._by_namespace.get((kind, namespace), {}).values()))

    def endpoint_slices(self, namespace: str, service: str) -> Iterator[Obj]:
        """The EndpointSlices of a Service."""
        return iter(tuple(self._slices.get((namespace, service), {}).values()))

    def count(self, kind: Kind) -> int:
        """How many objects of a kind there are."""
        return len(self._objects[kind])

    def versions(self, kind: Kind) -> dict[Key, int]:
        """The version of every object of a kind, to compare with a LIST that begins now."""
        return {key: version_of(obj) for key, obj in self._objects[kind].items()}

    def apply(self, kind: Kind, event: str | None, obj: Obj) -> bool:
        """Take in a watch event, or (event "MODIFIED") the answer to a write.

        Args:
            kind: of the object.
            event: ADDED, MODIFIED, DELETED, or None for an initial listing.
            obj: the object as the API server gave it.

        Returns:
            Whether it was news.
        """
        key = key_of(obj)
        version = version_of(obj)
        before = self._objects[kind].get(key)
        if event == "DELETED":
            if before is not None and version < version_of(before) and _uid(before) != _uid(obj):
                return False  # the end of an earlier object of that name
            return self._bury(kind, key, max(version, version_of(before) if before else 0), before)
        if before is not None and version <= version_of(before):
            return False
        if version <= self._dead.get((kind, key), -1):
            return False
        obj = slim(kind, obj)
        self._objects[kind][key] = obj
        self._by_namespace[kind, key[0]][key[1]] = obj
        if kind is Kind.ENDPOINT_SLICE:
            self._index_slice(before, obj)
        self._tell(kind, before, obj)
        return True

    def replace(self, kind: Kind, listed: Iterable[Obj], before: dict[Key, int]) -> None:
        """Take in a LIST: heals what a lost watch missed.

        Args:
            kind: of the objects.
            listed: all of them.
            before: `versions()` from just before the LIST was asked for; only what was known then, and did not change
                since, can be found missing.
        """
        seen = set()
        for obj in listed:
            seen.add(key_of(obj))
            self.apply(kind, None, obj)
        for key, version in before.items():
            cached = self._objects[kind].get(key)
            if key not in seen and cached is not None and version_of(cached) == version:
                self._bury(kind, key, version, cached)

    def _bury(self, kind: Kind, key: Key, version: int, before: Obj | None) -> bool:
        self._dead[kind, key] = max(version, self._dead.get((kind, key), 0))
        self._dead.move_to_end((kind, key))
        while len(self._dead) > _TOMBSTONES:
            self._dead.popitem(last=False)
        if before is None:
            return False
        del self._objects[kind][key]
        drop(self._by_namespace, (kind, key[0]), key[1])
        if kind is Kind.ENDPOINT_SLICE:
            self._index_slice(before, None)
        self._tell(kind, before, None)
        return True

    def _index_slice(self, before: Obj | None, after: Obj | None) -> None:
        for obj, keep in ((before, False), (after, True)):
            if obj is None:
                continue
            namespace, name = key_of(obj)
            service = ((obj.get("metadata") or {}).get("labels") or {}).get(_SERVICE_LABEL)
            if not service:
                continue
            if keep:
                self._slices[namespace, service][name] = obj
            else:
                drop(self._slices, (namespace, service), name)

    def _tell(self, kind: Kind, before: Obj | None, after: Obj | None) -> None:
        for listener in tuple(self._listeners):
            listener(kind, before, after)


def _uid(obj: Obj) -> object:
    return (obj.get("metadata") or {}).get("uid")


def drop(index: dict[P, dict[K, V]], place: P, key: K) -> None:
    """Remove a key from a place of an index, and the place with the last of its keys. What is not there is fine."""
    keys = index.get(place)
    if keys is None:
        return
    keys.pop(key, None)
    if not keys:
        del index[place]


def service_of(slice_: Obj) -> str:
    """The Service that an EndpointSlice belongs to, or ""."""
    return str(((slice_.get("metadata") or {}).get("labels") or {}).get(_SERVICE_LABEL) or "")
