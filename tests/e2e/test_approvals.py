"""Runs that people have to let go on, and what who is on call does: with real users, groups and traffic."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from e2e.support.app import App, unix_time
from e2e.support.manifests import Json, background, canary, gate, pause, weight
from e2e.support.waiting import until
from e2e.support.world import APPROVERS, APPROVING, RELEASER, STRANGER, Done, World

ANNA, BEN = APPROVERS


def approval(**fields: object) -> Json:
    """Step ``approval``."""
    return {"approval": {"group": APPROVING, **fields}}


@pytest.fixture
def ask(world: World, app: App) -> App:
    """An app whose next version waits at 10 % for two approvals; the releaser asked for it, by a patch of their own."""
    app.deploy().manage(canary(weight(10), approval(quorum=2), weight(50), pause()))
    _release(world, app)
    app.wait_weight("10%")
    app.wait_step(2, kind="approval")
    return app


def _release(world: World, app: App) -> None:
    """Ask for v2 as the releaser, who takes the right to move the route for that."""
    app.kubectl("create", "role", "mover", "--verb=patch", "--resource=httproutes.gateway.networking.k8s.io")
    app.kubectl("create", "rolebinding", "mover", "--role=mover", f"--user={RELEASER}")
    path = f"/apis/sluice.dev/v1alpha1/namespaces/{app.namespace}/rollouts/{app.name}"
    change = {"spec": {"workload": {"active": "green", "version": "v2"}}}
    token = world.hub.user_token(RELEASER)

    def asked() -> bool:
        return world.hub.request("PATCH", path, change, "application/merge-patch+json", token=token)[0] == 200

    until(asked, f"{RELEASER} to be let release")


def approve(world: World, app: App, user: str, *more: str) -> Done:
    """``sluice approve`` as a user."""
    return world.sluice("approve", app.name, "-n", app.namespace, *more, user=user)


def test_a_step_waits_for_two_of_the_group(world: World, ask: App) -> None:
    """Weights stay until two of the group have approved; a stranger, and the same person twice, are rejected."""
    app = ask
    assert app.rollout()["metadata"]["annotations"]["sluice.dev/requester"] == RELEASER
    assert app.run(1)["spec"]["requester"] == RELEASER
    said = app.wait_message("waits for approval")
    assert f"by 2 of {APPROVING}: nobody yet: sluice approve {app.name} -n {app.namespace}; {RELEASER}, who" in said
    assert app.condition("Paused")["reason"] == "WaitsForApproval"
    with app.steady():
        stranger = approve(world, app, STRANGER)
        assert (stranger.code, f"a group that {STRANGER} is not in" in stranger.err) == (1, True), stranger
        first = approve(world, app, ANNA, "--reason", "numbers are fine")
        assert (first.code, f"approved step-2: 1 of 2 ({ANNA})" in first.out) == (0, True), first
        again = approve(world, app, ANNA)
        assert (again.code, "has approved step-2 already" in again.err) == (1, True), again
        page = world.sluice("status", app.name, "-n", app.namespace)
        for part in ("step-2", APPROVING, "1 of 2", ANNA, f"1 more of {APPROVING}", f"sluice approve {app.name}"):
            assert part in page.out, page.out
        promoted = world.sluice("promote", app.name, "-n", app.namespace, "--full")
        assert (promoted.code, "which no promotion replaces" in promoted.err) == (1, True), promoted
        assert (app.status["weight"], app.status["step"]["index"]) == ("10%", 2)
        second = approve(world, app, BEN)
        assert (second.code, f"approved step-2: 2 of 2 ({ANNA}, {BEN})" in second.out) == (0, True), second
        app.wait_weight("50%")
    app.wait_event("ActionDone", f"Approve by {ANNA}", "numbers are fine")
    told = [(entry["actor"], entry["message"]) for entry in app.audit() if entry["action"] == "Approve"]
    assert [actor for actor, _ in told] == [ANNA, BEN]
    late = approve(world, app, ANNA)
    assert (late.code, "nothing waits for approval now" in late.err) == (1, True), late


def test_nobody_approves_what_they_asked_for(world: World, app: App) -> None:
    """Also where the asker is of the group and may approve: what counts is who changed the Rollout."""
    app.deploy().manage(canary(weight(10), approval(), weight(50), pause()))
    app.kubectl("create", "role", "mover", "--verb=patch", "--resource=httproutes.gateway.networking.k8s.io")
    app.kubectl("create", "rolebinding", "mover", "--role=mover", f"--user={ANNA}")
    app.kubectl("create", "rolebinding", "editor", "--clusterrole=sluice-editor", f"--user={ANNA}")
    path = f"/apis/sluice.dev/v1alpha1/namespaces/{app.namespace}/rollouts/{app.name}"
    forged = {"metadata": {"annotations": {"sluice.dev/requester": BEN, "sluice.dev/requested-by": BEN}}}
    change = {**forged, "spec": {"workload": {"active": "green", "version": "v2"}}}
    token, merge = world.hub.user_token(ANNA), "application/merge-patch+json"
    until(lambda: world.hub.request("PATCH", path, change, merge, token=token)[0] == 200, f"{ANNA} to be let release")
    app.wait_step(2, kind="approval")
    own = approve(world, app, ANNA)
    assert (own.code, f"{ANNA} asked for this run" in own.err) == (1, True), own
    assert approve(world, app, BEN).code == 0
    app.wait_weight("50%")


def test_an_approval_is_for_what_waits_now(world: World, ask: App) -> None:
    """Another revision, or another step, is rejected; what was approved of one run does not count in the next."""
    app = ask
    assert approve(world, app, ANNA).code == 0
    stale = approve(world, app, BEN, "--revision", "7")
    assert (stale.code, "it is for revision 7" in stale.err) == (1, True), stale
    body = {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "RolloutAction",
        "metadata": {"name": "elsewhere"},
        "spec": {"rollout": app.name, "action": "Approve", "revision": 1, "point": "step-4"},
    }
    path = f"/apis/sluice.dev/v1alpha1/namespaces/{app.namespace}/rolloutactions"
    assert world.hub.request("POST", path, body, token=world.hub.user_token(BEN))[0] == 201
    answer = until(lambda: world.hub.get(f"{path}/elsewhere").get("status"), "an answer")
    assert (answer["phase"], "what waits for approval now is step-2" in answer["message"]) == ("Rejected", True)
    app.release("v3")
    until(lambda: app.status["revision"]["number"] == 2, "the next run")
    app.wait_step(2, kind="approval")
    assert app.wait_message("nobody yet")
    assert app.status["approvals"][0].get("approvals", []) == []


def test_who_is_on_call_holds_and_extends(world: World, app: App) -> None:
    """A hold freezes a run, for a time or until it is resumed, and can be made longer; so can a pause."""
    app.deploy().manage(canary(weight(10), pause("4s"), weight(20), pause()), analysis=background(gate()))
    app.release()  # no time counts before the gate lets go, however long this test takes to say what it has to
    app.wait_step(2)
    where = (app.name, "-n", app.namespace)
    unsaid = world.sluice("hold", *where)
    assert (unsaid.code, "say why" in unsaid.err) == (2, True), unsaid
    longer = world.sluice("extend", *where, "--by", "2s", "--reason", "one more look")
    assert (longer.code, "step 2 (pause) lasts 2s longer" in longer.out) == (0, True), longer
    held = world.sluice("hold", *where, "--for", "8s", "--reason", "incident 481")
    assert (held.code, "held until" in held.out) == (0, True), held
    assert f"held by {RELEASER}: incident 481; goes on at" in app.wait_message("held by")
    assert app.condition("Paused")["reason"] == "HeldByAction"
    app.lets_go()
    app.wait_weight("20%")
    step = app.run(1)["status"]["steps"][1]
    assert unix_time(step["endedAt"]) - unix_time(step["startedAt"]) > 6 + 4
    app.wait_event("HoldEnded", RELEASER)
    app.wait_step(4)
    assert world.sluice("hold", *where, "--reason", "incident 482").code == 0
    refused = world.sluice("promote", *where)
    assert (refused.code, f"held by {RELEASER}: incident 482" in refused.err) == (1, True), refused
    assert world.sluice("resume", *where).code == 0
    app.promote_when_measured()
    app.wait_phase("Healthy")
    acted = [entry["action"] for entry in app.audit() if entry["actor"] == RELEASER]
    assert [action for action in acted if action in {"Extend", "Hold", "Resume"}] == [
        "Extend",
        "Hold",
        "Hold",
        "Resume",
    ]


def test_reject_returns_the_traffic(world: World, ask: App) -> None:
    """One who may reject ends the run: everything is stable's again, without a failed request, and stays so."""
    app = ask
    with app.steady():
        rejected = world.sluice("reject", app.name, "-n", app.namespace, "--reason", "refunds untested", user=ANNA)
        assert rejected.code == 0, rejected
        status = app.wait_phase("Aborted")
        assert f"rejected by {ANNA}: refunds untested" in status["message"]
        app.wait_weight("0%")
        app.only("v1")
    assert (status["revision"]["outcome"], status["revision"]["reason"]) == ("Aborted", "RejectedByAction")
    shown = json.loads(world.sluice("get", "rollouts", app.name, "-n", app.namespace, "-o", "json").out)
    assert "approvals" not in shown["status"] or shown["status"]["approvals"] == []


