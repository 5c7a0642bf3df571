"""Switches that trip by themselves, on a real API server: who may engage and release one, and tell that it tripped."""

from collections.abc import Callable
from typing import Any

import pytest

from contract.crds.people import MERGE, As, allow, refused
from contract.crds.resources import collection
from contract.policies import switch
from testbed import Cluster

pytestmark = pytest.mark.cluster

OPERATOR = "system:serviceaccount:sluice-system:sluice"
METRIC = {"name": "errors", "prometheus": {"query": "errors"}, "threshold": {"max": 0.05}}
TRIP: dict[str, Any] = {"metrics": [METRIC]}
SECRET = {**METRIC, "prometheus": {"query": "up", "address": "http://p:9090", "secretRef": {"name": "token"}}}
BUDGET = {
    "objective": "99.9%",
    "goodQuery": "good[{{window}}]",
    "totalQuery": "all[{{window}}]",
    "prometheus": {"address": "http://p:9090", "secretRef": {"name": "token"}},
}
FORGED = {"status": {"trippedBy": {"metric": "errors", "at": "2026-01-01T00:00:00Z"}}}
ENGAGE = {"engaged": True, "reason": "tripped by itself: errors is 1, above max 0.05", "force": False}
APPLY = "application/apply-patch+yaml"


class Operator:
    """Its account's requests."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster, self._namespace = cluster, namespace
        self._token = cluster.token_for("sluice-system", "sluice")

    def patch(self, name: str, body: dict[str, Any], *, subresource: str = "") -> tuple[int, dict[str, Any]]:
        """Merge-patch a switch."""
        path = f"{collection('KillSwitch', self._namespace)}/{name}{subresource}"
        return self._cluster.request("PATCH", path, body, MERGE, token=self._token)


@pytest.fixture
def operator(installed: Cluster, namespace: str) -> Operator:
    """The operator."""
    return Operator(installed, namespace)


@pytest.fixture
def armed(user: Callable[..., As]) -> str:
    """A switch that may trip."""
    status, answer = user("alice", "sluice-editor").create(switch("stop", autoTrip=TRIP, force=True))
    assert status == 201, answer
    return "stop"


@pytest.fixture
def tripped(operator: Operator, armed: str) -> str:
    """One that did."""
    status, answer = operator.patch(armed, FORGED, subresource="/status")
    assert status == 200, answer
    status, answer = operator.patch(armed, {"spec": ENGAGE})
    assert status == 200, answer
    return armed


def test_the_operator_engages_it_in_its_own_name_and_without_force(
    installed: Cluster, namespace: str, tripped: str
) -> None:
    """Who looks at it sees that no person did; force, which a person left in the spec, is out."""
    found = installed.get(f"{collection('KillSwitch', namespace)}/{tripped}")
    assert found["spec"]["engagedBy"] == OPERATOR
    assert found["spec"]["force"] is False
    assert "forcedBy" not in found["spec"]
    assert found["status"]["trippedBy"]["metric"] == "errors"


@pytest.mark.parametrize(
    "spec, sentence",
    [
        ({**ENGAGE, "force": True}, "never by force"),
        ({**ENGAGE, "effect": "Hold"}, "and nothing else"),
        ({**ENGAGE, "autoTrip": None}, "and nothing else"),
        ({**ENGAGE, "scope": {"platforms": ["ios"]}}, "and nothing else"),
        ({"reason": "just so"}, "engages only switches with spec.autoTrip"),
    ],
)
def test_the_operator_engages_and_changes_nothing_else(
    operator: Operator, armed: str, spec: dict[str, Any], sentence: str
) -> None:
    """Its right to patch switches is for that alone."""
    refused(operator.patch(armed, {"spec": spec}), 403, sentence)


def test_the_operator_engages_no_switch_without_auto_trip(user: Callable[..., As], operator: Operator) -> None:
    """Switches that people keep for themselves are theirs."""
    assert user("alice", "sluice-editor").create(switch("mine"))[0] == 201
    refused(operator.patch("mine", {"spec": ENGAGE}), 403, "engages only switches with spec.autoTrip")


def test_the_operator_releases_nothing(operator: Operator, tripped: str) -> None:
    """Not even what it engaged itself."""
    answer = operator.patch(tripped, {"spec": {"engaged": False, "releaseReason": "errors are gone"}})
    assert answer[0] == 403
    assert "may not release" in answer[1]["message"] or "engages only switches" in answer[1]["message"]


def test_after_a_trip_a_release_takes_the_verb(user: Callable[..., As], tripped: str) -> None:
    """As after any engagement."""
    release = {"engaged": False, "releaseReason": "fixed"}
    refused(user("bob", "sluice-operator-verbs").patch("KillSwitch", tripped, **release), 403, "needs the verb release")
    assert user("erin", "sluice-releaser").patch("KillSwitch", tripped, **release)[0] == 200


def test_a_sync_of_the_manifest_neither_releases_nor_rearms_it(
    user: Callable[..., As], installed: Cluster, namespace: str, tripped: str
) -> None:
    """Server-side apply of what is in Git, by force: `engaged` is not in it, and stays."""
    alice = user("alice", "sluice-operator-verbs")
    manifest = switch(tripped, autoTrip={"metrics": [{**METRIC, "failureLimit": 2}]})
    path = f"{collection('KillSwitch', namespace)}/{tripped}?fieldManager=flux&force=true"
    status, answer = installed.request("PATCH", path, manifest, APPLY, token=alice.token)
    assert status == 200, answer
    assert (answer["spec"]["engaged"], answer["spec"]["engagedBy"]) == (True, OPERATOR)
    assert answer["status"]["trippedBy"]["metric"] == "errors"


def test_nobody_but_the_operator_tells_what_tripped_it(installed: Cluster, namespace: str, tripped: str) -> None:
    """Neither made up, nor changed, nor taken away; not even by who may write the status otherwise."""
    allow(installed, namespace, "writes-status", "patch", "killswitches.sluice.dev/status")
    carol = As(installed, namespace, "carol")
    path = f"{collection('KillSwitch', namespace)}/{tripped}/status"
    for forged in ({"metric": "latency"}, None):
        answer = installed.request("PATCH", path, {"status": {"trippedBy": forged}}, MERGE, token=carol.token)
        refused(answer, 403, "status.trippedBy tells what had the switch engage itself")
    other = installed.request("PATCH", path, {"status": {"message": "hello"}}, MERGE, token=carol.token)
    assert other[0] == 200, other


def test_a_status_given_at_creation_is_dropped(user: Callable[..., As]) -> None:
    """No switch is born tripped."""
    status, answer = user("alice", "sluice-editor").create({**switch("born", autoTrip=TRIP), **FORGED})
    assert status == 201, answer
    assert "trippedBy" not in answer.get("status", {})


def test_secrets_are_not_borrowed(user: Callable[..., As], installed: Cluster, namespace: str) -> None:
    """Who has a switch measure with a Secret may read Secrets there; engaging such a switch takes nothing more."""
    carol = user("carol", "sluice-editor")
    guarded = switch("guarded", autoTrip={"metrics": [SECRET]})
    refused(carol.create(guarded), 403, "carol may not use a secretRef in killswitches: it needs get on secrets")
    assert carol.create(switch("plain", autoTrip=TRIP))[0] == 201
    refused(carol.patch("KillSwitch", "plain", autoTrip={"metrics": [SECRET]}), 403, "may not use a secretRef")
    refused(carol.patch("KillSwitch", "plain", autoTrip={"errorBudget": BUDGET}), 403, "may not use a secretRef")
    allow(installed, namespace, "reads", "get", "secrets")
    assert carol.create(guarded)[0] == 201
    bob = user("bob", "sluice-operator-verbs")
    assert bob.patch("KillSwitch", "guarded", engaged=True, reason="5xx")[0] == 200
