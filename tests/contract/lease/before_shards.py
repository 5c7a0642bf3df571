"""How one replica was made the leader by versions from before there were shards, as it was then.

Kept for the tests that show that such a version and this one never act at the same time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from sluice.adapters.kube.backoff import Backoff
from sluice.api.names import Kind
from sluice.api.units import format_time
from sluice.errors import Conflict, NotFound, NotLeader, SluiceError, Unavailable
from sluice.ports import Clock, Cluster, Lane, Obj

_log = logging.getLogger(__name__)

_MAX_DURATION_SECONDS = 3600


def boot_seconds() -> float:
    """Seconds since boot that go on while the machine sleeps, where the system has such a clock (Linux)."""
    clock: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """In seconds.

    Attributes:
        duration: how long a holder that vanished keeps others waiting.
        renew: how often the holder renews; several renewals must fit into a duration.
        retry: the longest wait after a renewal that failed.
        margin: writing ends this long before the time is over, so that what is on its way lands within it.
        request: the longest that one request may take.
    """

    duration: float = 15.0
    renew: float = 5.0
    retry: float = 1.0
    margin: float = 1.5
    request: float = 4.0


@dataclass(frozen=True, slots=True)
class _Record:
    """What a holder changes. `version` is the object's resourceVersion, not part of what is compared."""

    holder: str
    renew_time: str
    transitions: int
    duration: float
    version: str

    def same_term(self, other: _Record | None) -> bool:
        return other is not None and (self.holder, self.renew_time, self.transitions) == (
            other.holder,
            other.renew_time,
            other.transitions,
        )


