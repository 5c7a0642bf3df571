"""`sluice clusters`: what is made where, said as it is done, and undone."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import yaml

from sluice.api.kubeconfig import parse_kubeconfig
from sluice.api.names import Kind
from sluice.decide.rights import RIGHTS
from sluice.ports import Obj
from sluice.sim.clock import VirtualClock
from sluice.sim.cluster import FakeCluster
from sluice.sim.store import Change
from unit.cli.conftest import FakeSession, Shell, stamp

TOKEN = "token-of-the-member"
KINDS = ("memberrollouts.sluice.dev", "memberrolloutruns.sluice.dev")
ADD = "clusters add pilot --kubeconfig pilot.yaml"


SPEC = {"group": "sluice.dev", "scope": "Namespaced", "versions": [{"name": "v1alpha1"}]}
ESTABLISHED = {"type": "Established", "status": "True"}


@pytest.fixture
def member(shell: Shell) -> FakeCluster:
    """A second cluster that serves new kinds and fills tokens; the hub has Sluice's kinds and namespace."""
    clock = VirtualClock()
    cluster = FakeCluster(clock)

    def fill(change: Change) -> None:
        if change.kind is Kind.SECRET and change.type == "ADDED":
            name = change.after["metadata"]["name"]
            data = {"token": base64.b64encode(f"{TOKEN}-{name[-5:]}".encode()).decode()}
            cluster.store.merge(Kind.SECRET, "sluice-system", name, {"data": data}, subresource="", manager="kcm")
        if change.kind is Kind.CUSTOM_RESOURCE_DEFINITION and change.type == "ADDED":
            name, served = change.after["metadata"]["name"], {"status": {"conditions": [ESTABLISHED]}}
            cluster.store.merge(change.kind, "", name, served, subresource="status", manager="apiserver")

    cluster.on_change.append(fill)
    shell.others["pilot.yaml"] = FakeSession(cluster, clock, server="https://pilot.example:6443")
    shell.add(Kind.NAMESPACE, {"metadata": {"name": "sluice-system"}})
    for name in KINDS:
        labels = {"app.kubernetes.io/part-of": "sluice", "app.kubernetes.io/managed-by": "Helm"}
        metadata = {"name": name, "labels": labels, "annotations": {"long": "story"}}
        body = {"metadata": metadata, "spec": SPEC, "status": {"conditions": [ESTABLISHED], "storedVersions": ["v1"]}}
        shell.add(Kind.CUSTOM_RESOURCE_DEFINITION, body)
    return cluster


def kubeconfig_of(shell: Shell) -> Any:
    """What the operator is given."""
    secret = shell.cluster.store.get(Kind.SECRET, "sluice-system", "member-pilot")
    assert secret["metadata"]["labels"] == {"sluice.dev/member-cluster": "pilot"}
    return parse_kubeconfig(base64.b64decode(secret["data"]["kubeconfig"]).decode())


def labels_of(shell: Shell) -> Obj:
    """Of the MemberCluster."""
    found: Obj = shell.cluster.store.get(Kind.MEMBER_CLUSTER, "", "pilot")["metadata"]["labels"]
    return found


def tokens(member: FakeCluster) -> list[str]:
    """The token Secrets in the member."""
    return [each["metadata"]["name"] for each in member.store.all(Kind.SECRET)]


def test_add(shell: Shell, member: FakeCluster) -> None:
    """The account there, the Secret and the MemberCluster here, each said; the token is in no output."""
    done = shell(f"{ADD} --label env=prod --label tier=pilot --no-wait")
    assert done.exit_code == 0, done.output
    told = done.stdout.splitlines()
    assert told[:2] == [f"member: CustomResourceDefinition {name} created" for name in KINDS]
    told = told[2:]
    assert told[0] == "member: Namespace sluice-system created"
    assert told[1:4] == [
        "member: ServiceAccount sluice-system/sluice-member created",
        "member: ClusterRole sluice-member created",
        "member: ClusterRoleBinding sluice-member created",
    ]
    assert "its token does not expire; deleting the Secret revokes it" in told[4]
    assert told[5:7] == ["hub: Secret sluice-system/member-pilot created", "hub: MemberCluster pilot created"]
    assert TOKEN not in done.output
    found = kubeconfig_of(shell)
    assert (found.server, found.token[:19]) == ("https://pilot.example:6443", TOKEN)
    assert found.authorities == shell.others["pilot.yaml"].authorities
    assert labels_of(shell) == {"env": "prod", "tier": "pilot"}
    rules = member.store.get(Kind.CLUSTER_ROLE, "", "sluice-member")["rules"]
    assert sum(len(rule["verbs"]) for rule in rules if "resources" in rule) == len(RIGHTS)


