"""What the caches keep of objects that come in great numbers: what is read, and no more. Pure.

A fleet has more pods than anything else, and of a Deployment most is the record of who wrote which field.
"""

from __future__ import annotations

from typing import Any

from sluice.api.names import Kind
from sluice.decide.metadata import mapping
from sluice.ports import Obj

_POD_METADATA = ("name", "namespace", "uid", "resourceVersion", "labels", "annotations", "deletionTimestamp")
_CONTAINERS = ("initContainerStatuses", "containerStatuses")
_CONDITION = ("type", "status", "reason", "message")
_WRITER = ("manager", "operation", "subresource", "time")
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def slim(kind: Kind, obj: Obj) -> Obj:
    """The object as the caches keep it: the same one, or a smaller copy."""
    if kind is Kind.POD:
        return _pod(obj)
    if kind is Kind.DEPLOYMENT:
        return {**obj, "metadata": _metadata(mapping(obj.get("metadata")))}
    return obj


def _pod(pod: Obj) -> Obj:
    """Who it is, and how its containers fare; of its conditions, those that are not met."""
    metadata, status = _picked(mapping(pod.get("metadata")), _POD_METADATA), mapping(pod.get("status"))
    lists = {field: [_container(each) for each in status.get(field) or ()] for field in _CONTAINERS}
    lists["conditions"] = [
        _picked(each, _CONDITION)
        for each in map(mapping, status.get("conditions") or ())
        if each.get("status") == "False"
    ]
    return {
        "metadata": _without_last_applied(metadata),
        "status": {**_picked(status, ("phase",)), **{field: told for field, told in lists.items() if told}},
    }


def _container(status: Any) -> Obj:
    status = mapping(status)
    return {
        **_picked(status, ("name", "restartCount", "ready", "started")),
        **{field: _state(status[field]) for field in ("state", "lastState") if status.get(field)},
    }


def _state(state: Any) -> Obj:
    return {
        name: _picked(mapping(detail), ("reason", "message", "exitCode")) for name, detail in mapping(state).items()
    }


def _metadata(metadata: Obj) -> Obj:
    """Of managedFields, who wrote which top-level field."""
    entries = metadata.get("managedFields")
    if not isinstance(entries, list):
        return _without_last_applied(metadata)
    outline = [
        {**_picked(entry, _WRITER), "fieldsV1": {field: {} for field in mapping(entry.get("fieldsV1"))}}
        for entry in map(mapping, entries)
    ]
    return _without_last_applied({**metadata, "managedFields": outline})


def _without_last_applied(metadata: Obj) -> Obj:
    """What kubectl keeps for itself is the whole manifest once more."""
    annotations = metadata.get("annotations")
    if not isinstance(annotations, dict) or _LAST_APPLIED not in annotations:
        return metadata
    return {**metadata, "annotations": {key: value for key, value in annotations.items() if key != _LAST_APPLIED}}


def _picked(obj: Obj, fields: tuple[str, ...]) -> Obj:
    return {field: obj[field] for field in fields if field in obj}
