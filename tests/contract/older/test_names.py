"""Who did it, where the API server does not say so: people may write their own name, and nobody another's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from contract.crds.people import MERGE, As, refused
from contract.crds.resources import collection
from contract.crds.test_auto_trip import TRIP
from contract.policies import action, rollout, switch
from sluice.cli.main import cli
from testbed import Cluster

pytestmark = pytest.mark.cluster

APPROVAL: dict[str, Any] = {"revision": 1, "point": "step-2"}
STOP = {"engaged": True, "reason": "5xx"}
LEAVE_OUT = "leave it out (you are mallory)"


@pytest.fixture
def mallory(user: Callable[..., As]) -> As:
    """Somebody who may engage switches, act, and approve."""
    return user("mallory", "sluice-operator-verbs", "sluice-approver")


def test_engaging_still_works(mallory: As) -> None:
    """A switch engages, without a name; actions work too."""
    status, body = mallory.create(switch("anonymous", **STOP))
    assert (status, body["spec"].get("engagedBy")) == (201, None)
    assert mallory.create(switch("nameless", **STOP, force=True))[0] == 201
    status, body = mallory.create(action("Pause"))
    assert (status, body["spec"].get("actor")) == (201, None)
    assert mallory.create(switch("armed"))[0] == 201
    assert mallory.patch("KillSwitch", "armed", **STOP)[0] == 200


def test_nobody_takes_anothers_name(mallory: As) -> None:
    """One may leave the name out or write one's own, never another's, and not change it afterwards."""
    assert mallory.create(switch("own", **STOP, engagedBy="mallory"))[0] == 201
    assert mallory.create(switch("hard", **STOP, engagedBy="mallory", force=True, forcedBy="mallory"))[0] == 201
    for forged in (
        switch("forged", **STOP, engagedBy="alice"),
        switch("forged", **STOP, force=True, forcedBy="alice"),
        action("Pause", actor="alice"),
    ):
        refused(mallory.create(forged), 422, LEAVE_OUT)
    refused(mallory.patch("KillSwitch", "own", engagedBy=None), 422, "spec.engagedBy tells who engaged the switch")


@pytest.fixture
def released(user: Callable[..., As]) -> str:
    """A switch that alice engaged by force, in her own name, and that was released since."""
    alice, erin = user("alice", "sluice-operator-verbs"), user("erin", "sluice-releaser")
    assert alice.create(switch("stop", **STOP, engagedBy="alice", force=True, forcedBy="alice"))[0] == 201
    status, body = erin.patch("KillSwitch", "stop", engaged=False, force=False, releaseReason="fixed")
    assert (status, body["spec"]["engagedBy"], body["spec"]["forcedBy"]) == (200, "alice", "alice"), body
    return "stop"


def test_nobody_inherits_a_name(mallory: As, released: str) -> None:
    """Who engages a switch anew does not do so in the name of who had engaged it, nor forces it in theirs.

    The names that stand there are refused, as if written now, and the message says what to add; without names it works.
    """
    anew = 'add "engagedBy":null'
    refused(mallory.patch("KillSwitch", released, **STOP), 422, "alice", anew)
    refused(mallory.patch("KillSwitch", released, **STOP, engagedBy="alice"), 422, anew)
    forced = mallory.patch("KillSwitch", released, **STOP, engagedBy=None, force=True)
    refused(forced, 422, "alice", 'add "forcedBy":null')
    status, body = mallory.patch("KillSwitch", released, **STOP, engagedBy=None, force=True, forcedBy=None)
    assert (status, body["spec"].get("engagedBy"), body["spec"].get("forcedBy")) == (200, None, None)


def sluice(cluster: Cluster, user: str, *line: str) -> Result:
    """A command of the user's, which waits for no operator."""
    kubeconfig = cluster.kubeconfig_for_token(cluster.user_token(user), cluster.folder / f"{user}.kubeconfig")
    return CliRunner().invoke(cli, [*line, "--no-wait", "--kubeconfig", str(kubeconfig)])


def test_the_command_line_is_not_stopped_by_a_name(
    installed: Cluster, user: Callable[..., As], namespace: str, released: str
) -> None:
    """`sluice kill` takes it off; so do `sluice release`, for whoever comes next, and `sluice drill`."""
    user("bob", "sluice-operator-verbs", "sluice-viewer", "sluice-releaser")
    path = f"{collection('KillSwitch', namespace)}/{released}"
    where = (released, "-n", namespace)

    def names() -> tuple[object, object, object]:
        spec = installed.get(path)["spec"]
        return spec["engaged"], spec.get("engagedBy"), spec.get("forcedBy")

    for line, engaged in (
        (("kill", *where, "--reason", "5xx", "--force"), True),
        (("release", *where, "--reason", "over"), False),
        (("kill", *where, "--reason", "again"), True),
    ):
        done = sluice(installed, "bob", *line)
        assert done.exit_code == 0, done.output
        assert names() == (engaged, None, None)
    # Engaged in a name of its own, and forced before in another's: the one stays, the other goes.
    alone = switch("alone", **STOP, engagedBy="mallory", forcedBy="mallory")
    assert user("mallory", "sluice-editor").create(alone)[0] == 201
    done = sluice(installed, "bob", "kill", "alone", "-n", namespace, "--reason", "5xx", "--force")
    assert done.exit_code == 0, done.output
    spec = installed.get(f"{collection('KillSwitch', namespace)}/alone")["spec"]
    assert (spec["engagedBy"], spec["force"], spec.get("forcedBy")) == ("mallory", True, None)


