"""What a stretch over a hub and its members cost: time, CPU, memory, and requests to either."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from costs import ACCOUNT, Reading, audit_size, audited, cpu_seconds, read, resident_mib
from installation import Operator
from testbed import Cluster

MEMBER_ACCOUNT = f"{ACCOUNT}-member"
_BUSY_CORES = 0.25
_CALM_SECONDS = 900.0


@dataclass(frozen=True)
class Mark:
    """A moment between two stretches."""

    reading: Reading
    cpu: dict[str, float]  # seconds: of the hub's API server, of the members', of etcd
    audit: tuple[int, ...]


@dataclass(frozen=True)
class Everybody:
    """All processes that are measured."""

    operator: Operator
    hub: Cluster
    members: Sequence[Cluster]

    def mark(self) -> Mark:
        """Now."""
        return Mark(read(self.operator), self.cpu(), tuple(audit_size(each) for each in (self.hub, *self.members)))

    def cpu(self) -> dict[str, float]:
        """CPU seconds until now of what Sluice talks to."""
        members = sum(cpu_seconds(each.apiserver_pid) for each in self.members)
        return {
            "hub": cpu_seconds(self.hub.apiserver_pid),
            "members": members,
            "etcd": cpu_seconds(self.hub.etcd_pid),
        }

    def spent(self, before: Mark, after: Mark) -> dict[str, float]:
        """CPU seconds of each between the two."""
        found = {name: after.cpu[name] - before.cpu[name] for name in after.cpu}
        return {"operator": after.reading.cpu_seconds - before.reading.cpu_seconds, **found}

    def memory(self) -> dict[str, float]:
        """MiB of each, at this moment."""
        members = [resident_mib(each.apiserver_pid) for each in self.members]
        found = {
            "operator": resident_mib(self.operator.pid),
            "hub's API server": resident_mib(self.hub.apiserver_pid),
            "a member's API server": statistics.mean(members),
            "etcd": resident_mib(self.hub.etcd_pid),
        }
        return {name: round(mib) for name, mib in found.items()}

    def requests(self, before: Mark, after: Mark) -> tuple[Counter[str], Counter[str]]:
        """What the operator asked between the two: of the hub, and of all members together; watches too."""
        hub = audited(self.hub, before.audit[0], after.audit[0])
        members = [
            request
            for member, since, until in zip(self.members, before.audit[1:], after.audit[1:], strict=True)
            for request in audited(member, since, until, MEMBER_ACCOUNT)
        ]
        return Counter(each.what for each in hub), Counter(each.what for each in members)

    async def calm(self, seconds: float = 1.0) -> None:
        """Wait until nobody works any more: what members tell last of all, no watch of ours shows."""
        deadline = time.monotonic() + _CALM_SECONDS
        while time.monotonic() < deadline:
            before = cpu_seconds(self.operator.pid) + sum(self.cpu().values())
            await asyncio.sleep(seconds)
            spent = cpu_seconds(self.operator.pid) + sum(self.cpu().values()) - before
            if spent < _BUSY_CORES * seconds + 0.02 * len(self.members):
                return
        raise RuntimeError(f"somebody still works after {_CALM_SECONDS:g} s; see the operator's log")


@dataclass
class Stretch:
    """The same thing, several times."""

    seconds: list[dict[str, float]] = field(default_factory=list)  # of each time, by what was reached
    cpu: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    hub: Counter[str] = field(default_factory=Counter)
    members: Counter[str] = field(default_factory=Counter)
    passes: int = 0
    failed_passes: int = 0

    def add(self, everybody: Everybody, before: Mark, after: Mark, **seconds: float) -> None:
        """One more time."""
        self.seconds.append({name: round(value, 2) for name, value in seconds.items()})
        for name, spent in everybody.spent(before, after).items():
            self.cpu[name] += spent
        hub, members = everybody.requests(before, after)
        self.hub.update(hub)
        self.members.update(members)
        self.passes += after.reading.passes - before.reading.passes
        self.failed_passes += after.reading.failed_passes - before.reading.failed_passes

    def figures(self, rollouts: int, members: int) -> dict[str, Any]:
        """Times, and what one time cost on average: in the hub for a Rollout, in members for a Rollout's part."""
        times = len(self.seconds)

        def each(counted: Counter[str], of: int) -> dict[str, float]:
            rare = times * of / 100
            kept = [(what, count) for what, count in counted.most_common() if count >= rare]
            return {what: round(count / times / of, 2) for what, count in kept if not what.startswith("watch")}

        return {
            "seconds": self.seconds,
            "cpu_seconds": {name: round(spent / times, 1) for name, spent in self.cpu.items()},
            "per_rollout_in_the_hub": each(self.hub, rollouts),
            "per_part_in_a_member": each(self.members, rollouts * members),
            "requests": round((self.hub.total() + self.members.total()) / times),
            "passes": round(self.passes / times),
            "failed_passes": self.failed_passes,
        }