def may_approve(app: App, name: str) -> None:
    """Let a user read and approve in the app's namespace, and wait until the API server lets them."""
    roles = ("sluice-viewer", "sluice-approver")
    subject = {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": name}
    bindings = [
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": f"{role}-{name.rpartition(':')[2]}"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [subject],
        }
        for role in roles
    ]
    app.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(bindings))
    asked = ("auth", "can-i", "approve", f"rollouts.sluice.dev/{app.name}", f"--as={name}")
    until(lambda: app.hub.kubectl("-n", app.namespace, *asked, check=False).strip() == "yes", f"{name} may approve")


def test_a_certificate_tells_the_group(world: World, app: App, tmp_path: Path) -> None:
    """Who approves by a client certificate is of the groups that it names, as long as it is good.

    Of another group, or expired, it counts for nothing; and each answer says what is wrong.
    """
    app.deploy().manage(canary(weight(10), approval(), weight(50), pause()))
    _release(world, app)
    app.wait_step(2, kind="approval")
    may_approve(app, "vera")

    def as_vera(group: str, seconds: int = 3600) -> Done:
        path = world.hub.kubeconfig_for_certificate("vera", [group], tmp_path / "kubeconfig", seconds=seconds)
        return world.sluice("approve", app.name, "-n", app.namespace, kubeconfig=path)

    with app.steady():
        other = as_vera("accounting")
        assert (other.code, "a group that vera is not in" in other.err) == (1, True), other
        expired = as_vera(APPROVING, seconds=-3600)
        assert expired.code == 1, expired
        assert f"Cannot approve Rollout {app.namespace}/{app.name}" in expired.err
        assert "answered 401: Unauthorized. It does not accept the credentials: wrong, or expired." in expired.err
        assert "Log in again, or use other credentials" in expired.err
        assert (app.status["weight"], app.status["approvals"][0]["approvals"]) == ("10%", [])
        approved = as_vera(APPROVING)
        assert (approved.code, "approved step-2: 1 of 1 (vera)" in approved.out) == (0, True), approved
        app.wait_weight("50%")
    assert [entry["actor"] for entry in app.audit() if entry["action"] == "Approve"] == ["vera"]


