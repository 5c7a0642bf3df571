"""A keeper of audit events, as a server of its own outside of the cluster."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]


class Keeper:
    """Keeps the events that are POSTed to it, each once.

    Attributes:
        status: what it answers; while that is no 2xx, it keeps nothing.
        events: those that it kept, by id.
        refusals: how many requests it answered otherwise.
    """

    def __init__(self) -> None:
        self.status = 202
        self.events: dict[str, Json] = {}
        self.refusals = 0
        self.url = ""

    def entries_of(self, uid: str) -> list[Json]:
        """The entries that it has of a Rollout, by their numbers."""
        entries = [event["data"]["entry"] for event in list(self.events.values()) if event["subject"] == uid]
        return sorted(entries, key=lambda entry: int(entry["seq"]))

    def answer(self, body: bytes) -> int:
        """Take one request."""
        if not 200 <= self.status < 300:
            self.refusals += 1
        else:
            for event in json.loads(body):
                self.events[event["id"]] = event
        return self.status


@contextmanager
def keeping() -> Iterator[Keeper]:
    """One on a port of 127.0.0.1."""
    keeper = Keeper()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status = keeper.answer(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
            """Not to stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    keeper.url = f"http://127.0.0.1:{server.server_port}/audit"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield keeper
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
