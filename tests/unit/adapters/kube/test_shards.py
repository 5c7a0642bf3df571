"""How long shards take to change hands, and that none is ever held twice, in virtual time.

That it is so on a real API server, the contract tells.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from sluice.adapters.kube.register import TOGETHER, Register
from sluice.adapters.kube.shards import ShardKeeper
from sluice.adapters.kube.terms import LeaseTimes
from sluice.api.names import Kind
from sluice.decide.sharding import ALL, SHARDS, Shards
from sluice.errors import NotLeader, Unavailable
from sluice.sim.clock import VirtualClock, run
from sluice.sim.cluster import Call, FakeCluster

TIMES = LeaseTimes()
NAME = "sluice"
LONG_SECONDS = 300.0
AT_ONCE_SECONDS = 0.5  # some writes, each spread over a twentieth of a second


class Replica:
    """A keeper that watches the Lease.

    Attributes:
        written: how often it wrote the Lease.
        drains: set, and nothing is under way any more.
    """

    def __init__(self, cluster: FakeCluster, identity: str, times: LeaseTimes = TIMES) -> None:
        clock = VirtualClock()
        self.cluster = cluster.as_manager(identity)
        self.written = 0
        self.drains = asyncio.Event()
        self.drains.set()
        self.keeper = ShardKeeper(
            self.cluster, "shop", NAME, identity, clock=clock, times=times, monotonic=clock.monotonic
        )
        cluster.on_change.append(self._count)
        self._watch = cluster.subscribe(
            Kind.LEASE, lambda event, lease: self.keeper.notice(None if event == "DELETED" else lease)
        )
        self._task = asyncio.create_task(self.keeper.run(_ignore, _ignore, self._drained), name=identity)

    def _count(self, change: object) -> None:
        self.written += getattr(change, "manager", "") == self.cluster.manager

    async def _drained(self, _: Shards) -> None:
        await self.drains.wait()

    @property
    def shards(self) -> Shards:
        """Those that it may write about now."""
        return self.keeper.shards

    async def stop(self) -> None:
        """Go in good order."""
        self.keeper.stop()
        await self._task

    async def crash(self) -> None:
        """Go without a word."""
        self._watch.close()
        self.cluster.severed = True
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


def _ignore(_: Shards) -> None:
    """Nothing."""


Story = Callable[[FakeCluster, list[Replica]], Awaitable[None]]


def playing(story: Story, replicas: int = 3) -> None:
    """Run a story of some replicas that have come to rest, in virtual time; no shard may be held twice meanwhile."""

    async def main() -> None:
        cluster = FakeCluster(VirtualClock(), namespaces=("shop",))
        team: list[Replica] = []
        witness = asyncio.create_task(_witness(team), name="witness")
        team += [Replica(cluster, f"replica-{number}") for number in range(replicas)]
        await asyncio.sleep(20)
        await story(cluster, team)
        assert not witness.done(), witness.exception()
        witness.cancel()

    run(main())


async def _witness(team: list[Replica]) -> None:
    while True:
        held = [shard for replica in team for shard in replica.shards]
        assert len(held) == len(set(held)), "a shard has two masters"
        await asyncio.sleep(0.02)


def even(team: list[Replica]) -> bool:
    """Whether the replicas hold all shards, and the same number each, give or take one."""
    sizes = [len(replica.shards) for replica in team]
    return sum(sizes) == SHARDS and max(sizes) - min(sizes) <= 1


async def until_even(team: list[Replica]) -> float:
    """Wait, and return the virtual seconds that it took."""
    began = VirtualClock().monotonic()
    async with asyncio.timeout(LONG_SECONDS):
        while not even(team):  # noqa: ASYNC110 - it is a question, not an event
            await asyncio.sleep(0.01)
    return VirtualClock().monotonic() - began


def test_one_replica_holds_everything_with_its_first_write() -> None:
    """Alone it starts, and costs, what a leader did: one write to begin with, then one for each renewal."""

    async def story(cluster: FakeCluster, team: list[Replica]) -> None:
        assert team[0].shards == ALL
        before = team[0].written
        await asyncio.sleep(LONG_SECONDS)
        assert LONG_SECONDS / TIMES.renew <= team[0].written - before <= LONG_SECONDS / (0.9 * TIMES.renew) + 1

    playing(story, replicas=1)


@pytest.mark.parametrize("replicas", [2, 3, 7, 10])
def test_replicas_share_evenly_and_leave_it_at_that(replicas: int) -> None:
    """They come at one moment, share at once, and nothing moves; each renews, and writes no more than that."""

    async def story(cluster: FakeCluster, team: list[Replica]) -> None:
        assert even(team)
        before = [(replica.shards, replica.written) for replica in team]
        await asyncio.sleep(LONG_SECONDS)
        for replica, (shards, written) in zip(team, before, strict=True):
            assert replica.shards == shards
            assert replica.written - written <= LONG_SECONDS / (0.9 * TIMES.renew) + 1

    playing(story, replicas)


def test_a_replica_that_comes_gets_its_share_at_once() -> None:
    """The others give up what is beyond theirs, and nothing else."""

    async def story(cluster: FakeCluster, team: list[Replica]) -> None:
        before = [replica.shards for replica in team]
        team.append(Replica(cluster, "replica-new"))
        assert await until_even(team) < AT_ONCE_SECONDS
        for replica, shards in zip(team, before, strict=False):
            assert replica.shards <= shards

    playing(story)


def test_a_replica_that_goes_hands_over_at_once() -> None:
    """Within moments the others have its shards; they keep their own."""

    async def story(cluster: FakeCluster, team: list[Replica]) -> None:
        gone = team.pop(0)
        before = [replica.shards for replica in team]
        await gone.stop()
        assert await until_even(team) < AT_ONCE_SECONDS
        for replica, shards in zip(team, before, strict=True):
            assert replica.shards >= shards

    playing(story)


def test_a_crash_is_made_good_when_the_duration_is_over() -> None:
    """Its shards are with the others as soon as its last renewal is older than the duration, and not before."""

    async def story(cluster: FakeCluster, team: list[Replica]) -> None:
        gone = team.pop(0)
        lost, valid_until = gone.shards, gone.keeper._tenure._valid_until
        await gone.crash()
        now = VirtualClock().monotonic()
        await asyncio.sleep(valid_until - 0.1 - now)
        assert all(lost.isdisjoint(replica.shards) for replica in team)
        assert await until_even(team) < 0.1 + AT_ONCE_SECONDS

    playing(story)


def test_a_shard_is_handed_over_when_its_last_write_has_ended() -> None:
    """Not written about any more by the old one, and not yet by the new one, for as long as something is under way."""

    async def story(cluster: FakeCluster, team: list[Replica]) -> None:
        team[0].drains.clear()
        team.append(Replica(cluster, "replica-new"))
        await asyncio.sleep(5)
        assert not even(team)
        assert len(ALL.difference(*(replica.shards for replica in team))) > 0
        team[0].drains.set()
        assert await until_even(team) < AT_ONCE_SECONDS

    playing(story, replicas=1)


def test_a_replica_cut_off_from_the_api_server_stops_before_another_takes_over() -> None:
    """It stops by itself, a margin before its time is over; when it is back, it gets its share again."""

    async def story(cluster: FakeCluster, team: list[Replica]) -> None:
        team[0].cluster.severed = True
        await asyncio.sleep(TIMES.duration - TIMES.margin)
        assert not team[0].shards
        await until_even(team[1:])
        with pytest.raises(NotLeader, match="time was over"):
            team[0].keeper.check()
        team[0].cluster.severed = False
        await until_even(team)

    playing(story)


def test_answers_that_are_lost_lose_no_shard() -> None:
    """Each write takes effect, and for a while no answer comes: they look again, and go on with what is there."""

    async def story(cluster: FakeCluster, team: list[Replica]) -> None:
        lossy = True

        def lose(call: Call) -> None:
            if lossy and call.kind is Kind.LEASE and call.writes and call.phase == "after":
                raise Unavailable("the connection was reset")

        cluster.faults.append(lose)
        team.append(Replica(cluster, "replica-new"))
        await asyncio.sleep(5)
        lossy = False
        await until_even(team)

    playing(story)


def test_a_lease_taken_by_hand_is_given_up_at_once() -> None:
    """All stop when they hear of it, not at their next renewal."""

    async def story(cluster: FakeCluster, team: list[Replica]) -> None:
        foreign = [{"op": "replace", "path": "/spec/holderIdentity", "value": "somebody-else"}]
        await cluster.as_manager("kubectl-edit").patch_json(Kind.LEASE, "shop", NAME, foreign)
        await asyncio.sleep(AT_ONCE_SECONDS)
        assert not any(replica.shards for replica in team)
        await asyncio.sleep(TIMES.duration - 1)
        assert not any(replica.shards for replica in team)
        await until_even(team)

    playing(story)


def test_shards_struck_out_by_hand_are_given_up_at_once() -> None:
    """Who edits a replica's line takes effect at once; the shards are free, and dealt anew."""

    async def story(cluster: FakeCluster, team: list[Replica]) -> None:
        seen = Register.parse(cluster.store.get(Kind.LEASE, "shop", NAME))
        line = seen.lines["replica-0"]
        text = line.text.replace('"shards": "', '"shards": "63", "was": "')
        path = "/metadata/annotations/replica.sluice.dev~1replica-0"
        edit = [{"op": "replace", "path": path, "value": text}]
        await cluster.as_manager("kubectl-edit").patch_json(Kind.LEASE, "shop", NAME, edit)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert team[0].shards <= {63}
        await until_even(team)

    playing(story)


