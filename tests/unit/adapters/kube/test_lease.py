"""How long leadership takes to change hands, in virtual time; that it does on a real API server, the contract tells."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sluice.adapters.kube.lease import LeaseElector, LeaseTimes
from sluice.api.names import Kind
from sluice.sim.clock import VirtualClock, run
from sluice.sim.cluster import FakeCluster

TIMES = LeaseTimes()
NAME = "sluice"
HOUR = 3600.0
AT_ONCE_SECONDS = 0.1  # followers spread their attempts over half of it


class Replica:
    """An elector that watches the Lease.

    Attributes:
        history: what became of its leadership, and when.
    """

    def __init__(self, cluster: FakeCluster, identity: str) -> None:
        clock = VirtualClock()
        self.history: list[tuple[str, float]] = []
        self.elector = LeaseElector(
            cluster, "shop", NAME, identity, clock=clock, times=TIMES, monotonic=clock.monotonic
        )
        self._clock = clock
        self._watch = cluster.subscribe(
            Kind.LEASE, lambda event, lease: self.elector.notice(None if event == "DELETED" else lease)
        )
        self._task = asyncio.create_task(
            self.elector.run(lambda: self._note("started"), lambda: self._note("lost")), name=identity
        )

    def _note(self, what: str) -> None:
        self.history.append((what, self._clock.monotonic()))

    async def crash(self) -> None:
        """Go without a word."""
        self._watch.close()
        self.elector._held = None  # nothing to release
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


def playing(story: Callable[[FakeCluster, Replica, Replica], Awaitable[None]]) -> None:
    """Run a story of a leader and a follower in virtual time."""

    async def main() -> None:
        cluster = FakeCluster(VirtualClock(), namespaces=("shop",))
        leader = Replica(cluster, "replica-1")
        await asyncio.sleep(1)
        follower = Replica(cluster, "replica-2")
        await asyncio.sleep(20)
        await story(cluster, leader, follower)

    run(main())


def test_a_renewed_lease_is_kept() -> None:
    """Hours later it is still the first one's, who never lost it in between."""

    async def story(cluster: FakeCluster, leader: Replica, follower: Replica) -> None:
        await asyncio.sleep(3 * HOUR)
        assert [what for what, _ in leader.history] == ["started"]
        assert follower.history == []

    playing(story)


def test_a_released_lease_changes_hands_at_once() -> None:
    """Who waits leads within a tenth of a second after the leader let go."""

    async def story(cluster: FakeCluster, leader: Replica, follower: Replica) -> None:
        leader.elector.stop()
        await asyncio.sleep(HOUR)
        (_, ended_at), (what, began_at) = leader.history[-1], follower.history[0]
        assert what == "started"
        assert 0 <= began_at - ended_at < AT_ONCE_SECONDS

    playing(story)


def test_a_crash_is_noticed_when_the_duration_is_over() -> None:
    """Who waits leads as soon as the last renewal is older than the duration, and not before."""

    async def story(cluster: FakeCluster, leader: Replica, follower: Replica) -> None:
        valid_until = leader.elector._valid_until
        await leader.crash()
        await asyncio.sleep(HOUR)
        [(_, began_at)] = follower.history
        assert 0 <= began_at - valid_until < AT_ONCE_SECONDS

    playing(story)


def test_a_lease_taken_by_hand_is_given_up_at_once() -> None:
    """The leader stops when it hears of it, not at its next renewal."""

    async def story(cluster: FakeCluster, leader: Replica, follower: Replica) -> None:
        taken_at = VirtualClock().monotonic()
        foreign = [{"op": "replace", "path": "/spec/holderIdentity", "value": "somebody-else"}]
        await cluster.as_manager("kubectl-edit").patch_json(Kind.LEASE, "shop", NAME, foreign)
        await asyncio.sleep(TIMES.duration / 2)
        what, ended_at = leader.history[-1]
        assert (what, follower.history) == ("lost", [])
        assert ended_at - taken_at < AT_ONCE_SECONDS

    playing(story)
