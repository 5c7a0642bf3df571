"""What leadership by a Lease promises: one writer at a time, whoever stops, stalls or vanishes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial

import pytest

from contract.cluster.worlds import World
from sluice.adapters.clock import SystemClock
from sluice.adapters.kube.client import KubeCluster
from sluice.adapters.kube.lease import LeaseElector, LeaseTimes, boot_seconds
from sluice.adapters.kube.watch import Informer
from sluice.api.names import Kind
from sluice.errors import NotLeader
from sluice.ports import Obj

NAME = "sluice"
# Nothing runs out by itself while a test waits, however busy the machine: time passes where a test lets it pass.
# How long everything takes, to the second, is told in virtual time by the unit tests.
TIMES = LeaseTimes(duration=600.0, renew=0.2, retry=0.1, margin=0.4, request=30.0)
SELDOM = replace(TIMES, renew=300.0)
LONG_PAUSE_SECONDS = 1000.0
DEADLINE_SECONDS = 60.0


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition."""
    began_at = time.monotonic()
    while not condition():
        assert time.monotonic() - began_at < DEADLINE_SECONDS, f"not within {DEADLINE_SECONDS}s: {what}"
        await asyncio.sleep(0.005)


class Replica:
    """An elector and its loop; `skew_seconds` jumps its monotonic clock ahead, as a paused process sees it.

    Attributes:
        looks: how often it looked at its clock.
    """

    def __init__(self, world: World, identity: str, times: LeaseTimes = TIMES) -> None:
        self.skew_seconds = 0.0
        self.looks = 0
        self.history: list[str] = []
        self.elector = LeaseElector(
            world.cluster,
            world.namespace,
            NAME,
            identity,
            clock=SystemClock(),
            times=times,
            monotonic=self._look,
        )
        self._task: asyncio.Task[None] | None = None

    def _look(self) -> float:
        self.looks += 1
        return boot_seconds() + self.skew_seconds

    def start(self) -> None:
        """Compete."""
        self._task = asyncio.create_task(
            self.elector.run(lambda: self.history.append("started"), lambda: self.history.append("lost"))
        )

    async def stop(self) -> None:
        """Go in good order."""
        self.elector.stop()
        if self._task:
            await self._task

    async def crash(self) -> None:
        """Go without a word: nothing more is sent."""
        self.elector._release = _nothing  # type: ignore[method-assign]  # a dead process releases nothing
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def wake(self) -> None:
        """End its present sleep, and wait until it has looked what time it is."""
        looks = self.looks
        self.elector._changed.set()
        await until(lambda: self.looks > looks + 1, "the replica to look around")

    def renewed_at(self) -> str:
        """The time of the newest renewal that it heard of."""
        return self.elector._seen.renew_time if self.elector._seen else ""

    def may_write(self) -> bool:
        """Whether a write would be let through."""
        try:
            self.elector.check()
        except NotLeader:
            return False
        return True


async def _nothing() -> None:
    """Nothing."""


@asynccontextmanager
async def watched(world: World, *replicas: Replica) -> AsyncIterator[None]:
    """Tell the replicas what becomes of the Lease."""

    def tell(lease: Obj | None) -> None:
        for replica in replicas:
            replica.elector.notice(lease)

    if world.fake is not None:
        watch = world.fake.subscribe(Kind.LEASE, lambda event, obj: tell(None if event == "DELETED" else obj))
        yield
        watch.close()
        return
    assert world.transport is not None
    informer = Informer(
        world.transport,
        Kind.LEASE,
        lambda event, obj: tell(None if event == "DELETED" else obj),
        lambda objects: tell(objects[0] if objects else None),
        namespace=world.namespace,
        selectors={"fieldSelector": f"metadata.name={NAME}"},
    )
    task = asyncio.create_task(informer.run())
    await until(lambda: informer.synced, "the Lease's watch")
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def leader_and_follower(world: World, times: LeaseTimes) -> AsyncIterator[tuple[Replica, Replica]]:
    """A leader, and a follower that watches."""
    first, second = Replica(world, "replica-1", times), Replica(world, "replica-2", times)
    async with watched(world, first, second):
        first.start()
        await until(first.may_write, "the first replica to lead")
        second.start()
        await until(lambda: second.elector.holder == "replica-1", "the second replica to see who leads")
        yield first, second
        await second.crash()
        await first.crash()


@pytest.fixture
async def pair(world: World) -> AsyncIterator[tuple[Replica, Replica]]:
    """A leader and a follower."""
    async with leader_and_follower(world, TIMES) as made:
        yield made


def _differs(now: Callable[[], str], before: str) -> bool:
    return now() != before


async def lease_of(world: World) -> Obj:
    """The Lease's spec."""
    return (await world.cluster.get(Kind.LEASE, world.namespace, NAME))["spec"]