@pytest.mark.parametrize("replicas", [1, 3])
def test_a_deleted_lease_is_made_anew(replicas: int) -> None:
    """Alone at once. Where there are others, when what the deleted one allowed them is over for sure."""

    async def story(cluster: FakeCluster, team: list[Replica]) -> None:
        uid = cluster.store.get(Kind.LEASE, "shop", NAME)["metadata"]["uid"]
        await cluster.as_manager("kubectl").delete(Kind.LEASE, "shop", NAME, uid=uid)
        took = await until_even(team)
        assert took < AT_ONCE_SECONDS if replicas == 1 else took < TIMES.duration + AT_ONCE_SECONDS

    playing(story, replicas)


def test_a_line_that_nobody_understands_takes_nothing_from_anybody() -> None:
    """It may be of a replica that holds something: nothing is claimed until it is dead, then it is taken out."""

    async def story(cluster: FakeCluster, team: list[Replica]) -> None:
        before = [replica.shards for replica in team]
        strange = {"metadata": {"annotations": {"replica.sluice.dev/strange": "v9"}}}
        await cluster.as_manager("kubectl-edit").patch_merge(Kind.LEASE, "shop", NAME, strange)
        await asyncio.sleep(TIMES.duration - 1)
        assert [replica.shards for replica in team] == before
        await asyncio.sleep(2)
        assert [replica.shards for replica in team] == before
        assert "strange" not in Register.parse(cluster.store.get(Kind.LEASE, "shop", NAME)).lines

    playing(story)


