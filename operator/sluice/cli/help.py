"""How help texts are laid out: paragraphs are wrapped, indented examples stay as they are."""

from __future__ import annotations

from inspect import cleandoc
from typing import Any

import click

_KEEP_AS_IS = "\b"  # click's mark at the head of a paragraph


def keep_examples(text: str | None) -> str | None:
    """Mark the paragraphs that hold indented lines, so that click does not wrap them."""
    if text is None:
        return None
    return "\n\n".join(
        f"{_KEEP_AS_IS}\n{paragraph}" if "\n  " in paragraph else paragraph
        for paragraph in cleandoc(text).split("\n\n")
    )


class Command(click.Command):
    """A command whose docstring ends with examples."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        settings["help"] = keep_examples(settings.get("help"))
        super().__init__(*args, **settings)


class Group(click.Group):
    """The group of all commands, listed as they were added: in the order of a rollout's life, not of the alphabet."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        settings["help"] = keep_examples(settings.get("help"))
        super().__init__(*args, **settings)

    def list_commands(self, _context: click.Context) -> list[str]:
        """The names, in order."""
        return list(self.commands)
