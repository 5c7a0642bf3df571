"""Manifests that a command is given: files, folders of them, stdin."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

STDIN = "-"
_ENDINGS = frozenset({".yaml", ".yml", ".json"})


def read_files(paths: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Each file's name and text, once; of folders, in the order of names."""
    read = set()
    for each in paths:
        if each == STDIN:
            yield "stdin", sys.stdin.read()
            continue
        for file in _inside(Path(each)):
            if file.resolve() in read:
                continue
            read.add(file.resolve())
            try:
                yield str(file), file.read_text(encoding="utf-8-sig")
            except (OSError, UnicodeDecodeError) as error:
                raise click.UsageError(f"{file} cannot be read: {error}") from error


def _inside(path: Path) -> list[Path]:
    """A file itself; of a folder, every manifest in it and below, but for what is hidden."""
    if not path.exists():
        raise click.UsageError(f"there is no file or folder {path}")
    if not path.is_dir():
        return [path]
    found = sorted(each for each in path.rglob("*") if each.suffix in _ENDINGS and each.is_file())
    return [each for each in found if not any(part.startswith(".") for part in each.relative_to(path).parts)]
