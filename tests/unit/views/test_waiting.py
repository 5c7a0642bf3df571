"""Whether there is something to wait for, by hand-made objects and by what the real engine writes."""

from typing import Any

import pytest

from sluice.api.names import Kind
from sluice.sim import manifests
from sluice.sim.clock import run
from sluice.sim.fleet import FleetWorld
from sluice.sim.world import World
from sluice.views.waiting import Goal, Prospect, asked_revision, judge

OLD, NEW = "0a1b2c3d4e", "f0e1d2c3b4"
UNDER_WAY: dict[str, Any] = {"revision": {"hash": NEW, "number": 7}, "stable": {"hash": OLD}}
STALLED = [{"type": "Stalled", "status": "True", "reason": "RouteMissing", "message": "HTTPRoute is gone"}]


def rollout(generation: int = 2, **status: Any) -> dict[str, Any]:
    """A Rollout whose status is of generation 2."""
    told = {"observedGeneration": 2, "message": "so it is", **status}
    return {"metadata": {"name": "checkout", "namespace": "shop", "generation": generation}, "status": told}


def over(outcome: str, **status: Any) -> dict[str, Any]:
    """The status after a run that ended so."""
    return {"revision": {"hash": NEW, "number": 7, "outcome": outcome}, "stable": {"hash": OLD}, **status}


@pytest.mark.parametrize(
    "goal, status, prospect",
    [
        ("healthy", {"phase": "Healthy", **over("Completed", stable={"hash": NEW})}, "Reached"),
        ("healthy", {"phase": "Progressing", **UNDER_WAY}, "Coming"),
        ("healthy", {"phase": "Paused", **UNDER_WAY}, "Coming"),
        ("healthy", {"phase": "Aborted", "rejected": [NEW], **over("Aborted")}, "Over"),
        ("healthy", {"phase": "Killed", "rejected": [NEW], **over("Killed")}, "Over"),
        ("healthy", {"phase": "Degraded", **UNDER_WAY}, "Troubled"),
        ("healthy", {"phase": "Paused", "conditions": STALLED, **UNDER_WAY}, "Troubled"),
        (
            "healthy",
            {"phase": "Healthy", **over("Completed", revision={"hash": OLD, "outcome": "Completed"})},
            "Coming",
        ),
        ("healthy", {"phase": "Aborted", "rejected": ["before"], "revision": {"hash": "before"}}, "Coming"),
        ("started", {"phase": "Progressing", **UNDER_WAY}, "Reached"),
        ("started", {"phase": "Healthy", "stable": {"hash": NEW}}, "Reached"),
        ("started", {"phase": "Progressing", "revision": {"hash": "before"}, "stable": {"hash": OLD}}, "Coming"),
        ("started", {"phase": "Aborted", "rejected": [NEW], **over("Aborted")}, "Over"),
        ("paused", {"phase": "Paused", **UNDER_WAY}, "Reached"),
        ("paused", {"phase": "Paused", "stable": {"hash": OLD}}, "Coming"),
        ("paused", {"phase": "Paused", "conditions": STALLED, **UNDER_WAY}, "Troubled"),
        ("paused", {"phase": "Healthy", "stable": {"hash": NEW}}, "Over"),
        ("finished", {"phase": "Progressing", **UNDER_WAY}, "Coming"),
        ("finished", {"phase": "Healthy", "stable": {"hash": NEW}}, "Reached"),
        ("finished", {"phase": "Killed", "rejected": [NEW], **over("Killed")}, "Reached"),
        ("finished", {"phase": "Aborted", "rejected": [NEW], **over("Superseded")}, "Reached"),
        ("healthy", {"phase": "Healthy", "fleet": {"stable": {"hash": NEW}}}, "Reached"),
        ("healthy", {"phase": "Progressing", "fleet": {"stable": {"hash": OLD}, "revision": {"hash": NEW}}}, "Coming"),
        ("paused", {"phase": "Paused", "fleet": {"stable": {"hash": OLD}, "revision": {"hash": NEW}}}, "Reached"),
        (
            "healthy",
            {"phase": "Aborted", "rejected": [NEW], "fleet": {"revision": {"hash": NEW, "outcome": "Aborted"}}},
            "Over",
        ),
    ],
)
def test_what_there_is_to_expect(goal: str, status: dict[str, Any], prospect: str) -> None:
    """Each goal has states that are it, states on the way to it, and states from which nothing leads there."""
    assert judge(rollout(**status), [Goal(goal)], NEW).prospect == prospect


@pytest.mark.parametrize("goal", list(Goal))
@pytest.mark.parametrize("phase", ["Healthy", "Aborted", "Paused", "Degraded", "Killed"])
def test_a_status_of_an_older_spec_counts_for_nothing(goal: Goal, phase: str) -> None:
    """Neither for having come there, nor for it being in vain."""
    answered = rollout(phase=phase, generation=3, **over("Aborted", stable={"hash": NEW}, rejected=[NEW]))
    assert judge(answered, list(Goal), NEW).prospect is Prospect.COMING


def test_the_first_goal_that_is_reached_is_named() -> None:
    """In the order they were asked for."""
    paused = rollout(phase="Paused", **UNDER_WAY)
    assert judge(paused, [Goal.HEALTHY, Goal.PAUSED, Goal.STARTED], NEW).goal is Goal.PAUSED


def test_a_rollout_that_is_being_deleted_comes_to_nothing() -> None:
    """Whatever its status says."""
    obj = rollout(phase="Healthy", stable={"hash": NEW})
    obj["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert judge(obj, [Goal.HEALTHY], NEW).prospect is Prospect.OVER


def test_a_status_that_makes_no_sense_is_no_goal() -> None:
    """Somebody may have edited it."""
    made_up: tuple[dict[str, Any], ...] = (
        {"phase": 5},
        {"phase": "Healthy", "stable": "green"},
        {"phase": "Aborted", "rejected": "x"},
    )
    for status in made_up:
        assert judge(rollout(**status), list(Goal), NEW).prospect is Prospect.COMING


def test_a_spec_that_means_nothing_asks_for_nothing() -> None:
    """So does a Deployment that is not there."""
    workload = {"workloadRef": {"name": "checkout"}}
    spec = {"workload": workload, "traffic": {}, "strategy": {}}
    assert asked_revision({"spec": {}}, None) is None
    assert asked_revision({"spec": spec}, None) is None
    assert asked_revision({"spec": spec}, {"spec": {"template": {"spec": {"containers": []}}}}) is not None


@pytest.mark.parametrize("source", [False, True])
def test_a_release_by_a_template(source: bool) -> None:
    """The moment a new image is asked for, what is Healthy is the version before; also if another object has it."""

    async def main() -> None:
        world = World()
        world.workload_app("checkout", image="shop/checkout:1.4.0", source=source)
        await world.start()
        await world.install("checkout", manifests.canary({"setWeight": 50}, {"pause": {}}))
        assert expected(world, Goal.HEALTHY) is Prospect.REACHED
        await world.release_image("checkout", "shop/checkout:1.5.0")
        assert expected(world, *Goal) is Prospect.COMING
        await world.until(lambda: expected(world, Goal.STARTED) is Prospect.REACHED)
        assert expected(world, Goal.HEALTHY) is Prospect.COMING
        await world.until(lambda: expected(world, Goal.PAUSED) is Prospect.REACHED)
        await world.act("checkout", "Abort")
        await world.until(lambda: expected(world, Goal.HEALTHY) is Prospect.OVER)
        assert expected(world, Goal.FINISHED) is Prospect.REACHED

    run(main())


def test_a_release_into_services_of_ones_own() -> None:
    """Slot and version are what is asked for."""

    async def main() -> None:
        world = World()
        world.app("checkout")
        await world.start()
        await world.adopt("checkout", manifests.canary({"setWeight": 50}))
        await world.release_version("checkout", "1.5.0")
        assert expected(world, *Goal) is Prospect.COMING
        await world.until(lambda: expected(world, Goal.HEALTHY) is Prospect.REACHED)
        stable = world.status("checkout").stable
        assert stable is not None
        assert stable.version == "1.5.0"

    run(main())


@pytest.mark.parametrize("pods", [False, True])
def test_a_release_over_a_fleet(pods: bool) -> None:
    """The hub's Rollout tells of the whole: it is there when the last cluster is, and it ended when all went back."""

    async def main() -> None:
        world = FleetWorld(pods=pods)
        for name in ("c1", "c2"):
            world.join(name)
        batches: list[dict[str, Any]] = [{"name": "pilot", "clusters": ["c1"]}, {"name": "rest", "pause": {}}]
        world.fleet_app("checkout", batches, manifests.canary({"setWeight": 50}))
        await world.start()
        await world.create_fleet("checkout")
        await world.until(lambda: expected(world, Goal.PAUSED) is Prospect.REACHED)
        await world.act("checkout", "Promote")
        await world.until(lambda: expected(world, Goal.HEALTHY) is Prospect.REACHED)
        await world.release_fleet("checkout", "1.5.0")
        assert expected(world, *Goal) is Prospect.COMING
        await world.until(lambda: expected(world, Goal.STARTED) is Prospect.REACHED)
        await world.until(lambda: expected(world, Goal.PAUSED) is Prospect.REACHED)
        assert expected(world, Goal.HEALTHY, Goal.FINISHED) is Prospect.COMING
        await world.act("checkout", "Abort")
        await world.until(lambda: expected(world, Goal.HEALTHY) is Prospect.OVER)
        assert expected(world, Goal.FINISHED) is Prospect.REACHED

    run(main())


def expected(world: World, *goals: Goal) -> Prospect:
    """What there is to expect, by what the world's API server has."""
    found = world.cluster.store.get(Kind.ROLLOUT, world.namespace, "checkout")
    source = world.cluster.store.peek(Kind.DEPLOYMENT, world.namespace, "checkout")
    return judge(found, goals, asked_revision(found, source)).prospect
