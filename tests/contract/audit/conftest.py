"""Runs the suite on the sim's cluster and on a real API server that has the CRD."""

from collections.abc import AsyncIterator

import pytest

from contract.cluster.worlds import BOTH, World, world_over


@pytest.fixture(params=BOTH)
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """A cluster behind the port."""
    async with world_over(request, "installed") as made:
        yield made
