"""Admission policies: who did it is stamped, each action and each release takes its verb.

Users are told apart by tokens; each test binds the roles of manifests/base in a namespace of its own.
"""

from collections.abc import Callable

import pytest

from contract.crds.people import As, allow, refused
from contract.crds.resources import collection
from contract.crds.rights import RIGHT_OF, await_right
from contract.policies import action, switch
from testbed import Cluster

pytestmark = pytest.mark.cluster


@pytest.fixture
def engaged(user: Callable[..., As]) -> str:
    """The name of a switch that alice engaged."""
    alice = user("alice", "sluice-editor")
    assert alice.create(switch("stop", scope={"selector": {"matchLabels": {"tier": "ai"}}}))[0] == 201
    status, answer = alice.patch("KillSwitch", "stop", engaged=True, reason="5xx on checkout")
    assert status == 200, answer
    return "stop"


# ------------------------------------------------------------------ who engaged it


def test_engaging_is_stamped(user: Callable[..., As], engaged: str, installed: Cluster, namespace: str) -> None:
    """Who engages a switch is on record without saying so."""
    assert installed.get(f"{collection('KillSwitch', namespace)}/{engaged}")["spec"]["engagedBy"] == "alice"


def test_a_switch_born_engaged_is_stamped(user: Callable[..., As]) -> None:
    """Also where it is created engaged."""
    status, body = user("bob", "sluice-operator-verbs").create(switch("now", engaged=True, reason="5xx"))
    assert (status, body["spec"]["engagedBy"]) == (201, "bob")


def test_a_forged_author_is_overwritten(user: Callable[..., As]) -> None:
    """Nobody engages a switch in another's name."""
    mallory = user("mallory", "sluice-operator-verbs")
    created = mallory.create(switch("forged", engaged=True, reason="5xx", engagedBy="alice"))
    assert created[1]["spec"]["engagedBy"] == "mallory"
    armed = mallory.create(switch("armed", engagedBy="alice"))
    assert "engagedBy" not in armed[1]["spec"]
    later = mallory.patch("KillSwitch", "armed", engaged=True, reason="5xx", engagedBy="alice")
    assert later[1]["spec"]["engagedBy"] == "mallory"


def test_the_author_is_frozen_while_engaged(user: Callable[..., As], engaged: str) -> None:
    """A later edit changes the reason, never who engaged it."""
    mallory = user("mallory", "sluice-operator-verbs")
    status, body = mallory.patch("KillSwitch", engaged, reason="5xx on cart too", engagedBy="mallory")
    assert (status, body["spec"]["reason"], body["spec"]["engagedBy"]) == (200, "5xx on cart too", "alice")
    assert mallory.patch("KillSwitch", engaged, engagedBy=None)[1]["spec"]["engagedBy"] == "alice"


# ------------------------------------------------------------------ release


def test_engaging_needs_only_patch(user: Callable[..., As], engaged: str) -> None:
    """Stopping is easy: no verb of its own, and no release of anything."""
    assert user("carol", "sluice-operator-verbs").patch("KillSwitch", engaged, reason="still 5xx")[0] == 200


def test_release_needs_the_verb(user: Callable[..., As], engaged: str) -> None:
    """Who may engage may not release, whatever reason they give."""
    answer = user("bob", "sluice-operator-verbs").patch("KillSwitch", engaged, engaged=False, releaseReason="fixed")
    refused(answer, 403, "bob may not release killswitches/stop: it needs the verb release")


def test_leaving_engaged_out_is_a_release(user: Callable[..., As], engaged: str) -> None:
    """A sync that replaces the spec cannot let go by silence; the message says how to mend the manifest."""
    answer = user("bob", "sluice-operator-verbs").patch("KillSwitch", engaged, engaged=None)
    refused(answer, 403, "if this write comes from Git, leave spec.engaged out of Git")


def test_release_needs_a_reason(user: Callable[..., As], engaged: str) -> None:
    """Going on is deliberate: the releaser says why."""
    erin = user("erin", "sluice-releaser")
    for reason in (None, "", "   "):
        answer = erin.patch("KillSwitch", engaged, engaged=False, releaseReason=reason)
        refused(answer, 422, "say why killswitches/stop may be released")


def test_release_with_verb_and_reason(user: Callable[..., As], engaged: str) -> None:
    """The releaser lets go; who had engaged it stays on record."""
    status, body = user("erin", "sluice-releaser").patch("KillSwitch", engaged, engaged=False, releaseReason="fixed")
    assert status == 200, body
    assert body["spec"]["engagedBy"] == "alice"


def test_each_release_needs_a_new_reason(user: Callable[..., As], engaged: str) -> None:
    """The reason of the last release is none for this one."""
    erin = user("erin", "sluice-releaser")
    assert erin.patch("KillSwitch", engaged, engaged=False, releaseReason="fixed")[0] == 200
    assert erin.patch("KillSwitch", engaged, engaged=True, reason="again")[1]["spec"]["engagedBy"] == "erin"
    refused(erin.patch("KillSwitch", engaged, engaged=False, releaseReason="fixed"), 422, "new spec.releaseReason")
    assert erin.patch("KillSwitch", engaged, engaged=False, releaseReason="fixed again")[0] == 200


