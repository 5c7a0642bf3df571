"""What every target carries beside its weights: whose it is, and why it is as it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sluice.adapters.traffic.cause import dump_cause
from sluice.api.names import CAUSE_ANNOTATION, HOLD_ANNOTATION, OWNER_ANNOTATION
from sluice.decide.metadata import annotations_of
from sluice.decide.model import Shift
from sluice.decide.release import annotation_path
from sluice.ports import Obj

_HOLD_CHARACTERS = 300


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