def test_the_last_that_goes_lets_go_of_the_lease() -> None:
    """Whoever comes next need not wait, whichever version it is of; while there are others, it stays theirs."""

    async def story(cluster: FakeCluster, team: list[Replica]) -> None:
        holders = []
        for replica in team:
            await replica.stop()
            holders.append(Register.parse(cluster.store.get(Kind.LEASE, "shop", NAME)).holder)
        assert holders == [TOGETHER, TOGETHER, ""]

    playing(story)


def test_a_replica_that_is_started_anew_has_its_shards_at_once() -> None:
    """A container that crashed and comes again in its pod does not wait: what it held died with it."""

    async def story(cluster: FakeCluster, team: list[Replica]) -> None:
        gone = team.pop(0)
        lost = gone.shards
        await gone.crash()
        team.insert(0, Replica(cluster, "replica-0"))
        assert await until_even(team) < AT_ONCE_SECONDS
        assert team[0].shards == lost

    playing(story)


def test_the_lease_says_the_longest_that_anybody_may_act() -> None:
    """While `--lease-seconds` differ, in a rolling update, everybody waits for the most patient one."""

    async def story(cluster: FakeCluster, team: list[Replica]) -> None:
        team.append(Replica(cluster, "patient", LeaseTimes.lasting(60)))
        team.append(Replica(cluster, "hasty", LeaseTimes.lasting(10)))
        for _ in range(10):
            await asyncio.sleep(3)
            assert cluster.store.get(Kind.LEASE, "shop", NAME)["spec"]["leaseDurationSeconds"] == 60
        patient = team.pop(1)
        await patient.crash()
        await asyncio.sleep(60 - 20 - 1)  # it renewed in the last 20 s
        assert not even(team)
        await until_even(team)

    playing(story, replicas=1)
