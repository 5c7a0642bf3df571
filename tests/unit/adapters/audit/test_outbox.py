"""What waits to be taken by whoever keeps the audit outside: in order, until it is taken, in nobody's way."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from sluice.adapters.audit.outbox import Bounds, Outbox
from sluice.adapters.audit.segments import SegmentArchive
from sluice.api.audit import AuditedRollout, AuditSegmentSpec
from sluice.api.common import ObjectRef
from sluice.api.rollout import Audit
from sluice.decide.audit import Telling, append, entry_id, trimmed
from sluice.errors import Forbidden, SluiceError, Unavailable
from sluice.sim.clock import VirtualClock
from sluice.sim.cluster import Call, FakeCluster
from sluice.sim.operator import FakeAudit
from sluice.sim.receiver import FakeReceiver
from unit.decide.observed import NOW

DAY = timedelta(days=1)
SYSTEM = "sluice-system"


def rollout(name: str = "checkout") -> ObjectRef:
    """One in `shop`."""
    return ObjectRef(namespace="shop", name=name, uid=f"uid-{name}")


def chain(count: int, *, age: timedelta = timedelta(), before: Audit | None = None) -> Audit:
    """So many entries more, all of one time."""
    audit = before or Audit()
    for number in range(audit.seq, audit.seq + count):
        told = Telling(entry_id("uid", number, "", "step"), "Intended", "step", "sluice", "WeightChanged", "to 10%")
        audit = append(audit, told, NOW - age)
    return audit


class Archive(SegmentArchive):
    """One that tells when it was asked."""

    def __init__(self, cluster: FakeCluster, asked: asyncio.Event) -> None:
        super().__init__(cluster, SYSTEM)
        self._asked = asked

    async def ending_before(self, uid: str, seq: int) -> AuditSegmentSpec | None:
        """As ever."""
        try:
            return await super().ending_before(uid, seq)
        finally:
            self._asked.set()


class Desk:
    """An outbox, who receives, and what was counted."""

    def __init__(self, receiver: FakeReceiver, limit: int = 100) -> None:
        self.receiver = receiver
        self.log = FakeAudit()
        self.counted: Counter[str] = Counter()
        self._news = asyncio.Event()
        self.cluster = FakeCluster(VirtualClock(NOW), namespaces=(SYSTEM,))
        self.archive = Archive(self.cluster, self._news)
        bounds = Bounds(DAY, limit, delay_seconds=0.001)
        self.outbox = Outbox(self.log, receiver, self.archive, VirtualClock(NOW), count=self._count, bounds=bounds)

    def _count(self, outcome: str, number: int) -> None:
        self.counted[outcome] += number
        self._news.set()

    @property
    def taken(self) -> list[int]:
        """The numbers of the entries that were taken."""
        return [event["data"]["entry"]["seq"] for event in self.receiver.events]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """It sends."""
        work = asyncio.create_task(self.outbox.run())
        yield
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)

    async def until(self, done: Callable[[], bool]) -> None:
        """Wait for something that comes with what is counted, for at most ten seconds."""
        async with asyncio.timeout(10):
            while not done():
                self._news.clear()
                await self._news.wait()


@pytest.fixture(params=[1, 3], ids=["one by one", "in batches"])
def desk(request: pytest.FixtureRequest) -> Desk:
    """Both ways."""
    return Desk(FakeReceiver(at_once=request.param))


async def test_each_entry_is_sent_once_and_in_order(desk: Desk) -> None:
    """However often a pass shows it; the log is told what is new, as ever."""
    some = chain(4)
    async with desk.running():
        desk.outbox.follow(rollout(), "", some, 0)
        desk.outbox.follow(rollout(), "", some, 4)
        desk.outbox.follow(rollout(), "", chain(2, before=some), 4)
        await desk.until(lambda: desk.outbox.waiting == 0)
    assert desk.taken == [1, 2, 3, 4, 5, 6]
    assert [entry.seq for _, entry in desk.log.entries] == [1, 2, 3, 4, 5, 6]
    assert desk.counted == {"sent": 6}


async def test_what_is_not_taken_is_sent_until_it_is(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is lost while the receiver is away; that it is away is told once, and that it is back."""
    desk.receiver.away = True
    with caplog.at_level(logging.INFO, "sluice"):
        async with desk.running():
            desk.outbox.follow(rollout(), "", chain(5), 0)
            await desk.until(lambda: desk.counted["failed"] >= 3)
            assert (desk.taken, desk.outbox.waiting) == ([], 5)
            desk.receiver.away = False
            await desk.until(lambda: desk.outbox.waiting == 0)
    assert desk.taken == [1, 2, 3, 4, 5]
    told = [record.message for record in caplog.records]
    assert told == ["the audit is not taken, and is sent again", "the audit is taken again"]