def test_add_again_changes_nothing(shell: Shell, member: FakeCluster) -> None:
    """Idempotent: the same token, and labels that others set stay."""
    shell(f"{ADD} --label env=prod --no-wait")
    before = kubeconfig_of(shell)
    more = {"metadata": {"labels": {"team": "payments"}}}
    shell.cluster.store.merge(Kind.MEMBER_CLUSTER, "", "pilot", more, subresource="", manager="kubectl")
    done = shell(f"{ADD} --label env=prod --no-wait")
    assert done.exit_code == 0
    assert all("unchanged" in line for line in done.stdout.splitlines()[:-1]), done.stdout
    assert kubeconfig_of(shell) == before
    assert labels_of(shell) == {"env": "prod", "team": "payments"}


def test_add_mends_a_role_that_lost_rights(shell: Shell, member: FakeCluster) -> None:
    """What is missing is given again, and that is said."""
    shell(f"{ADD} --no-wait")
    member.store.merge(Kind.CLUSTER_ROLE, "", "sluice-member", {"rules": []}, subresource="", manager="kubectl")
    done = shell(f"{ADD} --no-wait")
    assert "member: ClusterRole sluice-member updated" in done.stdout
    assert member.store.get(Kind.CLUSTER_ROLE, "", "sluice-member")["rules"]


def test_rotate(shell: Shell, member: FakeCluster) -> None:
    """A new token is in use before the old one is deleted."""
    shell(f"{ADD} --no-wait")
    [old], before = tokens(member), kubeconfig_of(shell).token
    done = shell(f"{ADD} --rotate-token --no-wait")
    assert done.exit_code == 0, done.output
    assert kubeconfig_of(shell).token != before
    assert old not in tokens(member)
    assert len(tokens(member)) == 1
    assert done.stdout.splitlines()[-2] == f"member: Secret sluice-system/{old} deleted (the token before)"


def test_dry_run_writes_nothing(shell: Shell, member: FakeCluster) -> None:
    """Every object is printed as a manifest, with a placeholder for the token; nothing is there afterwards."""
    done = shell(f"{ADD} --label env=prod --dry-run")
    assert done.exit_code == 0, done.output
    printed = list(yaml.safe_load_all(done.stdout))
    assert [each["kind"] for each in printed] == [
        *("CustomResourceDefinition", "CustomResourceDefinition"),
        *("Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Secret", "Secret", "MemberCluster"),
    ]
    assert printed[-1]["metadata"] == {"name": "pilot", "labels": {"env": "prod"}}
    assert printed[0]["metadata"] == {"name": KINDS[0], "labels": {"app.kubernetes.io/part-of": "sluice"}}
    assert printed[0]["spec"] == SPEC
    assert not list(shell.cluster.store.all(Kind.MEMBER_CLUSTER))
    assert not list(member.store.all(Kind.CUSTOM_RESOURCE_DEFINITION))
    assert not tokens(member)


def test_add_brings_kinds_up_to_the_hubs(shell: Shell, member: FakeCluster) -> None:
    """After an upgrade of the hub: what differs is updated, and nothing of the hub's own comes along."""
    shell(f"{ADD} --no-wait")
    newer = {"spec": {"versions": [{"name": "v1alpha1"}, {"name": "v1"}]}}
    shell.cluster.store.merge(
        Kind.CUSTOM_RESOURCE_DEFINITION, "", KINDS[0], newer, subresource="", manager="kubectl-apply"
    )
    done = shell(f"{ADD} --no-wait")
    assert done.stdout.splitlines()[:2] == [
        f"member: CustomResourceDefinition {KINDS[0]} updated",
        f"member: CustomResourceDefinition {KINDS[1]} unchanged",
    ]
    there = member.store.get(Kind.CUSTOM_RESOURCE_DEFINITION, "", KINDS[0])
    assert there["spec"] == {**SPEC, **newer["spec"]}
    assert "annotations" not in there["metadata"]


def test_add_from_a_hub_without_the_kinds(shell: Shell, member: FakeCluster) -> None:
    """A hub whose Sluice is older than this program: nothing is written, and what to do is said."""
    shell.cluster.store.delete(Kind.CUSTOM_RESOURCE_DEFINITION, "", KINDS[1], uid=None, manager="kubectl")
    done = shell(ADD)
    assert done.exit_code == 3
    assert f"The hub has no CustomResourceDefinition {KINDS[1]}" in done.stderr
    assert "manifests/base" in done.stderr
    assert not list(member.store.all(Kind.CUSTOM_RESOURCE_DEFINITION))


