"""Admission policies: who did it is stamped, each action and each release takes its verb, nobody borrows rights.

Users are told apart by tokens; each test binds the roles of manifests/base in a namespace of its own.
"""

from collections.abc import Callable
from typing import Any

import pytest

from contract.crds.resources import collection
from contract.crds.rights import RIGHT_OF, await_right
from contract.policies import action, rollout, switch
from testbed import Cluster

pytestmark = pytest.mark.cluster

MERGE = "application/merge-patch+json"
Grant = Callable[..., None]
Answer = tuple[int, dict[str, Any]]


class As:
    """One user's requests in one namespace. Answers are status and body."""

    def __init__(self, cluster: Cluster, namespace: str, user: str) -> None:
        self.cluster, self.namespace = cluster, namespace
        self.token = cluster.user_token(user)

    def _path(self, kind: str, name: str = "") -> str:
        return collection(kind, self.namespace) + (f"/{name}" if name else "")

    def create(self, body: dict[str, Any]) -> Answer:
        """POST an object."""
        return self.cluster.request("POST", self._path(body["kind"]), body, token=self.token)

    def patch(self, kind: str, name: str, **spec: object) -> Answer:
        """Merge-patch a spec."""
        return self.cluster.request("PATCH", self._path(kind, name), {"spec": spec}, MERGE, token=self.token)

    def delete(self, kind: str, name: str) -> Answer:
        """DELETE an object."""
        return self.cluster.request("DELETE", self._path(kind, name), token=self.token)


@pytest.fixture
def user(installed: Cluster, namespace: str, grant: Grant) -> Callable[..., As]:
    """Give a user roles in the namespace and act in their name: `user("alice", "sluice-editor")`."""

    def make(name: str, *roles: str) -> As:
        grant(name, *roles)
        return As(installed, namespace, name)

    return make


@pytest.fixture
def engaged(user: Callable[..., As]) -> str:
    """The name of a switch that alice engaged."""
    alice = user("alice", "sluice-editor")
    assert alice.create(switch("stop", scope={"selector": {"matchLabels": {"tier": "ai"}}}))[0] == 201
    status, answer = alice.patch("KillSwitch", "stop", engaged=True, reason="5xx on checkout")
    assert status == 200, answer
    return "stop"


def refused(answer: Answer, status: int, *parts: str) -> None:
    """Assert that a request was refused with this status and a message that holds these parts."""
    assert answer[0] == status, answer
    for part in parts:
        assert part in answer[1]["message"]


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
    installed.wait(lambda: installed.request("GET", gone)[0] == 404, 30, f"namespace {namespace} to be gone")


def test_an_engaged_switch_is_not_narrowed_or_weakened(user: Callable[..., As], engaged: str) -> None:
    """What would let go some of what it holds takes the verb release."""
    bob, erin = user("bob", "sluice-operator-verbs"), user("erin", "sluice-releaser")
    narrower = {"selector": {"matchLabels": {"tier": "ai", "team": "search"}}}
    refused(bob.patch("KillSwitch", engaged, scope=narrower), 403, "bob may not change the scope of killswitches/stop")
    refused(bob.patch("KillSwitch", engaged, effect="Hold"), 403, "bob may not weaken killswitches/stop")
    assert erin.patch("KillSwitch", engaged, scope=narrower)[0] == 200
    assert erin.patch("KillSwitch", engaged, effect="Hold")[0] == 200


def test_an_engaged_switch_may_be_widened_and_strengthened(user: Callable[..., As]) -> None:
    """Stopping more is easy: from some to all, and from Hold to Divert."""
    bob = user("bob", "sluice-operator-verbs")
    some = {"selector": {"matchLabels": {"tier": "ai"}}}
    assert bob.create(switch("some", engaged=True, reason="5xx", effect="Hold", scope=some))[0] == 201
    assert bob.patch("KillSwitch", "some", effect="Divert")[0] == 200
    assert bob.patch("KillSwitch", "some", scope=None)[0] == 200


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


VERBS = ("Promote", "PromoteFully", "Pause", "Resume", "Abort", "Retry", "Undo")


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


# ------------------------------------------------------------------ borrowed rights


def allow(cluster: Cluster, namespace: str, name: str, verb: str, resource: str, *names: str) -> None:
    """Give carol one right in a namespace."""
    only = [f"--resource-name={one}" for one in names]
    cluster.kubectl("-n", namespace, "create", "role", name, f"--verb={verb}", f"--resource={resource}", *only)
    cluster.kubectl("-n", namespace, "create", "rolebinding", name, f"--role={name}", "--user=carol")
    await_right(cluster, "carol", verb, resource, namespace=namespace, name=names[0] if names else "")


