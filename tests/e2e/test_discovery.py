"""Members discovered from ClusterProfiles: by the rights in manifests/cluster-profiles, and no program run.

The hub is its own member here, in each test under another name: what is tested is how it is found, not what is done
there.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.support.fleet import PATH
from e2e.support.waiting import until
from installation import NAMESPACE, PROBERS, ROOT, Operator, install
from sluice.api.names import PROFILE_LABEL, PROFILE_SECRET_LABEL
from sluice.decide.profiles import member_name
from testbed import Cluster

MERGE = "application/merge-patch+json"
CRD = Path(__file__).parent / "support" / "clusterprofiles.yaml"
PROFILES = f"/apis/multicluster.x-k8s.io/v1alpha1/namespaces/{NAMESPACE}/clusterprofiles"
SECRETS = f"/api/v1/namespaces/{NAMESPACE}/secrets"
ARGUMENTS = (
    *("--cluster-profiles", NAMESPACE, "--access-provider", "secretreader", "--profile-grace-seconds", "1"),
    *("--member-probe-seconds", "0.5", "--lease-seconds", "3"),
)


class Inventory:
    """A hub with Sluice, told to follow the ClusterProfiles of the operator's own namespace."""

    def __init__(self, hub: Cluster, operator: Operator) -> None:
        self.hub = hub
        self.operator = operator

    def profile(self, name: str, **status: Any) -> None:
        """Make a profile, as a cluster manager does."""
        metadata = {"name": name, "labels": {"x-k8s.io/cluster-manager": "tests"}}
        body = {
            "apiVersion": "multicluster.x-k8s.io/v1alpha1",
            "kind": "ClusterProfile",
            "metadata": metadata,
            "spec": {"displayName": name, "clusterManager": {"name": "tests"}},
        }
        self.hub.client.checked("POST", PROFILES, body)
        self.tell(name, **status)

    def tell(self, name: str, **status: Any) -> None:
        """Write the status of a profile."""
        self.hub.client.checked("PATCH", f"{PROFILES}/{name}/status", {"status": status}, MERGE)

    def drop(self, name: str) -> None:
        """Delete a profile."""
        self.hub.client.checked("DELETE", f"{PROFILES}/{name}")

    def clear(self) -> None:
        """Delete all profiles, and wait until their members are gone: one cluster is no two members at a time."""
        for profile in self.hub.get(PROFILES)["items"]:
            self.drop(profile["metadata"]["name"])
        until(lambda: not self.hub.get(f"{PATH}?labelSelector={PROFILE_LABEL}")["items"], "members to go")

    def secret(self, name: str, labels: dict[str, str], **data: str) -> None:
        """Make a Secret in the operator's namespace."""
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "labels": labels}, "data": encoded}
        self.hub.client.checked("POST", SECRETS, body)

    def member(self, name: str) -> dict[str, Any] | None:
        """A MemberCluster."""
        status, found = self.hub.request("GET", f"{PATH}/{name}")
        return found if status == 200 else None

    def labels(self, name: str) -> dict[str, str]:
        """The labels of a MemberCluster that is there."""
        found: dict[str, str] = self.hub.get(f"{PATH}/{name}")["metadata"].get("labels", {})
        return found

    def condition(self, name: str, kind: str = "Ready") -> dict[str, str]:
        """A condition of a MemberCluster; empty where there is none."""
        conditions = ((self.member(name) or {}).get("status") or {}).get("conditions", [])
        return next((each for each in conditions if each["type"] == kind), {})

    def wait_ready(self, name: str) -> dict[str, Any]:
        """Wait until a member is ready."""
        until(lambda: self.condition(name).get("status") == "True", f"{name} to be Ready: {self.condition(name)}")
        found = self.member(name)
        assert found is not None
        return found


@pytest.fixture(scope="module")
def inventory(target: str) -> Iterator[Inventory]:
    """The operator is started before ClusterProfiles are served: that is no hindrance to anything."""
    if target != "testbed":
        pytest.skip("needs a hub that is its own member, under an address of its own: run `make e2e`")
    hub = Cluster.start("inventory", users={name: [] for name in PROBERS})
    install(hub)
    hub.kubectl("apply", "--server-side", "-k", str(ROOT / "manifests" / "cluster-profiles"))
    operator = Operator(hub, arguments=ARGUMENTS).start()
    hub.apply(CRD, server_side=True)
    hub.wait(lambda: hub.request("GET", PROFILES)[0] == 200, 60, "ClusterProfiles to be served")
    yield Inventory(hub, operator)
    operator.stop()
    hub.stop()
    hub.client.close()


@pytest.fixture(autouse=True)
def tidy(inventory: Inventory) -> Iterator[None]:
    """Each test begins without profiles: all of theirs lead to the hub."""
    yield
    inventory.clear()


