"""Write docs/reference/cli.md from the command line's own help texts; with --check, fail where the page is stale.

What a command does is told once, in its docstring and options; the page only lays it out.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from sluice.cli.main import cli

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "cli.md"
PROGRAM = "sluice"
HEAD = """\
# Command line

`sluice`, or `kubectl sluice` where kubectl finds `kubectl-sluice` on its PATH. This page is generated from the help
texts, by `make cli-docs-write`.
"""


def page() -> str:
    """The whole page."""
    context = click.Context(cli, info_name=PROGRAM)
    parts = [HEAD, *body(cli.help), "| Command | |\n|---|---|\n" + "\n".join(index())]
    for command, own in commands(cli, context):
        parts += section(command, own)
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def commands(group: click.Group, context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    """Every command of a group, those of its groups included, each with the context that names it."""
    for name, command in group.commands.items():
        own = click.Context(command, info_name=name, parent=context)
        yield command, own
        if isinstance(command, click.Group):
            yield from commands(command, own)


def index() -> Iterator[str]:
    """A row for each command."""
    for command, context in commands(cli, click.Context(cli, info_name=PROGRAM)):
        path = context.command_path
        yield f"| [`{path}`](#{path.replace(' ', '-')}) | {purpose_of(command)} |"


def purpose_of(command: click.Command) -> str:
    """The first line of its help."""
    return (command.help or "").partition("\n")[0]


def section(command: click.Command, context: click.Context) -> Iterator[str]:
    """A command: usage, what it does, examples, options."""
    yield f"## {context.command_path}"
    yield f"    {' '.join([context.command_path, *command.collect_usage_pieces(context)])}"
    yield from body(command.help)
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    rows = [record for option in options if (record := option.get_help_record(context))]
    if rows:
        yield "| Option | |\n|---|---|\n" + "\n".join(f"| `{cell(option)}` | {cell(text)} |" for option, text in rows)


def body(help_text: str | None) -> Iterator[str]:
    """The paragraphs of a help text; those with indented lines as code under their first line."""
    for paragraph in inspect.cleandoc(help_text or "").split("\n\n"):
        lines = paragraph.removeprefix("\b\n").splitlines()
        if any(line.startswith("  ") for line in lines):
            yield lines[0]
            yield "\n".join(f"    {line.strip()}" for line in lines[1:])
        else:
            yield " ".join(lines)


def cell(text: str) -> str:
    """Text as a table's cell."""
    return " ".join(text.split()).replace("|", "\\|")


def main() -> int:
    """Write the page, or check it. Returns the exit code."""
    wanted = page()
    if "--check" not in sys.argv[1:]:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(wanted, encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == wanted:
        return 0
    sys.stderr.write(f"{PAGE.relative_to(PAGE.parents[2])} is not what the help texts say: run `make cli-docs-write`\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