def test_a_rollout_moves_only_routes_its_author_may_patch(
    user: Callable[..., As], installed: Cluster, namespace: str
) -> None:
    """Writing a Rollout gives nobody a say over routes: each is checked, by kind and name, up to the eighth."""
    installed.apply(ROUTE_CRDS)
    carol = user("carol", "sluice-editor")
    routes = [{"kind": "GRPCRoute" if number == 8 else "HTTPRoute", "name": f"r{number}"} for number in range(1, 9)]
    refused(carol.create(rollout("r", routes=routes)), 403, f"carol may not move HTTPRoute r1 in {namespace}")
    allow(installed, namespace, "http", "patch", "httproutes.gateway.networking.k8s.io")
    refused(carol.create(rollout("r", routes=routes)), 403, f"carol may not move GRPCRoute r8 in {namespace}")
    assert carol.create(rollout("r", routes=routes[:7]))[0] == 201
    answer = carol.patch("Rollout", "r", traffic={"routes": routes})
    refused(answer, 403, f"carol may not move GRPCRoute r8 in {namespace}")
    allow(installed, namespace, "grpc", "patch", "grpcroutes.gateway.networking.k8s.io", "r8")
    assert carol.patch("Rollout", "r", traffic={"routes": routes})[0] == 200


def test_a_rollout_switches_only_services_its_author_may_patch(
    user: Callable[..., As], installed: Cluster, namespace: str
) -> None:
    """The same for Services, the preview included."""
    carol, service = user("carol", "sluice-editor"), {"active": "a", "preview": "a-preview"}
    refused(carol.create(rollout("s", service=service)), 403, f"carol may not switch services/a in {namespace}")
    allow(installed, namespace, "active", "patch", "services", "a")
    refused(carol.create(rollout("s", service=service)), 403, f"carol may not switch services/a-preview in {namespace}")
    allow(installed, namespace, "preview", "patch", "services", "a-preview")
    assert carol.create(rollout("s", service=service))[0] == 201


METRIC = {
    "name": "m",
    "prometheus": {"query": "up", "address": "http://prometheus:9090", "secretRef": {"name": "s"}},
    "threshold": {"max": 1},
}
ANALYSIS = {"metrics": [METRIC]}


@pytest.mark.parametrize(
    "changes",
    [
        {"analysis": ANALYSIS},
        {"strategy": {"canary": {"steps": [{"setWeight": 10}, {"pause": {}}, {"analysis": ANALYSIS}]}}},
        {"strategy": {"blueGreen": {"prePromotion": ANALYSIS}}},
        {"strategy": {"blueGreen": {"postPromotion": ANALYSIS}}},
    ],
    ids=["background", "step", "prePromotion", "postPromotion"],
)
def test_a_secret_takes_the_right_to_read_it(
    user: Callable[..., As], installed: Cluster, namespace: str, changes: dict[str, object]
) -> None:
    """Wherever a metric names a Secret, the Rollout's author must be able to read Secrets."""
    carol = user("carol", "sluice-editor")
    body = rollout("with-secret", service={"active": "a"})
    body["spec"].update(changes)
    if "canary" in body["spec"]["strategy"]:
        body["spec"]["traffic"] = {"routes": [{"name": "a"}]}
    allow(installed, namespace, "services", "patch", "services")
    allow(installed, namespace, "routes", "patch", "httproutes.gateway.networking.k8s.io")
    refused(carol.create(body), 403, f"carol may not use a secretRef in {namespace}: it needs get on secrets")
    allow(installed, namespace, "secrets", "get", "secrets")
    assert carol.create(body)[0] == 201


def test_a_templates_secret_takes_the_right_to_read_it(
    user: Callable[..., As], installed: Cluster, namespace: str
) -> None:
    """Also in a template; one without a Secret takes no such right."""
    carol = user("carol", "sluice-editor")
    body = {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "AnalysisTemplate",
        "metadata": {"name": "t"},
        "spec": {"metrics": [METRIC]},
    }
    refused(
        carol.create(body),
        403,
        f"a secretRef in analysistemplates: it needs get on secrets in {namespace}",
    )
    allow(installed, namespace, "secrets", "get", "secrets")
    assert carol.create(body)[0] == 201
    plain = {**METRIC, "prometheus": {"query": "up"}}
    dave = user("dave", "sluice-editor")
    assert dave.create({**body, "metadata": {"name": "plain"}, "spec": {"metrics": [plain]}})[0] == 201


def test_metadata_of_a_rollout_takes_no_such_rights(
    user: Callable[..., As], installed: Cluster, namespace: str
) -> None:
    """Labels, and the operator's finalizer, change no spec: nothing is asked."""
    installed.client.checked("POST", collection("Rollout", namespace), rollout("mine"))
    carol, body = user("carol", "sluice-editor"), {"metadata": {"labels": {"team": "search"}}}
    path = f"{collection('Rollout', namespace)}/mine"
    assert installed.request("PATCH", path, body, MERGE, token=carol.token)[0] == 200
    refused(carol.patch("Rollout", "mine", paused=True), 403, "carol may not move HTTPRoute a")


# kubectl names resources in --resource only where it finds them.
ROUTE_CRDS = "\n---\n".join(
    f"""
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: {plural}.gateway.networking.k8s.io
  annotations: {{api-approved.kubernetes.io: "unapproved, a stand-in"}}
spec:
  group: gateway.networking.k8s.io
  scope: Namespaced
  names: {{kind: {kind}, plural: {plural}, singular: {kind.lower()}}}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}
"""
    for kind, plural in (("HTTPRoute", "httproutes"), ("GRPCRoute", "grpcroutes"))
)
