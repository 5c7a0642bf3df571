"""What an object says of itself: whose it is, since when it is there, who wrote it. Tolerant of any content. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from sluice.api.names import FIELD_MANAGER, OWNER_ANNOTATION, REQUESTER_ANNOTATION
from sluice.api.units import JSON, parse_time

_EPOCH = "1970-01-01T00:00:00Z"
_OWNER_CHARACTERS = 600
_MANAGER_CHARACTERS = 128
_REQUESTER_CHARACTERS = 512
_NOBODY_KNOWN = "unattributed"


def mapping(value: object) -> dict[str, Any]:
    """The value where it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def sequence(value: object) -> list[Any]:
    """The value where it is a JSON array, else an empty one."""
    return value if isinstance(value, list) else []


def metadata_of(obj: JSON | None) -> dict[str, Any]:
    """The metadata of an object; empty where there is none."""
    return mapping(mapping(obj).get("metadata"))


def labels_of(obj: JSON | None) -> dict[str, str]:
    """The labels of an object."""
    return mapping(metadata_of(obj).get("labels"))


def annotations_of(obj: JSON | None) -> dict[str, Any]:
    """The annotations of an object."""
    return mapping(metadata_of(obj).get("annotations"))


def annotation_of(obj: JSON | None, name: str) -> str:
    """The value of an annotation; "" where there is none."""
    value = annotations_of(obj).get(name)
    return value if isinstance(value, str) else ""


def owner_of(obj: JSON | None) -> str:
    """The value of the owner annotation, `<namespace>/<name>/<uid>`; "" where there is none."""
    return annotation_of(obj, OWNER_ANNOTATION)[:_OWNER_CHARACTERS]


def created_at(obj: JSON) -> datetime:
    """When the API server created the object."""
    return parse_time(metadata_of(obj).get("creationTimestamp") or _EPOCH)


def writer_of(obj: JSON) -> str:
    """The field manager of the newest write to the spec; "" where managedFields do not tell.

    Times are whole seconds: of writes in the same one, a foreign one is named rather than our own, for whoever asks
    wants to know who else writes. Scaling counts.
    """
    writes = [
        (str(entry.get("time") or ""), entry.get("manager") != FIELD_MANAGER, str(entry.get("manager") or ""))
        for entry in _spec_writes(obj)
        if entry.get("subresource") in (None, "", "scale")
    ]
    return max(writes)[2][:_MANAGER_CHARACTERS] if writes else ""


def requester_of(rollout: JSON, source: JSON | None = None) -> str:
    """Who asked for what a Rollout asks for, as far as the API server tells.

    That is who it stamped. Where it stamped nobody, and where the pod template is another object's, which it stamps on
    nobody's behalf, it is unattributed, with the field manager of the newest write, which anyone can choose.

    Args:
        rollout: the Rollout.
        source: the Deployment that it takes its pod template from, if any; of writes in the same second, its count.
    """
    stamped = annotation_of(rollout, REQUESTER_ANNOTATION) if source is None else ""
    if stamped:
        return stamped[:_REQUESTER_CHARACTERS]
    newest: Mapping[str, Any] = {}
    for entry in (entry for obj in (rollout, source) for entry in _spec_writes(obj)):
        ours = entry.get("manager") == FIELD_MANAGER
        if not ours and not entry.get("subresource") and str(entry.get("time", "")) >= str(newest.get("time", "")):
            newest = entry
    return f"{_NOBODY_KNOWN} (field manager {newest['manager']})"[:253] if newest.get("manager") else _NOBODY_KNOWN


def known_requester(requester: str) -> str:
    """Who asked for a run, where that is known; else "".

    >>> known_requester("alice"), known_requester("unattributed (field manager helm)")
    ('alice', '')
    """
    return "" if requester == _NOBODY_KNOWN or requester.startswith(f"{_NOBODY_KNOWN} (") else requester


def _spec_writes(obj: JSON | None) -> Iterator[Mapping[str, Any]]:
    for entry in map(mapping, sequence(metadata_of(obj).get("managedFields"))):
        if "f:spec" in mapping(entry.get("fieldsV1")):
            yield entry
