"""Three operators over one cluster: each works on its own shards, and on those of the ones that are lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sluice.api.names import Kind
from sluice.decide.sharding import shard_of
from sluice.engine.precedence import PASSES_WAIT_SECONDS
from sluice.ports import Lane
from sluice.sim import manifests
from sluice.sim.clock import run
from sluice.sim.cluster import Call
from unit.sharding.fleet import SLACK_SECONDS, TIMES, Fleet, Replica

APPS = ("cart", "checkout", "payments", "search", "stock", "users")
SLOW_KILL_SECONDS = 1.0
OPEN = manifests.canary({"setWeight": 10}, {"pause": {}})
NAMES = ("one", "two", "three")


def playing(story: Callable[[Fleet], Awaitable[None]], *names: str) -> None:
    """Run a story in virtual time; see that no Rollout had two masters in it."""

    async def main() -> None:
        fleet = Fleet(*APPS)
        await fleet.begin(*(names or NAMES))
        for app in APPS:
            await fleet.adopt(app, OPEN)
        await story(fleet)
        fleet.verdict()

    run(main())


async def exposed(fleet: Fleet) -> None:
    """Have every app's canary at 10 %, where it waits for a person."""
    for app in APPS:
        await fleet.release_version(app, "2.0")
    for app in APPS:
        await fleet.until_phase(app, "Paused", timeout_seconds=60)


def busiest(fleet: Fleet) -> Replica:
    """Who is master of the most apps."""
    return max(fleet.living, key=lambda replica: sum(fleet.master_of(app) is replica for app in APPS))


def test_every_replica_works() -> None:
    """Six Rollouts are worked on by more than one of three; each by its master alone."""

    async def story(fleet: Fleet) -> None:
        fleet.writes.clear()
        await exposed(fleet)
        writers = {app: {who for _, who, about in fleet.writes if about == app} for app in APPS}
        assert len({who for each in writers.values() for who in each}) > 1
        assert all(len(each) == 1 for each in writers.values())

    playing(story)


def test_what_a_lost_replica_had_goes_on_within_the_lease() -> None:
    """It crashes as its Rollouts get new versions: others bring these to their weights."""

    async def story(fleet: Fleet) -> None:
        lost = busiest(fleet)
        mine = [app for app in APPS if fleet.master_of(app) is lost]
        await lost.crash()
        for app in mine:
            await fleet.release_version(app, "2.0")
        for app in mine:
            limit = TIMES.duration + SLACK_SECONDS
            await fleet.until(lambda app=app: fleet.green_share(app) == 1000, timeout_seconds=limit)  # type: ignore[misc]

    playing(story)


def test_a_replica_that_goes_on_after_a_long_pause_writes_nothing_of_others() -> None:
    """Frozen with passes on their way, it wakes when its Rollouts are another's, and a kill was carried out on them."""

    async def story(fleet: Fleet) -> None:
        frozen = busiest(fleet)
        mine = [app for app in APPS if fleet.master_of(app) is frozen]
        await exposed(fleet)
        for app in mine:
            await fleet.act(app, "Promote")
        frozen.freeze(4 * TIMES.duration)
        await fleet.engage(wide=True, reason="5xx")
        for app in mine:
            await fleet.until(lambda app=app: fleet.status(app).phase == "Killed")  # type: ignore[misc]
        fleet.writes.clear()
        await fleet.rest()
        assert fleet.clock.monotonic() > frozen._thaws_at
        assert not frozen.problem()
        assert all(fleet.green_share(app) == 0 for app in APPS)

    playing(story)


def test_a_cluster_kill_is_carried_out_by_each_on_its_own_at_once() -> None:
    """One switch over all: each replica diverts what it is master of, in the first writes; one tells the state."""

    async def story(fleet: Fleet) -> None:
        await exposed(fleet)
        masters = {fleet.master_of(app) for app in APPS}
        assert len(masters) > 1
        fleet.writes.clear()
        began = fleet.clock.monotonic()
        await fleet.engage(wide=True, reason="5xx")
        for app in APPS:
            await fleet.until(lambda app=app: fleet.green_share(app) == 0, timeout_seconds=1)  # type: ignore[misc]
        first = fleet.writes[: len(APPS)]
        assert {about for _, _, about in first} == set(APPS)
        assert max(at for at, _, _ in first) - began < 0.2
        switch = fleet.cluster.store

        def engaged() -> bool:
            status = switch.get(Kind.CLUSTER_KILL_SWITCH, "", "stop").get("status") or {}
            return status.get("state") == "Engaged" and status["diverted"]["routes"] == len(APPS)

        await fleet.until(engaged, timeout_seconds=10)

    playing(story)


