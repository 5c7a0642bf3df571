"""What an API server does with objects, as far as Sluice relies on it. No I/O; `cluster.py` is the port over it.

Kept: uid, one growing resourceVersion, generation (grows with the spec only), the status subresource's isolation,
writes that change nothing, preconditions, finalizers, namespaces that end, field managers in outline. Left out: what
CRDs refuse beyond the models and immutability, defaulting, pruning, RBAC, garbage collection by ownerReferences.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import jsonpatch

from sluice.api.names import Kind
from sluice.errors import Conflict, Forbidden, InvalidSpec, NotFound, Rejected
from sluice.ports import Obj
from sluice.sim.kinds import (
    API_VERSIONS,
    CLUSTER_SCOPED,
    IMMUTABLE_SPECS,
    SERVER_OWNED,
    SPEC_MODELS,
    STATUS_MODELS,
    WITH_STATUS,
    WITHOUT_GENERATION,
)

EventType = Literal["ADDED", "MODIFIED", "DELETED"]


def clone(value: Any) -> Any:
    """A deep copy of a JSON value."""
    if isinstance(value, dict):
        return {key: clone(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clone(item) for item in value]
    return value


def wire(value: Any) -> Any:
    """A JSON value as it arrives on the other side: copied, tuples as lists.

    Raises:
        TypeError: not a JSON value, so no client could have sent it.
    """
    return json.loads(json.dumps(value))


def merged(target: Any, patch: Any) -> Any:
    """Apply a JSON merge patch (RFC 7386). Pure.

    >>> merged({"a": {"b": 1, "c": 2}}, {"a": {"b": None, "d": [3]}})
    {'a': {'c': 2, 'd': [3]}}
    """
    if not isinstance(patch, dict):
        return clone(patch)
    result = clone(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def describe(kind: Kind, namespace: str, name: str) -> str:
    """How messages name an object."""
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"


@dataclass(frozen=True, slots=True)
class Change:
    """One stored change, as watches tell it. `before` is None for ADDED; `after` is the last state for DELETED."""

    type: EventType
    kind: Kind
    before: Obj | None
    after: Obj
    manager: str


class ObjectStore:
    """The objects of one cluster and the rules for changing them.

    Args:
        now: the time for creationTimestamp and deletionTimestamp.
        on_change: called at the moment of each stored change, in order; must not change the objects it is given.
    """

    def __init__(self, now: Callable[[], datetime], on_change: Callable[[Change], None]) -> None:
        self._now = now
        self._on_change = on_change
        self._objects: dict[Kind, dict[tuple[str, str], Obj]] = {kind: {} for kind in Kind}
        self._version = 0

    # ------------------------------------------------------------------------------------------ reading

    def peek(self, kind: Kind, namespace: str, name: str) -> Obj | None:
        """The stored object itself, not to be changed, or None."""
        return self._objects[kind].get((namespace, name))

    def all(self, kind: Kind, namespace: str = "") -> Iterable[Obj]:
        """The stored objects themselves, of a namespace or of all, by name."""
        return [obj for (where, _), obj in sorted(self._objects[kind].items(), key=_key) if namespace in ("", where)]

    def get(self, kind: Kind, namespace: str, name: str) -> Obj:
        """The stored object itself.

        Raises:
            NotFound: it is not there.
        """
        found = self.peek(kind, namespace, name)
        if found is None:
            raise NotFound(f"{describe(kind, namespace, name)} not found")
        return found

    # ------------------------------------------------------------------------------------------ writing

    def create(self, kind: Kind, namespace: str, body: Obj, *, manager: str, checked: bool = True) -> Obj:
        """Store a new object.

        Args:
            kind: its kind.
            namespace: "" for cluster-scoped kinds.
            body: as a client sends it; a name, or `generateName`.
            manager: who writes.
            checked: False stores what the CRD would refuse, and its status too.

        Raises:
            Conflict: the name is taken.
            NotFound: the namespace does not exist.
            Forbidden: the namespace is ending.
            Rejected: the content means nothing.
        """
        obj = wire(body)
        meta = obj.setdefault("metadata", {})
        name = meta.get("name") or (f"{meta['generateName']}{self._version:05x}" if "generateName" in meta else "")
        where = describe(kind, namespace, name)
        if checked:
            self._admit(kind, namespace, where, meta)
            if kind in WITH_STATUS:
                obj.pop("status", None)
            _validate(kind, obj, where)
        if self.peek(kind, namespace, name) is not None:
            raise Conflict(f"{where} already exists")
        obj = {"apiVersion": API_VERSIONS[kind], "kind": str(kind), **obj}
        meta.update(
            {"name": name, "uid": str(uuid.UUID(int=self._version + 1)), "creationTimestamp": _seconds(self._now())}
        )
        if namespace:
            meta["namespace"] = namespace
        if kind not in WITHOUT_GENERATION:
            meta["generation"] = 1
        if kind is Kind.NAMESPACE:
            meta["labels"] = {**meta.get("labels", {}), "kubernetes.io/metadata.name": name}
            obj.setdefault("status", {"phase": "Active"})
        return self._store("ADDED", kind, None, obj, manager)

    def merge(self, kind: Kind, namespace: str, name: str, body: Obj, *, subresource: str, manager: str) -> Obj:
        """Apply a merge patch.

        Raises:
            NotFound: the object is not there.
            Conflict: `metadata.resourceVersion` in the patch is not the stored one.
            Rejected: the result means nothing.
        """
        old = self.get(kind, namespace, name)
        patch = wire(body)
        expected = patch.get("metadata", {}).get("resourceVersion")
        if expected is not None and expected != old["metadata"]["resourceVersion"]:
            raise Conflict(
                f"{describe(kind, namespace, name)} has been modified: resourceVersion is "
                f"{old['metadata']['resourceVersion']}, not {expected}"
            )
        return self._update(kind, old, merged(old, patch), subresource=subresource, manager=manager)

    def json(self, kind: Kind, namespace: str, name: str, operations: Sequence[Obj], *, manager: str) -> Obj:
        """Apply a JSON Patch.

        Raises:
            NotFound: the object is not there.
            Conflict: a `test` failed, or an operation does not apply; a real server does not tell the two apart.
            Rejected: the result means nothing.
        """
        old = self.get(kind, namespace, name)
        where = describe(kind, namespace, name)
        try:
            new = jsonpatch.JsonPatch(wire(operations)).apply(clone(old), in_place=True)
        except jsonpatch.JsonPatchTestFailed as error:
            raise Conflict(f"{where}: a test of the JSON patch failed: {str(error)[:300]}") from error
        except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
            raise Conflict(f"{where}: the JSON patch does not apply: {str(error)[:300]}") from error
        return self._update(kind, old, new, subresource="", manager=manager)

    def delete(self, kind: Kind, namespace: str, name: str, *, uid: str | None, manager: str) -> None:
        """Delete, or mark as deleting while finalizers are there. What does not exist is fine.

        Raises:
            Conflict: the uid is another one.
        """
        old = self.peek(kind, namespace, name)
        if old is None:
            return
        if uid is not None and uid != old["metadata"]["uid"]:
            raise Conflict(f"{describe(kind, namespace, name)}: uid is {old['metadata']['uid']}, not {uid}")
        if kind is Kind.NAMESPACE:
            self._end_namespace(old, manager)
        elif not old["metadata"].get("finalizers"):
            self._remove(kind, old, manager)
        elif "deletionTimestamp" not in old["metadata"]:
            marked = clone(old)
            marked["metadata"]["deletionTimestamp"] = _seconds(self._now())
            if kind not in WITHOUT_GENERATION:
                marked["metadata"]["generation"] += 1
            self._store("MODIFIED", kind, old, marked, manager)

    # ------------------------------------------------------------------------------------------ rules

    def _admit(self, kind: Kind, namespace: str, where: str, meta: Obj) -> None:
        if not meta.get("name") and not meta.get("generateName"):
            raise Rejected(f"{where}: a name or generateName is required")
        if meta.get("resourceVersion"):
            raise Rejected(f"{where}: resourceVersion should not be set on objects to be created")
        if (kind in CLUSTER_SCOPED) != (namespace == ""):
            raise Rejected(f"{where}: {kind} is {'cluster-scoped' if namespace else 'namespaced'}")
        if meta.get("namespace", namespace) != namespace:
            raise Rejected(f"{where}: the namespace of the object, {meta['namespace']}, is not that of the request")
        if namespace:
            home = self.peek(Kind.NAMESPACE, "", namespace)
            if home is None:
                raise NotFound(f'{where}: namespaces "{namespace}" not found')
            if "deletionTimestamp" in home["metadata"]:
                raise Forbidden(f"{where}: namespace {namespace} is being terminated")

    def _update(self, kind: Kind, old: Obj, new: Obj, *, subresource: str, manager: str) -> Obj:
        meta = old["metadata"]
        where = describe(kind, meta.get("namespace", ""), meta["name"])
        new = _reached(kind, old, new, subresource, where)
        new["apiVersion"], new["kind"] = old["apiVersion"], old["kind"]
        for field in (*SERVER_OWNED, "resourceVersion", "managedFields"):
            new["metadata"].pop(field, None)
            if field in meta:
                new["metadata"][field] = clone(meta[field])
        if new == old:
            return old
        if kind in IMMUTABLE_SPECS and new.get("spec") != old.get("spec"):
            raise Rejected(f"{where}: spec is immutable")
        _validate(kind, new, where)
        if kind not in WITHOUT_GENERATION and _content(new) != _content(old):
            new["metadata"]["generation"] += 1
        if "deletionTimestamp" in meta and not new["metadata"].get("finalizers"):
            self._remove(kind, new, manager)
            return new
        return self._store("MODIFIED", kind, old, new, manager, subresource=subresource)

    def _store(
        self, change: EventType, kind: Kind, old: Obj | None, new: Obj, manager: str, *, subresource: str = ""
    ) -> Obj:
        self._version += 1
        meta = new["metadata"]
        meta["resourceVersion"] = str(self._version)
        self._note_manager(old, new, manager, subresource)
        self._objects[kind][(meta.get("namespace", ""), meta["name"])] = new
        self._on_change(Change(change, kind, old, new, manager))
        return new

    def _note_manager(self, old: Obj | None, new: Obj, manager: str, subresource: str) -> None:
        """Keep managedFields in outline: each writer's newest write, and which top-level fields it ever changed."""
        fields = {f"f:{name}" for name in {*new, *(old or {})} - _FRAME if (old or {}).get(name) != new.get(name)}
        entries = new["metadata"].get("managedFields", [])
        mine = [entry for entry in entries if _writer(entry) == (manager, subresource)]
        for entry in mine:
            entries.remove(entry)
            fields |= set(entry["fieldsV1"])
        if not fields and mine:
            entries.extend(mine)
        elif fields:
            entry = {
                "manager": manager,
                "operation": "Update",
                "apiVersion": new["apiVersion"],
                "fieldsType": "FieldsV1",
            }
            entry |= {"time": _seconds(self._now()), "fieldsV1": {name: {} for name in sorted(fields)}}
            entries.append(entry | ({"subresource": subresource} if subresource else {}))
        new["metadata"]["managedFields"] = entries

    def _remove(self, kind: Kind, last: Obj, manager: str) -> None:
        meta = last["metadata"]
        namespace = meta.get("namespace", "")
        before = self._objects[kind].pop((namespace, meta["name"]))
        self._version += 1
        after = clone(last)
        after["metadata"]["resourceVersion"] = str(self._version)
        self._on_change(Change("DELETED", kind, before, after, manager))
        home = self.peek(Kind.NAMESPACE, "", namespace) if namespace else None
        if home is not None and "deletionTimestamp" in home["metadata"] and not self._contents(namespace):
            self._remove(Kind.NAMESPACE, home, manager)

    def _contents(self, namespace: str) -> list[tuple[Kind, str]]:
        return [(kind, name) for kind in Kind for where, name in self._objects[kind] if where == namespace]

    def _end_namespace(self, home: Obj, manager: str) -> None:
        name = home["metadata"]["name"]
        if "deletionTimestamp" not in home["metadata"]:
            ending = clone(home)
            ending["metadata"]["deletionTimestamp"] = _seconds(self._now())
            ending["status"] = {"phase": "Terminating"}
            home = self._store("MODIFIED", Kind.NAMESPACE, home, ending, manager)
        if not self._contents(name):
            self._remove(Kind.NAMESPACE, home, manager)
        for kind, child in self._contents(name):
            self.delete(kind, name, child, uid=None, manager=manager)


