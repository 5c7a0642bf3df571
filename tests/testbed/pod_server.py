"""The process that is every pod: run as ``python -m testbed.pod_server CONTROL_PORT``, driven by :mod:`testbed.pods`.

It listens on every address of the namespace; the local address of a connection tells which pod is being spoken to. A
pod that is gone, not ready, or past its grace resets. It speaks HTTP/1.1 by hand, because a framework would cost most
of the one core that the whole testbed has for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import socket
import ssl
import struct
import sys
import threading
import time
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast
from urllib.parse import urlsplit

POD_PORT = 9000
EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 - of a network namespace that nothing else can reach
_BUCKETS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_WATCH_SECONDS = 300
_RETRY_SECONDS = 0.1
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 500: "Internal Server Error"}


@dataclass
class Behaviour:
    """How the pods of one version in one namespace answer.

    Errors are spread evenly, not drawn: of any n requests, ``error_rate * n`` fail, give or take one.
    """

    error_rate: float = 0.0
    latency_seconds: float = 0.0
    gauges: dict[str, float] = field(default_factory=dict)
    owed: float = 0.0

    def next_fails(self) -> bool:
        """Whether the next request is to fail."""
        self.owed += self.error_rate
        if self.owed < 1 - 1e-9:
            return False
        self.owed -= 1
        return True


class Pod:
    """One pod: what the API server says of it, and what it has answered so far."""

    def __init__(self, meta: dict[str, Any], version: str, behaviour: Behaviour) -> None:
        self.uid: str = meta["uid"]
        self.namespace: str = meta["namespace"]
        self.version = version
        self.behaviour = behaviour
        self.serving = False
        self.ends_at: float | None = None
        self.connections: set[PodConnection] = set()
        self.codes = {200: 0, 500: 0}
        self.buckets = [0] * (len(_BUCKETS_SECONDS) + 1)
        self.seconds = 0.0
        slot = (meta.get("labels") or {}).get("slot", "")
        self.answers = {code: _answer(code, meta["name"], version, slot) for code in (200, 500)}

    def count(self, code: int, seconds: float) -> None:
        """Count an answered request."""
        self.codes[code] += 1
        self.buckets[bisect_left(_BUCKETS_SECONDS, seconds)] += 1
        self.seconds += seconds

    def metrics(self) -> str:
        """What ``/metrics`` shows."""
        return "\n".join(self._metric_lines()) + "\n"

    def _metric_lines(self) -> Iterator[str]:
        yield "# TYPE http_requests_total counter"
        for code, count in self.codes.items():
            yield f'http_requests_total{{code="{code}"}} {count}'
        yield "# TYPE http_request_duration_seconds histogram"
        total = 0
        for bound, count in zip((*map(str, _BUCKETS_SECONDS), "+Inf"), self.buckets, strict=True):
            total += count
            yield f'http_request_duration_seconds_bucket{{le="{bound}"}} {total}'
        yield f"http_request_duration_seconds_sum {self.seconds:.6f}"
        yield f"http_request_duration_seconds_count {total}"
        for name, value in self.behaviour.gauges.items():
            yield f"{name} {value!r}"


class World:
    """All pods of all clusters that were added, by address; and how each version behaves."""

    def __init__(self) -> None:
        self.by_address: dict[str, Pod] = {}
        self._addresses: dict[str, dict[str, str]] = {}  # cluster to pod uid to address
        self._behaviours: dict[tuple[str, str], Behaviour] = {}
        self._watches: dict[str, Watch] = {}

    def behaviour(self, namespace: str, version: str) -> Behaviour:
        """How a version behaves; healthy until told otherwise."""
        return self._behaviours.setdefault((namespace, version), Behaviour())

    def add_cluster(self, name: str, server: str, ca_file: str, token: str) -> None:
        """Follow a cluster; its pods answer from now on."""
        self._addresses[name] = {}
        self._watches[name] = Watch(self, name, ApiSource(server, ca_file, token))
        self._watches[name].start()

    def remove_cluster(self, name: str) -> None:
        """Follow it no more; its pods are gone."""
        if watch := self._watches.pop(name, None):
            watch.ended = True
        for uid in list(self._addresses.pop(name, {})):
            self._forget(name, uid)

    def replace(self, cluster: str, objects: list[dict[str, Any]]) -> None:
        """Take a complete list: pods that are not in it are gone."""
        listed = {obj["metadata"]["uid"] for obj in objects}
        for uid in [uid for uid in self._addresses.get(cluster, {}) if uid not in listed]:
            self._forget(cluster, uid)
        for obj in objects:
            self.update(cluster, "MODIFIED", obj)

    def update(self, cluster: str, event: str, obj: dict[str, Any]) -> None:
        """Take one event of a watch."""
        if cluster not in self._addresses:
            return
        meta, status = obj["metadata"], obj.get("status", {})
        address = status.get("podIP")
        if event == "DELETED" or not address or status.get("phase") in ("Succeeded", "Failed"):
            self._forget(cluster, meta["uid"])
            return
        pod = self.by_address.get(address)
        if pod is None or pod.uid != meta["uid"]:
            if pod:
                close_all(pod)
            version = _version(obj)
            pod = self.by_address[address] = Pod(meta, version, self.behaviour(meta["namespace"], version))
            self._addresses[cluster][meta["uid"]] = address
        pod.serving = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", ()))
        if meta.get("deletionTimestamp") and pod.ends_at is None:
            pod.ends_at = datetime.fromisoformat(meta["deletionTimestamp"]).timestamp()
            asyncio.get_running_loop().call_later(max(0.0, pod.ends_at - time.time()), close_all, pod)
        if not pod.serving:
            close_all(pod)

    def _forget(self, cluster: str, uid: str) -> None:
        address = self._addresses.get(cluster, {}).pop(uid, None)
        pod = self.by_address.get(address or "")
        if address and pod and pod.uid == uid:
            del self.by_address[address]
            close_all(pod)


def close_all(pod: Pod) -> None:
    """The pod answers no more; its connections are reset."""
    if pod.ends_at is not None:
        pod.serving = False
    for connection in list(pod.connections):
        connection.reset()


class PodConnection(asyncio.Protocol):
    """One connection to one pod; requests on it are answered one after the other."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._buffer = b""
        self._waiting = False
        self._pod: Pod | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Find the pod that is being spoken to."""
        self._transport = cast(asyncio.Transport, transport)
        self._loop = asyncio.get_running_loop()
        pod = self._world.by_address.get(transport.get_extra_info("sockname")[0])
        if pod is None or not pod.serving:
            self.reset()
            return
        self._pod = pod
        pod.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        if self._pod:
            self._pod.connections.discard(self)

    def reset(self) -> None:
        """Close with a TCP reset, as a host does where nothing listens any more."""
        handle = self._transport.get_extra_info("socket")
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(handle.fileno())) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take a piece of a request."""
        self._buffer += data
        if not self._waiting:
            self._next()

    def _next(self) -> None:
        while not self._waiting:
            end = _request_end(self._buffer)
            if end is None:
                return
            path = self._buffer[:256].split(b" ", 2)[1]
            self._buffer = self._buffer[end:]
            self._serve(path)

    def _serve(self, path: bytes) -> None:
        pod = self._pod
        assert pod
        if path == b"/metrics":
            self._transport.write(_message(200, pod.metrics().encode(), "content-type: text/plain; version=0.0.4\r\n"))
            return
        code = 500 if pod.behaviour.next_fails() else 200
        latency = pod.behaviour.latency_seconds
        if latency > 0:
            self._waiting = True
            self._loop.call_later(latency, self._answer_later, code, self._loop.time())
        else:
            pod.count(code, 0.0005)
            self._transport.write(pod.answers[code])

    def _answer_later(self, code: int, began: float) -> None:
        self._waiting = False
        if self._transport.is_closing():
            return
        assert self._pod
        self._pod.count(code, self._loop.time() - began)
        self._transport.write(self._pod.answers[code])
        self._next()