def test_who_is_done_with_a_kill_keeps_still_until_the_others_are() -> None:
    """One replica's kill writes are slow: none of the others writes anything else before those have landed."""

    async def story(fleet: Fleet) -> None:
        await exposed(fleet)
        slow = busiest(fleet)

        def delay(call: Call) -> float | None:
            late = call.lane is Lane.KILL and call.client == slow.name and call.kind is Kind.HTTP_ROUTE
            return SLOW_KILL_SECONDS if late and call.phase == "before" else None

        fleet.cluster.faults.append(delay)
        fleet.writes.clear()
        await fleet.engage(wide=True, reason="5xx")
        for app in APPS:
            await fleet.until_phase(app, "Killed", timeout_seconds=10)
        assert {about for _, _, about in fleet.writes[: len(APPS)]} == set(APPS)

    playing(story)


def test_who_is_done_with_a_kill_does_not_keep_still_for_long() -> None:
    """One replica's kill writes hang: what the others have is Killed, and says so, two seconds later."""

    async def story(fleet: Fleet) -> None:
        await exposed(fleet)
        slow = busiest(fleet)
        quick = [app for app in APPS if fleet.master_of(app) is not slow]
        assert quick

        def hang(call: Call) -> float | None:
            late = call.lane is Lane.KILL and call.client == slow.name and call.kind is Kind.HTTP_ROUTE
            return 30.0 if late and call.phase == "before" else None

        fleet.cluster.faults.append(hang)
        await fleet.engage(wide=True, reason="5xx")
        for app in quick:
            await fleet.until_phase(app, "Killed", timeout_seconds=PASSES_WAIT_SECONDS + 2)

    playing(story)


def test_a_kill_while_its_reporter_is_dead() -> None:
    """Who would tell of the switch is gone, and some Rollouts' master with it: the others act at once on their own."""

    async def story(fleet: Fleet) -> None:
        await exposed(fleet)
        reporter = shard_of(Kind.CLUSTER_KILL_SWITCH, "", "stop")
        dead = next(replica for replica in fleet.living if reporter in replica.shards)
        mine = [app for app in APPS if fleet.master_of(app) is dead]
        await dead.crash()
        await fleet.engage(wide=True, reason="5xx")
        for app in set(APPS) - set(mine):
            await fleet.until(lambda app=app: fleet.green_share(app) == 0, timeout_seconds=1)  # type: ignore[misc]
        for app in mine:
            limit = TIMES.duration + SLACK_SECONDS
            await fleet.until(lambda app=app: fleet.green_share(app) == 0, timeout_seconds=limit)  # type: ignore[misc]
        switch = fleet.cluster.store

        def engaged() -> bool:
            status = switch.get(Kind.CLUSTER_KILL_SWITCH, "", "stop").get("status") or {}
            return status.get("state") == "Engaged" and status["affected"]["rollouts"] == len(APPS)

        await fleet.until(engaged, timeout_seconds=10)

    playing(story)


def test_a_replica_that_comes_and_goes_disturbs_nobody() -> None:
    """Shards move to it and back in mid-run: every run ends where it was going, and nothing is told twice."""

    async def story(fleet: Fleet) -> None:
        await exposed(fleet)
        newcomer = fleet.hire("four")
        assert await fleet.rest() < 1.0
        for app in APPS:
            await fleet.act(app, "Promote")
        await newcomer.stop()
        assert await fleet.rest() < 1.0
        for app in APPS:
            await fleet.until_phase(app, "Healthy", timeout_seconds=120)
            entries = fleet.status(app).audit.entries
            assert [entry.seq for entry in entries] == list(range(entries[0].seq, entries[0].seq + len(entries)))

    playing(story)
