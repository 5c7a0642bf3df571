"""Kill switches of some member clusters: they act there, and the run over the fleet goes on by its own rules."""

import asyncio

from sluice.api.names import Kind
from sluice.sim import manifests
from sluice.sim.fleet import FleetWorld
from unit.sequences.test_fleet_stories import APP, BATCHES, NAMES, outcome, shares, stage, told


def test_a_switch_of_some_clusters_kills_there_alone() -> None:
    """In m2 the candidate is killed, which is a cluster that failed; m3 goes on with its batch, and so does m4."""
    seen: list[list[int]] = []

    async def story(world: FleetWorld) -> None:
        await world.release_fleet(APP, "1.5.0")
        await world.until(lambda: stage(world) == "rest Moving" and shares(world)[1:] == [50, 50, 0])
        await world.engage(reason="5xx", scope={"clusters": {"matchLabels": {"zone": "m2"}}})
        await asyncio.sleep(1)
        seen.append(shares(world))
        switch = world.cluster.store.get(Kind.KILL_SWITCH, world.namespace, "stop")["status"]
        assert (switch["state"], switch["affected"]) == ("Engaged", {"rollouts": 1, "clusters": 1, "routes": 1})
        assert world.status(APP).covered_by == ()
        await world.until(lambda: outcome(world) == "Completed")

    world = told(story, [BATCHES[0], {**BATCHES[1], "maxFailures": 1}])
    assert seen == [[100, 0, 50, 0]]
    assert shares(world) == [100, 0, 100, 100]
    (failure,) = world.fleet_runs(APP)[-1]["status"]["failures"]
    assert (failure["name"], failure["reason"]) == ("m2", "KilledBySwitch")
    assert world.part("m2", APP).history[-1].outcome == "Killed"


def test_a_cluster_that_a_switch_holds_is_waited_for() -> None:
    """Of two that are to begin one is held: the other keeps step with it, past every deadline, until the release."""

    async def story(world: FleetWorld) -> None:
        await world.engage(reason="works", effect="Hold", scope={"clusters": {"matchLabels": {"zone": "m3"}}})
        await world.release_fleet(APP, "1.5.0")
        await world.until(lambda: stage(world) == "rest Moving" and shares(world)[1] == 10)
        await asyncio.sleep(4 * 3600)
        assert (outcome(world), shares(world)) == ("", [100, 10, 0, 0])
        assert "KillSwitch shop/stop is engaged (Hold) by alice: works" in world.status(APP).message
        await world.release()
        await world.until(lambda: outcome(world) == "Completed")
        assert not world.fleet_runs(APP)[-1]["status"]["failures"]

    told(story)


def test_another_label_of_a_cluster_frees_nobody() -> None:
    """Held there by the cluster's label, it stays so without it; a cluster that gets it is held from then on."""

    async def story(world: FleetWorld) -> None:
        await world.release_fleet(APP, "1.5.0")
        await world.until(lambda: stage(world) == "rest Moving" and shares(world)[1:] == [10, 10, 0])
        await world.engage(reason="works", effect="Hold", scope={"clusters": {"matchLabels": {"zone": "m2"}}})
        await asyncio.sleep(2)
        for name, zone in (("m2", "other"), ("m3", "m2")):
            body = {"metadata": {"labels": {"zone": zone}}}
            await world.people.patch_merge(Kind.MEMBER_CLUSTER, "", name, body)
        await asyncio.sleep(300)
        assert shares(world) == [100, 10, 10, 0]
        assert [len(world.part(name, APP).covered_by) for name in NAMES] == [0, 1, 1, 0]
        await world.release()
        await world.until(lambda: outcome(world) == "Completed")

    told(story)


def test_a_retry_waits_for_the_cluster_that_is_still_switched_off() -> None:
    """Killed in one, the batch returned: tried again meanwhile, the others keep step with it until the release."""

    async def story(world: FleetWorld) -> None:
        await world.release_fleet(APP, "1.5.0")
        await world.until(lambda: shares(world) == [50, 50, 50, 50])
        await world.engage(reason="5xx", scope={"clusters": {"matchLabels": {"zone": "m2"}}})
        await world.until(lambda: outcome(world) == "Aborted" and shares(world) == [0, 0, 0, 0])
        assert "m2: killed by KillSwitch shop/stop, engaged by alice: 5xx" in world.status(APP).message
        await world.act(APP, "Retry")
        await world.until(lambda: shares(world) == [10, 0, 10, 10])
        await asyncio.sleep(3600)
        assert (outcome(world, 3), shares(world)) == ("", [10, 0, 10, 10])
        await world.release()
        await world.until(lambda: outcome(world, 3) == "Completed")

    told(story, [{"name": "all"}])


def test_a_rollback_in_mid_run_takes_back_also_who_completed() -> None:
    """m2 and m3 are diverted, m1, which completed before, returns; and that is all, however long the switch stays."""

    async def story(world: FleetWorld) -> None:
        await world.release_fleet(APP, "1.5.0")
        await world.until(lambda: stage(world) == "rest Moving" and shares(world) == [100, 50, 50, 0])
        await world.engage(reason="5xx", effect="Rollback")
        await world.until(lambda: outcome(world) == "Killed" and not any(shares(world)))
        await asyncio.sleep(4 * 3600)
        switch = world.cluster.store.get(Kind.KILL_SWITCH, world.namespace, "stop")["status"]
        assert (switch["state"], shares(world)) == ("Engaged", [0, 0, 0, 0])
        assert world.part("m1", APP).history[-1].outcome == "Completed"

    world = told(story)
    assert "killed by KillSwitch shop/stop, engaged by alice: 5xx" in world.status(APP).message
    assert len(world.fleet_runs(APP)) == 2


def test_a_rollback_returns_a_fleet_whose_run_is_over() -> None:
    """All clusters return, what was stable before is stable again, and after the release it takes a retry to go on."""

    async def story(world: FleetWorld) -> None:
        await world.release_fleet(APP, "1.5.0")
        await world.until(lambda: outcome(world) == "Completed")
        await world.engage(reason="5xx", effect="Rollback")
        await world.until(lambda: shares(world) == [0, 0, 0, 0])
        await world.release()
        await asyncio.sleep(4 * 3600)
        assert (shares(world), outcome(world)) == ([0, 0, 0, 0], "Killed")
        await world.act(APP, "Retry")
        await world.until(lambda: outcome(world, 3) == "Completed")

    assert shares(told(story)) == [100, 100, 100, 100]


def test_a_part_that_its_hub_sent_back_is_not_led_forward_by_a_rollback() -> None:
    """Being taken back by hand, m1 is on its way from 1.5.0: a switch that is engaged then lets it come home."""

    async def story(world: FleetWorld) -> None:
        await world.release_fleet(APP, "1.5.0")
        await world.until(lambda: outcome(world) == "Completed")
        action = manifests.action(world.namespace, APP, "Rollback", revision=2, actor="bob", reason="")
        action["spec"]["clusters"] = ["m1"]
        await world.people.create(Kind.ROLLOUT_ACTION, world.namespace, action)
        await world.until(lambda: shares(world) == [0, 100, 100, 100])
        await world.engage(reason="5xx", effect="Rollback")
        await world.until(lambda: shares(world) == [0, 0, 0, 0])
        await asyncio.sleep(3600)

    assert shares(told(story)) == [0, 0, 0, 0]


def test_a_rollout_over_a_fleet_that_is_created_anew_starts_held_too() -> None:
    """Deleted while a switch covers it by its labels, and there again without them: no cluster begins a run."""
    edge = {"selector": {"matchLabels": {"tier": "edge"}}}

    async def story(world: FleetWorld) -> None:
        label = {"metadata": {"labels": {"tier": "edge"}}}
        await world.people.patch_merge(Kind.ROLLOUT, world.namespace, APP, label)
        await world.engage(reason="works", effect="Hold", scope=edge)
        await asyncio.sleep(5)
        found = world.cluster.store.get(Kind.ROLLOUT, world.namespace, APP)
        await world.people.delete(Kind.ROLLOUT, world.namespace, APP, uid=found["metadata"]["uid"])
        await world.until(lambda: world.cluster.store.peek(Kind.ROLLOUT, world.namespace, APP) is None)
        spec = {**found["spec"], "workload": {**found["spec"]["workload"], "active": "green", "version": "1.5.0"}}
        bare = {"name": APP, "namespace": world.namespace}
        await world.people.create(
            Kind.ROLLOUT, world.namespace, {**found, "metadata": bare, "spec": spec, "status": {}}
        )
        await asyncio.sleep(3600)
        assert shares(world) == [0, 0, 0, 0]
        assert [each.switch for each in world.status(APP).covered_by] == ["KillSwitch shop/stop"]

    told(story)