def test_an_expired_token_approves_nothing(world: World, app: App, tmp_path: Path) -> None:
    """An account approves for its group while its token is good; with an old one it is told to log in again."""
    app.deploy()
    account = f"system:serviceaccount:{app.namespace}:pipeline"
    step = {"approval": {"group": f"system:serviceaccounts:{app.namespace}"}}
    app.manage(canary(weight(10), step, weight(50), pause()))
    _release(world, app)
    app.wait_step(2, kind="approval")
    app.kubectl("create", "serviceaccount", "pipeline")
    may_approve(app, account)

    def as_pipeline(seconds: int) -> Done:
        token = world.hub.signed_token(app.namespace, "pipeline", seconds)
        path = world.hub.kubeconfig_for_token(token, tmp_path / "kubeconfig")
        return world.sluice("approve", app.name, "-n", app.namespace, kubeconfig=path)

    expired = as_pipeline(-3600)
    assert (expired.code, "Log in again" in expired.err, "It takes" in expired.err) == (1, True, False), expired
    assert "token" not in expired.err
    assert app.status["approvals"][0]["approvals"] == []
    approved = as_pipeline(3600)
    assert (approved.code, f"approved step-2: 1 of 1 ({account})" in approved.out) == (0, True), approved
    app.wait_weight("50%")