class LeaseElector:
    """Implements `ports.Leadership` with a coordination.k8s.io/v1 Lease.

    Args:
        cluster: with a Leadership that always agrees, for this is what decides it.
        namespace: of the Lease.
        name: of the Lease.
        identity: of this process, and of no other that lives. One started in its place, such as a container anew in its
            pod, may use it again: it takes its own Lease at once, for the one before is gone.
        clock: for the times in the Lease, which only people read.
        times: see LeaseTimes.
        monotonic: the clock that counts.
    """

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        name: str,
        identity: str,
        *,
        clock: Clock,
        times: LeaseTimes | None = None,
        monotonic: Callable[[], float] = boot_seconds,
    ) -> None:
        self.identity = identity
        self._cluster = cluster
        self._namespace = namespace
        self._name = name
        self._clock = clock
        self._times = times or LeaseTimes()
        self._monotonic = monotonic
        self._valid_until = 0.0  # our own term, by `monotonic`; 0 while we are a follower
        self._held: _Record | None = None  # as we wrote it last
        self._seen: _Record | None = None  # as it was seen last, whoever holds it
        self._seen_at = monotonic()
        self._changed = asyncio.Event()
        self._stopping = asyncio.Event()

    # ------------------------------------------------------------------------------------------ asked by writers

    def check(self) -> None:
        """Raises NotLeader unless the Lease is ours for `margin` seconds more at least."""
        left = self._valid_until - self._monotonic()
        if left < self._times.margin:
            state = f"it runs out in {left:.1f}s" if self._valid_until else "it is held by another, or by nobody"
            raise NotLeader(f"Lease {self._namespace}/{self._name} is not surely ours ({state}); nothing is written")

    @property
    def is_leader(self) -> bool:
        """Whether `check` would pass."""
        return self._valid_until - self._monotonic() >= self._times.margin

    @property
    def holder(self) -> str:
        """Who holds the Lease, as far as we know; "" for nobody."""
        return self._seen.holder if self._seen else ""

    # ------------------------------------------------------------------------------------------ told by the watch

    def notice(self, lease: Obj | None) -> None:
        """Take in the Lease as a watch or a list gave it; None where it is gone."""
        if lease is None:
            self._changed.set()  # its holder, should it be us, may now meet another
            return
        self._see(_record_of(lease, self._times.duration))
        # Released, or (while we hold it) taken from us by hand: look at once. Should the event be old, it costs little.
        if not self.holder or (self.is_leader and self.holder != self.identity):
            self._changed.set()

    def _see(self, record: _Record) -> None:
        if not record.same_term(self._seen):
            self._seen_at = self._monotonic()
        self._seen = record

    # ------------------------------------------------------------------------------------------ the loop

    async def run(self, on_started: Callable[[], None], on_lost: Callable[[], None]) -> None:
        """Compete, lead, and compete again, until `stop`. Cancelling it releases the Lease too.

        Args:
            on_started: called when the Lease is ours.
            on_lost: called when it is no longer; `check` refuses from before that on.
        """
        try:
            while not self._stopping.is_set():
                await self._acquire()
                if self.is_leader:
                    await self._lead(on_started, on_lost)
        finally:
            await self._release()

    async def _lead(self, on_started: Callable[[], None], on_lost: Callable[[], None]) -> None:
        _log.info("leading", extra={"lease": self._name, "identity": self.identity})
        on_started()
        try:
            await self._hold()
        finally:
            self._valid_until = 0.0
            _log.info("no longer leading", extra={"lease": self._name, "identity": self.identity})
            on_lost()

    def stop(self) -> None:
        """End `run` soon; it releases the Lease on its way out. Finish or give up writes before."""
        self._stopping.set()

    async def _acquire(self) -> None:
        """Wait until the Lease is free and ours; or until told to stop."""
        backoff = Backoff(0.05, self._times.retry)
        while not self._stopping.is_set():
            try:
                lease = await self._read()
                if self._is_free():
                    await self._take(lease)
                    return
            except Conflict:
                continue  # another was quicker: look who
            except SluiceError as error:
                _log.warning("the Lease cannot be read or taken", extra={"lease": self._name, "error": str(error)})
                await self._wait(backoff.next_seconds())
                continue
            backoff.reset()
            await self._until_free()

    async def _read(self) -> Obj | None:
        try:
            async with _deadline(self._times.request, self._name):
                lease = await self._cluster.get(Kind.LEASE, self._namespace, self._name)
        except NotFound:
            return None
        self._see(_record_of(lease, self._times.duration))
        return lease

    def _is_free(self) -> bool:
        """Whether we may take it. One that was deleted is as good as held, until its last holder's time is over."""
        seen = self._seen
        if seen is None or seen.holder in ("", self.identity):
            return True
        return self._monotonic() - self._seen_at >= max(seen.duration, self._times.duration)

    async def _until_free(self) -> None:
        """Sleep until the Lease is released, or its holder has been silent for too long."""
        while not self._stopping.is_set() and not self._is_free():
            seen = self._seen
            patience = max(seen.duration if seen else 0.0, self._times.duration)
            await self._wait(max(0.01, self._seen_at + patience - self._monotonic()))
        # Several followers see one release: the first that writes wins, the others need not all try at once.
        await self._wait(random.uniform(0.0, 0.05))

    async def _take(self, lease: Obj | None) -> None:
        sent_at = self._monotonic()
        now = format_time(self._clock.now())
        before = _record_of(lease, self._times.duration) if lease else None
        changes = before is None or before.holder != self.identity
        spec = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": max(1, round(self._times.duration)),
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": (before.transitions if before else 0) + (1 if changes and before else 0),
        }
        async with _deadline(self._times.request, self._name):
            if before is None:
                body = {"metadata": {"name": self._name}, "spec": spec}
                stored = await self._cluster.create(Kind.LEASE, self._namespace, body)
            else:
                stored = await self._patch(before.version, spec)
        self._won(stored, sent_at)

    async def _hold(self) -> None:
        """Renew until the Lease is lost or we are told to stop."""
        backoff = Backoff(0.1, self._times.retry)
        wait_seconds = self._times.renew
        while not self._stopping.is_set():
            await self._wait(min(wait_seconds, self._valid_until - self._times.margin - self._monotonic()))
            if self._stopping.is_set() or not self.is_leader:
                return
            try:
                await self._renew()
            except (Conflict, NotFound):
                if not await self._is_still_ours():
                    return
                wait_seconds = backoff.next_seconds()
            except SluiceError as error:
                _log.warning("the Lease was not renewed", extra={"lease": self._name, "error": str(error)})
                wait_seconds = backoff.next_seconds()
            else:
                backoff.reset()
                wait_seconds = self._times.renew * random.uniform(0.9, 1.0)

    async def _renew(self) -> None:
        sent_at = self._monotonic()
        left = self._valid_until - self._times.margin - sent_at
        version = self._held.version if self._held else ""
        async with _deadline(min(self._times.request, max(left, 0.05)), self._name):
            stored = await self._patch(version, {"renewTime": format_time(self._clock.now())})
        self._won(stored, sent_at)

    async def _is_still_ours(self) -> bool:
        """After a Conflict. Somebody may have labelled the Lease, or our own renewal came through without an answer."""
        try:
            lease = await self._read()
        except SluiceError:
            return True  # not known: our time goes on unchanged, and ends by itself
        if lease is None or self._seen is None or self._seen.holder != self.identity:
            return False
        self._held = self._seen
        return True

    async def _release(self) -> None:
        """Give the Lease back, so that a follower need not wait. Best effort: without it, its time runs out."""
        self._valid_until = 0.0
        term, self._held = self._held, None
        if term is None:
            return
        with contextlib.suppress(SluiceError):
            async with _deadline(self._times.request, self._name):
                await self._patch(term.version, {"holderIdentity": "", "renewTime": format_time(self._clock.now())})

    async def _patch(self, version: str, spec: dict[str, Any]) -> Obj:
        body = {"metadata": {"resourceVersion": version}, "spec": spec}
        # Without the Lease no kill is written, so it goes with the kills; and it keeps their connections open.
        return await self._cluster.patch_merge(Kind.LEASE, self._namespace, self._name, body, lane=Lane.KILL)

    def _won(self, stored: Obj, sent_at: float) -> None:
        self._held = _record_of(stored, self._times.duration)
        self._see(self._held)
        self._valid_until = sent_at + self._times.duration

    async def _wait(self, seconds: float) -> None:
        """Sleep, but not past a stop or a released Lease."""
        self._changed.clear()
        waits = [asyncio.ensure_future(event.wait()) for event in (self._changed, self._stopping)]
        try:
            await asyncio.wait(waits, timeout=max(0.0, seconds), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()


@contextlib.asynccontextmanager
async def _deadline(seconds: float, name: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise Unavailable(f"Lease {name}: no answer within {seconds:.1f}s") from error


def _record_of(lease: Obj, own_duration: float) -> _Record:
    metadata, spec = lease.get("metadata") or {}, lease.get("spec") or {}
    duration, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
    return _Record(
        holder=str(spec.get("holderIdentity") or ""),
        renew_time=str(spec.get("renewTime") or ""),
        transitions=transitions if isinstance(transitions, int) else 0,
        duration=min(duration, _MAX_DURATION_SECONDS) if isinstance(duration, int) else own_duration,
        version=str(metadata.get("resourceVersion") or ""),
    )
