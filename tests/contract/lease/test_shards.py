"""What sharing a Lease promises: every shard one master at a time, whoever stops, stalls or vanishes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial

import pytest

from contract.cluster.worlds import World
from contract.lease.before_shards import LeaseElector
from contract.lease.before_shards import LeaseTimes as ElectorTimes
from sluice.adapters.clock import SystemClock
from sluice.adapters.kube.client import KubeCluster
from sluice.adapters.kube.register import TOGETHER, Register
from sluice.adapters.kube.shards import ShardKeeper
from sluice.adapters.kube.terms import LeaseTimes, boot_seconds
from sluice.adapters.kube.watch import Informer
from sluice.api.names import Kind
from sluice.decide.sharding import ALL, SHARDS, Shards, shard_of
from sluice.engine.fence import Fence
from sluice.errors import NotLeader
from sluice.ports import Obj

NAME = "sluice"
# Nothing runs out by itself while a test waits, however busy the machine: time passes where a test lets it pass.
# How long everything takes, to the second, is told in virtual time by the unit tests.
TIMES = LeaseTimes(duration=600.0, renew=0.2, retry=0.1, margin=0.4, request=30.0)
OLD_TIMES = ElectorTimes(duration=600.0, renew=0.2, retry=0.1, margin=0.4, request=30.0)
SELDOM = replace(TIMES, renew=300.0)
LONG_PAUSE_SECONDS = 1000.0
DEADLINE_SECONDS = 60.0


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition."""
    began_at = time.monotonic()
    while not condition():
        assert time.monotonic() - began_at < DEADLINE_SECONDS, f"not within {DEADLINE_SECONDS}s: {what}"
        await asyncio.sleep(0.005)


class Clocked:
    """A process with a monotonic clock; `skew_seconds` jumps it ahead, as a process sees it that was paused.

    Attributes:
        looks: how often it looked at its clock.
    """

    def __init__(self) -> None:
        self.skew_seconds = 0.0
        self.looks = 0
        self.changed = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    def look(self) -> float:
        """What its clock says."""
        self.looks += 1
        return boot_seconds() + self.skew_seconds

    async def wake(self) -> None:
        """End its present sleep, and wait until it has looked what time it is."""
        looks = self.looks
        self.changed.set()
        await until(lambda: self.looks > looks + 1, "the replica to look around")

    async def end(self) -> None:
        """Cut it off."""
        if self.task:
            self.task.cancel()
            with suppress(asyncio.CancelledError):
                await self.task


class Replica(Clocked):
    """A keeper and its loop."""

    def __init__(self, world: World, identity: str, times: LeaseTimes = TIMES) -> None:
        super().__init__()
        self.lost = False
        self.keeper = ShardKeeper(
            world.cluster, world.namespace, NAME, identity, clock=SystemClock(), times=times, monotonic=self.look
        )
        self.changed = self.keeper._changed

    def start(self) -> None:
        """Take part."""
        self.task = asyncio.create_task(self.keeper.run(self._nothing, self._lose, self._drained))

    def _nothing(self, _: Shards) -> None: ...

    def _lose(self, _: Shards) -> None:
        self.lost = True

    async def _drained(self, _: Shards) -> None: ...

    async def stop(self) -> None:
        """Go in good order."""
        self.keeper.stop()
        if self.task:
            await self.task

    async def crash(self) -> None:
        """Go without a word: nothing more is sent."""
        self.keeper._leave = self._drained  # type: ignore[method-assign,assignment]  # a dead process says nothing
        await self.end()

    def oversleep(self, seconds: float, other: Replica) -> None:
        """It was paused for so long, and the other was not: that one has renewed in the Lease that it reads next."""
        beat, read = other.beat(), self.keeper._lease.read

        async def read_afterwards(patience: float) -> Register:
            await until(lambda: other.beat() > beat, "the other to renew")
            return await read(patience)

        self.keeper._lease.read = read_afterwards  # type: ignore[method-assign]  # no time passes for the other here
        self.skew_seconds = seconds

    @property
    def shards(self) -> Shards:
        """Those that it may write about now."""
        return self.keeper.shards

    def beat(self) -> int:
        """The number of its last write."""
        line = self.keeper._tenure.line
        return line.beat if line else 0