def test_an_engaged_switch_is_not_deleted(user: Callable[..., As], engaged: str, installed: Cluster) -> None:
    """Deleting it would release it: nobody does, not even the administrator; once released it goes."""
    alice = As(installed, user("dave", "sluice-editor").namespace, "alice")
    refused(alice.delete("KillSwitch", engaged), 403, "killswitches/stop is engaged: release it before deleting it")
    path = f"{collection('KillSwitch', alice.namespace)}/{engaged}"
    refused(installed.request("DELETE", path), 403, "release it before deleting it")
    refused(installed.request("DELETE", collection("KillSwitch", alice.namespace)), 403, "release it before")
    assert user("erin", "sluice-releaser").patch("KillSwitch", engaged, engaged=False, releaseReason="over")[0] == 200
    assert alice.delete("KillSwitch", engaged)[0] == 200


def test_a_namespaces_end_takes_its_switches(installed: Cluster, namespace: str, engaged: str) -> None:
    """An engaged switch does not keep a namespace from ending."""
    installed.kubectl("delete", "namespace", namespace, "--wait=false")
    gone = f"/api/v1/namespaces/{namespace}"
    installed.wait(lambda: installed.request("GET", gone)[0] == 404, 120, f"namespace {namespace} to be gone")


def test_an_engaged_switch_is_not_narrowed_or_weakened(user: Callable[..., As], engaged: str) -> None:
    """What would let go some of what it holds takes the verb release."""
    bob, erin = user("bob", "sluice-operator-verbs"), user("erin", "sluice-releaser")
    narrower = {"selector": {"matchLabels": {"tier": "ai", "team": "search"}}}
    refused(bob.patch("KillSwitch", engaged, scope=narrower), 403, "bob may not change the scope of killswitches/stop")
    refused(bob.patch("KillSwitch", engaged, effect="Hold"), 403, "bob may not weaken killswitches/stop")
    assert erin.patch("KillSwitch", engaged, scope=narrower)[0] == 200
    assert erin.patch("KillSwitch", engaged, effect="Hold")[0] == 200


def test_an_engaged_switch_may_be_widened_and_strengthened(user: Callable[..., As]) -> None:
    """Stopping more is easy: from some to all, and from Hold to Divert to Rollback."""
    bob = user("bob", "sluice-operator-verbs")
    some = {"selector": {"matchLabels": {"tier": "ai"}}}
    assert bob.create(switch("some", engaged=True, reason="5xx", effect="Hold", scope=some))[0] == 201
    assert bob.patch("KillSwitch", "some", effect="Divert")[0] == 200
    assert bob.patch("KillSwitch", "some", effect="Rollback")[0] == 200
    assert bob.patch("KillSwitch", "some", scope=None)[0] == 200


def test_a_rollback_is_weakened_by_whoever_may_release(user: Callable[..., As]) -> None:
    """From Rollback to Divert is a step down, too."""
    bob, erin = user("bob", "sluice-operator-verbs"), user("erin", "sluice-releaser")
    assert bob.create(switch("stop", engaged=True, reason="5xx", effect="Rollback"))[0] == 201
    for effect in ("Divert", "Hold"):
        told = "bob may not weaken killswitches/stop from Rollback while it is engaged"
        refused(bob.patch("KillSwitch", "stop", effect=effect), 403, told)
    assert erin.patch("KillSwitch", "stop", effect="Divert")[0] == 200


def test_force_takes_only_patch_and_is_stamped(user: Callable[..., As], engaged: str) -> None:
    """Who adds it to another's switch is on record beside them; to take it back takes the verb release."""
    bob, erin = user("bob", "sluice-operator-verbs"), user("erin", "sluice-releaser")
    status, body = bob.patch("KillSwitch", engaged, force=True, forcedBy="alice")
    assert (status, body["spec"]["engagedBy"], body["spec"]["forcedBy"]) == (200, "alice", "bob")
    assert erin.patch("KillSwitch", engaged, forcedBy="mallory")[1]["spec"]["forcedBy"] == "bob"
    refused(bob.patch("KillSwitch", engaged, force=False), 403, "bob may not take force from killswitches/stop")
    refused(bob.patch("KillSwitch", engaged, force=None), 403, "it needs the verb release")
    refused(erin.patch("KillSwitch", engaged, effect="Hold"), 422, "force is for effect Divert")
    status, body = erin.patch("KillSwitch", engaged, force=False)
    assert (status, "forcedBy" in body["spec"]) == (200, False)
    assert bob.patch("KillSwitch", engaged, force=True)[1]["spec"]["forcedBy"] == "bob"
    assert erin.patch("KillSwitch", engaged, engaged=False, releaseReason="fixed")[1]["spec"]["forcedBy"] == "bob"
    again = erin.patch("KillSwitch", engaged, engaged=True, reason="again")
    assert (again[1]["spec"]["engagedBy"], again[1]["spec"]["forcedBy"]) == ("erin", "erin")


