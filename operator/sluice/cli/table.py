"""Tables as kubectl prints them, and the few colours; all of it readable without colour."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import click

Style = Callable[[str], str]
_GAP = "   "

_STYLES: dict[str, dict[str, object]] = {
    "good": {"fg": "green"},
    "moving": {"fg": "cyan"},
    "waiting": {"fg": "yellow"},
    "bad": {"fg": "red"},
    "stopped": {"fg": "red", "bold": True},
}
_MEANINGS = {
    **dict.fromkeys(("Healthy", "Passing", "Successful", "Completed", "Done"), "good"),
    **dict.fromkeys(("Progressing", "Pending", "Moving", "Soaking", "Closing"), "moving"),
    **dict.fromkeys(
        (
            "Paused",
            "Engaging",
            "Releasing",
            "NoData",
            "Inconclusive",
            "TooFewSamples",
            "Superseded",
            "Returning",
            "Returned",
            "?",
        ),
        "waiting",
    ),
    **dict.fromkeys(("Aborted", "Degraded", "Failed", "Failing", "Error", "Left", "blind"), "bad"),
    **dict.fromkeys(("Killed", "Engaged", "tripped"), "stopped"),
}


def by_meaning(word: str) -> str:
    """Colour a phase, state or outcome. Where stdout is no terminal click takes the colour off again."""
    meaning = _MEANINGS.get(word.strip())
    return click.style(word, **_STYLES[meaning]) if meaning else word  # type: ignore[arg-type]  # a table of styles


def bold(text: str) -> str:
    """A heading."""
    return click.style(text, bold=True)


@dataclass(frozen=True, slots=True)
class Column:
    """A column. `style` colours a cell after it was padded."""

    title: str
    style: Style | None = None


def render(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a table, each line without trailing blanks. Empty cells show as "-"."""
    table = [[column.title for column in columns]]
    table += [[cell or "-" for cell in row] for row in rows]
    widths = [max((width(row[index]) for row in table), default=0) for index in range(len(columns))]
    lines = []
    for number, row in enumerate(table):
        cells = [cell + " " * (widths[index] - width(cell)) for index, cell in enumerate(row)]
        cells[-1] = cells[-1].rstrip()
        if number > 0:
            cells = [column.style(cell) if column.style else cell for column, cell in zip(columns, cells, strict=True)]
        lines.append(_GAP.join(cells).rstrip())
    return "\n".join(lines)


def width(text: str) -> int:
    """Cells that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )
