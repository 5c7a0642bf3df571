"""Several operators over one hub and its members: whose a Rollout is in the hub, his it is in every member."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from sluice.api.names import Kind
from sluice.decide.sharding import shard_of
from sluice.errors import Unavailable
from sluice.sim import manifests
from sluice.sim.clock import run
from sluice.sim.cluster import Call
from sluice.sim.store import Change
from unit.sharding.fleet import SLACK_SECONDS, TIMES, Replica
from unit.sharding.hub import Hub

APPS = ("cart", "checkout", "payments", "search")
MEMBERS = ("m1", "m2")
NAMES = ("one", "two", "three")
STEPS = manifests.canary({"setWeight": 10}, {"pause": {"duration": "10s"}}, {"setWeight": 50}, {"pause": {}})
ALL = ({"name": "all"},)


def playing(story: Callable[[Hub], Awaitable[None]]) -> None:
    """Run a story in virtual time; see that no Rollout had two masters in it, in any cluster."""

    async def main() -> None:
        hub = Hub(*MEMBERS)
        for app in APPS:
            hub.fleet_app(app, ALL, STEPS)
        await hub.begin(*NAMES)
        for app in APPS:
            await hub.install_fleet(app)
        await story(hub)
        hub.verdict()

    run(main())


async def everywhere(hub: Hub, share: int, *apps: str, within_seconds: float = 60.0) -> None:
    """Wait until green has this share of the apps' routes, in every member."""

    def there() -> bool:
        return all(hub.share(name, app) == share for name in MEMBERS for app in apps or APPS)

    await hub.wait(there, f"{share} everywhere", within_seconds)


def busiest(hub: Hub) -> Replica:
    """Who is master of the most apps."""
    return max(hub.living, key=lambda replica: sum(hub.master_of(app) is replica for app in APPS))


def test_every_replica_works_in_every_member_for_its_own_rollouts() -> None:
    """Four fleets are led by more than one of three, each by one, in the hub and in both members."""

    async def story(hub: Hub) -> None:
        for app in APPS:
            await hub.release_fleet(app, "2.0")
        await everywhere(hub, 5000, within_seconds=120)
        for name in MEMBERS:
            assert len({who for who, where, kind in hub.writers if where == name}) > 1

    playing(story)


def test_who_has_a_member_tells_of_it_and_its_next_master_goes_on() -> None:
    """A member falls silent: one replica says so. That one is lost, too, and another says when the member is back."""

    async def story(hub: Hub) -> None:
        shard = shard_of(Kind.MEMBER_CLUSTER, "", "m1")
        hub.writers.clear()
        hub.members["m1"].cut()
        await hub.wait(lambda: ready(hub, "m1") == "False", "m1 to be told of", 60)
        teller = next(replica for replica in hub.living if shard in replica.shards)
        assert {who for who, _, kind in hub.writers if kind is Kind.MEMBER_CLUSTER} == {teller.name}
        await teller.crash()
        hub.members["m1"].mend()
        await hub.wait(lambda: ready(hub, "m1") == "True", "m1 to be told of", TIMES.duration + SLACK_SECONDS + 10)

    playing(story)


def test_what_a_lost_replica_had_goes_on_in_members_within_the_lease() -> None:
    """It crashes in mid-run: another goes on in every member from where it was, nothing repeated or skipped."""

    async def story(hub: Hub) -> None:
        for app in APPS:
            await hub.release_fleet(app, "2.0")
        await everywhere(hub, 1000)
        lost = busiest(hub)
        seen = record(hub)
        await lost.crash()
        await everywhere(hub, 5000, within_seconds=30.0 + TIMES.duration + SLACK_SECONDS + 10)
        assert {tuple(each) for each in seen.values()} == {(5000,)}

    playing(story)


def test_a_kill_is_carried_out_in_members_by_each_on_its_own_at_once() -> None:
    """One switch over all: each replica diverts in every member what it is master of, before anything else there."""

    async def story(hub: Hub) -> None:
        for app in APPS:
            await hub.release_fleet(app, "2.0")
        await everywhere(hub, 1000)
        assert len({hub.master_of(app) for app in APPS}) > 1
        await hub.engage(wide=True, reason="5xx")
        await everywhere(hub, 0, within_seconds=1.0)

        def told() -> bool:
            status = hub.cluster.store.get(Kind.CLUSTER_KILL_SWITCH, "", "stop").get("status") or {}
            return status.get("state") == "Engaged" and status["diverted"]["routes"] == len(APPS) * len(MEMBERS)

        await hub.wait(told, "the switch to tell", 30)

    playing(story)


