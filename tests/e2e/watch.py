"""Watches that miss nothing: over lost connections, restarts of the API server, and forgotten events."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import threading
from collections.abc import Callable
from typing import Any, NoReturn
from urllib.parse import urlsplit

from testbed import ApiError, ApiUnreachableError, Cluster

Json = dict[str, Any]
_RECONNECT_SECONDS = 0.02
_OK = 200
_EXPIRED = 410


def named(name: str) -> str:
    """Selects one object by its name."""
    return f"fieldSelector=metadata.name%3D{name}"


def of_service(name: str) -> str:
    """Selects the EndpointSlices of a Service."""
    return f"labelSelector=kubernetes.io%2Fservice-name%3D{name}"


class Watch:
    """Follows objects, over lost connections and restarts of the API server, in a thread of its own.

    Where the server has forgotten the events in between, the states are read from its history, the newest first.

    Args:
        cluster: where they are.
        collection: path of the collection that they are in.
        selector: which of them, as a query; see :func:`named` and :func:`of_service`.
        take: called with an object at each of its changes; not for its deletion.
    """

    def __init__(self, cluster: Cluster, collection: str, selector: str, take: Callable[[Json], None]) -> None:
        self._cluster = cluster
        self._collection = f"{collection}?{selector}"
        self._take = take
        self._ended = threading.Event()
        self._version = ""
        self.reached = 0  # the newest resource version that was seen of the collection
        self._thread = threading.Thread(target=self._follow, daemon=True, name=f"watch {selector}")
        self._connection: http.client.HTTPSConnection | None = None

    def start(self) -> None:
        """List once, in the caller's thread, so that nothing after it is missed; then watch."""
        self._list()
        self._thread.start()

    def stop(self) -> None:
        """End it."""
        self._ended.set()
        connection = self._connection
        if connection is not None and connection.sock is not None:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(2)
        self._thread.join(10)

    def newest(self) -> int:
        """The newest resource version of the objects as they are now; 0 where none is left."""
        items = self._cluster.get(self._collection)["items"]
        return max((resource_version(item) for item in items), default=0)

    def has_seen(self, version: int) -> bool:
        """Whether it is at this resource version, or past it."""
        return self.reached >= version

    def _list(self) -> None:
        found = self._cluster.get(self._collection)
        for item in found["items"]:
            for state in self._missed(item):
                self._take(state)
        self._version = found["metadata"]["resourceVersion"]
        self.reached = max(self.reached, int(self._version))

    def _missed(self, newest: Json) -> list[Json]:
        """The states of an object since what was reached, oldest first; of the first list, only the newest."""
        states: list[Json] = []
        state: Json | None = newest
        while state is not None and resource_version(state) > self.reached:
            states.insert(0, state)
            state = self._before(state) if self.reached else None
        return states

    def _before(self, state: Json) -> Json | None:
        """The object as it was just before that; None where it was not there, or nobody remembers."""
        name, version = state["metadata"]["name"], resource_version(state)
        exact = f"&resourceVersion={version - 1}&resourceVersionMatch=Exact"
        status, answer = self._cluster.request("GET", self._collection + exact)
        if status != _OK:
            return None
        return next((item for item in answer["items"] if item["metadata"]["name"] == name), None)

    def _follow(self) -> None:
        while not self._ended.is_set():
            try:
                if not self._version:
                    self._list()
                self._stream()
            except (OSError, http.client.HTTPException, ApiError, ApiUnreachableError, ValueError):
                self._ended.wait(_RECONNECT_SECONDS)  # the server is away, or the stream was cut: on from where it was

    def _stream(self) -> None:
        context = ssl.create_default_context(cafile=str(self._cluster.ca_file))
        self._connection = http.client.HTTPSConnection(
            urlsplit(self._cluster.server).netloc, timeout=60, context=context
        )
        try:
            query = f"&watch=1&allowWatchBookmarks=true&resourceVersion={self._version}"
            headers = {"Authorization": f"Bearer {self._cluster.admin_token}"}
            self._connection.request("GET", self._collection + query, headers=headers)
            answer = self._connection.getresponse()
            if answer.status != _OK:
                self._refused(answer.status)
            while not self._ended.is_set() and (line := answer.readline()):
                self._event(json.loads(line))
        finally:
            self._connection.close()

    def _refused(self, code: int) -> NoReturn:
        if code == _EXPIRED:
            self._version = ""  # lists anew: what the server has forgotten cannot be had
        raise OSError(f"the watch of {self._collection} was answered {code}")

    def _event(self, event: Json) -> None:
        if event["type"] == "ERROR":
            self._refused(event["object"].get("code"))
        self._version = event["object"]["metadata"]["resourceVersion"]
        if event["type"] in {"ADDED", "MODIFIED"}:
            self._take(event["object"])
        self.reached = max(self.reached, int(self._version))


def resource_version(obj: Json) -> int:
    """Of an object, as a number: of any two writes to one API server, whatever the kinds, it tells which was first."""
    return int(obj["metadata"]["resourceVersion"])