async def test_one_leads(world: World, pair: tuple[Replica, Replica]) -> None:
    """The first takes the Lease; the second waits and may not write; the Lease tells who holds it."""
    first, second = pair
    assert (first.may_write(), second.may_write()) == (True, False)
    spec = await lease_of(world)
    assert (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"]) == ("replica-1", 600, 0)


async def test_it_is_kept_by_renewing(world: World, pair: tuple[Replica, Replica]) -> None:
    """Beyond its duration the Lease is still the first one's, who never lost it in between."""
    first, second = pair
    for _ in range(4):
        for replica in pair:
            replica.skew_seconds += TIMES.duration / 3
        for _ in range(2):  # the first of them may have been on its way before
            await until(partial(_differs, second.renewed_at, second.renewed_at()), "a renewal")
        await second.wake()
    assert (first.history, second.history) == (["started"], [])
    assert first.may_write()


async def test_release_hands_over_at_once(world: World, pair: tuple[Replica, Replica]) -> None:
    """A leader that stops gives the Lease back, and the follower leads without waiting for its time to be over."""
    first, second = pair
    await first.stop()
    assert not first.may_write()
    await until(second.may_write, "the second replica to lead")
    assert first.history == ["started", "lost"]
    spec = await lease_of(world)
    assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("replica-2", 1)


async def test_a_crash_is_noticed_after_the_duration(world: World, pair: tuple[Replica, Replica]) -> None:
    """A leader that vanished keeps the follower waiting for as long as it may have believed that it leads."""
    first, second = pair
    await first.crash()
    second.skew_seconds = TIMES.duration - 200.0
    await second.wake()
    assert not second.may_write()
    second.skew_seconds = TIMES.duration
    await second.wake()
    await until(second.may_write, "the second replica to lead")


async def test_a_paused_leader_refuses_to_write(world: World, pair: tuple[Replica, Replica]) -> None:
    """A leader that wakes from a long pause refuses at once, before it has heard anything; then it competes again."""
    first, second = pair
    first.skew_seconds = LONG_PAUSE_SECONDS
    assert not first.may_write()
    await until(lambda: "lost" in first.history, "the first replica to see that it lost")
    await until(lambda: first.may_write() != second.may_write(), "one of the two to lead")


async def test_never_two(world: World, pair: tuple[Replica, Replica]) -> None:
    """While leadership goes to and fro, there is no moment at which both may write."""
    first, second = pair
    overlaps: list[float] = []

    async def observe() -> None:
        while True:
            if first.may_write() and second.may_write():
                overlaps.append(time.monotonic())
            await asyncio.sleep(0)

    observer = asyncio.create_task(observe())
    first.skew_seconds = LONG_PAUSE_SECONDS
    await until(lambda: "lost" in first.history, "the first replica to lose")
    await until(lambda: first.may_write() or second.may_write(), "one to lead")
    (second if second.may_write() else first).skew_seconds += LONG_PAUSE_SECONDS
    await until(lambda: first.may_write() or second.may_write(), "one to lead again")
    observer.cancel()
    assert overlaps == []


async def test_a_labelled_lease_is_kept(world: World, pair: tuple[Replica, Replica]) -> None:
    """Somebody who labels the Lease makes a renewal conflict; it is renewed all the same."""
    first, second = pair
    label = {"op": "add", "path": "/metadata/labels", "value": {"seen": "yes"}}
    await world.foreign_patch(Kind.LEASE, NAME, [label])
    before = (await lease_of(world))["renewTime"]
    await until(lambda: second.renewed_at() > before, "the Lease to be renewed")
    assert (first.history, second.history) == (["started"], [])


async def test_a_lease_taken_by_hand_is_given_up(world: World) -> None:
    """Somebody writes another holder into the Lease: the leader stops when it hears of it, not at its next renewal."""
    async with leader_and_follower(world, SELDOM) as (first, second):
        foreign = [{"op": "replace", "path": "/spec/holderIdentity", "value": "somebody-else"}]
        await world.foreign_patch(Kind.LEASE, NAME, foreign)
        await until(lambda: not first.may_write(), "the leader to stop")
        assert not second.may_write()


async def test_a_deleted_lease_is_made_anew(world: World, pair: tuple[Replica, Replica]) -> None:
    """When the Lease is deleted, one of the two leads again, by a new one."""
    uid = (await world.cluster.get(Kind.LEASE, world.namespace, NAME))["metadata"]["uid"]
    await world.cluster.delete(Kind.LEASE, world.namespace, NAME, uid=uid)
    await until(lambda: any("lost" in replica.history for replica in pair), "the leader to see that its Lease is gone")
    await until(lambda: any(replica.may_write() for replica in pair), "one of the two to lead")


async def test_writes_stop_with_the_lease(world: World) -> None:
    """A cluster given the elector as its Leadership sends nothing once the Lease is not surely ours."""
    if world.transport is None:
        pytest.skip("the sim's cluster takes no Leadership")
    replica = Replica(world, "replica-1")
    guarded = KubeCluster(world.transport, replica.elector)
    body = {"metadata": {"name": "written"}, "spec": {"ports": [{"port": 80}]}}
    with pytest.raises(NotLeader):
        await guarded.create(Kind.SERVICE, world.namespace, body)
    replica.start()
    await until(replica.may_write, "the replica to lead")
    made = await guarded.create(Kind.SERVICE, world.namespace, body)
    replica.skew_seconds = LONG_PAUSE_SECONDS
    with pytest.raises(NotLeader):
        await guarded.delete(Kind.SERVICE, world.namespace, "written", uid=made["metadata"]["uid"])
    assert await guarded.get(Kind.SERVICE, world.namespace, "written")
    await replica.crash()
