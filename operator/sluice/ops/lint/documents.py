"""YAML and JSON files as objects that know their lines.

Scalars are read as kubectl reads them: `on` is a boolean and `0o17` a number, but `2026-01-31` and `1:30` are text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from sluice.ops.lint.finding import Path

_NODES_MAX = 500_000  # aliases of aliases make much of little
_DEPTH_MAX = 200
_DIGITS_MAX = 100
_STRING, _MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"
_TAG = "tag:yaml.org,2002:"
_BOOLEAN = re.compile(r"y|Y|yes|Yes|YES|n|N|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF")
_NULL = re.compile(r"~|null|Null|NULL|")
_INTEGER = re.compile(r"[-+]?(0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


class Unreadable(ValueError):
    """A file, from some document on, is no YAML.

    Args:
        line: where, from 1.
        message: what is wrong.
    """

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True, slots=True)
class Document:
    """A JSON value of a file. `lines` has the line, from 1, of each path; `twice` the paths of keys given twice."""

    value: Any
    lines: dict[Path, int] = field(default_factory=dict)
    twice: list[Path] = field(default_factory=list)

    def line(self, path: Path) -> int:
        """The line of a path, or of the nearest thing around it that is there."""
        return next(self.lines[path[:end]] for end in range(len(path), -1, -1) if path[:end] in self.lines)

    def part(self, *path: str | int) -> Document:
        """What is under a path, as a document of its own."""
        value, size = self.value, len(path)
        for key in path:
            value = value[key]
        lines = {at[size:]: line for at, line in self.lines.items() if at[:size] == path}
        return Document(value, lines, [at[size:] for at in self.twice if at[:size] == path])


class _Loader(yaml.SafeLoader):
    """Composes nodes, and leaves what plain scalars mean to us."""


_Loader.yaml_implicit_resolvers = {}
_Loader.add_implicit_resolver(_MERGE, re.compile(r"^<<$"), ["<"])


def read(text: str) -> Iterator[Document]:
    """The documents of a file; empty ones are left out.

    Raises:
        Unreadable: from there on.
    """
    try:
        for node in yaml.compose_all(text, Loader=_Loader):
            builder = _Builder()
            value = builder.build(node, (), 0)
            if value is not None:
                yield Document(value, builder.lines, builder.twice)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Unreadable(mark.line + 1 if mark else 1, f"this is no YAML: {error.problem or error.context}") from error
    except RecursionError as error:
        raise Unreadable(1, "this is nested too deeply") from error
    except yaml.YAMLError as error:
        raise Unreadable(1, f"this is no YAML: {' '.join(str(error).split())}") from error


def items(document: Document) -> Iterator[Document]:
    """A document, or the items of a List."""
    value = document.value
    if not isinstance(value, dict) or not str(value.get("kind", "")).endswith("List") or "items" not in value:
        yield document
        return
    listed = value["items"] if isinstance(value["items"], list) else []
    yield from (document.part("items", index) for index in range(len(listed)))


class _Builder:
    """Makes a value of a node, and notes lines on the way."""

    def __init__(self) -> None:
        self.lines: dict[Path, int] = {}
        self.twice: list[Path] = []
        self._left = _NODES_MAX

    def build(self, node: yaml.Node, path: Path, depth: int, line: int | None = None) -> Any:
        """The value of a node; `line` is that of its key."""
        at = node.start_mark.line + 1
        self.lines.setdefault(path, at if line is None else line)
        self._left -= 1
        if not self._left or depth > _DEPTH_MAX:
            raise Unreadable(at, "aliases make this too large, or refer to themselves: write it out")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, index), depth + 1) for index, item in enumerate(node.value)]
        return _scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: Path, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                for other in value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]:
                    inner = self.build(other, path, depth + 1)
                    merged = {**inner, **merged} if isinstance(inner, dict) else merged
                continue
            key, line = _key(key_node), key_node.start_mark.line + 1
            if key in found:
                self.twice.append((*path, key))
            self.lines[(*path, key)] = line
            found[key] = self.build(value_node, (*path, key), depth + 1, line)
        return {**merged, **found}


def _key(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise Unreadable(node.start_mark.line + 1, "a key is text")
    return str(node.value)


def _scalar(node: yaml.Node) -> Any:
    """A scalar's value: by its tag where it has one, by what it looks like where it is plain."""
    text, tag = str(node.value), node.tag.removeprefix(_TAG)
    plain = isinstance(node, yaml.ScalarNode) and node.style is None and node.tag == _STRING
    if (plain or tag == "null") and _NULL.fullmatch(text):
        return None
    if (plain or tag == "bool") and _BOOLEAN.fullmatch(text):
        return text.lower() in {"y", "yes", "true", "on"}
    if (plain or tag == "int") and len(text) <= _DIGITS_MAX and _INTEGER.fullmatch(text):
        return _integer(text)
    if (plain or tag == "float") and _FLOAT.fullmatch(text):
        return float(text)
    return text


def _integer(text: str) -> int:
    sign, digits = (-1 if text.startswith("-") else 1), text.lstrip("+-").replace("_", "")
    if len(digits) > 1 and digits[0] == "0" and digits[1].isdigit():
        digits = f"0o{digits[1:]}"
    return sign * int(digits, 0)
