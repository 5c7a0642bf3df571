"""Reading fields of raw objects that may hold anything: wrong types, absurd sizes, terminal escapes.

A field that is absent reads as "" (or None, or nothing); one that makes no sense reads as `UNKNOWN`, and the rest goes
on. All text leaves through `clean`: nothing an object holds can move a cursor, recolour a terminal or reverse a line.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sluice.api.units import format_share, parse_share, parse_time

UNKNOWN = "?"
TEXT_MAX = 1024
ITEMS_MAX = 100

# Control, format (zero-width and text direction), surrogate and private-use characters; line and paragraph separators.
_UNFIT_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


def clean(value: str, limit: int = TEXT_MAX) -> str:
    r"""Make text from elsewhere fit for a terminal: one line, nothing a terminal obeys, at most `limit` characters.

    >>> clean("5xx\non \x1b[31mcheckout")
    '5xx on \ufffd[31mcheckout'
    """
    cut = value[: limit + 1]
    if not cut.isascii() or not cut.isprintable():
        cut = "".join(_fit(character) for character in cut)
    return cut if len(cut) <= limit else cut[: limit - 1] + "…"


def _fit(character: str) -> str:
    if character in "\n\r\t":
        return " "
    return "\ufffd" if unicodedata.category(character) in _UNFIT_CATEGORIES else character


@dataclass(frozen=True, slots=True)
class Fields:
    """A JSON value somewhere inside an object; None where absent; `broken` where something on the way is no object."""

    value: Any
    broken: bool = False

    def at(self, *path: str) -> Fields:
        """The value under these keys. Absent if any is absent; broken if something on the way is no object."""
        value = self.value
        for key in path:
            if value is None:
                return Fields(None, self.broken)
            if not isinstance(value, Mapping):
                return Fields(None, broken=True)
            value = value.get(key)
        return Fields(value, self.broken)

    def __bool__(self) -> bool:
        return self.broken or self.value is not None

    def text(self, *path: str) -> str:
        """A string, cleaned; "" where absent, UNKNOWN where it is something else."""
        found = self.at(*path)
        if isinstance(found.value, str):
            return clean(found.value)
        return UNKNOWN if found else ""

    def whole(self, *path: str) -> int | None:
        """An integer of at most 18 digits; None for anything else."""
        value = self.at(*path).value
        return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**18 else None

    def count(self, *path: str) -> str:
        """An integer as text; "" where absent, UNKNOWN where it is something else."""
        found = self.at(*path)
        number = found.whole()
        return str(number) if number is not None else UNKNOWN if found else ""

    def number(self, *path: str) -> str:
        """A number in four significant digits; "" where absent, UNKNOWN where it is something else.

        >>> Fields({"value": 0.0123456}).number("value")
        '0.01235'
        """
        found = self.at(*path)
        value = found.value
        if isinstance(value, float) and math.isfinite(value):
            return f"{value:.4g}"
        return found.count()

    def share(self, *path: str) -> str:
        """A share as a percentage; "" where absent, UNKNOWN where it is something else."""
        found = self.at(*path)
        if not found:
            return ""
        try:
            return format_share(parse_share(found.value))
        except ValueError:
            return UNKNOWN

    def moment(self, *path: str) -> datetime | None:
        """A time; None where absent or no time."""
        try:
            return parse_time(self.at(*path).value)
        except (ValueError, OverflowError):
            return None

    def true(self, *path: str) -> bool:
        """Whether it is literally true."""
        return self.at(*path).value is True

    def items(self, *path: str) -> Iterator[Fields]:
        """The items of a list, at most ITEMS_MAX; nothing where it is no list."""
        value = self.at(*path).value
        if isinstance(value, list):
            yield from (Fields(item) for item in value[:ITEMS_MAX])

    def tail(self, limit: int, *path: str) -> tuple[Fields, ...]:
        """The last `limit` items of a list, newest last."""
        value = self.at(*path).value
        return tuple(Fields(item) for item in value[-limit:]) if isinstance(value, list) else ()

    def labels(self) -> dict[str, str]:
        """The labels of an object; what is no string is left out."""
        value = self.at("metadata", "labels").value
        if not isinstance(value, Mapping):
            return {}
        return {key: label for key, label in value.items() if isinstance(key, str) and isinstance(label, str)}
