"""A world with the real engine in it, for what people do."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sluice.sim import manifests
from sluice.sim.world import World

STEPS: tuple[dict[str, Any], ...] = ({"setWeight": 5}, {"pause": {}}, {"setWeight": 50}, {"pause": {"duration": "10m"}})


@pytest.fixture
def world() -> World:
    """A world with nothing in it, not started yet."""
    return World()


@pytest.fixture
def waiting_at_a_pause(world: World) -> Callable[[], Awaitable[World]]:
    """Return a coroutine function that brings the world to a run of 1.5.0 that waits at step 2 for a person."""

    async def prepare() -> World:
        world.app("checkout")
        await world.start()
        await world.adopt("checkout", manifests.canary(*STEPS))
        await world.release_version("checkout", "1.5.0")
        await world.until_phase("checkout", "Paused")
        return world

    return prepare


@pytest.fixture
def running_pods(world: World) -> Callable[[], Awaitable[World]]:
    """Return a coroutine function that brings the world to an app of three pods that Sluice runs, with no run yet."""

    async def prepare() -> World:
        world.workload_app("checkout", image="shop/checkout:1.4.0")
        await world.start()
        await world.install("checkout", manifests.canary(*STEPS))
        return world

    return prepare
