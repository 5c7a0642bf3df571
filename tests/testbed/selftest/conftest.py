"""One testbed for all its own tests: ``python -m testbed run -- pytest tests/testbed/selftest``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from testbed import DataPlane, Testbed, apps

SHOP = "shop.example"


@pytest.fixture(scope="session")
def testbed() -> Iterator[Testbed]:
    """A hub with a data plane, and a member."""
    with Testbed(clusters=2, data_plane=True, users={"alice": ["release-managers"]}) as started:
        yield started


@pytest.fixture(scope="session")
def plane(testbed: Testbed) -> DataPlane:
    """The hub's data plane, with a shop of two versions on it."""
    testbed.hub.apply(apps.two_slots("shop", "checkout", SHOP))
    testbed.data_plane.wait_weights(SHOP, {"checkout-blue": 100})
    for slot in apps.SLOTS:
        testbed.data_plane.wait_endpoints("shop", f"checkout-{slot}", 2)
    return testbed.data_plane