class Leader(Clocked):
    """The only one to act, of a version from before there were shards."""

    def __init__(self, world: World, identity: str) -> None:
        super().__init__()
        self.elector = LeaseElector(
            world.cluster, world.namespace, NAME, identity, clock=SystemClock(), times=OLD_TIMES, monotonic=self.look
        )
        self.changed = self.elector._changed

    def start(self) -> None:
        """Compete."""
        self.task = asyncio.create_task(self.elector.run(lambda: None, lambda: None))

    async def stop(self) -> None:
        """Go in good order."""
        self.elector.stop()
        if self.task:
            await self.task

    @property
    def shards(self) -> Shards:
        """Everything, or nothing."""
        return ALL if self.elector.is_leader else frozenset()


@asynccontextmanager
async def watched(world: World, *replicas: Replica | Leader) -> AsyncIterator[None]:
    """Tell the replicas what becomes of the Lease; see meanwhile that no shard has two masters."""

    def tell(lease: Obj | None) -> None:
        for replica in replicas:
            (replica.keeper if isinstance(replica, Replica) else replica.elector).notice(lease)

    async def witness() -> None:
        while True:
            held = [shard for replica in replicas for shard in replica.shards]
            assert len(held) == len(set(held)), "a shard has two masters"
            await asyncio.sleep(0)

    witnessing = asyncio.create_task(witness())
    if world.fake is not None:
        watch = world.fake.subscribe(Kind.LEASE, lambda event, obj: tell(None if event == "DELETED" else obj))
        yield
        watch.close()
    else:
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
    for replica in replicas:
        await (replica.crash() if isinstance(replica, Replica) else replica.end())
    assert not witnessing.done(), witnessing.exception()
    witnessing.cancel()


