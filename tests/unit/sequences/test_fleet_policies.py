"""RolloutPolicies over fleets: the hub holds the next step, wave or batch, and the beginning of runs."""

import asyncio

from sluice.api.names import Kind
from sluice.sim import manifests
from sluice.sim.fleet import FleetWorld
from unit.sequences.test_fleet_stories import APP, outcome, shares, stage, told


async def rule(world: FleetWorld, **spec: object) -> None:
    """Apply a policy over everybody."""
    await world.apply(Kind.ROLLOUT_POLICY, manifests.policy("prod", **spec))


def test_a_freeze_holds_the_next_step_in_every_cluster() -> None:
    """The clusters that move stay at the share that they have; after it the run goes on by itself, to its end."""

    async def story(world: FleetWorld) -> None:
        await world.release_fleet(APP, "1.5.0")
        await world.until(lambda: stage(world) == "rest Moving" and shares(world)[1:3] == [10, 10])
        await rule(world, windows=[manifests.freeze(world.clock.now(), 600)])
        await asyncio.sleep(300)
        assert shares(world) == [100, 10, 10, 0]
        message = world.status(APP).message
        assert "held by RolloutPolicy prod: the freeze sale lasts until" in message
        assert world.status(APP).phase == "Paused"
        await world.until(lambda: outcome(world) == "Completed", timeout_seconds=1200)

    told(story)


def test_a_freeze_holds_no_abort_of_a_fleet() -> None:
    """The clusters that move go back at once."""

    async def story(world: FleetWorld) -> None:
        await world.release_fleet(APP, "1.5.0")
        await world.until(lambda: stage(world) == "pilot Moving" and shares(world)[0] == 10)
        await rule(world, windows=[manifests.freeze(world.clock.now(), 600)])
        await asyncio.sleep(60)
        await world.act(APP, "Abort")
        await world.until(lambda: shares(world) == [0, 0, 0, 0], timeout_seconds=30)

    told(story)


def test_a_run_over_a_fleet_waits_for_its_turn_as_one() -> None:
    """It is one run, however many clusters it goes over; without its turn no cluster begins."""

    async def story(world: FleetWorld) -> None:
        await rule(world, minInterval="10m", windows=[manifests.freeze(world.clock.now(), 120)])
        await world.release_fleet(APP, "1.5.0")
        await asyncio.sleep(60)
        assert shares(world) == [0, 0, 0, 0]
        assert world.status(APP).message.startswith("revision 1.5.0 waits: held by RolloutPolicy prod: the freeze sale")
        await world.until(lambda: outcome(world) == "Completed", timeout_seconds=1200)
        assert world.status(APP).queued is None

    told(story)


def test_people_are_asked_before_each_batch() -> None:
    """Before: Batch asks anew for each one; before: Run, once. No cluster of a batch begins before they agree."""

    async def story(world: FleetWorld) -> None:
        await rule(world, approval={"group": "release-managers", "before": "Batch"})
        await world.asked_by(APP, "alice")
        await world.release_fleet(APP, "1.5.0")
        for batch, before in (("pilot", [0, 0, 0, 0]), ("rest", [100, 0, 0, 0])):
            point = f"policy/prod/batch/{batch}"
            await world.until(lambda point=point: [each.point for each in world.status(APP).approvals] == [point])  # type: ignore[misc]
            await asyncio.sleep(60)
            assert shares(world) == before
            assert world.status(APP).phase == "Paused"
            await world.approve(APP, "bob", "release-managers")
            await world.until(lambda: not world.status(APP).approvals, timeout_seconds=60)
        await world.until(lambda: outcome(world) == "Completed", timeout_seconds=1200)

    told(story)
