"""Runs the suite on the sim's cluster and on a real API server."""

from collections.abc import AsyncIterator

import pytest

from contract.cluster.worlds import BOTH, World, world_over


@pytest.fixture(params=BOTH)
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """A cluster behind the port."""
    async with world_over(request, "hub") as made:
        yield made