def test_add_where_a_kind_is_not_served(shell: Shell, member: FakeCluster) -> None:
    """An API server that does not take a kind up: said, with where to look, before there is any account."""
    member.on_change.clear()
    done = shell(f"{ADD} --no-wait")
    assert done.exit_code != 0
    assert f"CustomResourceDefinition {KINDS[0]} in the member is not served after" in done.stderr
    assert f"kubectl get crd {KINDS[0]} -o yaml" in done.stderr
    assert not list(member.store.all(Kind.SERVICE_ACCOUNT))


def test_weight_and_prometheus(shell: Shell, member: FakeCluster) -> None:
    """Set where they are given, left as they are where they are not."""

    def spec() -> Obj:
        found: Obj = shell.cluster.store.get(Kind.MEMBER_CLUSTER, "", "pilot")["spec"]
        return found

    shell(f"{ADD} --no-wait")
    assert spec() == {"kubeconfigSecretRef": {"name": "member-pilot"}}
    shell(f"{ADD} --weight 20000 --prometheus https://prometheus.pilot.example/eu --no-wait")
    wanted = {"weight": 20000, "prometheus": {"address": "https://prometheus.pilot.example/eu"}}
    assert spec() == {"kubeconfigSecretRef": {"name": "member-pilot"}, **wanted}
    shell(f"{ADD} --no-wait")
    assert spec() == {"kubeconfigSecretRef": {"name": "member-pilot"}, **wanted}
    page = shell("clusters check pilot").stdout
    assert "Weight:     20000\nPrometheus: https://prometheus.pilot.example/eu\n" in page


def test_allowed_namespaces(shell: Shell, member: FakeCluster) -> None:
    """Named one by one, each once; what is not given stays; and `check` shows them."""

    def allowed() -> object:
        return shell.cluster.store.get(Kind.MEMBER_CLUSTER, "", "pilot")["spec"].get("allowedNamespaces")

    shell(f"{ADD} --no-wait")
    assert allowed() is None
    shell(f"{ADD} --allow-namespace shop --allow-namespace web --allow-namespace shop --no-wait")
    assert allowed() == {"names": ["shop", "web"]}
    shell(f"{ADD} --no-wait")
    assert allowed() == {"names": ["shop", "web"]}
    assert "Namespaces: shop, web\n" in shell("clusters check pilot").stdout


@pytest.mark.parametrize(
    "server, told",
    [("http://pilot.example", "begins with http://"), ("https://169.254.169.254", "a link-local address")],
)
def test_what_the_operator_would_refuse_is_refused_at_once(
    shell: Shell, member: FakeCluster, server: str, told: str
) -> None:
    """Nothing is written anywhere, and the message says what to do."""
    done = shell(f"{ADD} --server {server}")
    assert done.exit_code == 1
    assert told in done.stderr
    assert member.store.peek(Kind.NAMESPACE, "", "sluice-system") is None


def test_a_secret_of_somebody_elses_is_left_alone(shell: Shell, member: FakeCluster) -> None:
    """A Secret with that name, but without the label, is not written over; nothing is made in the member."""
    shell.add(Kind.SECRET, {"metadata": {"name": "member-pilot", "namespace": "sluice-system"}, "data": {}})
    done = shell(ADD)
    assert done.exit_code == 1
    assert "has no label sluice.dev/member-cluster: it is left alone" in done.stderr
    assert not tokens(member)


def test_add_waits_for_the_operators_word(shell: Shell, member: FakeCluster) -> None:
    """Without one within --timeout: registered, not ready, exit code 4, and where to look."""
    done = shell(f"{ADD} --timeout 2")
    assert done.exit_code == 4
    assert "MemberCluster pilot is registered, but not ready" in done.stderr
    assert "sluice clusters check pilot" in done.stderr


@pytest.mark.parametrize(
    "line, told",
    [
        ("clusters add a.b --kubeconfig f", "is no name for a member"),
        (f"{ADD} --label nonsense", "is no label"),
        (f"{ADD} --weight 0", "not in the range"),
        (f"{ADD} --prometheus https://user:secret@prometheus.example", "is no address"),
        (f"{ADD} --allow-namespace Shop", "is no name of a namespace"),
        ("clusters add pilot", "--kubeconfig"),
        ("clusters remove pilot", "--keep-member-objects"),
        ("clusters remove pilot --kubeconfig f --keep-member-objects", "--keep-member-objects"),
    ],
)
def test_wrong_usage(shell: Shell, line: str, told: str) -> None:
    """Said before anything is sent."""
    done = shell(line)
    assert done.exit_code == 2
    assert told in done.stderr
    assert shell.asked is None


