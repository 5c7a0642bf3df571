"""One member cluster, looked at again and again: connect, probe, say in its status what was found.

Each member has a task of its own; it waits for nobody else, and nobody waits for it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import logging
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from sluice.api.conditions import Reason
from sluice.api.member import MemberClusterSpec, MemberClusterStatus
from sluice.api.names import MEMBER_LABEL, Kind
from sluice.decide.members import Findings, Problem, assess, same_cluster, write_due
from sluice.engine.claims import Claims
from sluice.engine.fence import Fence
from sluice.engine.probe import cut, problem_of, review
from sluice.engine.site import Site
from sluice.errors import Conflict, InvalidSpec, NotFound, NotLeader, SluiceError, Unavailable
from sluice.ports import Clock, Cluster, Member, MemberConnector, Obj

_log = logging.getLogger(__name__)
PROBES_PER_REVIEW = 10
FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Inventory:
    """Where members come from that nobody registered; each is asked with a MemberCluster.

    Attributes:
        problem: why its kubeconfig cannot be told yet; "" where it can, or is not told here.
        kubeconfig: the text; None where it is in a Secret as that of any other.
        missing: what to say where that Secret is not there; "" for the usual.
    """

    problem: Callable[[Obj], str] = lambda _: ""
    kubeconfig: Callable[[Obj], str | None] = lambda _: None
    missing: Callable[[Obj], str] = lambda _: ""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all members' tasks share.

    Attributes:
        cluster: the hub, where statuses are written.
        connect: prepares connections.
        clock: the time.
        fence: asked before each write.
        namespace: where the Secrets are.
        member: the newest MemberCluster of a name; None once it is gone.
        secret: the newest data of a Secret (base64); None where there is none with the label.
        secrets_problem: why Secrets are not known; "" where they are.
        take: given each MemberCluster that was written.
        interval_seconds: between two probes of a member that answers.
        claims: which member has which cluster.
        open_site: prepares the work in a member: by its name, its connection, and the address of its Prometheus.
        probes: counts them by how they ended.
        inventory: of members that are discovered.
    """

    cluster: Cluster
    connect: MemberConnector
    clock: Clock
    fence: Fence
    namespace: str
    member: Callable[[str], Obj | None]
    secret: Callable[[str], Obj | None]
    secrets_problem: Callable[[], str]
    take: Callable[[Obj], None]
    interval_seconds: float
    claims: Claims
    open_site: Callable[[str, Member, str], Site] | None = None
    probes: Counter[str] = field(default_factory=Counter)
    inventory: Inventory = Inventory()


