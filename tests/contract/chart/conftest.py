"""Helm, without a cluster and on one."""

from collections.abc import Iterator

import pytest

from helm import Helm
from installation import PROBERS
from testbed import Cluster


@pytest.fixture(scope="session")
def helm(target: str, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Without a cluster."""
    if target != "testbed":
        pytest.skip("needs the testbed's Helm: run `make contract`")
    return Helm(tmp_path_factory.mktemp("helm"))


@pytest.fixture
def bare(helm: Helm) -> Iterator[Cluster]:
    """A control plane of the test's own, without anything of Sluice's."""
    cluster = Cluster.start("chart", users={name: [] for name in PROBERS})
    yield cluster
    cluster.stop()


@pytest.fixture
def on(bare: Cluster) -> Helm:
    """Helm, with that cluster."""
    return Helm(bare.folder / "helm", bare.kubeconfig)