def test_a_kubeconfig_that_was_pushed_makes_a_ready_member(inventory: Inventory, tmp_path: Path) -> None:
    """First it says what is missing; then its labels are the profile's, and its weight is who set it's."""
    inventory.profile("pushed", properties=[{"name": "topology.kubernetes.io/region", "value": "eu-west-1"}])
    until(lambda: inventory.condition("pushed").get("reason") == "SecretMissing", "SecretMissing")
    told = inventory.condition("pushed", "Stalled")["message"]
    assert "create one with the label x-k8s.io/cluster-profile=pushed and a kubeconfig under the key Config" in told
    inventory.hub.kubectl("patch", "mc", "pushed", "--type=merge", "-p", '{"spec":{"weight":20}}')
    kubeconfig = inventory.hub.kubeconfig_for_token("admin-token", tmp_path / "pushed").read_text()
    inventory.secret("anything", {"x-k8s.io/cluster-profile": "pushed"}, Config=kubeconfig)
    member = inventory.wait_ready("pushed")
    assert member["metadata"]["labels"] == {
        "sluice.dev/cluster-profile": "pushed",
        "topology.kubernetes.io/region": "eu-west-1",
        "x-k8s.io/cluster-manager": "tests",
    }
    assert member["spec"] == {"kubeconfigSecretRef": {"name": "anything", "key": "Config"}, "weight": 20}


def test_a_token_goes_to_the_address_in_the_profile(inventory: Inventory) -> None:
    """Server and CA from the access provider that the operator was told to follow; what is in its name is refused."""
    authority = base64.b64encode(inventory.hub.ca_file.read_bytes()).decode()
    cluster = {"server": inventory.hub.server, "certificate-authority-data": authority}
    inventory.secret("lent", {"x-k8s.io/cluster-profile": "lent.by.token"}, token="admin-token")
    inventory.profile("lent.by.token", accessProviders=[{"name": "other", "cluster": cluster}])
    name = member_name("lent.by.token")
    until(lambda: "no address by access provider secretreader" in str(inventory.condition(name)), "SecretMissing")
    unverified = {**cluster, "insecure-skip-tls-verify": True}
    inventory.tell("lent.by.token", accessProviders=[{"name": "secretreader", "cluster": unverified}])
    until(lambda: inventory.condition(name).get("reason") == "KubeconfigRefused", "KubeconfigRefused")
    inventory.tell("lent.by.token", accessProviders=[{"name": "secretreader", "cluster": cluster}])
    inventory.wait_ready(name)
    assert "admin-token" not in inventory.operator.log
    inventory.tell(
        "lent.by.token", accessProviders=None, credentialProviders=[{"name": "secretreader", "cluster": cluster}]
    )
    inventory.wait_ready(name)


def test_tokens_that_open_cluster_management_syncs_are_known(inventory: Inventory) -> None:
    """By the policy for it, also after its syncer set its own labels anew; tokens of other accounts stay unknown."""
    policy = ROOT / "manifests" / "cluster-profiles" / "open-cluster-management.yaml"
    inventory.hub.apply(policy, server_side=True)
    synced = "authentication.open-cluster-management.io/synced-from"
    probe = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "cluster1-sluice", "labels": {synced: "cluster1-sluice"}},
        "data": {"token": base64.b64encode(b"admin-token").decode()},
    }
    until(
        lambda: (
            PROFILE_SECRET_LABEL
            in inventory.hub.client.checked("POST", f"{SECRETS}?dryRun=All", probe)["metadata"]["labels"]
        ),
        "the policy",
    )
    other = {**probe, "metadata": {"name": "cluster1-argocd", "labels": {synced: "cluster1-argocd"}}}
    for body in (probe, other):
        inventory.hub.client.checked("POST", SECRETS, body)
    authority = base64.b64encode(inventory.hub.ca_file.read_bytes()).decode()
    cluster = {"server": inventory.hub.server, "certificate-authority-data": authority}
    exec_extension = {"name": "client.authentication.k8s.io/exec", "extension": {"clusterName": "cluster1"}}
    provider = {"name": "secretreader", "cluster": {**cluster, "extensions": [exec_extension]}}
    inventory.profile("cluster1", accessProviders=[provider])
    assert inventory.wait_ready("cluster1")["spec"]["kubeconfigSecretRef"] == {
        "name": "cluster1-sluice",
        "key": "token",
    }
    rotated = inventory.hub.client.checked("PUT", f"{SECRETS}/cluster1-sluice", probe)
    assert rotated["metadata"]["labels"] == {synced: "cluster1-sluice", PROFILE_SECRET_LABEL: "cluster1"}


def test_members_go_with_their_profiles_and_others_stay(inventory: Inventory) -> None:
    """A label that the profile loses goes from its member; the member goes with the profile, one by hand never."""
    by_hand = {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "MemberCluster",
        "metadata": {"name": "by-hand"},
        "spec": {"kubeconfigSecretRef": {"name": "member-by-hand"}},
    }
    kept = inventory.hub.client.checked("POST", PATH, by_hand)
    inventory.profile("by-hand", properties=[{"name": "env", "value": "prod"}])
    inventory.profile("short", properties=[{"name": "env", "value": "prod"}])
    until(lambda: inventory.member("short"), "the member")
    inventory.tell("short", properties=[])
    until(lambda: "env" not in inventory.labels("short"), "the label to go")
    for name in ("short", "by-hand"):
        inventory.drop(name)
    until(lambda: inventory.member("short") is None, "the member to go")
    found = inventory.member("by-hand")
    assert found is not None
    assert (found["metadata"]["uid"], found["spec"]) == (kept["metadata"]["uid"], kept["spec"])
    assert "labels" not in found["metadata"]