async def test_a_defect_of_the_receiver_ends_nothing(
    desk: Desk, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told with its traceback, and what waits is sent when that is possible."""
    with monkeypatch.context() as patch:
        patch.setattr(desk.receiver, "send", None)
        async with desk.running():
            desk.outbox.follow(rollout(), "", chain(2), 0)
            await desk.until(lambda: desk.counted["failed"] >= 2)
        assert [record.exc_info is not None for record in caplog.records] == [True]
    async with desk.running():
        await desk.until(lambda: desk.outbox.waiting == 0)
    assert desk.taken == [1, 2]


async def test_one_that_is_refused_keeps_no_other_back(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """It is counted and named in the log, and those after it are sent."""
    some = chain(5)
    desk.receiver.refused = {some.entries[1].hash}
    async with desk.running():
        desk.outbox.follow(rollout(), "", some, 0)
        await desk.until(lambda: desk.outbox.waiting == 0)
    assert desk.taken == [1, 3, 4, 5]
    assert desk.counted == {"sent": 4, "dropped": 1}
    assert [record.__dict__["id"] for record in caplog.records] == [some.entries[1].hash]


async def test_a_process_sends_anew_what_its_predecessor_may_not_have_sent(desk: Desk) -> None:
    """At its first sight of a Rollout: the entries of the last day, and what the pass itself wrote."""
    seen = chain(2, before=chain(3, age=2 * DAY))
    desk.outbox.follow(rollout(), "", seen, 5)
    quiet = chain(3, age=2 * DAY)
    desk.outbox.follow(rollout("quiet"), "", quiet, 3)
    desk.outbox.follow(rollout("quiet"), "", chain(1, before=quiet, age=2 * DAY), 3)
    await desk.outbox.close(10)
    assert desk.taken == [4, 5, 4]


async def test_what_left_the_status_is_sent_anew_from_its_segments(desk: Desk) -> None:
    """At the first sight, as far as it is young; it comes after all that is newer."""
    whole = chain(13, before=chain(7, age=2 * DAY))
    owner = AuditedRollout(namespace="shop", name="checkout", uid="uid-checkout")
    for first, last in ((1, 4), (5, 8), (9, 16)):
        await desk.archive.seal(AuditSegmentSpec.of(owner, whole.entries[first - 1 : last]))
    async with desk.running():
        desk.outbox.follow(rollout(), "", trimmed(whole, 16), 20)
        desk.outbox.follow(rollout("cart"), "", chain(1), 0)
        await desk.until(lambda: desk.counted["sent"] == 14)
    assert desk.taken == [17, 18, 19, 20, 1, *range(9, 17), 8]


async def test_segments_that_cannot_be_read_keep_nothing_back(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """An operator without the right to them says so, and sends all else; an API server that is away is asked again."""
    failures: list[SluiceError] = [Unavailable("no answer"), Forbidden("no right to get auditsegments")]

    def fail(_call: Call) -> None:
        raise failures.pop(0)

    desk.cluster.faults.append(fail)
    async with desk.running():
        desk.outbox.follow(rollout(), "", trimmed(chain(20), 16), 20)
        await desk.until(lambda: desk.counted["failed"] == 1)
        desk.outbox.follow(rollout("cart"), "", chain(1), 0)
        await desk.until(lambda: desk.counted["sent"] == 5 and not failures)
    assert desk.taken == [17, 18, 19, 20, 1]
    assert "audit segments can't be read, so they are not sent anew" in [record.message for record in caplog.records]


async def test_a_chain_that_was_cut_is_sent_as_it_grows_anew(desk: Desk) -> None:
    """Whoever takes entries out of a status does not hide what comes after them."""
    desk.outbox.follow(rollout(), "", chain(4), 0)
    desk.outbox.follow(rollout(), "", chain(2), 1)
    desk.outbox.follow(rollout(), "", chain(3), 2)
    await desk.outbox.close(10)
    assert desk.taken == [1, 2, 3, 4, 2, 3]


async def test_the_oldest_are_dropped_where_too_many_wait(caplog: pytest.LogCaptureFixture) -> None:
    """They are counted, and the log tells it once; the operator's memory is not what a receiver that is away fills."""
    desk = Desk(FakeReceiver(), limit=3)
    for name in ("checkout", "cart"):
        desk.outbox.follow(rollout(name), "", chain(3), 0)
    assert (desk.outbox.waiting, desk.counted) == (3, {"dropped": 3})
    assert len(caplog.records) == 1
    await desk.outbox.close(10)
    assert [event["subject"] for event in desk.receiver.events] == ["uid-cart"] * 3


async def test_the_end_waits_for_nobody(desk: Desk) -> None:
    """What waits is handed over if that is possible, and else left to the next process."""
    desk.receiver.away = True
    desk.outbox.follow(rollout(), "", chain(2), 0)
    await desk.outbox.close(10)
    assert (desk.taken, desk.outbox.waiting) == ([], 2)


def test_a_member_is_named() -> None:
    """The part of a Rollout that a member has is another Rollout's chain."""
    desk = Desk(FakeReceiver())
    desk.outbox.follow(rollout(), "berlin", chain(1), 0)
    asyncio.run(desk.outbox.close(10))
    [event] = desk.receiver.events
    assert event["source"].startswith("/clusters/berlin/")
