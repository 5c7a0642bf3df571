"""Who owns which fields, as `managedFields` tell, and what server-side apply makes of them. Pure.

Follows the API server's structured merge: maps by key; the lists of `_KEYS` by item; other lists and the maps of
`_ATOMIC` as a whole. Left out: lists that are sets (finalizers count as a whole), and whatever a CRD's schema says.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from sluice.ports import Obj

Fields = dict[str, Any]
"""A tree as in `fieldsV1`: `f:<field>`, `k:{<keys>}` for items of lists, "." for an item itself; a leaf is empty."""

_KEYS: dict[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "imagePullSecrets": ("name",),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "conditions": ("type",),
    "ownerReferences": ("uid",),
}
_PORT_KEYS = (("containerPort", "protocol"), ("port", "protocol"))  # of containers, of Services
_ATOMIC = frozenset({"selector", "nodeSelector", "fieldRef", "configMapKeyRef", "secretKeyRef", "resourceFieldRef"})
_METADATA = ("labels", "annotations", "finalizers", "ownerReferences")
_ITEM = "."


@dataclass(frozen=True, slots=True)
class Writer:
    """Under whose name fields are owned."""

    manager: str
    operation: Literal["Update", "Apply"] = "Update"
    subresource: str = ""


# --------------------------------------------------------------------------------------------- the shape of values


def fields_of(value: Any, name: str = "") -> Fields:
    """All fields of a value that is found under that name.

    >>> fields_of({"a": 1, "env": [{"name": "X"}], "selector": {"b": 2}})
    {'f:a': {}, 'f:env': {'k:{"name":"X"}': {'.': {}, 'f:name': {}}}, 'f:selector': {}}
    """
    if (items := _items(value, name)) is not None:
        return {key: {_ITEM: {}} | fields_of(item) for key, item in items.items()}
    if _is_map(value, name):
        return {f"f:{key}": fields_of(item, key) for key, item in value.items()}
    return {}


def _is_map(value: Any, name: str) -> bool:
    return isinstance(value, dict) and name not in _ATOMIC


def _items(value: Any, name: str) -> dict[str, Any] | None:
    """The items of a list that is merged by item, by their keys; None for everything else."""
    if not isinstance(value, list) or (name not in _KEYS and name != "ports"):
        return None
    keys = [_item_key(item, name) for item in value]
    return None if None in keys else {str(key): item for key, item in zip(keys, value, strict=True)}


def _item_key(item: Any, name: str) -> str | None:
    if not isinstance(item, dict):
        return None
    for names in _PORT_KEYS if name == "ports" else (_KEYS[name],):
        values = {key: item.get(key, "TCP" if key == "protocol" else None) for key in names}
        if None not in values.values():
            return "k:" + json.dumps(values, sort_keys=True, separators=(",", ":"))
    return None


def _parts(value: Any, name: str) -> dict[str, tuple[Any, str]] | None:
    """What a map or a list by items consists of: by path, each part and the name it is found under."""
    if (items := _items(value, name)) is not None:
        return {key: (item, "") for key, item in items.items()}
    if _is_map(value, name):
        return {f"f:{key}": (item, key) for key, item in value.items()}
    return None


# --------------------------------------------------------------------------------------------- trees of fields


def changed(old: Any, new: Any, name: str = "") -> Fields | None:
    """The fields of `new` that are not so in `old`; None where there are none."""
    if old == new:
        return None
    before, after = _parts(old, name), _parts(new, name)
    if before is None or after is None:
        return fields_of(new, name)
    result: Fields = {}
    for path, (value, key) in after.items():
        if path not in before:
            result[path] = ({_ITEM: {}} if path.startswith("k:") else {}) | fields_of(value, key)
        elif (deeper := changed(before[path][0], value, key)) is not None:
            result[path] = deeper
    return result or None


def vanished(old: Any, new: Any, name: str = "") -> Fields:
    """The fields of `old` that `new` does not have; the topmost of each."""
    before, after = _parts(old, name), _parts(new, name)
    if old == new or before is None or after is None:
        return {}
    result: Fields = {}
    for path, (value, key) in before.items():
        if path not in after:
            result[path] = {}
        elif deeper := vanished(value, after[path][0], key):
            result[path] = deeper
    return result


def union(first: Fields, second: Fields) -> Fields:
    """The fields of both."""
    result = dict(first)
    for path, fields in second.items():
        result[path] = union(result[path], fields) if path in result else fields
    return result


def without(fields: Fields, lost: Fields) -> Fields:
    """The fields that are not lost; a leaf of `lost` takes with it all that is below."""
    result: Fields = {}
    for path, deeper in fields.items():
        if path not in lost:
            result[path] = deeper
        elif deeper and lost[path] and (rest := without(deeper, lost[path])):
            result[path] = rest
    return result


def lacking(fields: Fields, other: Fields) -> Fields:
    """The fields that the other tree does not have."""
    result: Fields = {}
    for path, deeper in fields.items():
        if path not in other:
            result[path] = deeper
        elif deeper and (rest := lacking(deeper, other[path])):
            result[path] = rest
    return result


# --------------------------------------------------------------------------------------------- server-side apply


def overlaid(live: Any, config: Any, name: str = "") -> Any:
    """What is there, with what is asked for over it. Items keep the order of `config`, others stay where they were."""
    items, asked = _items(live, name), _items(config, name)
    if items is not None and asked is not None:
        return _interleaved(items, asked)
    if _is_map(live, name) and _is_map(config, name):
        return live | {key: overlaid(live.get(key), value, key) for key, value in config.items()}
    return config


def _interleaved(items: dict[str, Any], asked: dict[str, Any]) -> list[Any]:
    result: list[Any] = []
    waiting = list(items)
    for key, item in asked.items():
        while waiting and waiting[0] not in asked:
            result.append(items[waiting.pop(0)])
        result.append(overlaid(items.get(key), item))
        if key in waiting:
            waiting.remove(key)
    return result + [items[key] for key in waiting if key not in asked]


def pruned(value: Any, lost: Fields, kept: Fields, name: str = "") -> Any:
    """The value without the fields that are lost; an item that is lost goes with all that others wrote into it."""
    if (items := _items(value, name)) is not None:
        return [
            pruned(item, lost.get(path, {}), kept.get(path, {}))
            for path, item in items.items()
            if _ITEM not in lost.get(path, {})
        ]
    result = dict(value)
    for path, deeper in lost.items():
        key = path.removeprefix("f:")
        if key not in result:
            continue
        if deeper and (rest := pruned(result[key], deeper, kept.get(path, {}), key)):
            result[key] = rest
        elif path not in kept:
            del result[key]
    return result


def applied(live: Obj, config: Obj, manager: str) -> Obj:
    """The object after an apply with force; its managedFields are those of before."""
    mine = Writer(manager, "Apply")
    owners = owners_of(live)
    kept: Fields = {}
    for writer, fields in owners.items():
        kept = union(kept, fields) if writer != mine else kept
    lost = lacking(lacking(owners.get(mine, {}), fields_of(own_part(config))), kept)
    result: Obj = pruned(overlaid(live, config), lost, kept)
    return result


# --------------------------------------------------------------------------------------------- managedFields


def own_part(obj: Obj) -> Obj:
    """Of an object, what somebody can own."""
    metadata = {name: obj["metadata"][name] for name in _METADATA if obj.get("metadata", {}).get(name)}
    rest = {name: value for name, value in obj.items() if name not in ("apiVersion", "kind", "metadata")}
    return rest | ({"metadata": metadata} if metadata else {})


def owners_of(obj: Obj) -> dict[Writer, Fields]:
    """Who owns what, as the object's managedFields tell."""
    return {_writer(entry): entry["fieldsV1"] for entry in obj["metadata"].get("managedFields", ())}


