"""What every target carries beside its weights: whose it is, and why it is as it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sluice.adapters.traffic.cause import dump_cause
from sluice.api.names import CAUSE_ANNOTATION, FIELD_MANAGER, HOLD_ANNOTATION, OWNER_ANNOTATION
from sluice.decide.model import Shift
from sluice.decide.release import annotation_path
from sluice.ports import Obj

_OWNER_CHARACTERS = 600
_HOLD_CHARACTERS = 300


def mapping(value: object) -> dict[str, Any]:
    """The value where it is a JSON object, else an empty one. Pure."""
    return value if isinstance(value, dict) else {}


def sequence(value: object) -> list[Any]:
    """The value where it is a JSON array, else an empty one. Pure."""
    return value if isinstance(value, list) else []


def annotations_of(obj: Obj) -> dict[str, Any]:
    """The annotations of an object. Pure."""
    return mapping(mapping(obj.get("metadata")).get("annotations"))


def owner_of(obj: Obj) -> str:
    """The value of the owner annotation; "" where there is none. Pure."""
    value = annotations_of(obj).get(OWNER_ANNOTATION)
    return value[:_OWNER_CHARACTERS] if isinstance(value, str) else ""


def hold_of(obj: Obj) -> str:
    """What the break-glass annotation says, on one line and cut; "" where there is none, or a blank one. Pure.

    >>> hold_of({"metadata": {"annotations": {"sluice.dev/hold": "alice:  5xx on checkout "}}})
    'alice: 5xx on checkout'
    """
    value = annotations_of(obj).get(HOLD_ANNOTATION)
    if not isinstance(value, str):
        return ""
    # It is shown in messages and on terminals: control characters and direction marks have no business there.
    shown = "".join(character if character.isprintable() else " " for character in value[: 4 * _HOLD_CHARACTERS])
    return " ".join(shown.split())[:_HOLD_CHARACTERS].rstrip()


def writer_of(obj: Obj) -> str:
    """The field manager of the newest write to the spec, as managedFields tell; "" where they do not. Pure.

    Their times are whole seconds. Of writes in the same one, a foreign one is named rather than our own: whoever asks
    wants to know who else writes.
    """
    entries = map(mapping, sequence(mapping(obj.get("metadata")).get("managedFields")))
    writes = [
        (str(entry.get("time") or ""), entry.get("manager") != FIELD_MANAGER, str(entry.get("manager") or ""))
        for entry in entries
        if not entry.get("subresource") and "f:spec" in mapping(entry.get("fieldsV1"))
    ]
    return max(writes)[2][:128] if writes else ""


def stamp(obj: Obj, shift: Shift, pins: Mapping[str, str] | None = None) -> Iterator[Obj]:
    """The JSON Patch operations that write owner and cause. Pure.

    Where the object has no annotations, the map is made. Someone may make one at the same moment, whose content must
    not be lost: then, and only then, the patch rests on the resourceVersion.

    Args:
        obj: the target.
        shift: what is written to it.
        pins: further annotations: what an admission policy puts back when somebody else writes the object.
    """
    values = {OWNER_ANNOTATION: shift.owner, CAUSE_ANNOTATION: dump_cause(shift.cause), **(pins or {})}
    if annotations_of(obj):
        for key, value in values.items():
            yield {"op": "add", "path": annotation_path(key), "value": value}
        return
    yield {"op": "test", "path": "/metadata/resourceVersion", "value": obj["metadata"]["resourceVersion"]}
    yield {"op": "add", "path": "/metadata/annotations", "value": values}
