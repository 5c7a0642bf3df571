"""Sluice on a cluster without a data plane: the testbed's hub, or kind. What needs no traffic runs on both."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from installation import PROBERS, Operator, install
from kind import KindCluster, KindUnavailable
from testbed.access import Access

NEEDS = {
    "data-plane": "needs Gateway, Envoy, Prometheus and pods that answer, which only the testbed has: run `make e2e`"
}


@pytest.fixture(scope="session")
def plain(request: pytest.FixtureRequest, target: str) -> Iterator[Access]:
    """A cluster where Sluice is installed and one operator or more run."""
    if target == "testbed":
        yield request.getfixturevalue("world").hub
        return
    option = request.config.getoption
    try:
        cluster = KindCluster.start(
            f"sluice-{os.getpid()}",
            {name: [] for name in PROBERS},
            image=option("kind_image"),
            kind=option("kind_bin"),
            kubectl=option("kind_kubectl_bin"),
        )
    except KindUnavailable as missing:
        pytest.fail(f"--target=kind was asked for, but {missing}", pytrace=False)
    try:
        install(cluster)
        operator = Operator(cluster).start()
        yield cluster
        operator.stop()
    finally:
        if not option("keep_cluster"):
            cluster.stop()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what the target cannot carry: on kind, every test that asks for the world with traffic."""
    if config.getoption("target") != "kind":
        return
    for item in items:
        needs = {mark.args[0] for mark in item.iter_markers("needs")}
        fixtures = getattr(item, "fixturenames", ())
        if "world" in fixtures and "plain" not in fixtures:
            needs.add("data-plane")
        for need in needs:
            item.add_marker(pytest.mark.skip(reason=NEEDS[need]))