def test_a_name_may_be_taken_off_at_the_release(user: Callable[..., As], mallory: As) -> None:
    """So `sluice release` leaves a switch that anybody engages by the plain patch."""
    assert mallory.create(switch("stop", **STOP, engagedBy="mallory", force=True, forcedBy="mallory"))[0] == 201
    over = {"engaged": False, "engagedBy": None, "forcedBy": None, "force": False, "releaseReason": "fixed"}
    assert user("erin", "sluice-releaser").patch("KillSwitch", "stop", **over)[0] == 200
    assert user("bob", "sluice-operator-verbs").patch("KillSwitch", "stop", **STOP)[0] == 200


def test_a_drill_made_real_is_not_in_the_name_of_who_drilled(user: Callable[..., As], mallory: As) -> None:
    """The plain patch is refused, for nobody takes `drill` away there; with `drill: false` it is a new engagement."""
    assert mallory.create(switch("stop"))[0] == 201
    drill = {"engaged": True, "drill": True, "reason": "rehearsal", "engagedBy": "mallory"}
    assert mallory.patch("KillSwitch", "stop", **drill)[0] == 200
    carol = user("carol", "sluice-operator-verbs")
    refused(carol.patch("KillSwitch", "stop", **STOP), 422, "drill")
    refused(carol.patch("KillSwitch", "stop", **STOP, drill=False), 422, 'add "engagedBy":null')
    status, body = carol.patch("KillSwitch", "stop", **STOP, drill=False, engagedBy="carol")
    assert (status, body["spec"]["engagedBy"]) == (200, "carol")


def test_a_switch_trips_whoever_had_engaged_it(user: Callable[..., As], installed: Cluster, namespace: str) -> None:
    """The operator takes the name off, too, and then it is nobody's: `status.trippedBy` says what it was."""
    alice, erin = user("alice", "sluice-operator-verbs"), user("erin", "sluice-releaser")
    assert alice.create(switch("stop", **STOP, engagedBy="alice", autoTrip=TRIP))[0] == 201
    assert erin.patch("KillSwitch", "stop", engaged=False, releaseReason="fixed")[0] == 200
    account = As(installed, namespace, token=installed.token_for("sluice-system", "sluice"))
    trip = {"engaged": True, "reason": "tripped by itself: errors is 1", "force": False}
    refused(account.patch("KillSwitch", "stop", **trip), 422, "it says alice, from an earlier time")
    status, body = account.patch("KillSwitch", "stop", **trip, engagedBy=None)
    assert (status, body["spec"].get("engagedBy")) == (200, None)


def asked_by(requester: str | None, changed_by: str | None = None) -> dict[str, Any]:
    """A Rollout that says who asked for it, and moves no route."""
    names = {"sluice.dev/requester": requester, "sluice.dev/changed-by": changed_by}
    body = rollout("probe", service={"active": "a"})
    return {**body, "metadata": {"name": "probe", "annotations": {key: name for key, name in names.items() if name}}}


def as_administrator(cluster: Cluster, body: dict[str, Any]) -> tuple[int, Any]:
    """What would come of creating an object in the namespace default, by who may do everything."""
    return cluster.request("POST", collection(body["kind"], "default") + "?dryRun=All", body)


def test_nobody_asks_or_approves_as_another(installed: Cluster, mallory: As) -> None:
    """Neither another's name nor another's group; what is left out stays unknown, and so counts nowhere."""
    status, body = as_administrator(installed, asked_by(None))
    assert (status, body["metadata"].get("annotations")) == (201, None), body
    for forged in (asked_by("alice"), asked_by(None, "alice")):
        refused(as_administrator(installed, forged), 422, "the API server writes them: leave them out")
    own: dict[str, Any] = {"actor": "mallory", "actorGroups": ["system:authenticated"]}
    assert mallory.create(action("Approve", **APPROVAL, **own))[0] == 201
    status, body = mallory.create(action("Approve", **APPROVAL))
    assert (status, body["spec"].get("actor"), body["spec"].get("actorGroups")) == (201, None, None)
    answer = mallory.create(action("Approve", **APPROVAL, actorGroups=["release-managers"]))
    refused(answer, 422, "spec.actorGroups tells in which groups")


def test_nobody_asks_in_a_name_that_stands_there(installed: Cluster, namespace: str) -> None:
    """Who changes what a Rollout asks for takes the name of who asked before off it, or writes their own."""
    body = asked_by("admin", "admin")
    path = f"{collection('Rollout', namespace)}/probe"
    installed.client.checked("POST", collection("Rollout", namespace), body)
    change: dict[str, Any] = {"spec": {"workload": {"active": "blue"}}}
    masters = "system:serviceaccount:sluice-system:sluice-member"  # may do everything, by the token of a static user
    token = installed.user_token(masters)
    refused(installed.request("PATCH", path, change, MERGE, token), 422, "take off what is there of others", masters)
    names = {"sluice.dev/requester": None, "sluice.dev/changed-by": None}
    change["metadata"] = {"annotations": names}
    assert installed.request("PATCH", path, change, MERGE, token)[0] == 200
