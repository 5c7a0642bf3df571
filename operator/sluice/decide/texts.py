"""Texts that people wrote, cut to what a status has room for. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from sluice.api.rollout import HistoryEntry

T = TypeVar("T")

# Bytes of UTF-8. Together they keep a Rollout's status below 64 KiB, with as many metrics as can be measured at a time.
MESSAGE_BYTES = 1024
CONDITION_BYTES = 512
REASON_BYTES = 256
TALLIES_BYTES = 8 * 1024
HISTORY_BYTES = 8 * 1024


def clip(text: str, most_bytes: int) -> str:
    """The text, or as much of its beginning as fits, with a mark that something is missing.

    >>> clip("no endpoints", 12), clip("no endpoints", 8)
    ('no endpoints', 'no en…')
    """
    raw = text.encode(errors="replace")
    if len(raw) <= most_bytes:
        return raw.decode()
    return raw[: most_bytes - len("…".encode())].decode(errors="ignore") + "…"


def one_line(text: str, most_characters: int) -> str:
    r"""Anybody's text, made fit for messages and terminals: on one line, without control or direction marks, and cut.

    >>> one_line("5xx on\n  checkout \x1b[2J", 13)
    '5xx on checko'
    """
    shown = "".join(character if character.isprintable() else " " for character in text[: 4 * most_characters])
    return " ".join(shown.split())[:most_characters].rstrip()


def count_of(number: int, noun: str) -> str:
    """A number and what it counts.

    >>> count_of(1, "route"), count_of(0, "route")
    ('1 route', '0 routes')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def tell_time(at: datetime) -> str:
    """A moment, as people read it.

    >>> tell_time(datetime(2026, 11, 30, 18, tzinfo=UTC)), tell_time(datetime(2026, 11, 30, 18, 0, 7, tzinfo=UTC))
    ('2026-11-30 18:00 UTC', '2026-11-30 18:00:07 UTC')
    """
    return f"{at.astimezone(UTC):{'%Y-%m-%d %H:%M:%S' if at.second else '%Y-%m-%d %H:%M'}} UTC"


def some(things: Sequence[T], most: int = 3, *, told: Callable[[T], str] = str, between: str = ", ") -> str:
    """The first of them in words, and how many more there are; the others are not put into words.

    >>> some(["c1", "c2", "c3"], 2), some([])
    ('c1, c2 and 1 more', '')
    """
    more = f" and {len(things) - most} more" if len(things) > most else ""
    return between.join(map(told, things[:most])) + more


def newest(history: tuple[HistoryEntry, ...]) -> tuple[HistoryEntry, ...]:
    """The last runs, as many as there is room for; RolloutRuns tell of the others."""
    sizes = [len(entry.model_dump_json(by_alias=True).encode()) for entry in history]
    while len(history) > 1 and sum(sizes) > HISTORY_BYTES:
        history, sizes = history[1:], sizes[1:]
    return history
