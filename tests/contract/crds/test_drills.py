"""Drills on a real API server: who may begin one, who ends it, and that it releases nothing else."""

from collections.abc import Callable
from typing import Any

import pytest

from contract.crds.people import MERGE, As, allow, refused
from contract.crds.resources import collection
from contract.crds.test_auto_trip import Operator
from contract.policies import switch
from testbed import Cluster

pytestmark = pytest.mark.cluster

DRILL = {"engaged": True, "drill": True, "reason": "rehearsal"}
END: dict[str, Any] = {"engaged": False, "drill": None, "releaseReason": "drill Passed at 2026-01-01T00:00:00Z"}


@pytest.fixture
def operator(installed: Cluster, namespace: str) -> Operator:
    """The operator."""
    return Operator(installed, namespace)


@pytest.fixture
def drilled(user: Callable[..., As]) -> str:
    """A switch that dave, who may patch it and not release it, drills."""
    assert user("alice", "sluice-editor").create(switch("stop"))[0] == 201
    status, answer = user("dave", "sluice-operator-verbs").patch("KillSwitch", "stop", **DRILL)
    assert status == 200, answer
    assert (answer["spec"]["engagedBy"], answer["spec"]["drill"]) == ("dave", True)
    return "stop"


def test_the_operator_ends_it(installed: Cluster, namespace: str, operator: Operator, drilled: str) -> None:
    """By a release that says why; the switch is as it was before."""
    status, answer = operator.patch(drilled, {"spec": END})
    assert status == 200, answer
    spec = installed.get(f"{collection('KillSwitch', namespace)}/{drilled}")["spec"]
    assert (spec["engaged"], spec["drill"], spec["releaseReason"]) == (False, False, END["releaseReason"])


@pytest.mark.parametrize(
    "spec, sentence",
    [
        ({**END, "effect": "Hold"}, "and nothing else"),
        ({**END, "reason": "made up"}, "and nothing else"),
        ({**END, "scope": {"platforms": ["ios"]}}, "and nothing else"),
        ({"drill": False}, "releases only drills"),
        ({"reason": "made up"}, "releases only drills"),
    ],
)
def test_the_operator_ends_it_and_changes_nothing_else(
    operator: Operator, drilled: str, spec: dict[str, Any], sentence: str
) -> None:
    """Nor does it engage one for real that way."""
    refused(operator.patch(drilled, {"spec": spec}), 403, sentence)


def test_the_operator_ends_no_real_engagement(user: Callable[..., As], operator: Operator, drilled: str) -> None:
    """Once somebody meant it, a person with the verb releases it."""
    assert user("bob", "sluice-operator-verbs").patch("KillSwitch", drilled, drill=False)[0] == 200
    refused(operator.patch(drilled, {"spec": END}), 403)


def test_the_operator_begins_none(user: Callable[..., As], operator: Operator) -> None:
    """Drills are for people to begin."""
    assert user("alice", "sluice-editor").create(switch("stop"))[0] == 201
    refused(operator.patch("stop", {"spec": DRILL}), 403, "engages only switches with spec.autoTrip")


def test_who_may_patch_cannot_end_a_drill_by_hand(
    user: Callable[..., As], installed: Cluster, namespace: str, drilled: str
) -> None:
    """It is engaged: to release it takes the verb, also for who began it."""
    for name, person in (
        ("bob", user("bob", "sluice-operator-verbs")),
        ("dave", As(installed, namespace, "dave")),
    ):
        told = f"{name} may not release killswitches/{drilled}: it needs the verb release"
        refused(person.patch("KillSwitch", drilled, **END), 403, told)


def test_who_may_release_ends_a_drill(user: Callable[..., As], drilled: str) -> None:
    """Before it does so itself; and says that it is no drill any more."""
    erin = user("erin", "sluice-releaser")
    refused(erin.patch("KillSwitch", drilled, engaged=False, releaseReason="enough"), 422, "drill: false")
    assert erin.patch("KillSwitch", drilled, **END)[0] == 200


def test_a_drill_releases_no_real_engagement(user: Callable[..., As], installed: Cluster, namespace: str) -> None:
    """Nobody turns one into a drill, which would let it go; not even who may release it, nor in two steps."""
    alice, bob = user("alice", "sluice-editor"), user("bob", "sluice-operator-verbs")
    assert alice.create(switch("stop"))[0] == 201
    assert bob.patch("KillSwitch", "stop", engaged=True, reason="5xx")[0] == 200
    sentence = "a drill is no way to release it: release it, then drill it"
    for spec in (DRILL, {"drill": True}, {**DRILL, "reason": "5xx"}):
        refused(bob.patch("KillSwitch", "stop", **spec), 422, sentence)
    refused(user("erin", "sluice-releaser").patch("KillSwitch", "stop", drill=True), 422, sentence)
    refused(bob.patch("KillSwitch", "stop", **END), 403, "needs the verb release")
    spec = installed.get(f"{collection('KillSwitch', namespace)}/stop")["spec"]
    assert (spec["engaged"], spec["drill"], spec["reason"]) == (True, False, "5xx")


@pytest.mark.parametrize(
    "spec", [{"engaged": True, "reason": "5xx on checkout"}, {"drill": False}, {"drill": None, "reason": "5xx"}]
)
def test_a_real_engagement_wins_over_a_drill(user: Callable[..., As], drilled: str, spec: dict[str, Any]) -> None:
    """By the patch that engages any switch, too: another reason makes it real, and in the name of who did that."""
    carol = user("carol", "sluice-operator-verbs")
    status, answer = carol.patch("KillSwitch", drilled, **spec)
    assert status == 200, answer
    found = answer["spec"]
    assert (found["engaged"], found.get("drill", False), found["engagedBy"]) == (True, False, "carol")


def test_nobody_drills_under_another_name(user: Callable[..., As], drilled: str) -> None:
    """Neither who began it, nor who made it real, can be made up."""
    found = user("carol", "sluice-operator-verbs").patch("KillSwitch", drilled, engagedBy="erin", drill=False)
    assert found[0] == 200, found
    assert found[1]["spec"]["engagedBy"] == "carol"


def test_nobody_but_the_operator_writes_the_evidence(installed: Cluster, namespace: str, drilled: str) -> None:
    """Not even who may write the status otherwise."""
    allow(installed, namespace, "writes-status", "patch", "killswitches.sluice.dev/status")
    carol = As(installed, namespace, "carol")
    forged = {"startedAt": "2026-01-01T00:00:00Z", "generation": 2, "outcome": "Passed"}
    path = f"{collection('KillSwitch', namespace)}/{drilled}/status"
    answer = installed.request("PATCH", path, {"status": {"lastDrill": forged}}, MERGE, token=carol.token)
    refused(answer, 403, "status.lastDrill is evidence of a drill")
    own = Operator(installed, namespace).patch(drilled, {"status": {"lastDrill": forged}}, subresource="/status")
    assert own[0] == 200, own


def test_a_switch_under_drill_is_not_deleted(installed: Cluster, namespace: str, drilled: str) -> None:
    """It is engaged."""
    refused(As(installed, namespace, "alice").delete("KillSwitch", drilled), 403, "release it before deleting it")