def _request_end(buffer: bytes) -> int | None:
    """Where the first request ends, or None while it is incomplete."""
    head = buffer.find(b"\r\n\r\n")
    if head < 0:
        return None
    end = head + 4
    fields = buffer[:head].lower()
    if (at := fields.find(b"\r\ncontent-length:")) >= 0:
        end += int(fields[at + 17 :].split(b"\r\n", 1)[0])
    elif b"\r\ntransfer-encoding:" in fields:
        last = buffer.find(b"0\r\n\r\n", end)
        end = last + 5 if last >= 0 else len(buffer) + 1
    return end if end <= len(buffer) else None


def _message(code: int, body: bytes, headers: str = "") -> bytes:
    return f"HTTP/1.1 {code} {_REASONS[code]}\r\n{headers}content-length: {len(body)}\r\n\r\n".encode() + body


def _answer(code: int, pod: str, version: str, slot: str) -> bytes:
    return _message(code, f"{version}\n".encode(), f"x-version: {version}\r\nx-pod: {pod}\r\nx-slot: {slot}\r\n")


def _version(obj: dict[str, Any]) -> str:
    """The label ``version``, or else the first container's image tag."""
    label = (obj["metadata"].get("labels") or {}).get("version")
    image: str = obj["spec"]["containers"][0]["image"]
    return str(label or image.partition("@")[0].rpartition("/")[2].partition(":")[2] or "latest")


