"""What JSON values go through on their way to an API server: copies, merge patches, JSON Patches. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import jsonpatch
import orjson

from sluice.errors import Conflict
from sluice.ports import Obj


def clone(value: Any) -> Any:
    """A deep copy of a JSON value. Most of what a large world does is to copy objects."""
    try:
        return orjson.loads(orjson.dumps(value))
    except TypeError:  # what JSON has no word for, as numbers of any length: people who are past all rules write it
        return _cloned(value)


def _cloned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _cloned(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_cloned(item) for item in value]
    return value


def wire(value: Any) -> Any:
    """A JSON value as it arrives on the other side: copied, tuples as lists.

    Raises:
        TypeError: not a JSON value, so no client could have sent it.
    """
    return json.loads(json.dumps(value))


def merged(target: Any, patch: Any) -> Any:
    """Apply a JSON merge patch (RFC 7386). Pure; the result shares with the target what stayed as it was.

    >>> merged({"a": {"b": 1, "c": 2}}, {"a": {"b": None, "d": [3]}})
    {'a': {'c': 2, 'd': [3]}}
    """
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def patched(obj: Obj, operations: Sequence[Obj], where: str) -> Obj:
    """Apply a JSON Patch (RFC 6902).

    Raises:
        Conflict: a `test` failed, or an operation does not apply; a real server does not tell the two apart.
    """
    try:
        result: Obj = jsonpatch.JsonPatch(wire(operations)).apply(clone(obj), in_place=True)
    except jsonpatch.JsonPatchTestFailed as error:
        raise Conflict(f"{where}: a test of the JSON patch failed: {str(error)[:300]}") from error
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
        raise Conflict(f"{where}: the JSON patch does not apply: {str(error)[:300]}") from error
    return result
