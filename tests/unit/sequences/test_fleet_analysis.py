"""What the hub measures of clusters as a whole: real engines, and a Prometheus that says what the story wants."""

from __future__ import annotations

import asyncio
import re

import pytest

from sluice.api.fleet import FleetRunStatus
from sluice.api.rollout import MetricStatus
from sluice.ports import Obj
from sluice.sim.fleet import FleetWorld
from sluice.sim.metrics import Answer, Question, error
from unit.sequences.test_fleet_stories import APP, NAMES, outcome, records, shares, stage, told

MARK = "members_responding"
RESPONDING: Obj = {
    "name": "responding",
    "prometheus": {
        "query": f'100 * sum({MARK}{{cluster=~"{{{{clusters}}}}"}}) / sum(members_total{{cluster=~"{{{{clusters}}}}"}})'
    },
    "interval": "5s",
    "threshold": {"min": 98.5},
}
ANALYSIS: Obj = {"metrics": [RESPONDING]}
WAVE: Obj = {"name": "wave", "clusters": ["m2", "m3"], "soak": "1m", "analysis": ANALYSIS}
BATCHES: list[Obj] = [{"name": "pilot", "clusters": ["m1"]}, WAVE, {"name": "rest"}]
AWAY_SECONDS = 300
ASKED = re.compile(MARK + r'\{cluster=~"([^"]*)"\}')


class Members:
    """What each cluster's members do: the share of them that respond, in percent; and whether Prometheus is there."""

    def __init__(self, world: FleetWorld) -> None:
        self.shares = dict.fromkeys(NAMES, 100.0)
        self.away = False
        self.asked: list[str] = []
        world.metrics.script(self._answer)

    def _answer(self, question: Question) -> Answer | None:
        found = ASKED.search(question.query)
        if found is None:
            return None
        if self.away:
            return error()
        self.asked.append(found.group(1))
        names = [name for name in NAMES if re.fullmatch(found.group(1), name)]
        return sum(self.shares[name] for name in names) / len(names)


def tallies(world: FleetWorld, scope: str = "batch-wave") -> list[MetricStatus]:
    """What the status says was measured."""
    return [each for each in world.status(APP).metrics if each.scope == scope]


def record(world: FleetWorld) -> FleetRunStatus:
    """Of the newest run."""
    return FleetRunStatus.parse(world.fleet_runs(APP)[-1]["status"], "FleetRun")


def test_a_measured_run_completes_with_its_numbers() -> None:
    """The batch's questions are of its clusters, the fleet's of all so far; the numbers stay on record."""
    seen: list[Members] = []

    async def story(world: FleetWorld) -> None:
        seen.append(Members(world))
        await world.release_fleet(APP, "1.5.0")
        await world.until(lambda: outcome(world) == "Completed", timeout_seconds=600)
        await asyncio.sleep(1)

    world = told(story, BATCHES, fleet={"analysis": ANALYSIS})
    assert (shares(world), records(world)) == ([100] * 4, ["c", "cc", "c"])
    assert list(dict.fromkeys(seen[0].asked)) == ["m1", "m1|m2|m3", "m2|m3", "m1|m2|m3|m4"]
    assert [each.value for each in record(world).batches[1].metrics] == [100.0]
    assert [each.value for each in record(world).metrics] == [100.0]


@pytest.mark.parametrize(
    "on_failure, expected",
    [("RollbackBatch", [100, 0, 0, 0]), ("RollbackFleet", [0] * 4), ("Hold", [100, 100, 100, 0])],
)
def test_members_fall_silent_in_the_soak(on_failure: str, expected: list[int]) -> None:
    """One of two clusters loses 4 %: together 98 %, and that is what counts."""

    async def story(world: FleetWorld) -> None:
        members = Members(world)
        await world.release_fleet(APP, "1.5.0")
        await world.until(lambda: stage(world) == "wave Soaking", timeout_seconds=600)
        await asyncio.sleep(20)
        members.shares["m3"] = 96.0
        await asyncio.sleep(120)

    world = told(story, BATCHES, fleet={"onFailure": on_failure})
    assert shares(world) == expected
    assert outcome(world) == ("" if on_failure == "Hold" else "Aborted")
    assert "batch wave: responding is 98, below min 98.5" in world.status(APP).message
    assert [each.value for each in tallies(world)] == [98.0]


def test_without_a_prometheus_nothing_goes_on_and_nothing_is_lost() -> None:
    """Ten minutes without numbers hold the run; it goes on by itself, and the soak has its measured minute."""
    at: dict[str, float] = {}

    async def story(world: FleetWorld) -> None:
        members = Members(world)

        def note(_: object) -> None:
            at.setdefault(stage(world), world.clock.monotonic())

        world.cluster.on_change.append(note)
        await world.release_fleet(APP, "1.5.0")
        await world.until(lambda: stage(world) == "wave Soaking", timeout_seconds=600)
        members.away = True
        await asyncio.sleep(AWAY_SECONDS)
        assert (stage(world), shares(world)) == ("wave Soaking", [100, 100, 100, 0])
        members.away = False
        await world.until(lambda: outcome(world) == "Completed", timeout_seconds=600)

    told(story, BATCHES)
    # A good measurement speaks for up to its reach before it, so that much of the silence counts.
    reach = 15
    assert at["rest Moving"] - at["wave Soaking"] >= AWAY_SECONDS + 60 - reach


@pytest.mark.parametrize("moment", ["wave Moving", "wave Soaking", "rest Moving"])
def test_a_restart_of_the_hub_measures_on(moment: str) -> None:
    """What was measured is in the status; a question that was under way is asked again."""

    async def story(world: FleetWorld) -> None:
        members = Members(world)
        world.metrics.latency_seconds = 3.0
        await world.release_fleet(APP, "1.5.0")
        await world.until(lambda: stage(world) == moment, timeout_seconds=600)
        await asyncio.sleep(6)
        before = [each.passes for each in world.status(APP).metrics]
        await world.restart()
        await asyncio.sleep(2)
        assert [each.passes for each in world.status(APP).metrics][: len(before)] >= before
        members.asked.clear()
        await world.until(lambda: outcome(world) != "", timeout_seconds=600)
        await asyncio.sleep(1)
        assert members.asked

    world = told(story, BATCHES, fleet={"analysis": ANALYSIS})
    assert (outcome(world), records(world)) == ("Completed", ["c", "cc", "c"])