@pytest.mark.parametrize("kind", [Kind.HTTP_ROUTE, Kind.ROLLOUT])
def test_a_write_to_a_member_on_its_way_into_a_pause_is_refused_after_it(kind: Kind) -> None:
    """A replica freezes as it writes to a member, for longer than the lease: others lead by then, and it is dropped."""

    async def story(hub: Hub) -> None:
        app = APPS[0]
        frozen = hub.master_of(app)
        assert frozen is not None
        caught: list[Call] = []

        def freeze(call: Call) -> None:
            mine = call.client == frozen.name and call.kind is kind and call.writes and call.name == app
            if mine and call.phase == "before" and not caught:
                caught.append(call)
                frozen.freeze(3 * TIMES.duration)

        hub.members["m1"].cluster.faults.insert(0, freeze)
        await hub.release_fleet(app, "2.0")
        await hub.wait(lambda: bool(caught), "a write", 60)
        await everywhere(hub, 5000, app, within_seconds=30 + 2 * TIMES.duration + SLACK_SECONDS)
        assert hub.master_of(app) is not frozen
        seen = record(hub)
        await hub.settle(3 * TIMES.duration)
        await hub.rest()
        assert not any(seen.values())

    playing(story)


def test_a_replica_that_comes_and_goes_disturbs_no_fleet() -> None:
    """Shards move to it and back in mid-run: every member goes from weight to weight once."""

    async def story(hub: Hub) -> None:
        for app in APPS:
            await hub.release_fleet(app, "2.0")
        await everywhere(hub, 1000)
        seen = record(hub)
        newcomer = hub.hire("four")
        await hub.rest()
        await newcomer.stop()
        await hub.rest()
        await everywhere(hub, 5000, within_seconds=60)
        for app in APPS:
            await hub.until_phase(app, "Paused", timeout_seconds=60)
            await hub.act(app, "Promote")
        for app in APPS:
            await hub.until_phase(app, "Healthy", timeout_seconds=120)
        assert {tuple(each) for each in seen.values()} == {(5000, 10000)}

    playing(story)


@pytest.mark.parametrize("trails_seconds", [0.3, 1.0])
def test_whose_caches_trail_repeats_nothing_when_it_takes_over(trails_seconds: float) -> None:
    """Replicas that know the hub late come and go in mid-run: every member goes from weight to weight once."""

    async def story(hub: Hub) -> None:
        seen = record(hub)
        for app in APPS:
            await hub.release_fleet(app, "2.0")
        for number in range(6):
            await hub.settle(0.7 * number)
            late = hub.hire(f"late-{number}", trails_seconds)
            await hub.settle(2.0)
            await late.stop()
        await everywhere(hub, 5000, within_seconds=120)
        assert {tuple(each) for each in seen.values()} == {(1000, 5000)}

    playing(story)


def test_a_record_that_was_owed_is_not_written_over_another_s_when_the_shard_comes_back() -> None:
    """A write of the record fails, and the shard goes; when it returns, the record that others wrote stays."""

    async def story(hub: Hub) -> None:
        app = APPS[0]
        frozen = hub.master_of(app)
        assert frozen is not None
        lost: list[Call] = []

        def refuse(call: Call) -> None:
            mine = call.client == frozen.name and call.kind is Kind.FLEET_RUN and call.name.startswith(f"{app}-")
            if mine and call.subresource == "status" and hub.share("m1", app) == 1000 and call.phase == "before":
                lost.append(call)
                frozen.freeze(3 * TIMES.duration)
                raise Unavailable("the connection was lost")

        await hub.release_fleet(app, "2.0")
        hub.cluster.faults.insert(0, refuse)
        await hub.wait(lambda: bool(lost), "a write to be lost", 60)
        hub.cluster.faults.remove(refuse)
        await everywhere(hub, 5000, app, within_seconds=30 + 2 * TIMES.duration + SLACK_SECONDS)
        await hub.settle(3 * TIMES.duration)
        seen = record_versions(hub, app)
        for other in [each for each in hub.living if each is not frozen]:
            await other.stop()
        await hub.rest()
        await hub.settle(TIMES.duration)
        assert hub.master_of(app) is frozen
        assert not seen

    playing(story)


def ready(hub: Hub, name: str) -> str:
    """What the hub says of a member."""
    conditions = hub.cluster.store.get(Kind.MEMBER_CLUSTER, "", name)["status"]["conditions"]
    return str(next(each["status"] for each in conditions if each["type"] == "Ready"))


def record_versions(hub: Hub, app: str) -> list[str]:
    """The versions of an app's FleetRuns that are stored from now on."""
    seen: list[str] = []

    def look(change: Change) -> None:
        if change.kind is Kind.FLEET_RUN and change.after["metadata"]["name"].startswith(f"{app}-"):
            seen.append(change.after["metadata"]["resourceVersion"])

    hub.cluster.on_change.append(look)
    return seen


def record(hub: Hub) -> dict[tuple[str, str], list[int]]:
    """Every share that green gets from now on, by member and app."""
    seen: dict[tuple[str, str], list[int]] = {(name, app): [] for name in MEMBERS for app in APPS}
    known = {place: hub.share(*place) for place in seen}

    def look(name: str) -> None:
        for app in APPS:
            share = hub.share(name, app)
            if share != known[name, app]:
                known[name, app] = share
                seen[name, app].append(share)

    for name in MEMBERS:
        hub.members[name].cluster.on_change.append(lambda _, name=name: look(name))  # type: ignore[misc]
    return seen
