"""Why a weight was written, as a target's annotation carries it: compact JSON of bounded length.

Anyone who may write the route may write the annotation; nothing here is trusted to be what Sluice wrote.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields

from sluice.decide.model import Cause

MAX_CHARACTERS = 4096
_FIELD_CHARACTERS = 512


def dump_cause(cause: Cause) -> str:
    """The annotation's value; fields that are empty are left out, long ones cut. Pure."""
    values = {name: value[:_FIELD_CHARACTERS] for name, value in asdict(cause).items() if value}
    return json.dumps(values, separators=(",", ":"), ensure_ascii=False)


def parse_cause(text: object) -> Cause | None:
    """The cause, or None where the annotation is absent or not of our making. Pure."""
    if not isinstance(text, str) or not 0 < len(text) <= MAX_CHARACTERS:
        return None
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, dict):
        return None
    known = {
        field.name: value[:_FIELD_CHARACTERS]
        for field in fields(Cause)
        if isinstance(value := values.get(field.name, ""), str)
    }
    if not known.get("run") or not known.get("action"):
        return None
    return Cause(**known)
