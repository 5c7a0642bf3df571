"""What an API server does with objects, as far as Sluice relies on it. No I/O; `cluster.py` is the port over it.

Kept: uid, one growing resourceVersion, generation (grows with the spec only), the status subresource's isolation,
writes that change nothing, preconditions, finalizers, pods' grace, namespaces that end, who owns which field, defaults
of what Sluice applies. Left out: what CRDs refuse beyond the models and immutability, pruning, RBAC, garbage collection
by ownerReferences.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sluice.api.names import Kind
from sluice.errors import Conflict, Forbidden, NotFound, Rejected
from sluice.ports import Obj
from sluice.sim import fields
from sluice.sim.admission import check, reached, stamp
from sluice.sim.defaults import add_defaults
from sluice.sim.fields import Fields, Writer
from sluice.sim.kinds import API_VERSIONS, CLUSTER_SCOPED, SCALED, SERVER_OWNED, WITH_STATUS, WITHOUT_GENERATION
from sluice.sim.patches import clone, merged, patched, wire

EventType = Literal["ADDED", "MODIFIED", "DELETED"]


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

    @property
    def version(self) -> int:
        """The resourceVersion of a list that is made now."""
        return self._version

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
        return self._create(kind, namespace, wire(body), Writer(manager), checked=checked)

    def merge(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        body: Obj,
        *,
        subresource: str,
        manager: str,
        dry_run: bool = False,
    ) -> Obj:
        """Apply a merge patch, to the object or to a subresource (`status`, or `scale` with `spec.replicas`).

        With `dry_run` the answer is what would be stored.

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
        if subresource == "scale" and kind in SCALED:
            patch = _scaling(SCALED[kind], patch["spec"]["replicas"])
        return self._update(kind, old, merged(old, patch), Writer(manager, subresource=subresource), dry_run=dry_run)

    def restore(self, kind: Kind, obj: Obj) -> Obj:
        """Store another API server's object as it is, uid and generation included; only the resourceVersion is new.

        It is greater than the one it had there, so that nothing that is made here ever gets a uid of that server's.
        """
        copy = wire(obj)
        meta = copy["metadata"]
        version = str(meta.get("resourceVersion") or "0")
        self._version = max(self._version, int(version) if version.isdecimal() else 0)
        old = self.peek(kind, meta.get("namespace", ""), meta["name"])
        return self._store("ADDED" if old is None else "MODIFIED", kind, old, copy, Writer("restore"))

    def corrupt(self, kind: Kind, namespace: str, name: str, patch: Obj, *, manager: str) -> Obj:
        """Apply a merge patch whatever comes of it, as somebody does who is past all rules.

        Raises:
            NotFound: the object is not there.
        """
        old = self.get(kind, namespace, name)
        return self._store("MODIFIED", kind, old, merged(old, wire(patch)), Writer(manager))

    def json(self, kind: Kind, namespace: str, name: str, operations: Sequence[Obj], *, manager: str) -> Obj:
        """Apply a JSON Patch.

        Raises:
            NotFound: the object is not there.
            Conflict: a `test` failed, or an operation does not apply; a real server does not tell the two apart.
            Rejected: the result means nothing.
        """
        old = self.get(kind, namespace, name)
        where = describe(kind, namespace, name)
        return self._update(kind, old, patched(old, operations, where), Writer(manager))

    def apply(self, kind: Kind, namespace: str, name: str, body: Obj, *, manager: str, dry_run: bool) -> Obj:
        """Server-side apply with force. With `dry_run` the answer is what would be stored.

        Raises:
            Conflict: a uid or resourceVersion in the body is not the stored one.
            NotFound: the namespace does not exist.
            Forbidden: the namespace is ending.
            Rejected: the result means nothing.
        """
        config = wire(body)
        meta = config.setdefault("metadata", {})
        asked = {field: meta.pop(field, None) for field in ("uid", "resourceVersion")}
        meta["name"] = name
        old, writer = self.peek(kind, namespace, name), Writer(manager, "Apply")
        for field, value in asked.items():
            stored = old["metadata"][field] if old is not None else None
            if value is not None and value != stored and (old is not None or field == "uid"):
                raise Conflict(f"{describe(kind, namespace, name)}: {field} is {stored or 'none'}, not {value}")
        claim = fields.fields_of(fields.own_part(config))
        if old is None:
            return self._create(kind, namespace, config, writer, claim, dry_run=dry_run)
        return self._update(kind, old, fields.applied(clone(old), config, manager), writer, claim, dry_run=dry_run)

    def delete(
        self, kind: Kind, namespace: str, name: str, *, uid: str | None, manager: str, grace_seconds: int | None = None
    ) -> None:
        """Delete, or mark as deleting while finalizers are there or a pod ends. What does not exist is fine.

        Args:
            kind: its kind.
            namespace: its namespace.
            name: its name.
            uid: the object's; None for any.
            manager: who deletes.
            grace_seconds: how long a pod on a node may go on; 0 ends it now, None takes the pod's own.

        Raises:
            Conflict: the uid is another one.
        """
        old = self.peek(kind, namespace, name)
        if old is None:
            return
        if uid is not None and uid != old["metadata"]["uid"]:
            raise Conflict(f"{describe(kind, namespace, name)}: uid is {old['metadata']['uid']}, not {uid}")
        grace = _grace_of(kind, old, grace_seconds)
        if kind is Kind.NAMESPACE:
            self._end_namespace(old, manager)
        elif not old["metadata"].get("finalizers") and not grace:
            self._remove(kind, old, manager)
        elif "deletionTimestamp" not in old["metadata"]:
            marked = clone(old)
            marked["metadata"]["deletionTimestamp"] = _seconds(self._now() + timedelta(seconds=grace))
            if grace:
                marked["metadata"]["deletionGracePeriodSeconds"] = grace
            if kind not in WITHOUT_GENERATION:
                marked["metadata"]["generation"] += 1
            self._store("MODIFIED", kind, old, marked, Writer(manager))

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

    def _create(
        self,
        kind: Kind,
        namespace: str,
        obj: Obj,
        writer: Writer,
        claim: Fields | None = None,
        *,
        checked: bool = True,
        dry_run: bool = False,
    ) -> Obj:
        meta = obj.setdefault("metadata", {})
        name = meta.get("name") or (f"{meta['generateName']}{self._version:05x}" if "generateName" in meta else "")
        where = describe(kind, namespace, name)
        if checked:
            self._admit(kind, namespace, where, meta)
            if kind in WITH_STATUS:
                obj.pop("status", None)
            check(kind, None, obj, where)
            add_defaults(kind, obj)
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
        meta["managedFields"] = self._managers(None, obj, writer, claim)
        return obj if dry_run else self._store("ADDED", kind, None, obj, writer)

    def _update(
        self, kind: Kind, old: Obj, new: Obj, writer: Writer, claim: Fields | None = None, *, dry_run: bool = False
    ) -> Obj:
        meta = old["metadata"]
        where = describe(kind, meta.get("namespace", ""), meta["name"])
        new = reached(kind, old, new, writer.subresource, where)
        stamp(kind, old, new, writer.manager, where)
        new["apiVersion"], new["kind"], new["metadata"] = old["apiVersion"], old["kind"], dict(new["metadata"])
        for field in (*SERVER_OWNED, "resourceVersion", "managedFields"):
            new["metadata"].pop(field, None)
            if field in meta:
                new["metadata"][field] = meta[field]
        if new == old and claim is None:
            return old
        check(kind, old, new, where)
        if writer.subresource != "status":
            add_defaults(kind, new)
        new["metadata"]["managedFields"] = self._managers(old, new, writer, claim)
        if new == old:
            return old
        if kind not in WITHOUT_GENERATION and _content(kind, new, writer) != _content(kind, old, writer):
            new["metadata"]["generation"] += 1
        if dry_run:
            return new
        if "deletionTimestamp" in meta and not new["metadata"].get("finalizers") and not _ends_later(new):
            self._remove(kind, new, writer.manager)
            return new
        return self._store("MODIFIED", kind, old, new, writer)

    def _managers(self, old: Obj | None, new: Obj, writer: Writer, claim: Fields | None) -> list[Obj]:
        return fields.noted(old, new, writer, at=_seconds(self._now()), claim=claim)

    def _store(self, change: EventType, kind: Kind, old: Obj | None, new: Obj, writer: Writer) -> Obj:
        self._version += 1
        meta = new["metadata"]
        meta["resourceVersion"] = str(self._version)
        self._objects[kind][(meta.get("namespace", ""), meta["name"])] = new
        self._on_change(Change(change, kind, old, new, writer.manager))
        return new

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
            home = self._store("MODIFIED", Kind.NAMESPACE, home, ending, Writer(manager))
        if not self._contents(name):
            self._remove(Kind.NAMESPACE, home, manager)
        for kind, child in self._contents(name):
            self.delete(kind, name, child, uid=None, manager=manager)


def _key(item: tuple[tuple[str, str], Obj]) -> tuple[str, str]:
    return item[0]


def _seconds(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _scaling(path: tuple[str, ...], replicas: int) -> Obj:
    """The merge patch of the object that a change of its scale is."""
    patch: Any = replicas
    for name in reversed(path):
        patch = {name: patch}
    return dict(patch)


def _content(kind: Kind, obj: Obj, writer: Writer) -> Obj:
    """What a change of makes a new generation; of Deployments the annotations too, unless with the status."""
    content = {name: value for name, value in obj.items() if name not in ("metadata", "status")}
    if kind is Kind.DEPLOYMENT and writer.subresource != "status":
        content["annotations"] = obj["metadata"].get("annotations", {})
    return content


def _grace_of(kind: Kind, obj: Obj, asked: int | None) -> int:
    """For how long a pod goes on after it was deleted; 0 for all that has no node to end it."""
    spec = obj.get("spec") or {}
    if kind is not Kind.POD or not spec.get("nodeName"):
        return 0
    return int(spec.get("terminationGracePeriodSeconds", 30)) if asked is None else asked


def _ends_later(obj: Obj) -> bool:
    return "deletionGracePeriodSeconds" in obj["metadata"]