@asynccontextmanager
async def sharing(world: World, times: LeaseTimes) -> AsyncIterator[tuple[Replica, Replica]]:
    """Two replicas that have half of the shards each."""
    first, second = Replica(world, "replica-1", times), Replica(world, "replica-2", times)
    async with watched(world, first, second):
        first.start()
        await until(lambda: first.shards == ALL, "the first replica to hold everything")
        second.start()
        await until(lambda: len(first.shards) == len(second.shards) == SHARDS // 2, "the two to share")
        yield first, second


@pytest.fixture
async def pair(world: World) -> AsyncIterator[tuple[Replica, Replica]]:
    """Two that share."""
    async with sharing(world, TIMES) as made:
        yield made


def _sees(replica: Replica, holder: str) -> bool:
    return replica.keeper._tenure.seen.holder == holder


def _differs(now: Callable[[], int], before: int) -> bool:
    return now() != before


async def lease_of(world: World) -> Obj:
    """The Lease."""
    return await world.cluster.get(Kind.LEASE, world.namespace, NAME)


async def test_two_share_and_say_so(world: World, pair: tuple[Replica, Replica]) -> None:
    """Each has half; the Lease says who has which, for people and for whoever knows nothing of shards."""
    first, second = pair
    assert first.shards | second.shards == ALL
    lease = await lease_of(world)
    spec = lease["spec"]
    assert (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"]) == (TOGETHER, 600, 0)
    assert '"shards": "0-31"' in lease["metadata"]["annotations"]["replica.sluice.dev/replica-1"]
    assert '"shards": "32-63"' in lease["metadata"]["annotations"]["replica.sluice.dev/replica-2"]


async def test_shards_are_kept_by_renewing(pair: tuple[Replica, Replica]) -> None:
    """Beyond the duration each has its own still, and never lost it in between."""
    first, second = pair
    first.lost = False  # it gave up half when the second came
    for _ in range(4):
        for replica in pair:
            replica.skew_seconds += TIMES.duration / 3
        for replica in pair:
            for _ in range(2):  # the first of them may have been on its way before
                await until(partial(_differs, replica.beat, replica.beat()), "a renewal")
    assert (first.lost, second.lost) == (False, False)
    assert len(first.shards) == len(second.shards) == SHARDS // 2


async def test_who_goes_hands_over_at_once(world: World, pair: tuple[Replica, Replica]) -> None:
    """The other has everything without waiting for any time to be over; the last of all lets go of the Lease."""
    first, second = pair
    await first.stop()
    assert not first.shards
    await until(lambda: second.shards == ALL, "the second replica to hold everything")
    await second.stop()
    assert (await lease_of(world))["spec"]["holderIdentity"] == ""


async def test_a_crash_is_made_good_after_the_duration(pair: tuple[Replica, Replica]) -> None:
    """The shards of one that vanished wait for as long as it may have believed that they are its own."""
    first, second = pair
    await first.crash()
    first.skew_seconds = LONG_PAUSE_SECONDS  # a dead process has no shards, whatever this object says
    second.skew_seconds = TIMES.duration / 2
    await until(partial(_differs, second.beat, second.beat()), "a renewal")
    await second.wake()
    assert len(second.shards) == SHARDS // 2
    second.skew_seconds = TIMES.duration
    await second.wake()
    await until(lambda: second.shards == ALL, "the second replica to take over")


async def test_a_paused_replica_refuses_to_write(pair: tuple[Replica, Replica]) -> None:
    """It wakes from a long pause and refuses at once, before it has heard anything; then it takes part again."""
    first, second = pair
    first.oversleep(LONG_PAUSE_SECONDS, second)
    assert not first.shards
    with pytest.raises(NotLeader):
        first.keeper.check()
    await until(lambda: first.lost, "the first replica to see that it lost")
    await until(lambda: len(first.shards) == len(second.shards) == SHARDS // 2, "the two to share again")


async def test_a_labelled_lease_is_kept(world: World, pair: tuple[Replica, Replica]) -> None:
    """Somebody who labels the Lease is in nobody's way."""
    first, second = pair
    first.lost = False
    label = {"op": "add", "path": "/metadata/labels", "value": {"seen": "yes"}}
    await world.foreign_patch(Kind.LEASE, NAME, [label])
    for replica in pair:
        await until(partial(_differs, replica.beat, replica.beat()), "a renewal")
    assert (first.lost, second.lost) == (False, False)


async def test_a_lease_taken_by_hand_is_given_up(world: World) -> None:
    """Somebody writes another holder into the Lease: all stop when they hear of it, not at their next renewal."""
    async with sharing(world, SELDOM) as (first, second):
        foreign = [{"op": "replace", "path": "/spec/holderIdentity", "value": "somebody-else"}]
        await world.foreign_patch(Kind.LEASE, NAME, foreign)
        await until(lambda: not first.shards and not second.shards, "both to stop")


async def test_a_deleted_lease_is_made_anew(world: World) -> None:
    """The only replica makes another, and goes on."""
    alone = Replica(world, "replica-1")
    async with watched(world, alone):
        alone.start()
        await until(lambda: alone.shards == ALL, "the replica to hold everything")
        uid = (await lease_of(world))["metadata"]["uid"]
        await world.cluster.delete(Kind.LEASE, world.namespace, NAME, uid=uid)
        await until(lambda: alone.lost, "the replica to see that the Lease is gone")
        await until(lambda: alone.shards == ALL, "the replica to hold everything again")


async def test_writes_stop_with_the_shard(world: World) -> None:
    """A cluster given the fence as its Leadership sends nothing about what is not surely ours, and nothing besides."""
    if world.transport is None:
        pytest.skip("how the sim's cluster is fenced, the unit tests tell")
    first, second = Replica(world, "replica-1"), Replica(world, "replica-2")
    fence = Fence(first.keeper)
    guarded = KubeCluster(world.transport, fence)
    body = {"metadata": {"name": "written"}, "spec": {"ports": [{"port": 80}]}}
    names = {shard_of(Kind.ROLLOUT, "shop", f"app-{number}"): f"app-{number}" for number in range(1000)}
    async with watched(world, first, second):
        with pytest.raises(NotLeader), fence.acting((Kind.ROLLOUT, "shop", names[0])):
            pass
        first.start()
        await until(lambda: first.shards == ALL, "the first replica to hold everything")
        with pytest.raises(NotLeader, match="belongs to no Rollout"):
            await guarded.create(Kind.SERVICE, world.namespace, body)
        last = (Kind.ROLLOUT, "shop", names[SHARDS - 1])
        with fence.acting(last):
            made = await guarded.create(Kind.SERVICE, world.namespace, body)
            second.start()
            await until(lambda: not fence.holds(last), "the last shard to be given up")
            with pytest.raises(NotLeader):
                await guarded.delete(Kind.SERVICE, world.namespace, "written", uid=made["metadata"]["uid"])
        with fence.acting((Kind.ROLLOUT, "shop", names[0])):
            first.oversleep(LONG_PAUSE_SECONDS, second)
            with pytest.raises(NotLeader):
                await guarded.delete(Kind.SERVICE, world.namespace, "written", uid=made["metadata"]["uid"])
        assert await guarded.get(Kind.SERVICE, world.namespace, "written")


# ---------------------------------------------------------------------------------------------- versions before shards


async def test_the_version_before_waits_while_replicas_share(world: World, pair: tuple[Replica, Replica]) -> None:
    """Going back: an old replica leads when the last of the new ones has gone, at once, and not before."""
    first, second = pair
    old = Leader(world, "old-1")
    async with watched(world, old, first, second):
        old.start()
        await until(lambda: old.elector.holder == TOGETHER, "the old replica to see who holds the Lease")
        await first.stop()
        await until(lambda: second.shards == ALL, "the second to hold everything")
        for _ in range(3):
            old.skew_seconds += TIMES.duration / 2
            await until(partial(_differs, second.beat, second.beat()), "a renewal")
            await old.wake()
            assert not old.shards
        await second.stop()
        await until(lambda: old.shards == ALL, "the old replica to lead")


async def test_replicas_wait_while_the_version_before_leads(world: World) -> None:
    """Coming from it: the new ones act when the old leader let go, at once, and not before."""
    old, first, second = Leader(world, "old-1"), Replica(world, "replica-1"), Replica(world, "replica-2")
    async with watched(world, old, first, second):
        old.start()
        await until(lambda: old.shards == ALL, "the old replica to lead")
        for replica in (first, second):
            replica.start()
            await until(partial(_sees, replica, "old-1"), "it to see who leads")
            await replica.wake()
            assert not replica.shards
        await old.stop()
        await until(lambda: len(first.shards) == len(second.shards) == SHARDS // 2, "the two to share")
        old.start()
        await old.wake()
        assert not old.shards


async def test_an_old_leader_that_vanished_is_waited_for(world: World) -> None:
    """And the other way round: whoever may act still is left the time to find out that he may not."""
    old, new = Leader(world, "old-1"), Replica(world, "replica-1")
    async with watched(world, old, new):
        old.start()
        await until(lambda: old.shards == ALL, "the old replica to lead")
        old.elector._held = None  # it says no word
        await old.end()
        old.skew_seconds = LONG_PAUSE_SECONDS
        new.start()
        await until(partial(_sees, new, "old-1"), "it to see who led")
        await new.wake()
        assert not new.shards
        new.skew_seconds = TIMES.duration
        await new.wake()
        await until(lambda: new.shards == ALL, "the new replica to take over")
