"""Audit events as JSON lines: to a file, or to stdout."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from sluice.decide.exported import Event
from sluice.errors import Unavailable

_AT_ONCE = 100


def lines_of(events: Sequence[Event]) -> bytes:
    """A line of JSON for each."""
    return "".join(json.dumps(event, separators=(",", ":")) + "\n" for event in events).encode()


class FileReceiver:
    """Implements `ports.AuditReceiver`. What is sent is appended, and on the disk when `send` returns.

    The file is opened anew each time, so that whoever rotates it may move it away. Half a line, as a crash or a full
    disk leaves it, is ended before the next one.

    Args:
        path: of the file; it is made where it is not there.
    """

    at_once = _AT_ONCE

    def __init__(self, path: Path) -> None:
        self._path = path

    def check(self) -> None:
        """See whether it can be written.

        Raises:
            Unavailable: it can't.
        """
        self._append(b"")

    async def send(self, events: Sequence[Event]) -> None:
        """Append them."""
        await asyncio.to_thread(self._append, lines_of(events))

    async def close(self) -> None:
        """Nothing stays open."""

    def _append(self, data: bytes) -> None:
        try:
            with self._path.open("a+b", buffering=0) as file:
                if file.seek(0, os.SEEK_END):
                    file.seek(-1, os.SEEK_END)
                    data = data if file.read(1) == b"\n" else b"\n" + data
                while data:
                    data = data[file.write(data) :]
                os.fsync(file.fileno())
        except OSError as error:
            raise Unavailable(f"{self._path} can't be written: {error.strerror or error}") from error


class StdoutReceiver:
    """Implements `ports.AuditReceiver`, for whatever collects the container's stdout: the log is on stderr.

    Args:
        stream: the process's stdout.
    """

    at_once = _AT_ONCE

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    async def send(self, events: Sequence[Event]) -> None:
        """Print them."""
        await asyncio.to_thread(self._print, lines_of(events))

    async def close(self) -> None:
        """It is not ours to close."""

    def _print(self, data: bytes) -> None:
        try:
            self._stream.write(data.decode())
            self._stream.flush()
        except (OSError, ValueError) as error:
            raise Unavailable(f"stdout can't be written: {error}") from error