def test_force_of_an_armed_switch_has_no_author(user: Callable[..., As]) -> None:
    """Nobody forced anything yet; who engages it does."""
    bob = user("bob", "sluice-operator-verbs")
    status, body = bob.create(switch("hard", force=True, forcedBy="alice"))
    assert (status, "forcedBy" in body["spec"]) == (201, False)
    assert bob.patch("KillSwitch", "hard", engaged=True, reason="leaks")[1]["spec"]["forcedBy"] == "bob"


def test_an_engaged_hold_does_not_expire_sooner(user: Callable[..., As]) -> None:
    """A longer one is easy, and so is a Divert in its place; a shorter one takes the verb release."""
    bob, erin = user("bob", "sluice-operator-verbs"), user("erin", "sluice-releaser")
    assert bob.create(switch("freeze", engaged=True, reason="works", effect="Hold"))[0] == 201
    refused(bob.patch("KillSwitch", "freeze", expires="8h"), 403, "bob may not have killswitches/freeze expire sooner")
    assert erin.patch("KillSwitch", "freeze", expires="8h")[0] == 200
    assert bob.patch("KillSwitch", "freeze", expires="9h30m")[0] == 200
    refused(bob.patch("KillSwitch", "freeze", expires="9h"), 403, "it needs the verb release")
    assert bob.patch("KillSwitch", "freeze", effect="Divert")[0] == 200
    assert erin.patch("KillSwitch", "freeze", engaged=False, releaseReason="over")[0] == 200
    assert bob.patch("KillSwitch", "freeze", expires=None)[0] == 200
    refused(bob.patch("KillSwitch", "freeze", expires="8h"), 422, "expires is for effect Hold")


def everywhere(cluster: Cluster, user: str, role: str) -> None:
    """Bind a role in the whole cluster."""
    cluster.kubectl("create", "clusterrolebinding", f"{user}-{role}", f"--clusterrole={role}", f"--user={user}")
    await_right(cluster, user, *RIGHT_OF[role])


def test_cluster_switches_are_held_to_the_same(installed: Cluster, namespace: str) -> None:
    """ClusterKillSwitch: stamped, released with the verb and a reason only, not deleted while engaged."""
    everywhere(installed, "frank", "sluice-operator-verbs")
    frank, name = As(installed, namespace, "frank"), f"all-{namespace}"
    body = {**switch(name, engaged=True, reason="5xx", engagedBy="alice"), "kind": "ClusterKillSwitch"}
    status, created = frank.create(body)
    assert (status, created["spec"]["engagedBy"]) == (201, "frank")
    answer = frank.patch("ClusterKillSwitch", name, engaged=False, releaseReason="fixed")
    refused(answer, 403, f"frank may not release clusterkillswitches/{name}: it needs the verb release")
    path = f"{collection('ClusterKillSwitch', '')}/{name}"
    refused(installed.request("DELETE", path), 403, "release it before deleting it")
    everywhere(installed, "frank", "sluice-releaser")
    assert frank.patch("ClusterKillSwitch", name, engaged=False, releaseReason="fixed")[0] == 200
    assert installed.request("DELETE", path)[0] == 200


# ------------------------------------------------------------------ actions


VERBS = ("Promote", "PromoteFully", "Pause", "Resume", "Abort", "Retry", "Undo", "Restart", "Rollback")


@pytest.mark.parametrize("verb", VERBS)
def test_an_action_needs_its_verb(user: Callable[..., As], verb: str, namespace: str) -> None:
    """Who may create RolloutActions may not therefore act; the message names the verb that is missing."""
    answer = user("mallory", "sluice-editor").create(action(verb, revision=1))
    right = verb.lower()
    refused(answer, 403, f"mallory may not {right} rollouts/checkout in {namespace}: it needs the verb {right}")


@pytest.mark.parametrize("verb", VERBS)
def test_an_action_is_stamped(user: Callable[..., As], verb: str) -> None:
    """Who acts is on record, also where they write another's name."""
    bob = user("bob", "sluice-operator-verbs")
    for forged in ({}, {"actor": "alice"}):
        status, body = bob.create(action(verb, revision=1, **forged))
        assert (status, body["spec"]["actor"]) == (201, "bob")


def test_verbs_can_be_granted_by_rollout_and_one_by_one(installed: Cluster, namespace: str) -> None:
    """Who may pause one Rollout may not promote it, nor pause another."""
    allow(installed, namespace, "pauser", "pause", "rollouts.sluice.dev", "checkout")
    allow(installed, namespace, "creator", "create", "rolloutactions.sluice.dev")
    carol = As(installed, namespace, "carol")
    assert carol.create(action("Pause"))[0] == 201
    refused(carol.create(action("Promote", revision=1)), 403, "carol may not promote rollouts/checkout")
    refused(carol.create(action("Pause", "cart")), 403, "carol may not pause rollouts/cart")
