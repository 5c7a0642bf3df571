"""The requests about the Lease that the replicas share, each with its deadline, and what each rests on."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Collection
from typing import Any

from sluice.adapters.kube.register import ABSENT, LINE_PREFIX, TOGETHER, Line, Register, line_path
from sluice.api.names import Kind
from sluice.api.units import format_time
from sluice.errors import NotFound, Unavailable
from sluice.ports import Clock, Cluster, Lane, Obj


class SharedLease:
    """One coordination.k8s.io/v1 Lease. Each write returns the Lease as stored; see `ports.Cluster` for the errors.

    Args:
        cluster: with a Leadership that always agrees, for this is what decides it.
        namespace: of the Lease.
        name: of the Lease.
        clock: for the times in the Lease, which only people read.
    """

    def __init__(self, cluster: Cluster, namespace: str, name: str, *, clock: Clock) -> None:
        self.name = name
        self._cluster = cluster
        self._namespace = namespace
        self._clock = clock

    def __str__(self) -> str:
        return f"Lease {self._namespace}/{self.name}"

    async def read(self, patience: float) -> Register:
        """As it is; ABSENT where there is none. Takes `patience` seconds at the most."""
        try:
            async with self._deadline(patience):
                return Register.parse(await self._cluster.get(Kind.LEASE, self._namespace, self.name))
        except NotFound:
            return ABSENT

    async def write(
        self, register: Register, name: str, line: Line, dead: Collection[str], patience: float
    ) -> Register:
        """Write a replica's line and take out the dead, if the Lease is as it was when that was decided (Conflict)."""
        now = format_time(self._clock.now())
        gone = [*register.stale, *(LINE_PREFIX + other for other in dead)]
        lines: dict[str, str | None] = {**dict.fromkeys(gone), LINE_PREFIX + name: line.text}
        spec: dict[str, Any] = {"holderIdentity": TOGETHER, "renewTime": now}
        spec["leaseDurationSeconds"] = _duration(register, line)
        if register.holder != TOGETHER:
            spec |= {"acquireTime": now, "leaseTransitions": register.transitions + (register is not ABSENT)}
        async with self._deadline(patience):
            if register is not ABSENT:
                return Register.parse(await self._merge(register.version, lines, spec))
            body = {"metadata": {"name": self.name, "annotations": lines}, "spec": spec}
            return Register.parse(await self._cluster.create(Kind.LEASE, self._namespace, body))

    async def renew(self, register: Register, name: str, line: Line, following: Line, patience: float) -> Register:
        """Write a replica's line, if nobody took it out (Conflict); whatever else changed does not matter."""
        operations: list[Obj] = [
            {"op": "test", "path": "/spec/holderIdentity", "value": TOGETHER},
            {"op": "test", "path": line_path(name), "value": line.text},
            {"op": "replace", "path": line_path(name), "value": following.text},
            {"op": "replace", "path": "/spec/renewTime", "value": format_time(self._clock.now())},
            {"op": "replace", "path": "/spec/leaseDurationSeconds", "value": _duration(register, following)},
        ]
        async with self._deadline(patience):
            # Without the Lease no kill is written, so it goes with the kills; and it keeps their connections open.
            stored = await self._cluster.patch_json(Kind.LEASE, self._namespace, self.name, operations, lane=Lane.KILL)
        return Register.parse(stored)

    async def withdraw(self, register: Register, name: str, patience: float) -> None:
        """Take a replica's line out, and let go of the Lease with the last of them; a Conflict if it changed."""
        spec: dict[str, Any] = {"renewTime": format_time(self._clock.now())}
        if register.lines.keys() == {name}:
            spec["holderIdentity"] = ""
        async with self._deadline(patience):
            await self._merge(register.version, {LINE_PREFIX + name: None}, spec)

    async def _merge(self, version: str, lines: dict[str, str | None], spec: dict[str, Any]) -> Obj:
        body = {"metadata": {"resourceVersion": version, "annotations": lines}, "spec": spec}
        return await self._cluster.patch_merge(Kind.LEASE, self._namespace, self.name, body, lane=Lane.KILL)

    @contextlib.asynccontextmanager
    async def _deadline(self, seconds: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError as error:
            raise Unavailable(f"{self}: no answer within {seconds:.1f}s") from error


def _duration(register: Register, line: Line) -> int:
    """For versions from before there were shards, which wait that long after the last write: the longest of all."""
    return max(1, math.ceil(max(each.seconds for each in (line, *register.lines.values()))))
