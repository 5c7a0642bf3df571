"""What an object says of itself: whose it is, since when it is there, who wrote it. Tolerant of any content. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from sluice.api.names import FIELD_MANAGER, OWNER_ANNOTATION
from sluice.api.units import JSON, parse_time

_EPOCH = "1970-01-01T00:00:00Z"
_OWNER_CHARACTERS = 600
_MANAGER_CHARACTERS = 128


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


def requester_of(*objs: JSON) -> str:
    """Who last wrote what is asked for, as far as the API server tells: the field manager, which anyone can choose.

    Args:
        objs: the Rollout, and the Deployment that it takes its pod template from; of writes in the same second, those
            of the last count.
    """
    newest: Mapping[str, Any] = {}
    for entry in (entry for obj in objs for entry in _spec_writes(obj)):
        ours = entry.get("manager") == FIELD_MANAGER
        if not ours and not entry.get("subresource") and str(entry.get("time", "")) >= str(newest.get("time", "")):
            newest = entry
    return f"unattributed (field manager {newest['manager']})"[:253] if newest.get("manager") else "unattributed"


def _spec_writes(obj: JSON) -> Iterator[Mapping[str, Any]]:
    for entry in map(mapping, sequence(metadata_of(obj).get("managedFields"))):
        if "f:spec" in mapping(entry.get("fieldsV1")):
            yield entry
