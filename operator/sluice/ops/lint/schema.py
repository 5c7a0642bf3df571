"""A CRD's structural schema: defaults, unknown fields, and what the API server says of wrong values. Pure.

What is understood are the keywords that Sluice's CRDs use; a test fails when one is added that is not.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import Any, TypeAlias

from sluice.ops.lint.finding import Path, Problem, shown

Schema: TypeAlias = dict[str, Any]
KEYWORDS = frozenset(
    {
        *("type", "description", "properties", "required", "items", "additionalProperties", "default"),
        *("enum", "format", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "maxProperties"),
        *("x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields", "x-kubernetes-validations"),
        *("x-kubernetes-list-type", "x-kubernetes-list-map-keys"),
    }
)
_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: (
        not isinstance(value, bool) and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))
    ),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
}
_MOST_SHOWN = 60


def with_defaults(schema: Schema, value: Any) -> Any:
    """The value as the API server completes it: defaults filled in, and in place of null."""
    if isinstance(value, dict):
        return _object_with_defaults(schema, value)
    if isinstance(value, list) and "items" in schema:
        return [with_defaults(schema["items"], item) for item in value]
    if schema.get("type") == "number" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)  # for rules, which tell whole numbers from others
    return value


def _object_with_defaults(schema: Schema, value: dict[str, Any]) -> dict[str, Any]:
    properties: dict[str, Schema] = schema.get("properties", {})
    others = schema.get("additionalProperties")
    found = dict(value)
    for name, inner in properties.items():
        if "default" in inner and found.get(name) is None:
            found[name] = copy.deepcopy(inner["default"])
    for name, item in found.items():
        its = properties.get(name, others)
        if isinstance(its, dict):
            found[name] = with_defaults(its, item)
    return found


def problems(schema: Schema, value: Any, path: Path) -> Iterator[Problem]:
    """What the API server would refuse, except by rules (`x-kubernetes-validations`)."""
    wrong = _wrong_type(schema, value, path)
    if wrong is not None:
        yield wrong
        return
    if "enum" in schema and value not in schema["enum"]:
        known = ", ".join(f'"{_plain(each)}"' for each in schema["enum"])
        yield Problem(path, f"Unsupported value: {_json(value)}: supported values: {known}{_meant(value, schema)}")
    if isinstance(value, dict):
        yield from _in_object(schema, value, path)
    elif isinstance(value, list):
        yield from _in_list(schema, value, path)
    elif isinstance(value, str):
        yield from _in_string(schema, value, path)
    elif not isinstance(value, bool):
        yield from _in_number(schema, value, path)


def _wrong_type(schema: Schema, value: Any, path: Path) -> Problem | None:
    if schema.get("x-kubernetes-int-or-string"):
        fits, wanted = isinstance(value, str) or _TYPES["integer"](value), "integer or string"
    elif "type" in schema:
        fits, wanted = _TYPES[schema["type"]](value), schema["type"]
    else:
        return None
    if fits:
        return None
    given = "null" if value is None else next(name for name, is_a in _TYPES.items() if is_a(value))
    quotes = "; write it in quotes" if wanted == "string" and given in {"boolean", "number"} else ""
    return Problem(
        path, f'Invalid value: {_json(value)}: {shown(path)} in body must be of type {wanted}: "{given}"{quotes}'
    )


def _in_object(schema: Schema, value: dict[str, Any], path: Path) -> Iterator[Problem]:
    properties: dict[str, Schema] = schema.get("properties", {})
    others = schema.get("additionalProperties")
    if len(value) > schema.get("maxProperties", len(value)):
        yield Problem(path, f"Too many: {len(value)}: must have at most {schema['maxProperties']} items")
    for name in schema.get("required", ()):
        if name not in value:
            yield Problem((*path, name), f"Required value{_described(properties.get(name))}")
    for name, item in value.items():
        inner = properties.get(name, others if isinstance(others, dict) else None)
        if inner is not None:
            yield from problems(inner, item, (*path, name))
        elif not others and not schema.get("x-kubernetes-preserve-unknown-fields"):
            close = get_close_matches(name, properties, 1)
            hint = f"; did you mean {close[0]}?" if close else f"; there are {', '.join(sorted(properties))}"
            yield Problem((*path, name), f'unknown field "{shown((*path, name))}"{hint}')


def _in_list(schema: Schema, value: list[Any], path: Path) -> Iterator[Problem]:
    if len(value) < schema.get("minItems", 0):
        least = schema["minItems"]
        yield Problem(path, f"Invalid value: {len(value)}: {shown(path)} in body should have at least {least} items")
    if len(value) > schema.get("maxItems", len(value)):
        yield Problem(path, f"Too many: {len(value)}: must have at most {schema['maxItems']} items")
    for index, item in enumerate(value):
        yield from problems(schema.get("items", {}), item, (*path, index))
    yield from _twice(schema, value, path)


def _twice(schema: Schema, value: list[Any], path: Path) -> Iterator[Problem]:
    """Items of a set, or of a map by its keys, that are there more than once."""
    kind, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys", ())
    if kind not in {"map", "set"}:
        return
    seen = set()
    for index, item in enumerate(value):
        if kind == "map" and not isinstance(item, dict):
            continue
        identity = _json({key: item.get(key) for key in keys} if kind == "map" else item)
        if identity in seen:
            yield Problem((*path, index), f"Duplicate value: {identity}")
        seen.add(identity)


def _in_string(schema: Schema, value: str, path: Path) -> Iterator[Problem]:
    if len(value) < schema.get("minLength", 0):
        least = schema["minLength"]
        yield Problem(
            path, f"Invalid value: {_json(value)}: {shown(path)} in body should be at least {least} chars long"
        )
    if len(value) > schema.get("maxLength", len(value)):
        yield Problem(path, f"Too long: may not be more than {schema['maxLength']} bytes")


def _in_number(schema: Schema, value: float | None, path: Path) -> Iterator[Problem]:
    if value is None:
        return
    if "minimum" in schema and value < schema["minimum"]:
        told = f"{shown(path)} in body should be greater than or equal to {schema['minimum']}"
        yield Problem(path, f"Invalid value: {value:g}: {told}")
    if "maximum" in schema and value > schema["maximum"]:
        told = f"{shown(path)} in body should be less than or equal to {schema['maximum']}"
        yield Problem(path, f"Invalid value: {value:g}: {told}")


def _meant(value: Any, schema: Schema) -> str:
    names = {str(each).lower(): each for each in schema["enum"]}
    close = get_close_matches(str(value).lower(), names, 1)
    return f"; did you mean {names[close[0]]}?" if close else ""


def _described(schema: Schema | None) -> str:
    """The first sentence of what a field is for."""
    sentence = (schema or {}).get("description", "").partition(". ")[0].rstrip(".")
    return f": {sentence[:1].lower()}{sentence[1:]}" if sentence else ""


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 1]}…"
