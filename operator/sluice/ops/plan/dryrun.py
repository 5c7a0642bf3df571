"""What the API server says to applying an object: a dry run, with the rights of whoever asks. Writes nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sluice.api.names import CHANGED_BY_ANNOTATION, REQUESTER_ANNOTATION
from sluice.decide.metadata import annotation_of, mapping
from sluice.errors import BadAnswer, Conflict, Forbidden, NotFound, Rejected, SluiceError
from sluice.ops.plan.asked import AROUND, Asked
from sluice.ports import Cluster, Obj

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_AT_A_TIME = 8
# What the API server owns: no file can change it.
_ITS_OWN = ("status",)
_STAMPS = frozenset({LAST_APPLIED, CHANGED_BY_ANNOTATION, REQUESTER_ANNOTATION})
_META_KEPT = ("labels", "annotations", "finalizers", "ownerReferences")


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of a dry run.

    Attributes:
        asked: the object of the file.
        before: as it is; None where it is not there yet.
        after: as it would be; None where it was refused.
        refusal: the API server's words; "" where it was not refused.
    """

    asked: Asked
    before: Obj | None
    after: Obj | None
    refusal: str = ""

    @property
    def changed(self) -> tuple[str, ...]:
        """The fields of the spec, and labels and annotations, that would change; none of an object that is new."""
        if self.before is None or self.after is None:
            return ()
        return tuple(_changes(_own(self.before), _own(self.after), ""))


async def try_out(cluster: Cluster, asked: Sequence[Asked]) -> list[Tried]:
    """Ask of each object, alone, what applying it would make of it, as `kubectl apply` sends it.

    Raises:
        Unavailable: the API server gave no answer.
    """
    turn = asyncio.Semaphore(_AT_A_TIME)

    async def one(each: Asked) -> Tried:
        async with turn:
            return await _try(cluster, each)

    return list(await asyncio.gather(*map(one, asked)))


async def _try(cluster: Cluster, asked: Asked) -> Tried:
    before: Obj | None = None
    try:
        before = await _present(cluster, asked)
        after = await _applied(cluster, asked, before)
    except (Forbidden, Rejected, NotFound, Conflict, BadAnswer) as error:
        return Tried(asked, before, None, _told(error, asked))
    return Tried(asked, before, after)


def _told(error: SluiceError, asked: Asked) -> str:
    if isinstance(error, NotFound) and asked.namespace and "namespaces" in str(error):
        return f"{error}. Create the namespace {asked.namespace} first"
    return str(error)


async def _present(cluster: Cluster, asked: Asked) -> Obj | None:
    try:
        return await cluster.get(asked.kind, asked.namespace, asked.name)
    except NotFound:
        return None


async def _applied(cluster: Cluster, asked: Asked, before: Obj | None) -> Obj:
    body = {key: value for key, value in asked.body.items() if key not in _ITS_OWN}
    if before is None or asked.kind in AROUND:
        return await cluster.apply(asked.kind, asked.namespace, asked.name, body, dry_run=True)
    patch = merge_patch_of(asked.body, before)
    if not patch:
        return before
    return await cluster.patch_merge(asked.kind, asked.namespace, asked.name, patch, dry_run=True)


def merge_patch_of(body: Obj, live: Obj) -> Obj:
    """The JSON merge patch that `kubectl apply` sends for a custom resource. Pure.

    What the file says and the object does not is written; what the file said when it was last applied, and says no
    more, is taken out.
    """
    try:
        last = mapping(json.loads(annotation_of(live, LAST_APPLIED) or "{}"))
    except ValueError:
        last = {}
    given = {key: value for key, value in body.items() if key not in (*_ITS_OWN, "apiVersion", "kind")}
    return _difference(given, _without(last, (*_ITS_OWN, "apiVersion", "kind")), live)


def _without(value: Obj, keys: Iterable[str]) -> Obj:
    kept = {key: part for key, part in value.items() if key not in keys}
    if "metadata" in kept:  # it holds no record of itself
        meta = mapping(kept["metadata"])
        notes = {key: text for key, text in mapping(meta.get("annotations")).items() if key != LAST_APPLIED}
        kept["metadata"] = {**meta, "annotations": notes}
    return kept


def _difference(given: Obj, last: Obj, live: Obj) -> Obj:
    """Objects field by field; lists as wholes."""
    patch: Obj = {key: None for key in last if key not in given and key in live}
    for key, value in given.items():
        present = live.get(key)
        if isinstance(value, dict) and isinstance(present, dict):
            inner = _difference(value, mapping(last.get(key)), present)
            if inner:
                patch[key] = inner
        elif value is None:
            if key in live:
                patch[key] = None
        elif key not in live or value != present:
            patch[key] = value
    return patch


def _own(obj: Obj) -> Obj:
    """What people write of an object."""
    meta = mapping(obj.get("metadata"))
    kept = {key: meta[key] for key in _META_KEPT if meta.get(key)}
    notes = {key: text for key, text in mapping(kept.pop("annotations", None)).items() if key not in _STAMPS}
    if notes:
        kept["annotations"] = notes
    return {"spec": obj.get("spec") or {}, "metadata": kept}


def _changes(before: object, after: object, path: str) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys([*before, *after]):
            inner = f"{path}.{key}" if path else str(key)
            yield from _changes(before.get(key), after.get(key), inner)
    elif before != after:
        yield path
