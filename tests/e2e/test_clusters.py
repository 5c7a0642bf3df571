"""Member clusters: registered by the command line, looked at by the operator, and never in the hub's way."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
import yaml

from contract.crds.rights import await_right
from e2e.support.fixtures import MakeApp
from e2e.support.fleet import PATH, Fleet, fleet, rubbish_server
from e2e.support.manifests import canary, pause, weight
from e2e.support.waiting import until
from e2e.support.world import World
from sluice.api.names import Kind
from testbed import Cluster

MERGE = "application/merge-patch+json"
ROLE = "/apis/rbac.authorization.k8s.io/v1/clusterroles/sluice-member"


@pytest.fixture(scope="module")
def two(world: World) -> Iterator[Fleet]:
    """Two members, both registered by `sluice clusters add`."""
    with fleet(world) as made:
        for number, member in enumerate(made.members, 1):
            made.add(member, "--label", f"tier=t{number}")
        yield made


@pytest.fixture
def ready(two: Fleet) -> Fleet:
    """Both are ready when a test begins."""
    for member in two.members:
        two.wait_ready(member.name)
    return two


def test_both_are_ready_and_told_at_a_glance(ready: Fleet) -> None:
    """`kubectl get mc` and `sluice clusters list` show them; no credential is in a status or a log."""
    shown = [line.split() for line in ready.hub.kubectl("get", "mc").splitlines()]
    assert shown[0] == ["NAME", "READY", "REASON", "VERSION", "WEIGHT", "SERVER", "SINCE", "AGE"]
    for member, line in zip(ready.members, shown[1:], strict=True):
        assert line[:3] == [member.name, "True", "MemberReady"]
        assert line[3].startswith("v1.")
        assert line[4] == "1"
        assert line[5] == member.server.removeprefix("https://")
        token = yaml.safe_load(ready.secret(member.name))["users"][0]["user"]["token"]
        assert token not in json.dumps(ready.get(member.name))
        assert all(token not in operator.log for operator in ready.world.operators)
    listed = ready.clusters("list", "-l", "tier=t2", "-o", "wide").out
    assert "member-2" in listed
    assert "member-1" not in listed
    assert ready.told("member-1") == {
        "Reachable": "True Answers",
        "Authorized": "True RightsGranted",
        "Ready": "True MemberReady",
    }
    assert 'sluice_member_clusters{state="Ready"} 2.0' in ready.world.replica().http("/metrics")


def test_a_quiet_fleet_writes_nothing(ready: Fleet) -> None:
    """Probes go on, rights are asked for again, and not one status is written."""
    before = [ready.get(member.name)["metadata"]["resourceVersion"] for member in ready.members]
    ready.wait_probes(30)
    assert [ready.get(member.name)["metadata"]["resourceVersion"] for member in ready.members] == before


def test_adding_again_changes_nothing(ready: Fleet) -> None:
    """The second `add` says so of every object."""
    done = ready.add(ready.members[0])
    assert [line for line in done.out.splitlines()[:-1] if not line.endswith("unchanged")] == []
    assert "is ready" in done.out


def test_the_account_may_do_what_it_needs_and_nothing_else(ready: Fleet) -> None:
    """With the token in the hub: Deployments yes, Secrets and roles no."""
    member = ready.members[0]
    token = yaml.safe_load(ready.secret(member.name))["users"][0]["user"]["token"]
    for path, status in (
        ("/apis/apps/v1/deployments", 200),
        ("/api/v1/secrets", 403),
        ("/api/v1/configmaps", 403),
        ("/apis/rbac.authorization.k8s.io/v1/clusterroles", 403),
    ):
        assert member.request("GET", path, token=token)[0] == status, path


def test_a_rotated_token_is_taken_up(ready: Fleet) -> None:
    """`--rotate-token`: another token works, the old one does not, and the operator goes on without a restart."""
    member = ready.members[0]
    old = yaml.safe_load(ready.secret(member.name))["users"][0]["user"]["token"]
    ready.add(member, "--rotate-token")
    assert yaml.safe_load(ready.secret(member.name))["users"][0]["user"]["token"] != old
    until(lambda: member.request("GET", "/api/v1/pods", token=old)[0] == 401, "the old token to be refused")
    ready.wait_probes(20)
    assert ready.told(member.name)["Ready"] == "True MemberReady"


def test_a_refused_kubeconfig_stalls_and_is_mended(ready: Fleet) -> None:
    """An exec plugin in the Secret: Stalled at once, in words that name it and no credential; mended, ready again."""
    good = ready.secret("member-2")
    bad = yaml.safe_load(good)
    bad["users"][0]["user"] = {"exec": {"command": "steal", "args": ["s3cr3t"]}}
    ready.put_secret("member-2", yaml.safe_dump(bad))
    ready.wait("member-2", "Stalled", "True KubeconfigRefused")
    message = ready.message("member-2", "Stalled")
    assert "users[0].user.exec is not allowed: the operator runs no programs" in message
    assert "s3cr3t" not in message
    ready.put_secret("member-2", good)
    ready.wait_ready("member-2")
    assert "Stalled" not in ready.told("member-2")


def test_a_secret_that_is_gone_is_told(ready: Fleet) -> None:
    """Deleted, or without its label: Stalled, with the command that helps."""
    unlabel = {"metadata": {"labels": {"sluice.dev/member-cluster": None}}}
    path = "/api/v1/namespaces/sluice-system/secrets/member-member-2"
    ready.hub.client.checked("PATCH", path, unlabel, MERGE)
    ready.wait("member-2", "Stalled", "True SecretMissing")
    command = ready.message("member-2", "Stalled").rpartition("`kubectl ")[2].rstrip("`")
    ready.hub.kubectl(*command.split())
    ready.wait_ready("member-2")


def test_a_revoked_right_is_told_and_given_again(ready: Fleet) -> None:
    """Authorized turns False and names it; `check` shows yes and no; `add` once more mends it."""
    member = ready.members[0]
    rules = member.get(ROLE)["rules"]
    less = [rule for rule in rules if rule.get("resources") != ["deployments"]]
    member.client.checked("PATCH", ROLE, {"rules": less}, MERGE)
    ready.wait(member.name, "Authorized", "False RightsMissing")
    assert "create deployments.apps" in ready.get(member.name)["status"]["missingRights"]
    checked = ready.clusters("check", member.name)
    assert checked.code == 1
    lines = [line.split() for line in checked.out.splitlines()]
    assert ["deployments.apps", "create", "no"] in lines
    assert ["pods", "list", "yes"] in lines
    done = ready.add(member)
    assert "member: ClusterRole sluice-member updated" in done.out
    assert ready.clusters("check", member.name).code == 0


def test_refused_credentials_are_told(ready: Fleet) -> None:
    """A token that the member does not know: it answers, but does not let us in."""
    good = ready.secret("member-2")
    bad = yaml.safe_load(good)
    bad["users"][0]["user"]["token"] = "no-such-token-anywhere"
    ready.put_secret("member-2", yaml.safe_dump(bad))
    ready.wait("member-2", "Authorized", "False CredentialsRefused")
    assert ready.told("member-2")["Reachable"] == "True Answers"
    assert "no-such-token" not in json.dumps(ready.get("member-2"))
    ready.put_secret("member-2", good)
    ready.wait_ready("member-2")


def test_a_client_certificate_is_as_good_as_a_token(ready: Fleet) -> None:
    """A kubeconfig with certificate data, registered by hand, by its Secret."""
    member = ready.members[0]
    path = member.folder / "operator.kubeconfig"
    member.kubeconfig_for_certificate("sluice-hub", ["system:masters"], path)
    ready.forget(member.name)  # one cluster is no two members
    try:
        ready.register_by_hand(member.name, path.read_text())
        ready.wait_ready(member.name)
    finally:
        ready.forget(member.name)
        ready.add(member)


def freeze(member: Cluster) -> Callable[[], None]:
    """SIGSTOP: connections are taken, and nothing is answered. Gives what undoes it."""
    member.freeze_apiserver()
    return member.thaw_apiserver


def kill(member: Cluster) -> Callable[[], None]:
    """SIGKILL: connections are refused."""
    member.stop_apiserver()
    return member.start_apiserver


@pytest.mark.parametrize("strike", [freeze, kill])
def test_a_member_that_is_away_is_in_nobodys_way(
    ready: Fleet, make_app: MakeApp, strike: Callable[[Cluster], Callable[[], None]]
) -> None:
    """One is frozen or killed: that is told; the other stays ready; on the hub a kill switch takes effect as always."""
    away, stays = ready.members
    before = ready.get(stays.name)["metadata"]["resourceVersion"]
    app = make_app().deploy().manage(canary(weight(50), pause()))
    app.apply("KillSwitch", "stop", {"effect": "Divert"})
    app.release()
    app.wait_weight("50%")
    undo = strike(away)
    try:
        ready.wait(away.name, "Reachable", "False NoAnswer")
        assert ready.told(away.name)["Authorized"] == "Unknown NoAnswer"
        assert ready.get(away.name)["status"]["lastSeenAt"]
        with app.steady(rate=200) as load:
            load.wait_for_version("v2")
            engage = {"spec": {"engaged": True, "reason": "5xx on checkout"}}
            app.kubectl("patch", "killswitch", "stop", "--type=merge", "-p", json.dumps(engage))
            app.wait_phase("Killed")
            app.wait_weight("0%")
            app.only("v1", 500)
        ready.wait_probes(10)
        assert ready.get(stays.name)["metadata"]["resourceVersion"] == before
        assert ready.clusters("check", away.name).code == 1
    finally:
        undo()
    ready.wait_ready(away.name)
    assert "lastSeenAt" not in ready.get(away.name)["status"]


@pytest.mark.parametrize(
    "body, reason",
    [
        (b"<html>not what you look for</html>", "False NotKubernetes"),
        (b'{"gitVersion": "<script>alert(1)</script>"}', "False NotKubernetes"),
        (b"[" * 200_000, "False NotKubernetes"),
        (b"x" * 3_000_000, "False NotKubernetes"),
    ],
    ids=["html", "script", "nested", "huge"],
)
def test_a_member_that_answers_rubbish(ready: Fleet, body: bytes, reason: str) -> None:
    """Whatever it says, it is not Kubernetes; none of it is in the status, and the others stay ready."""
    with rubbish_server(ready.members[0], body) as url:
        config = yaml.safe_load(ready.secret("member-1"))
        config["clusters"][0]["cluster"]["server"] = url
        try:
            ready.register_by_hand("rubbish", yaml.safe_dump(config))
            ready.wait("rubbish", "Reachable", reason)
            status = json.dumps(ready.get("rubbish")["status"])
            assert len(status) < 4_000
            assert "script" not in status
            assert ready.told("member-1")["Ready"] == ready.told("member-2")["Ready"] == "True MemberReady"
        finally:
            ready.forget("rubbish")


def test_another_replica_goes_on(ready: Fleet) -> None:
    """Who tells of a member is killed: the other, which looks at all of them, tells what happens to that one then."""
    before = [ready.get(member.name)["metadata"]["resourceVersion"] for member in ready.members]
    name = ready.members[1].name
    master = next(each for each in ready.world.operators if each.masters("", name, Kind.MEMBER_CLUSTER))
    master.kill()
    try:
        ready.wait_probes(5)
        assert [ready.get(member.name)["metadata"]["resourceVersion"] for member in ready.members] == before
        member = ready.members[1]
        rules = member.get(ROLE)["rules"]
        member.client.checked("PATCH", ROLE, {"rules": rules[:-1]}, MERGE)  # all but the reading of the version
        member.client.checked("PATCH", ROLE, {"rules": rules[1:]}, MERGE)
        ready.wait(member.name, "Authorized", "False RightsMissing")
        ready.add(member)
    finally:
        master.start()
        ready.world.settle()


def test_a_kind_that_is_gone_is_told_and_mended(ready: Fleet) -> None:
    """Without MemberRolloutRuns nothing can be run there: `RightsMissing`, until `add` installs it again."""
    member = ready.members[1]
    member.kubectl("delete", "crd", "memberrolloutruns.sluice.dev")
    ready.wait(member.name, "Authorized", "False RightsMissing")
    missing = ready.get(member.name)["status"]["missingRights"]
    assert {right.split()[1].partition("/")[0] for right in missing} == {"memberrolloutruns.sluice.dev"}
    done = ready.add(member, "--weight", 20000)
    assert "member: CustomResourceDefinition memberrollouts.sluice.dev unchanged" in done.out
    assert "member: CustomResourceDefinition memberrolloutruns.sluice.dev created" in done.out
    assert ready.get(member.name)["spec"]["weight"] == 20000


def test_who_may_not_read_the_secret_registers_nothing(ready: Fleet) -> None:
    """One more MemberCluster by another's Secret would lend its credentials: refused to who cannot read it."""
    ready.hub.kubectl("create", "clusterrolebinding", "m", "--clusterrole=sluice-cluster-registrar", "--user=mallory")
    try:
        body = {
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "MemberCluster",
            "metadata": {"name": "cuckoo", "labels": {"tier": "test"}},
            "spec": {"kubeconfigSecretRef": {"name": "member-1"}},
        }
        token = ready.hub.user_token("mallory")

        def refused() -> bool:
            status, answer = ready.hub.request("POST", PATH, body, token=token)
            return status == 403 and "through a MemberCluster: it needs get on it" in answer["message"]

        until(refused, "the refusal")
    finally:
        ready.hub.kubectl("delete", "clusterrolebinding", "m")