def test_remove(shell: Shell, member: FakeCluster) -> None:
    """All that add made is gone but the member's namespace and kinds, which is said; a second time nothing is there."""
    shell(f"{ADD} --no-wait")
    done = shell("clusters remove pilot --kubeconfig pilot.yaml")
    assert done.exit_code == 0, done.output
    assert "member: Namespace sluice-system left as it is (something else may be in it)" in done.stdout
    for name in KINDS:
        left = "left as it is (with it would go what rollouts left there)"
        assert f"member: CustomResourceDefinition {name} {left}" in done.stdout
    assert not tokens(member)
    for kind in (Kind.SERVICE_ACCOUNT, Kind.CLUSTER_ROLE, Kind.CLUSTER_ROLE_BINDING):
        assert not list(member.store.all(kind))
    for kind in (Kind.MEMBER_CLUSTER, Kind.SECRET):
        assert not list(shell.cluster.store.all(kind))
    again = shell("clusters remove pilot --kubeconfig pilot.yaml")
    assert again.exit_code == 0
    assert "hub: MemberCluster pilot not there" in again.stdout


def test_remove_and_keep(shell: Shell, member: FakeCluster) -> None:
    """Where the member is gone: only the hub is tidied, and what is left is said."""
    shell(f"{ADD} --no-wait")
    done = shell("clusters remove pilot --keep-member-objects")
    assert done.exit_code == 0
    assert "is still there: its token is good until it is deleted" in done.stdout
    assert len(tokens(member)) == 1


def status_of(ready: str, authorized: str, reason: str, **more: object) -> Obj:
    """A status with these conditions."""
    conditions = [
        {"type": kind, "status": status, "reason": reason, "message": "words", "lastTransitionTime": stamp(-90)}
        for kind, status in (("Reachable", "True"), ("Authorized", authorized), ("Ready", ready))
    ]
    return {"server": "pilot.example:6443", "version": "v1.36.3", "conditions": conditions, **more}


def seed(shell: Shell, name: str, status: Obj, **labels: str) -> None:
    """A MemberCluster with a status."""
    body = {
        "metadata": {"name": name, "labels": labels},
        "spec": {"kubeconfigSecretRef": {"name": f"member-{name}"}},
        "status": status,
    }
    shell.add(Kind.MEMBER_CLUSTER, body)


def test_list(shell: Shell) -> None:
    """A line each, by name; labels choose; no members is no error."""
    assert shell("clusters list").stderr == "No member clusters.\n"
    seed(shell, "two", status_of("False", "False", "RightsMissing"), env="test")
    seed(shell, "one", status_of("True", "True", "MemberReady"), env="prod")
    lines = [line.split() for line in shell("clusters list").stdout.splitlines()]
    assert lines[0] == ["NAME", "READY", "REASON", "VERSION", "WEIGHT", "SERVER", "SINCE", "AGE"]
    assert lines[1][:7] == ["one", "True", "MemberReady", "v1.36.3", "1", "pilot.example:6443", "1m30s"]
    assert [line[0] for line in lines[1:]] == ["one", "two"]
    assert "env=prod" in shell("clusters list -l env=prod -o wide").stdout
    assert shell("clusters list -l env=prod -o name").stdout == "membercluster.sluice.dev/one\n"


def test_check_shows_each_right(shell: Shell) -> None:
    """Yes and no for each; exit code 1 with the reason, because it is not ready."""
    seed(shell, "one", status_of("False", "False", "RightsMissing", missingRights=["patch pods"]))
    done = shell("clusters check one")
    assert done.exit_code == 1
    assert done.stderr == "Error: MemberCluster one is not ready: words\n"
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["pods", "patch", "no"] in lines
    assert ["pods", "list", "yes"] in lines
    assert ["Authorized", "False", "RightsMissing", "1m30s", "words"] in lines


def test_check_of_a_ready_member(shell: Shell) -> None:
    """Exit code 0, and yes everywhere."""
    seed(shell, "one", status_of("True", "True", "MemberReady"))
    done = shell("clusters check one")
    assert done.exit_code == 0
    assert " no\n" not in done.stdout
    assert "?" not in done.stdout


def test_check_where_nothing_could_be_asked(shell: Shell) -> None:
    """What is not known is not claimed."""
    seed(shell, "one", status_of("False", "Unknown", "NoAnswer", lastSeenAt=stamp(-300)))
    done = shell("clusters check one")
    assert ["pods", "patch", "?"] in [line.split() for line in done.stdout.splitlines()]
    assert "Last seen:  5m ago" in done.stdout


def test_check_of_no_member(shell: Shell) -> None:
    """Not found, with where to look."""
    done = shell("clusters check nobody")
    assert done.exit_code == 3
    assert "sluice clusters list" in done.stderr
