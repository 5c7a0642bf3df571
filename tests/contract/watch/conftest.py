"""Watches are only the real API server's: the sim has none to connect to."""

from collections.abc import AsyncIterator

import pytest

from contract.cluster.worlds import World, apiserver_world


@pytest.fixture
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """A cluster behind the port."""
    async with apiserver_world(request.getfixturevalue("hub")) as made:
        yield made
