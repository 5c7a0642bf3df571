"""MemberClusters on a real API server: what it shows, whose Secret may be named, and what the manifests give for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from contract.crds.people import refused
from contract.crds.resources import collection
from contract.crds.rights import await_right, may
from sluice.decide.rights import RIGHTS, role_rules
from testbed import Cluster

pytestmark = pytest.mark.cluster

HOME = "sluice-system"
MERGE = "application/merge-patch+json"
MEMBERS = collection("MemberCluster", "")


def member(name: str, secret: str) -> dict[str, Any]:
    """A MemberCluster by a Secret."""
    spec = {"kubeconfigSecretRef": {"name": secret}}
    return {"apiVersion": "sluice.dev/v1alpha1", "kind": "MemberCluster", "metadata": {"name": name}, "spec": spec}


@pytest.fixture
def registrar(installed: Cluster) -> Iterator[str]:
    """The token of a user who may write MemberClusters, and read one Secret."""
    role = ("create", "clusterrolebinding", "frank-registers", "--clusterrole=sluice-cluster-registrar", "--user=frank")
    installed.kubectl(*role)
    one = ("create", "role", "one", "--verb=get", "--resource=secrets", "--resource-name=member-one")
    installed.kubectl("-n", HOME, *one)
    installed.kubectl("-n", HOME, "create", "rolebinding", "one", "--role=one", "--user=frank")
    await_right(installed, "frank", "create", "memberclusters.sluice.dev")
    await_right(installed, "frank", "get", "secrets", namespace=HOME, name="member-one")
    yield installed.user_token("frank")
    installed.kubectl("delete", "clusterrolebinding", "frank-registers")
    installed.kubectl("-n", HOME, "delete", "rolebinding", "one")
    installed.kubectl("-n", HOME, "delete", "role", "one")
    for name in ("one", "two"):
        installed.request("DELETE", f"{MEMBERS}/{name}")


def test_only_who_may_read_the_secret_names_it(installed: Cluster, registrar: str) -> None:
    """To register, to point elsewhere and to relabel: each lends the credentials in the Secret."""
    told = f"frank may not use Secret {HOME}/member-two through a MemberCluster: it needs get on it"
    refused(installed.request("POST", MEMBERS, member("two", "member-two"), token=registrar), 403, told)
    assert installed.request("POST", MEMBERS, member("one", "member-one"), token=registrar)[0] == 201
    elsewhere = {"spec": {"kubeconfigSecretRef": {"name": "member-two"}}}
    refused(installed.request("PATCH", f"{MEMBERS}/one", elsewhere, MERGE, token=registrar), 403, told)
    installed.client.checked("POST", MEMBERS, member("two", "member-two"))
    relabel = {"metadata": {"labels": {"env": "prod"}}}
    refused(installed.request("PATCH", f"{MEMBERS}/two", relabel, MERGE, token=registrar), 403, told)
    assert installed.request("PATCH", f"{MEMBERS}/one", relabel, MERGE, token=registrar)[0] == 200


@pytest.mark.usefixtures("registrar")
@pytest.mark.parametrize(
    "allowed, told",
    [
        ({}, "say which: names, or a selector"),
        ({"names": []}, "should have at least 1 items"),
        ({"selector": {"matchExpressions": [{"key": "team", "operator": "In"}]}}, "In and NotIn need values"),
        ({"names": ["shop"]}, ""),
        ({"selector": {"matchLabels": {"team": "shop"}}}, ""),
    ],
)
def test_allowed_namespaces_say_which(installed: Cluster, allowed: dict[str, Any], told: str) -> None:
    """Leaving all of it out allows all; a list of none is a slip."""
    wanted = member("one", "member-one")
    wanted["spec"]["allowedNamespaces"] = allowed
    answer = installed.request("POST", f"{MEMBERS}?dryRun=All", wanted)
    if told:
        refused(answer, 422, told)
    else:
        assert answer[0] == 201


@pytest.mark.usefixtures("registrar")
def test_a_registrar_reads_the_kinds_that_members_get(installed: Cluster) -> None:
    """Those two definitions and no other, to install them there as they are here; none is written."""
    definitions = "customresourcedefinitions.apiextensions.k8s.io"
    for name in ("memberrollouts.sluice.dev", "memberrolloutruns.sluice.dev"):
        assert may(installed, "frank", "get", definitions, name=name)
        assert not may(installed, "frank", "patch", definitions, name=name)
    assert not may(installed, "frank", "get", definitions, name="rollouts.sluice.dev")


def test_what_is_not_said(installed: Cluster) -> None:
    """The key is `kubeconfig`, as `sluice clusters add` and kubectl's habits have it; it stands for one of its kind."""
    kept = installed.client.checked("POST", f"{MEMBERS}?dryRun=All", member("one", "member-one"))
    assert kept["spec"] == {"kubeconfigSecretRef": {"name": "member-one", "key": "kubeconfig"}, "weight": 1}


def test_the_role_of_a_member_is_a_valid_one(installed: Cluster) -> None:
    """The ClusterRole that `sluice clusters add` makes gives its account every right that the operator asks for."""
    name = "sluice-member"
    body = {"metadata": {"name": name}, "rules": role_rules()}
    path = "/apis/rbac.authorization.k8s.io/v1"
    installed.client.checked("POST", f"{path}/clusterroles?fieldValidation=Strict", body)
    installed.kubectl("create", "clusterrolebinding", name, f"--clusterrole={name}", "--user=erin")
    try:
        await_right(installed, "erin", "get", "pods")
        for right in RIGHTS:
            await_right(installed, "erin", right.verb, str(right).partition(" ")[2])
    finally:
        installed.kubectl("delete", "clusterrolebinding", name)
        installed.kubectl("delete", "clusterrole", name)
