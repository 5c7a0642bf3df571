"""Fixtures for tiers on a real cluster. A tier's conftest.py imports all of them by name, and the hook."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import TypeAlias

import pytest

from e2e.support.app import App
from e2e.support.workload import Workload
from e2e.support.world import World
from e2e.support.world import world as start_world

MakeApp: TypeAlias = Callable[..., App]
_apps = pytest.StashKey[list[App]]()
_world = pytest.StashKey[World]()


@pytest.fixture(scope="session")
def world(target: str) -> Iterator[World]:
    """One hub with traffic and Sluice installed, for the whole session. Tests use names of their own in it."""
    if target != "testbed":
        pytest.skip("needs the testbed, whose pods, proxy and Prometheus are real processes: run `make e2e`")
    with start_world() as started:
        yield started


@pytest.fixture
def make_app(world: World, request: pytest.FixtureRequest) -> Iterator[MakeApp]:
    """Makes apps that nobody else knows; their objects are shown where the test fails, and removed at its end."""
    made: list[App] = []
    request.node.stash[_apps] = made
    request.node.stash[_world] = world

    def make(name: str = "checkout") -> App:
        made.append(world.app(name))
        return made[-1]

    yield make
    for app in made:
        app.remove()


@pytest.fixture
def app(make_app: MakeApp) -> App:
    """One app, not yet deployed."""
    return make_app()


@pytest.fixture
def workload(world: World, request: pytest.FixtureRequest) -> Iterator[Workload]:
    """One app whose pods Sluice runs; nothing of it is made yet."""
    made = world.workload()
    show(request.node, world, made)
    yield made
    made.remove()


def show(node: pytest.Item, world: World, *apps: App) -> None:
    """Let a failing test show these apps too, which are not made by `make_app`."""
    shown = node.stash.setdefault(_apps, [])
    shown += [app for app in apps if app not in shown]
    node.stash[_world] = world


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show a failed test's objects and what the operator said about them."""
    report = yield
    if report.failed and report.when == "call" and _world in item.stash:
        for app in item.stash[_apps]:
            report.sections.append((f"Objects of {app}", app.dump()))
            report.sections.append((f"The operators on {app}", item.stash[_world].log_about(app)))
    return report
