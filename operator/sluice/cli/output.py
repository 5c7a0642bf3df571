"""Objects and read models as JSON, YAML and names, on stdout. Only ASCII, so that no value can speak to a terminal."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import click

from sluice.api.names import GROUP


def emit(value: Any, form: str) -> None:
    """Print a JSON value as `json` or `yaml`."""
    click.echo(encode(value, form), nl=False)


def encode(value: Any, form: str) -> str:
    """A JSON value as text that ends in a newline."""
    if form == "json":
        return json.dumps(value, indent=2) + "\n"
    import yaml

    text: str = yaml.safe_dump(value, sort_keys=False, default_flow_style=False)
    return text


def list_of(objects: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Objects as kubectl's List."""
    return {"apiVersion": "v1", "kind": "List", "metadata": {}, "items": [presentable(obj) for obj in objects]}


def presentable(obj: dict[str, Any]) -> dict[str, Any]:
    """An object without its managedFields, as kubectl shows it."""
    metadata = obj.get("metadata")
    if not isinstance(metadata, dict):
        return obj
    return {**obj, "metadata": {name: value for name, value in metadata.items() if name != "managedFields"}}


def name_of(kind: str, name: str) -> str:
    """An object as `-o name` prints it."""
    return f"{kind.lower()}.{GROUP}/{name}"


def plain(model: Any) -> Any:
    """A read model as a JSON value, with camelCase keys."""
    if dataclasses.is_dataclass(model) and not isinstance(model, type):
        return {_camel(item.name): plain(getattr(model, item.name)) for item in dataclasses.fields(model)}
    if isinstance(model, (list, tuple)):
        return [plain(item) for item in model]
    return model


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)
