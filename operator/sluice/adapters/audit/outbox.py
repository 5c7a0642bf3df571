"""What waits to be taken by whoever keeps the audit outside. Nothing of Sluice's waits for it.

Each event is sent until it is taken, in order, and is forgotten only then. What waited when a process died is sent by
the next one, from what the cluster has: at its first sight of a Rollout it sends the young entries of its status anew,
and, when nothing else waits, those that left it for a segment.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sluice.api.common import ObjectRef
from sluice.api.rollout import Audit, AuditEntry
from sluice.decide.exported import Event, due, event_of
from sluice.errors import Forbidden, Rejected, SluiceError
from sluice.ports import AuditArchive, AuditReceiver, AuditSink, Clock

_log = logging.getLogger(__name__)
_REMEMBERED = 100_000  # Rollouts; of one that is forgotten, young entries are sent once more
_LONGEST_DELAY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of an outbox.

    Attributes:
        resend: how old an entry may be that is sent at the first sight of its Rollout.
        limit: how many events wait at most; beyond, the oldest are dropped.
        delay_seconds: before the second try; it doubles, up to a minute.
    """

    resend: timedelta
    limit: int = 10_000
    delay_seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class _Earlier:
    """Entries before one that a status held, which are to be sent anew as far as they are young."""

    rollout: ObjectRef
    cluster: str
    seq: int
    young: datetime


Count = Callable[[str, int], None]
"""Counts events by outcome: `sent`, `failed` (and tried again), `dropped`."""


class Outbox:
    """Implements `ports.AuditSink`, over another one that is told everything as well.

    Args:
        log: the other one.
        receiver: who keeps the events.
        archive: has the entries that left the statuses.
        clock: the time.
        count: is told what became of events.
        bounds: of what is sent, and when.
    """

    def __init__(
        self,
        log: AuditSink,
        receiver: AuditReceiver,
        archive: AuditArchive,
        clock: Clock,
        *,
        count: Count,
        bounds: Bounds,
    ) -> None:
        self._sink = log
        self._receiver = receiver
        self._archive = archive
        self._clock = clock
        self._count = count
        self._bounds = bounds
        self._events: deque[Event] = deque()
        self._earlier: deque[_Earlier] = deque()
        self._sent: dict[str, int] = {}
        self._some = asyncio.Event()
        self._dropping = False

    @property
    def waiting(self) -> int:
        """How many events were not taken yet."""
        return len(self._events)

    def follow(self, rollout: ObjectRef, cluster: str, audit: Audit, since: int) -> None:
        """Take what is to be sent."""
        self._sink.follow(rollout, cluster, audit, since)
        before = self._sent.get(rollout.uid)
        if before is not None:
            before = min(before, since)  # less is there than was sent: somebody cut the chain, and it grows anew
            if audit.seq <= before:
                return
        young = self._clock.now() - self._bounds.resend
        entries = list(due(audit, since=since, sent=before, young=young))
        self._events.extend(event_of(rollout, cluster, entry) for entry in entries)
        if before is None:
            self._look_before(rollout, cluster, entries, young)
        self._sent[rollout.uid] = audit.seq
        if len(self._sent) > _REMEMBERED:
            del self._sent[next(iter(self._sent))]
        self._bound()
        if self._events:
            self._some.set()

    def _look_before(self, rollout: ObjectRef, cluster: str, entries: Sequence[AuditEntry], young: datetime) -> None:
        """Remember to look for what was told before these, where that may be young too."""
        if entries and entries[0].seq > 1 and entries[0].at >= young:
            self._earlier.append(_Earlier(rollout, cluster, entries[0].seq, young))

    def _bound(self) -> None:
        over = len(self._events) - self._bounds.limit
        if over <= 0:
            return
        for _ in range(over):
            self._events.popleft()
        self._count("dropped", over)
        if not self._dropping:
            self._dropping = True
            _log.error(
                "audit events are dropped: nobody takes them; they are in the Rollouts' audit",
                extra={"waiting": len(self._events)},
            )

    async def run(self) -> None:
        """Send, until cancelled. No failure ends it."""
        delay_seconds = 0.0
        while True:
            await self._some.wait()
            try:
                await (self._send_some() if self._events else self._fetch_some())
            except Exception as error:  # noqa: BLE001 - not even a defect here may end what kills and moves traffic
                self._count("failed", 1)
                if not delay_seconds:
                    _log.warning(
                        "the audit is not taken, and is sent again",
                        extra={"error": str(error), "waiting": self.waiting},
                        exc_info=not isinstance(error, SluiceError),
                    )
                delay_seconds = min(max(2 * delay_seconds, self._bounds.delay_seconds), _LONGEST_DELAY_SECONDS)
                await asyncio.sleep(delay_seconds)
            else:
                if delay_seconds:
                    _log.info("the audit is taken again", extra={"waiting": self.waiting})
                delay_seconds, self._dropping = 0.0, False

    async def close(self, seconds: float) -> None:
        """Try to hand over what waits, for so long; what is left is sent by whoever comes next."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(seconds):
                while self._events:
                    await self._send_some()
        await self._receiver.close()

    async def _fetch_some(self) -> None:
        """Take what one segment has."""
        if not self._earlier:
            self._some.clear()
            return
        gap = self._earlier.popleft()
        try:
            segment = await self._archive.ending_before(gap.rollout.uid, gap.seq)
        except Forbidden as error:
            _log.warning("audit segments can't be read, so they are not sent anew", extra={"error": str(error)})
            return
        except SluiceError:
            self._earlier.append(gap)
            raise
        if segment is not None:
            entries = [entry for entry in segment.entries if entry.at >= gap.young]
            self._events.extend(event_of(gap.rollout, gap.cluster, entry) for entry in entries)
            if entries == list(segment.entries):
                self._look_before(gap.rollout, gap.cluster, entries, gap.young)

    async def _send_some(self) -> None:
        await self._send(list(itertools.islice(self._events, self._receiver.at_once)))

    async def _send(self, batch: list[Event]) -> None:
        """Send these; where one of several is refused, find it."""
        try:
            await self._receiver.send(batch)
        except Rejected as error:
            if len(batch) > 1:
                for event in batch:
                    await self._send([event])
                return
            _log.error("an audit event is refused", extra={"error": str(error), "id": batch[0]["id"]})
            self._done(batch, "dropped")
        else:
            self._done(batch, "sent")

    def _done(self, batch: list[Event], outcome: str) -> None:
        """Forget events, unless they were dropped meanwhile for want of room."""
        for event in batch:
            if self._events and self._events[0] is event:
                self._events.popleft()
        self._count(outcome, len(batch))
