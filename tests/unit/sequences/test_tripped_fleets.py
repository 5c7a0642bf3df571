"""Kill switches that trip by themselves, over a fleet: the hub measures once, and every member stops."""

import asyncio

from sluice.api.names import Kind
from sluice.sim.fleet import FleetWorld
from sluice.sim.metrics import constant
from unit.sequences.test_fleet_stories import APP, outcome, shares, stage, told

METRIC = {"name": "errors", "prometheus": {"query": "fleet_errors"}, "interval": "10s", "threshold": {"max": 1}}


def test_a_trip_of_the_hub_stops_every_member() -> None:
    """One measurement in the hub, and the candidate is gone in all clusters; the switch counts them."""

    async def story(world: FleetWorld) -> None:
        world.metrics.script(constant(0, where="fleet_errors"))
        body = {"metadata": {"name": "stop", "namespace": world.namespace}, "spec": {"autoTrip": {"metrics": [METRIC]}}}
        await world.people.create(Kind.KILL_SWITCH, world.namespace, body)
        await world.release_fleet(APP, "1.5.0")
        await world.until(lambda: stage(world) == "rest Moving" and shares(world)[1:] == [50, 50, 0])
        asked = [question for question in world.metrics.asked if question.query == "fleet_errors"]
        world.metrics.script(constant(5, where="fleet_errors"))
        await world.until(lambda: outcome(world) == "Killed")
        await asyncio.sleep(5)
        switch = world.cluster.store.get(Kind.KILL_SWITCH, world.namespace, "stop")
        assert switch["spec"]["reason"] == "tripped by itself: errors is 5, above max 1"
        assert (switch["status"]["state"], switch["status"]["trippedBy"]["metric"]) == ("Engaged", "errors")
        assert shares(world)[1:] == [0, 0, 0]
        assert asked, "nothing was measured before it tripped"

    told(story)