class MemberTask:
    """Looks after one member until cancelled.

    Args:
        name: of the MemberCluster.
        around: what it shares with others.
        delay_seconds: before the first probe, so that not all begin at one moment.
    """

    def __init__(self, name: str, around: Surroundings, delay_seconds: float = 0.0) -> None:
        self._name = name
        self._around = around
        self._delay_seconds = delay_seconds
        self._wake = asyncio.Event()
        self._connection: Member | None = None
        self.site: Site | None = None
        self._work: asyncio.Task[None] | None = None
        self._patient: asyncio.Task[None] | None = None
        self._connected_by: object = None
        self._measured_by = ""
        self._findings = Findings()
        self._until_review = 0
        self._at_least_seconds = 0.0  # what the member asked for
        self._written_at: datetime | None = None

    def wake(self) -> None:
        """Something of it changed in the hub: look now."""
        self._wake.set()

    async def run(self) -> None:
        """Look at it until cancelled."""
        try:
            await self._sleep(self._delay_seconds)
            while True:
                self._wake.clear()
                wait_seconds = await self._look()
                rest_seconds = min(wait_seconds, FIRST_RETRY_SECONDS) if self._findings.failures else 0.0
                await asyncio.sleep(rest_seconds)  # each of the kills that wait for it wakes us, and there may be many
                await self._sleep(wait_seconds - rest_seconds)
        finally:
            await self._disconnect()

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _look(self) -> float:
        """One pass. Returns how long to wait before the next."""
        member = self._around.member(self._name)
        if member is None:
            return self._around.interval_seconds
        try:
            await self._connect(member)
            if self._connection is not None:
                await self._probe(self._connection)
            await self._claim()
            await self._begin_work(member)
            await self._tell(member)
        except (Conflict, NotFound, NotLeader):
            # It was changed or deleted meanwhile, and the watch tells how; or it is not surely this process's now.
            return _drawn(FIRST_RETRY_SECONDS)
        except SluiceError as error:
            _log.warning("a member's status was not written", extra={"member": self._name, "error": str(error)})
            return _drawn(FIRST_RETRY_SECONDS * 5)
        except Exception:  # noqa: BLE001 - a defect that one member meets must not end the looking at it, nor at others
            _log.exception("a pass over a member failed", extra={"member": self._name})
            self._around.probes["defect"] += 1
            return LONGEST_RETRY_SECONDS
        return self._next_seconds()

    def _next_seconds(self) -> float:
        found = self._findings
        if not found.failures:
            return _drawn(self._around.interval_seconds)
        step = FIRST_RETRY_SECONDS * 2 ** min(found.failures - 1, 10)
        wait_seconds = _drawn(min(step, max(LONGEST_RETRY_SECONDS, self._around.interval_seconds)))
        return max(wait_seconds, self._at_least_seconds)

    # ------------------------------------------------------------------ connection

    async def _connect(self, member: Obj) -> None:
        """Connect anew where the spec or its Secret are no longer those that we are connected by."""
        problem = self._around.secrets_problem() or self._around.inventory.problem(member)
        if problem:
            if self._connection is None:
                waits = f"the Secrets of {self._around.namespace} are not known yet: {problem}"
                self._findings = Findings(waits=Problem(Reason.CONNECTING, waits))
            return
        try:
            text = self._kubeconfig(member)
            by = (member["metadata"].get("uid"), text)
            if by == self._connected_by:
                return
            await self._disconnect()
            self._findings, self._until_review = Findings(), 0
            self._connection = await self._around.connect(self._name, text)
            self._connection.tell(silent=self.wake, back=self._came_back)
            self._connected_by = by
            self._findings = Findings(host=self._connection.host)
        except InvalidSpec as error:
            await self._disconnect()
            self._findings = Findings(stalled=Problem(Reason(error.reason), cut(error)))

    def _kubeconfig(self, member: Obj) -> str:
        spec = MemberClusterSpec.parse(member.get("spec") or {}, f"MemberCluster {self._name}: spec")
        inventory = self._around.inventory
        text = inventory.kubeconfig(member)
        if text is not None:
            return text
        name, key = spec.kubeconfig_secret_ref.name, spec.kubeconfig_secret_ref.key
        where = f"Secret {self._around.namespace}/{name}"
        data = self._around.secret(name)
        if data is None:
            raise InvalidSpec(
                Reason.SECRET_MISSING,
                inventory.missing(member)
                or f"{where} is not there, or lacks the label {MEMBER_LABEL}: create it, or `kubectl -n "
                f"{self._around.namespace} label secret {name} {MEMBER_LABEL}={self._name}`",
            )
        if key not in data:
            raise InvalidSpec(
                Reason.SECRET_MISSING, f"{where} has no key {key}: put the kubeconfig there, or name its key"
            )
        try:
            return base64.b64decode(str(data[key]), validate=True).decode()
        except (binascii.Error, ValueError):
            raise InvalidSpec(
                Reason.KUBECONFIG_REFUSED, f"{where}, key {key}: it is no text: put a kubeconfig there"
            ) from None

    async def _claim(self) -> None:
        """See to it that nobody else works in its cluster; the work here ends where another has it."""
        found, claims = self._findings, self._around.claims
        if not found.cluster or found.missing:
            return
        other = claims.take(self._name, found.cluster)
        if other:
            await self._end_work()
        self._findings = replace(found, twin=same_cluster(other) if other else None)

    async def _begin_work(self, member: Obj) -> None:
        """Work there as soon as it lets us; what it lets us do less later on, each write tells."""
        found, around = self._findings, self._around
        prometheus = str(((member.get("spec") or {}).get("prometheus") or {}).get("address") or "")
        if self.site is not None and prometheus != self._measured_by:
            await self._end_work()  # it is measured by another one from now on
            await self._claim()
        if self._connection is None or self.site is not None or around.open_site is None or found.missing != ():
            return
        if self._findings.twin is not None:
            return
        self._measured_by = prometheus
        self.site = around.open_site(self._name, self._connection, prometheus)
        self.site.know(around.member(self._name) or member)
        self._work = asyncio.create_task(self.site.run(), name=f"site {self._name}")

    async def _end_work(self) -> None:
        work, self._work, self.site = self._work, None, None
        await _end(work)
        self._around.claims.leave(self._name)

    async def _disconnect(self) -> None:
        self._around.claims.forget(self._name)
        await self._end_work()
        await _end(self._patient)
        connection, self._connection, self._connected_by = self._connection, None, None
        if connection is not None:
            await connection.close()

    # ------------------------------------------------------------------ probe

    async def _probe(self, connection: Member) -> None:
        before = self._findings
        try:
            version = await connection.fetch_version()
            if before.failure is not None and self.site is not None:
                self.site.catch_up()
            missing, cluster = before.missing, before.cluster
            if self._until_review <= 0 or before.failure is not None or missing:
                missing = await review(connection)
                cluster = cluster if missing else await connection.fetch_uid()
                self._until_review = PROBES_PER_REVIEW
            self._until_review -= 1
        except SluiceError as error:
            self._findings = replace(before, failure=problem_of(error), failures=before.failures + 1)
            self._at_least_seconds = error.retry_after_seconds if isinstance(error, Unavailable) else 0.0
            self._around.probes["failed"] += 1
            if isinstance(error, Unavailable) and not error.retry_after_seconds:
                self._wait_patiently(connection)
            return
        if cluster != before.cluster:
            await self._end_work()  # what was begun there is another cluster's
        self._findings = Findings(
            host=connection.host,
            version=version,
            cluster=cluster,
            missing=missing,
            answered_at=self._around.clock.now(),
        )
        self._around.probes["answered"] += 1

    def _wait_patiently(self, connection: Member) -> None:
        """Beside the probes, which give up soon: a server that takes long for each answer can still be killed in."""
        if self._patient is None or self._patient.done():
            self._patient = asyncio.create_task(_ask_patiently(connection), name=f"patient {self._name}")

    def _came_back(self) -> None:
        if self.site is not None:
            self.site.divert()

    async def _tell(self, member: Obj) -> None:
        """Write the status, where it says something new and is this process's to write."""
        key = (Kind.MEMBER_CLUSTER, "", self._name)
        if not self._around.fence.holds(key):
            return
        metadata, now = member["metadata"], self._around.clock.now()
        before = _status_of(member)
        after = assess(self._findings, before, int(metadata.get("generation") or 0), now)
        if not write_due(before, after, self._written_at, now):
            return
        # In a merge patch null removes; what is left out would stay.
        status = {"lastSeenAt": None, **after.dump()}
        body = {"metadata": {"uid": metadata.get("uid")}, "status": status}
        with self._around.fence.acting(key):
            stored = await self._around.cluster.patch_merge(*key, body, subresource="status")
        self._written_at = now
        self._around.take(stored)
        ready = next((told for told in after.conditions if told.type == "Ready"), None)
        if ready is not None:
            _log.info("member", extra={"member": self._name, "ready": ready.status, "reason": ready.reason})


async def _end(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _ask_patiently(connection: Member) -> None:
    with contextlib.suppress(SluiceError):  # the probes tell why
        await connection.fetch_version(patient=True)


def _status_of(member: Obj) -> MemberClusterStatus:
    try:
        return MemberClusterStatus.parse(member.get("status") or {}, "status")
    except InvalidSpec:
        return MemberClusterStatus()  # nothing of ours: it is written anew


def _drawn(seconds: float) -> float:
    """About so long: a fifth to either side, so that many members do not come at one moment."""
    return seconds * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
