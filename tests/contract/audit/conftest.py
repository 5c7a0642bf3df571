"""Runs the suite on the sim's cluster and on a real API server that has the CRD."""

from collections.abc import AsyncIterator

import pytest

from contract.cluster.worlds import World, apiserver_world, sim_world


@pytest.fixture(params=["sim", pytest.param("apiserver", marks=pytest.mark.cluster)])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """A cluster behind the port."""
    if request.param == "sim":
        async with sim_world() as made:
            yield made
    else:
        async with apiserver_world(request.getfixturevalue("installed")) as made:
            yield made
