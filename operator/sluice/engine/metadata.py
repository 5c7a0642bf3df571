"""What an object's metadata tell: whose it is, since when it is there, and who wrote it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from sluice.api.names import FIELD_MANAGER, OWNER_ANNOTATION
from sluice.api.units import parse_time
from sluice.ports import Obj

_EPOCH = "1970-01-01T00:00:00Z"
_OWNER_CHARACTERS = 600


def annotation_of(obj: Obj | None, name: str) -> str:
    """The value of an annotation; "" where there is none."""
    return str((((obj or {}).get("metadata") or {}).get("annotations") or {}).get(name) or "")


def owner_of(obj: Obj | None) -> str:
    """The value of the owner annotation, `<namespace>/<name>/<uid>`; "" where there is none."""
    return annotation_of(obj, OWNER_ANNOTATION)[:_OWNER_CHARACTERS]


def created_at(obj: Obj) -> datetime:
    """When the API server created the object."""
    return parse_time(obj["metadata"].get("creationTimestamp") or _EPOCH)


def writer_of(obj: Obj) -> str:
    """The field manager of the newest write to the spec; "" where managedFields do not tell.

    Times are whole seconds: of writes in the same one, a foreign one is named rather than our own. Scaling counts.
    """
    writes = [
        (str(entry.get("time", "")), entry.get("manager") != FIELD_MANAGER, str(entry.get("manager") or ""))
        for entry in _spec_writes(obj)
        if entry.get("subresource") in (None, "", "scale")
    ]
    return max(writes)[2][:128] if writes else ""


def requester_of(*objs: Obj) -> str:
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


def _spec_writes(obj: Obj) -> Iterator[Mapping[str, Any]]:
    for entry in obj["metadata"].get("managedFields") or ():
        if "f:spec" in (entry.get("fieldsV1") or {}):
            yield entry
