"""What the operator costs: its process's figures, and its requests as the API server's audit log has them."""

from __future__ import annotations

import json
import os
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from installation import NAMESPACE, Operator
from testbed import Cluster

ACCOUNT = f"system:serviceaccount:{NAMESPACE}:sluice"
_PASSES = re.compile(r"^sluice_reconcile_seconds_count\{.*\} (\S+)$", re.MULTILINE)
_FAILED = re.compile(r"^sluice_reconcile_failures_total\{.*\} (\S+)$", re.MULTILINE)
_METRIC = re.compile(r'sluice_api_requests_total\{kind="([^"]*)",lane="[^"]*",status="[^"]*",verb="([^"]*)"\} (\S+)')


@dataclass(frozen=True)
class Reading:
    """What was there at one moment."""

    at: float  # monotonic seconds
    counted: Counter[tuple[str, str]]  # by the operator: verb and kind
    cpu_seconds: float
    resident_mib: float
    passes: int
    failed_passes: int


@dataclass(frozen=True)
class Request:
    """One request. `resource` is such as `rollouts/status`, or a path; `answered` the HTTP status, 0 before an end."""

    at: datetime
    verb: str
    resource: str
    namespace: str
    name: str
    answered: int

    @property
    def what(self) -> str:
        """Verb and resource."""
        return f"{self.verb} {self.resource}"

    @property
    def about(self) -> str:
        """The object; of Events, that which they are about."""
        return f"{self.namespace}/{self.name.partition('.')[0]}"


def read(operator: Operator) -> Reading:
    """Metrics, and the process's figures from /proc."""
    counted: Counter[tuple[str, str]] = Counter()
    metrics = operator.http("/metrics")
    for kind, verb, value in _METRIC.findall(metrics):
        counted[verb, kind] += int(float(value))
    return Reading(
        time.monotonic(),
        counted,
        cpu_seconds(operator.pid),
        resident_mib(operator.pid),
        *(sum(map(int, map(float, found.findall(metrics)))) for found in (_PASSES, _FAILED)),
    )


def cpu_seconds(pid: int) -> float:
    """CPU time of a process until now."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int) -> float:
    """Memory of a process (RSS)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def audited(cluster: Cluster, since: int, until: int | None = None, account: str = ACCOUNT) -> list[Request]:
    """The operator's requests between two offsets in the audit log, by their beginnings; each is there once.

    A request without changes (`dryRun`) has a verb of its own: `try` for `patch`, and so on.
    """
    assert cluster.audit_log is not None
    seen: dict[str, Request] = {}
    with cluster.audit_log.open("rb") as log:
        log.seek(since)
        for line in log:
            since += len(line)
            if not line.endswith(b"\n") or (until is not None and since > until):
                break
            event = json.loads(line)
            # The end of a watch that was opened before the measurement is no request in it.
            ended_watch = (event["verb"], event["stage"]) == ("watch", "ResponseComplete")
            if event["user"].get("username") == account and not ended_watch:
                seen[event["auditID"]] = _request(event)
    return sorted(seen.values(), key=lambda request: request.at)


def audit_size(cluster: Cluster) -> int:
    """The offset of what comes next in the audit log."""
    assert cluster.audit_log is not None
    return cluster.audit_log.stat().st_size


@dataclass(frozen=True)
class Mark:
    """A moment between two stretches."""

    reading: Reading
    apiserver_seconds: float
    audit: int

    @classmethod
    def set(cls, operator: Operator, cluster: Cluster) -> Mark:
        """Now."""
        return cls(read(operator), cpu_seconds(cluster.apiserver_pid), audit_size(cluster))


@dataclass
class Stretch:
    """The operator's costs in several rounds of the same thing; its requests about objects of one namespace."""

    namespace: str
    cpu_seconds: float = 0.0
    apiserver_seconds: float = 0.0
    passes: int = 0
    failed_passes: int = 0
    requests: list[Request] = field(default_factory=list)
    _most: Counter[str] = field(default_factory=Counter)

    def add(self, cluster: Cluster, before: Mark, after: Mark) -> None:
        """One more round."""
        self.cpu_seconds += after.reading.cpu_seconds - before.reading.cpu_seconds
        self.apiserver_seconds += after.apiserver_seconds - before.apiserver_seconds
        self.passes += after.reading.passes - before.reading.passes
        self.failed_passes += after.reading.failed_passes - before.reading.failed_passes
        requests = [each for each in audited(cluster, before.audit, after.audit) if each.namespace == self.namespace]
        self.requests += requests
        for (what, _), count in Counter((each.what, each.about) for each in requests).items():
            self._most[what] = max(self._most[what], count)

    def per_update(self, updates: int) -> dict[str, Any]:
        """CPU, passes and requests for one update, on average; and the most requests that one object got in a round.

        The API server's CPU is for everybody's requests, the controllers', the nodes' and the benchmark's among them.
        """
        counted = Counter(request.what for request in self.requests)
        refused = Counter(request.what for request in self.requests if request.answered >= 400)
        return {
            "cpu_seconds": round(self.cpu_seconds / updates, 4),
            "apiserver_seconds": round(self.apiserver_seconds / updates, 4),
            "passes": round(self.passes / updates, 2),
            "failed_passes": round(self.failed_passes / updates, 2),
            "requests": {
                what: {"each": round(count / updates, 2), "most": self._most[what], "refused": refused[what]}
                for what, count in counted.most_common()
            },
        }


def _request(event: dict[str, Any]) -> Request:
    about, path = event.get("objectRef") or {}, event["requestURI"].partition("?")
    resource = "/".join(filter(None, (about.get("resource"), about.get("subresource")))) or path[0]
    return Request(
        datetime.fromisoformat(event["requestReceivedTimestamp"]),
        f"try to {event['verb']}" if "dryRun=" in path[2] else event["verb"],
        resource,
        about.get("namespace", ""),
        about.get("name", ""),
        (event.get("responseStatus") or {}).get("code", 0),
    )
