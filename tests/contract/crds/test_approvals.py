"""Admission around approvals: who approves, in which groups, and who asked for a run, are the API server's to say."""

from collections.abc import Callable
from typing import Any

import pytest

from contract.crds.people import MERGE, As, refused
from contract.crds.resources import collection
from contract.policies import action, rollout
from testbed import Cluster

pytestmark = pytest.mark.cluster

CHANGED_BY, REQUESTER, REQUESTED_BY = (f"sluice.dev/{name}" for name in ("changed-by", "requester", "requested-by"))
PEOPLES: dict[str, dict[str, Any]] = {
    "Approve": {"revision": 1, "point": "step-3"},
    "Reject": {"reason": "untested"},
    "Hold": {"reason": "looking"},
    "Extend": {"reason": "looking", "duration": "1h"},
}


# ------------------------------------------------------------------ who acts


@pytest.mark.parametrize("verb", PEOPLES)
def test_each_needs_its_verb(user: Callable[..., As], verb: str, namespace: str) -> None:
    """Who may create RolloutActions may not therefore approve, reject, hold or extend."""
    answer = user("mallory", "sluice-editor").create(action(verb, **PEOPLES[verb]))
    right = verb.lower()
    refused(answer, 403, f"mallory may not {right} rollouts/checkout in {namespace}: it needs the verb {right}")


def test_who_releases_does_not_approve(user: Callable[..., As]) -> None:
    """The roles are apart: who runs rollouts may hold them and not approve; who approves may not promote or hold."""
    bob, grace = user("bob", "sluice-operator-verbs"), user("grace", "sluice-approver")
    for verb in ("Hold", "Extend"):
        assert bob.create(action(verb, **PEOPLES[verb]))[0] == 201
        refused(grace.create(action(verb, **PEOPLES[verb])), 403, f"grace may not {verb.lower()}")
    for verb in ("Approve", "Reject"):
        assert grace.create(action(verb, **PEOPLES[verb]))[0] == 201
        refused(bob.create(action(verb, **PEOPLES[verb])), 403, f"bob may not {verb.lower()}")
    refused(grace.create(action("Promote", revision=1)), 403, "grace may not promote")


@pytest.mark.parametrize("forged", [{}, {"actor": "heidi"}, {"actorGroups": ["admins"]}, {"actorGroups": []}])
def test_groups_are_stamped(user: Callable[..., As], forged: dict[str, Any]) -> None:
    """Who approves, and in which groups they are, is what the API server knows, whatever they write."""
    status, body = user("grace", "sluice-approver").create(action("Approve", **PEOPLES["Approve"], **forged))
    assert (status, body["spec"]["actor"]) == (201, "grace")
    assert sorted(body["spec"]["actorGroups"]) == ["release-managers", "system:authenticated"]


def test_other_actions_tell_no_groups(user: Callable[..., As]) -> None:
    """Groups are written down where they decide something, and nowhere else."""
    forged = action("Hold", **PEOPLES["Hold"], actorGroups=["release-managers"])
    status, body = user("bob", "sluice-operator-verbs").create(forged)
    assert (status, body["spec"].get("actorGroups")) == (201, None)


# ------------------------------------------------------------------ who asked


def author(user: Callable[..., As], name: str, *roles: str) -> As:
    """Somebody who may write Rollouts and what they move."""
    return user(name, "sluice-editor", *roles)


def body_of(name: str, **annotations: str) -> dict[str, Any]:
    """A Rollout whose traffic asks for no right."""
    body = rollout(name)
    return {**body, "metadata": {"name": name, "annotations": annotations}}


def stamps(answer: tuple[int, dict[str, Any]]) -> tuple[str | None, str | None]:
    """Who changed and who asked for it, as the stored object says."""
    assert answer[0] in {200, 201}, answer
    annotations = answer[1]["metadata"].get("annotations", {})
    return annotations.get(CHANGED_BY), annotations.get(REQUESTER)


def annotate(who: As, name: str, **annotations: str | None) -> tuple[int, dict[str, Any]]:
    """Merge-patch annotations, and nothing else."""
    path = f"{collection('Rollout', who.namespace)}/{name}"
    return who.cluster.request("PATCH", path, {"metadata": {"annotations": annotations}}, MERGE, token=who.token)


@pytest.fixture
def writer(user: Callable[..., As], installed: Cluster, namespace: str) -> Callable[..., As]:
    """People who may write Rollouts, and patch the route `a` that these name."""
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    rule = {"apiGroups": ["gateway.networking.k8s.io"], "resources": ["httproutes"], "verbs": ["patch"]}
    installed.client.checked("POST", f"{path}/roles", {"metadata": {"name": "routes"}, "rules": [rule]})

    def make(name: str, *roles: str) -> As:
        binding = {
            "metadata": {"name": f"routes-{name}"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "routes"},
            "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": name}],
        }
        installed.client.checked("POST", f"{path}/rolebindings", binding)
        who = author(user, name, *roles)
        installed.wait(
            lambda: (
                who.cluster.request(
                    "POST", f"{collection('Rollout', namespace)}?dryRun=All", body_of("probe"), token=who.token
                )[0]
                == 201
            ),
            60,
            f"{name} may write Rollouts",
        )
        return who

    return make


def test_who_asks_is_stamped(writer: Callable[..., As]) -> None:
    """Who creates a Rollout, or changes what it asks for, is on record, also where they write another's name."""
    alice, bob = writer("alice"), writer("bob")
    assert stamps(alice.create(body_of("checkout", **{CHANGED_BY: "bob", REQUESTER: "bob"}))) == ("alice", "alice")
    assert stamps(bob.patch("Rollout", "checkout", workload={"version": "2.0"})) == ("bob", "bob")
    assert stamps(alice.patch("Rollout", "checkout", progressDeadline="5m")) == ("alice", "alice")


def test_what_asks_for_nothing_changes_no_stamp(writer: Callable[..., As]) -> None:
    """Labels, annotations, pausing and scaling leave the name of who asked; nobody removes or rewrites it."""
    alice, bob = writer("alice"), writer("bob")
    alice.create(body_of("checkout"))
    assert stamps(annotate(bob, "checkout", team="shop")) == ("alice", "alice")
    assert stamps(annotate(bob, "checkout", **{REQUESTER: "bob", CHANGED_BY: "bob"})) == ("alice", "alice")
    assert stamps(annotate(bob, "checkout", **{REQUESTER: None, CHANGED_BY: None})) == ("alice", "alice")
    assert stamps(bob.patch("Rollout", "checkout", paused=True)) == ("alice", "alice")


def test_only_who_may_vouch_names_somebody_else(writer: Callable[..., As]) -> None:
    """A GitOps account that may vouch says whose change it applies; of anybody else that is not believed."""
    argo, bob = writer("erin", "sluice-voucher"), writer("bob")
    assert stamps(argo.create(body_of("checkout", **{REQUESTED_BY: "alice"}))) == ("erin", "alice")
    assert stamps(annotate(argo, "checkout", **{REQUESTED_BY: "dave"})) == ("erin", "alice")
    assert stamps(bob.patch("Rollout", "checkout", workload={"version": "2.0"})) == ("bob", "bob")
    assert stamps(argo.patch("Rollout", "checkout", workload={"version": "3.0"})) == ("erin", "dave")


def test_who_vouches_for_nobody_asks_themselves(writer: Callable[..., As]) -> None:
    """Without the annotation, the account itself is who asked."""
    assert stamps(writer("erin", "sluice-voucher").create(body_of("checkout"))) == ("erin", "erin")
