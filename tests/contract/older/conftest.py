"""An API server that is as one before Kubernetes 1.36, with what manifests/before-1.36 installs there."""

from collections.abc import Iterator

import pytest

from contract.conftest import CRDS, MANIFESTS, USERS
from contract.crds.conftest import grant, namespace, shop, user
from contract.policies import wait_for_policies
from testbed import Cluster

__all__ = ["grant", "namespace", "shop", "user"]

OLDEST = "1.33"  # that this kube-apiserver can be; it judges CEL as that one did


@pytest.fixture(scope="session")
def installed(target: str) -> Iterator[Cluster]:
    """Such a server."""
    if target != "testbed":
        pytest.skip("needs the testbed: run `make contract`")
    audit = MANIFESTS / "apiserver" / "audit-policy.yaml"
    cluster = Cluster.start("older", controllers=False, users=USERS, audit=audit, emulates=OLDEST)
    cluster.kubectl("apply", "--server-side", "-k", str(MANIFESTS / "before-1.36"))
    cluster.wait(
        lambda: (
            len(cluster.kubectl("api-resources", "--api-group=sluice.dev", "--no-headers").splitlines())
            == len(list(CRDS.glob("*.yaml")))
        ),
        120,
        "discovery of Sluice's kinds",
    )
    wait_for_policies(cluster, stamps=False)
    yield cluster
    cluster.stop()
