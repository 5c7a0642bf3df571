"""A kill switch that trips by itself, over three replicas: one measures at a time, and a lost one is followed up."""

from __future__ import annotations

from sluice.api.names import Kind
from sluice.api.units import JSON
from sluice.decide.sharding import shard_of
from sluice.sim.metrics import constant
from unit.sharding.fleet import Fleet, Replica
from unit.sharding.test_fleet import exposed, playing

METRIC: JSON = {
    "name": "errors",
    "prometheus": {"query": "all_errors"},
    "interval": "30s",
    "threshold": {"max": 1},
    "failureLimit": 2,
}


def keeper(fleet: Fleet) -> Replica:
    """Who holds the switch."""
    shard = shard_of(Kind.KILL_SWITCH, fleet.namespace, "stop")
    [found] = [replica for replica in fleet.living if shard in replica.shards]
    return found


async def arm(fleet: Fleet) -> None:
    """Have it watch."""
    body = {"metadata": {"name": "stop", "namespace": fleet.namespace}, "spec": {"autoTrip": {"metrics": [METRIC]}}}
    await fleet.people.create(Kind.KILL_SWITCH, fleet.namespace, body)


def stop(fleet: Fleet) -> JSON:
    """The switch."""
    return fleet.cluster.store.get(Kind.KILL_SWITCH, fleet.namespace, "stop")


def failures(fleet: Fleet) -> int:
    """In a row, as its status has it."""
    metrics = stop(fleet).get("status", {}).get("watch", {}).get("metrics", [{}])
    return int(metrics[0].get("failures", 0))


def test_one_of_three_measures() -> None:
    """A question every interval, not three; and what it trips, every replica diverts of its own."""

    async def story(fleet: Fleet) -> None:
        fleet.metrics.script(constant(5, where="all_errors"))
        await exposed(fleet)
        await arm(fleet)
        await fleet.until(lambda: bool(stop(fleet)["spec"].get("engaged")), timeout_seconds=150)
        asked = [question for question in fleet.metrics.asked if question.query == "all_errors"]
        assert len(asked) == 3
        for app in ("cart", "checkout", "users"):
            await fleet.until_phase(app, "Killed", timeout_seconds=30)

    playing(story)


def test_a_lost_replica_takes_no_failure_with_it() -> None:
    """Two of three in a row, and who measured is gone: the third, measured by another, trips it."""

    async def story(fleet: Fleet) -> None:
        fleet.metrics.script(constant(5, where="all_errors"))
        await exposed(fleet)
        await arm(fleet)
        await fleet.until(lambda: failures(fleet) == 2, timeout_seconds=150)
        asked = len(fleet.metrics.asked)
        await keeper(fleet).crash()
        await fleet.until(lambda: bool(stop(fleet)["spec"].get("engaged")), timeout_seconds=120)
        assert len(fleet.metrics.asked) == asked + 1
        assert stop(fleet)["spec"]["reason"].endswith("3 times in a row")

    playing(story)