def noted(before: Obj | None, after: Obj, writer: Writer, *, at: str, claim: Fields | None = None) -> list[Obj]:
    """The managedFields that an object has after a write.

    Args:
        before: the object until now, or None.
        after: the object as it is stored; its managedFields are those of before.
        writer: whose write it is.
        at: the time for what changed.
        claim: with an apply, the fields that were applied, whether they changed or not.
    """
    old, new = own_part(before or {}), own_part(after)
    took, gone = changed(old, new) or {}, vanished(old, new)
    entries: list[Obj] = []
    mine: Obj = {}
    for entry in after["metadata"].get("managedFields", ()):
        if _writer(entry) == writer:
            mine = entry
        elif rest := without(without(entry["fieldsV1"], took), gone):
            entries.append({**entry, "fieldsV1": rest})
    held = mine.get("fieldsV1", {})
    fields = union(without(held, gone), took) if claim is None else claim
    news = bool(took) if claim is None else bool(took or gone) or fields != held
    if fields:
        entries.append(_entry(writer, after, fields, at if news or not mine else mine["time"]))
    return sorted(entries, key=_order)


def _entry(writer: Writer, obj: Obj, fields: Fields, at: str) -> Obj:
    entry = {
        "manager": writer.manager,
        "operation": writer.operation,
        "apiVersion": obj["apiVersion"],
        "time": at,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }
    return entry | ({"subresource": writer.subresource} if writer.subresource else {})


def _writer(entry: Obj) -> Writer:
    return Writer(entry["manager"], entry["operation"], entry.get("subresource", ""))


def _order(entry: Obj) -> tuple[str, str, str, str]:
    return entry["operation"], entry["time"], entry["manager"], entry.get("subresource", "")
