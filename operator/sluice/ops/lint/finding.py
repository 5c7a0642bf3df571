"""What is wrong with a manifest, and where."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

Path: TypeAlias = tuple[str | int, ...]


class Level(StrEnum):
    """How bad it is."""

    ERROR = "error"  # the API server refuses it, or the operator cannot follow it
    WARNING = "warning"  # it is probably not what is meant, or could not be checked


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong at a place inside an object."""

    path: Path
    message: str
    level: Level = Level.ERROR


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong at a line of a file. Kind and name are "" where there is no object, field "" for all of it."""

    file: str
    line: int
    level: Level
    kind: str
    namespace: str
    name: str
    field: str
    message: str


def shown(path: Path) -> str:
    """A path as the API server writes it.

    >>> shown(("spec", "metrics", 0, "name"))
    'spec.metrics[0].name'
    """
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def path_of(text: str) -> Path:
    """The path that `shown` wrote, of keys without dots and brackets.

    >>> path_of("spec.metrics[0].name")
    ('spec', 'metrics', 0, 'name')
    """
    parts = text.replace("]", "").replace("[", ".#").split(".")
    return tuple(int(part[1:]) if part.startswith("#") else part for part in parts if part)
