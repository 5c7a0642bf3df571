"""The hub's operator dies between any two of its writes, in the hub or in a member: nothing is repeated or skipped."""

from __future__ import annotations

import asyncio

import pytest

from sluice.ports import Obj
from sluice.sim import manifests
from sluice.sim.clock import run
from sluice.sim.fleet import FleetWorld
from unit.defects import gathered
from unit.sequences.fleet_laws import FleetLaws
from unit.sequences.search import PROFILE

APP = "checkout"
NAMES = ("m1", "m2", "m3")
CANARY = manifests.canary({"setWeight": 10}, {"setWeight": 50})
BATCHES: list[Obj] = [{"name": "pilot", "size": 1, "soak": "20s"}, {"name": "rest"}]
MOST_WRITES = 130  # more than the whole run makes
EVERY = 1 if PROFILE.max_examples > 100 else 6


def _lived(writes: int, *, fails: str = "", on_failure: str = "RollbackBatch") -> FleetWorld:
    """A run in which the operator dies after so many writes, and is back a few seconds later."""

    async def main() -> FleetWorld:
        world = FleetWorld(pods=False)
        for name in NAMES:
            world.join(name)
        world.fleet_app(APP, BATCHES, CANARY, progressDeadline="1m", fleet={"onFailure": on_failure})
        laws = FleetLaws(world, APP)
        await world.start()
        await world.install_fleet(APP)
        if fails:
            world.members[fails].gateway.refuse = lambda _: "no"
        laws.asks += 1
        world.operator.crash_after_writes(writes)
        await world.release_fleet(APP, "1.5.0")
        await asyncio.sleep(30)
        await world.restart()
        await asyncio.sleep(300)
        assert laws.broken is None, laws.broken
        assert laws.at_rest() == ""
        return world

    with gathered() as defects:
        world = run(main())
    assert not defects.texts, defects.texts[0]
    return world


def _letters(world: FleetWorld) -> list[str]:
    return [batch["clusters"] for batch in world.fleet_runs(APP)[-1]["status"]["batches"]]


@pytest.mark.parametrize("writes", range(1, MOST_WRITES, EVERY))
def test_a_run_that_the_operator_died_in_completes_as_if_it_had_not(writes: int) -> None:
    """Every cluster has the new revision, by one run, and none counts as failed."""
    world = _lived(writes)
    assert _letters(world) == ["c", "cc"]
    assert [run["status"]["failures"] for run in world.fleet_runs(APP)] == [[], []]
    assert [world.share(name, APP) for name in NAMES] == [10_000] * 3


@pytest.mark.parametrize("writes", range(40, MOST_WRITES, EVERY))
def test_a_rollback_of_the_fleet_that_the_operator_died_in_ends_as_if_it_had_not(writes: int) -> None:
    """One cluster of the second batch fails: all return, the first batch too."""
    world = _lived(writes, fails="m3", on_failure="RollbackFleet")
    assert _letters(world) == ["b", "bf"]
    assert [world.share(name, APP) for name in NAMES] == [0] * 3
