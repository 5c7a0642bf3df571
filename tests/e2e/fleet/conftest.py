"""Fixtures for Rollouts over fleets: the four members are started once for all files here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from e2e.support.fixtures import show
from e2e.support.fleet_app import FleetApp, FleetWorkload, MakeFleetApp
from e2e.support.four import Four, four_members
from e2e.support.world import World


@pytest.fixture(scope="package")
def four(world: World) -> Iterator[Four]:
    """Four members, registered, and one operator in place of the world's."""
    with four_members(world) as made:
        yield made


@pytest.fixture
def make_fleet_app(four: Four, request: pytest.FixtureRequest) -> Iterator[MakeFleetApp]:
    """Makes apps in all members; nothing of them is made yet."""
    made: list[FleetApp] = []

    def make() -> FleetApp:
        made.append(FleetApp(four, four.world.app()))
        show(request.node, four.world, made[-1])
        return made[-1]

    yield make
    for app in made:
        app.remove()


@pytest.fixture
def app(make_fleet_app: MakeFleetApp) -> FleetApp:
    """One of them."""
    return make_fleet_app()


@pytest.fixture
def workload(four: Four, request: pytest.FixtureRequest) -> Iterator[FleetWorkload]:
    """An app whose pods Sluice runs."""
    made = FleetWorkload(four, four.world.app())
    show(request.node, four.world, made)
    yield made
    made.remove()
