"""What the process that is every pod knows: the pods of the clusters it follows, and how each version behaves."""

from __future__ import annotations

import asyncio
import http.client
import json
import ssl
import threading
import time
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import urlsplit

_BUCKETS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_WATCH_SECONDS = 300
_RETRY_SECONDS = 0.1
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 500: "Internal Server Error"}
# The API keeps whole seconds: without this a pod would serve up to one less than its grace.
ROUNDING_SECONDS = 1.0


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


class Caller(Protocol):
    """A connection to a pod."""

    def attach(self, pod: Pod) -> None:
        """The pod that it waited for serves from now on."""

    def reset(self) -> None:
        """Close with a TCP reset."""


class Pod:
    """One pod: what the API server says of it, and what it has answered so far."""

    def __init__(self, meta: dict[str, Any], version: str, behaviour: Behaviour) -> None:
        self.uid: str = meta["uid"]
        self.namespace: str = meta["namespace"]
        self.version = version
        self.behaviour = behaviour
        self.serving = False
        self.ends_at: float | None = None
        self.connections: set[Caller] = set()
        self.codes = {200: 0, 500: 0}
        self.buckets = [0] * (len(_BUCKETS_SECONDS) + 1)
        self.seconds = 0.0
        labels = meta.get("labels") or {}
        slot = labels.get("slot") or labels.get("sluice.dev/slot", "")
        self.answers = {code: answer_of(code, meta["name"], version, slot) for code in (200, 500)}

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
        self._early: dict[str, set[Caller]] = {}  # by address: they wait for a pod that is about to serve
        self._addresses: dict[str, dict[str, str]] = {}  # cluster to pod uid to address
        self._behaviours: dict[tuple[str, str], Behaviour] = {}
        self._watches: dict[str, Watch] = {}

    def behaviour(self, namespace: str, version: str) -> Behaviour:
        """How a version behaves; healthy until told otherwise."""
        return self._behaviours.setdefault((namespace, version), Behaviour())

    def expect(self, address: str, caller: Caller) -> None:
        """Let a connection wait for the pod of this address: others may have heard of it first."""
        self._early.setdefault(address, set()).add(caller)

    def expect_no_more(self, address: str, caller: Caller) -> None:
        """It has waited long enough, or is gone."""
        waiting = self._early.get(address, set())
        waiting.discard(caller)
        if not waiting:
            self._early.pop(address, None)

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
            pod.ends_at = datetime.fromisoformat(meta["deletionTimestamp"]).timestamp() + ROUNDING_SECONDS
            asyncio.get_running_loop().call_later(max(0.0, pod.ends_at - time.time()), close_all, pod)
        if pod.serving:
            for caller in self._early.pop(address, ()):
                caller.attach(pod)
        else:
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


def message_of(code: int, body: bytes, headers: str = "") -> bytes:
    """An HTTP/1.1 answer."""
    return f"HTTP/1.1 {code} {_REASONS[code]}\r\n{headers}content-length: {len(body)}\r\n\r\n".encode() + body


def answer_of(code: int, pod: str, version: str, slot: str) -> bytes:
    """What a pod says to every request."""
    return message_of(code, f"{version}\n".encode(), f"x-version: {version}\r\nx-pod: {pod}\r\nx-slot: {slot}\r\n")


def _version(obj: dict[str, Any]) -> str:
    """The label ``version``, or else the first container's image tag."""
    label = (obj["metadata"].get("labels") or {}).get("version")
    image: str = obj["spec"]["containers"][0]["image"]
    return str(label or image.partition("@")[0].rpartition("/")[2].partition(":")[2] or "latest")
