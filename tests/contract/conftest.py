"""The API server that contract tests share: one control plane, bare (`hub`) and with Sluice in it (`installed`)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.cluster.worlds import IN_MEMBERS, OPERATOR
from contract.policies import wait_for_policies
from testbed import Cluster

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "manifests"
CRDS = ROOT / "crds"

# Users without rights; a test binds what it needs, in a namespace of its own. (frank gets rights everywhere.)
USERS: dict[str, list[str]] = {name: [] for name in ("alice", "bob", "carol", "dave", "erin", "frank", "mallory")}
USERS |= {name: ["release-managers"] for name in ("grace", "heidi")}
USERS[OPERATOR] = USERS[IN_MEMBERS] = ["system:masters"]


@pytest.fixture(scope="session")
def hub(target: str) -> Iterator[Cluster]:
    """A control plane without anything of Sluice's. Tests keep to namespaces of their own."""
    if target != "testbed":
        pytest.skip("needs the testbed: run `make contract`")
    cluster = Cluster.start("hub", users=USERS, audit=MANIFESTS / "apiserver" / "audit-policy.yaml")
    yield cluster
    cluster.stop()


@pytest.fixture(scope="session")
def installed(hub: Cluster) -> Cluster:
    """The hub with CRDs, roles and admission policies, as manifests/base installs them, and all of it in force.

    The operator's Deployment is there too, but its pods never run: the hub has no nodes.
    """
    hub.kubectl("apply", "--server-side", "-k", str(MANIFESTS / "base"))
    hub.kubectl(
        "wait", "--for=condition=Established", "crd", "-l", "app.kubernetes.io/part-of=sluice", "--timeout=120s"
    )
    hub.wait(lambda: _kinds_known_to_kubectl(hub) == len(list(CRDS.glob("*.yaml"))), 120, "discovery of Sluice's kinds")
    wait_for_policies(hub)
    return hub


def _kinds_known_to_kubectl(hub: Cluster) -> int:
    """Also renews kubectl's cache of what there is, which would hide the new kinds from `kubectl get sluice`."""
    return len(hub.kubectl("api-resources", "--api-group=sluice.dev", "--no-headers").splitlines())