_FRAME = frozenset({"apiVersion", "kind", "metadata"})


def _key(item: tuple[tuple[str, str], Obj]) -> tuple[str, str]:
    return item[0]


def _writer(entry: Obj) -> tuple[str, str]:
    return entry["manager"], entry.get("subresource", "")


def _seconds(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _content(obj: Obj) -> Obj:
    """What a change of makes a new generation."""
    return {name: value for name, value in obj.items() if name not in ("metadata", "status")}


def _reached(kind: Kind, old: Obj, new: Obj, subresource: str, where: str) -> Obj:
    """Of a patched object, what the endpoint (the object itself, or its status) may change."""
    if subresource and (subresource != "status" or kind not in WITH_STATUS):
        raise NotFound(f"{where} has no subresource {subresource}")
    if subresource:
        return {**clone(old), "status": new["status"]} if "status" in new else clone(old)
    if not isinstance(new.get("metadata"), dict):
        raise Rejected(f"{where}: the patch leaves no metadata")
    _check_metadata(old, new, where)
    if kind in WITH_STATUS:
        new.pop("status", None)
        new.update({"status": clone(old["status"])} if "status" in old else {})
    return new


def _check_metadata(old: Obj, new: Obj, where: str) -> None:
    meta, was = new["metadata"], old["metadata"]
    for field in ("uid", "name", "namespace"):
        if field in meta and meta[field] != was.get(field):
            raise Rejected(f"{where}: metadata.{field} is immutable: it is {was.get(field)}, not {meta[field]}")
    if "deletionTimestamp" in was and set(meta.get("finalizers", ())) - set(was.get("finalizers", ())):
        raise Rejected(f"{where}: no new finalizers can be added while it is being deleted")


def _validate(kind: Kind, obj: Obj, where: str) -> None:
    """Refuse what the models refuse.

    Raises:
        Rejected: with the model's words.
    """
    try:
        if kind in SPEC_MODELS:
            SPEC_MODELS[kind].parse(obj.get("spec"), f"{where} is invalid: spec")
        if kind in STATUS_MODELS and "status" in obj:
            STATUS_MODELS[kind].parse(obj["status"], f"{where} is invalid: status")
    except InvalidSpec as error:
        raise Rejected(str(error)) from error