def test_two_roles_are_enough_to_register(ready: Fleet) -> None:
    """Who has `sluice-cluster-registrar` and `sluice-cluster-secrets` in the hub adds, rotates and removes members."""
    member, hub = ready.members[1], ready.hub
    hub.kubectl("create", "clusterrolebinding", "m", "--clusterrole=sluice-cluster-registrar", "--user=mallory")
    hub.kubectl(
        *("-n", "sluice-system", "create", "rolebinding", "m", "--role=sluice-cluster-secrets", "--user=mallory")
    )
    mallory = hub.kubeconfig_for_token(hub.user_token("mallory"), hub.folder / "mallory.kubeconfig")
    try:
        await_right(hub, "mallory", "delete", "memberclusters.sluice.dev")
        await_right(hub, "mallory", "delete", "secrets", namespace="sluice-system")
        for verb, option in (("add", "--rotate-token"), ("remove", ""), ("add", "")):
            options = [option] if option else []
            done = ready.clusters(verb, member.name, "--kubeconfig", member.kubeconfig, *options, kubeconfig=mallory)
            assert done.code == 0, done
    finally:
        hub.kubectl("delete", "clusterrolebinding", "m")
        hub.kubectl("-n", "sluice-system", "delete", "rolebinding", "m")


def test_removed_it_leaves_nothing_but_a_namespace_and_kinds(ready: Fleet) -> None:
    """`remove` says each thing; the token is dead, nothing is asked of the member any more; `add` brings it back."""
    member = ready.members[1]
    token = yaml.safe_load(ready.secret(member.name))["users"][0]["user"]["token"]
    done = ready.clusters("remove", member.name, "--kubeconfig", member.kubeconfig)
    assert done.code == 0, done
    assert "member: Namespace sluice-system left as it is" in done.out
    assert "member: CustomResourceDefinition memberrollouts.sluice.dev left as it is" in done.out
    assert ready.hub.request("GET", f"{PATH}/{member.name}")[0] == 404
    assert ready.hub.request("GET", f"/api/v1/namespaces/sluice-system/secrets/member-{member.name}")[0] == 404
    assert member.request("GET", ROLE)[0] == 404
    until(lambda: member.request("GET", "/api/v1/pods", token=token)[0] == 401, "the token to be refused")
    until(lambda: 'state="Ready"} 1.0' in ready.world.replica().http("/metrics"), "one member to be counted")
    ready.add(member)