@dataclass(frozen=True)
class ApiSource:
    """Where to read pods from."""

    server: str
    ca_file: str
    token: str

    def open(self, query: str) -> http.client.HTTPResponse:
        """The answer to a list or a watch of all pods; an ``OSError`` where there is none."""
        context = ssl.create_default_context(cafile=self.ca_file)
        connection = http.client.HTTPSConnection(
            urlsplit(self.server).netloc, timeout=_WATCH_SECONDS + 30, context=context
        )
        connection.request("GET", f"/api/v1/pods?{query}", headers={"Authorization": f"Bearer {self.token}"})
        response = connection.getresponse()
        if response.status != 200:
            raise OSError(f"pods?{query} answered {response.status}")
        return response


class Watch(threading.Thread):
    """Follows a cluster's pods from a thread; while the API server is away, the last known pods stay."""

    def __init__(self, world: World, cluster: str, source: ApiSource) -> None:
        super().__init__(daemon=True)
        self.ended = False
        self._world = world
        self._cluster = cluster
        self._source = source
        self._loop = asyncio.get_running_loop()

    def run(self) -> None:
        """List, then watch, until ended."""
        while not self.ended:
            try:
                self._follow(self._list())
            except (OSError, http.client.HTTPException, ValueError):
                time.sleep(_RETRY_SECONDS)

    def _list(self) -> str:
        answer = json.loads(self._source.open("").read())
        self._loop.call_soon_threadsafe(self._world.replace, self._cluster, answer["items"])
        return str(answer["metadata"]["resourceVersion"])

    def _follow(self, version: str) -> None:
        for line in self._source.open(f"watch=1&resourceVersion={version}&timeoutSeconds={_WATCH_SECONDS}"):
            event = json.loads(line)
            if self.ended or event["type"] == "ERROR":
                return
            self._loop.call_soon_threadsafe(self._world.update, self._cluster, event["type"], event["object"])


class ControlConnection(asyncio.Protocol):
    """Takes a JSON object by POST to ``/<what>`` and acts on it at once."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """An order is coming."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Take a piece of a request."""
        self._buffer += data
        end = _request_end(self._buffer)
        if end is None:
            return
        request, self._buffer = self._buffer[:end], self._buffer[end:]
        path = request.split(b" ", 2)[1].decode()
        body = request.partition(b"\r\n\r\n")[2]
        try:
            answer = self._act(path, json.loads(body or b"{}"))
            self._transport.write(_message(200, json.dumps(answer).encode()))
        except (KeyError, TypeError, ValueError) as error:
            self._transport.write(_message(400, repr(error).encode()))

    def _act(self, path: str, order: dict[str, Any]) -> object:
        world = self._world
        if path == "/clusters":
            world.add_cluster(**order)
        elif path == "/clusters/remove":
            world.remove_cluster(**order)
        elif path == "/behaviour":
            behaviour = world.behaviour(order["namespace"], order["version"])
            behaviour.error_rate, behaviour.latency_seconds, behaviour.owed = (
                order["error_rate"],
                order["latency_seconds"],
                0.0,
            )
        elif path == "/gauges":
            world.behaviour(order["namespace"], order["version"]).gauges.update(order["gauges"])
        elif path == "/pods":
            return {
                address: {"namespace": p.namespace, "version": p.version, "serving": p.serving, "codes": p.codes}
                for address, p in world.by_address.items()
            }
        else:
            raise ValueError(f"no such order: {path}")
        return {}


async def _main(control_port: int) -> None:
    loop = asyncio.get_running_loop()
    world = World()
    await loop.create_server(lambda: PodConnection(world), EVERY_ADDRESS, POD_PORT, backlog=1024)
    await loop.create_server(lambda: ControlConnection(world), "127.0.0.1", control_port)
    await asyncio.Event().wait()


def run_loop(main: Any) -> None:
    """``asyncio.run`` on uvloop where it is installed: twice the requests per second."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)


if __name__ == "__main__":
    run_loop(_main(int(sys.argv[1])))
