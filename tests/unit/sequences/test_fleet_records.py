"""The record of a run over a fleet: what cannot be read, or written, holds the run and loses nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sluice.api.names import Kind
from sluice.errors import Rejected
from sluice.ports import Obj
from sluice.sim.cluster import Call
from sluice.sim.fleet import FleetWorld
from unit.sequences.test_fleet_stories import APP, outcome, records, shares, stage, told


def record(world: FleetWorld) -> Obj:
    """The newest FleetRun."""
    found: Obj = world.fleet_runs(APP)[-1]
    return found


@pytest.mark.parametrize(
    "batches", ["rubbish", [{"name": "pilot", "clusters": "c"}, {"name": "rest", "clusters": 7}], None, [{}]]
)
def test_a_record_that_cannot_be_read_holds_the_run(batches: object) -> None:
    """Not for a moment, and not by ending it: clusters stay where they are until it is mended."""

    async def story(world: FleetWorld) -> None:
        await world.release_fleet(APP, "1.5.0")
        await world.until(lambda: stage(world) == "rest Moving" and shares(world)[1] == 50)
        await asyncio.sleep(1)
        name, good = record(world)["metadata"]["name"], record(world)["status"]
        wrong = {"status": {"batches": batches}}
        world.cluster.store.corrupt(Kind.FLEET_RUN, world.namespace, name, wrong, manager="mallory")
        await asyncio.sleep(600)
        assert (shares(world), outcome(world)) == ([100, 50, 50, 0], "")
        assert f"FleetRun {world.namespace}/{name}" in world.status(APP).message
        world.cluster.store.corrupt(Kind.FLEET_RUN, world.namespace, name, {"status": good}, manager="alice")
        await world.until(lambda: outcome(world) != "")
        await asyncio.sleep(1)

    world = told(story)
    assert (outcome(world), records(world), shares(world)) == ("Completed", ["c", "ccc"], [100] * 4)


def test_a_record_that_cannot_be_written_skips_no_soak() -> None:
    """Its writes are refused from the first batch on: nobody goes on until they are not, and nothing is left out."""
    refused = []

    def refuse(call: Call) -> None:
        if call.kind is Kind.FLEET_RUN and call.subresource == "status" and call.phase == "before":
            refused.append(call)
            raise Rejected("patch FleetRun: request entity too large")

    at: dict[str, float] = {}

    async def story(world: FleetWorld) -> None:
        def note(_: Any) -> None:
            at.setdefault(stage(world), world.clock.monotonic())

        world.cluster.on_change.append(note)
        world.cluster.faults.append(refuse)
        await world.release_fleet(APP, "1.5.0")
        await asyncio.sleep(900)
        assert refused
        assert (shares(world), outcome(world)) == ([0] * 4, "")
        world.cluster.faults.remove(refuse)
        await world.until(lambda: outcome(world) != "")
        await asyncio.sleep(1)

    world = told(story)
    assert (outcome(world), records(world)) == ("Completed", ["c", "ccc"])
    assert at["rest Moving"] - at["pilot Soaking"] >= 40
