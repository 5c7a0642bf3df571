"""A batch that people have to approve, over four member clusters: nobody in it moves before."""

from __future__ import annotations

import pytest

from e2e.fleet_recorder import FleetRecorder
from e2e.support.fleet_app import FleetApp
from e2e.support.four import Four
from e2e.support.manifests import canary, weight
from e2e.support.world import APPROVERS, APPROVING, STRANGER

pytestmark = pytest.mark.timeout(600)  # the first test starts four clusters
ANNA, BEN = APPROVERS


def test_a_batch_and_a_step_wait_for_approval(four: Four, app: FleetApp) -> None:
    """The pilot waits at its step, the rest before it begins; a stranger counts for nothing, and no request fails."""
    app.everywhere().lead(canary(weight(20)))
    where = (app.name, "-n", app.namespace)
    step = {"approval": {"group": APPROVING}}
    pilot = {"name": "pilot", "clusters": ["member-1"], "steps": [weight(20), step, weight(60)]}
    with app.loaded(), FleetRecorder(app) as record:
        app.ship(pilot, {"name": "rest", "approval": {"group": APPROVING, "quorum": 2}})
        app.wait_message("waits for approval by 1 of release-managers: nobody yet")
        assert [each["point"] for each in app.status["approvals"]] == ["batch/pilot/step-2"]
        assert app.percents() == {"member-1": 20, "member-2": 0, "member-3": 0, "member-4": 0}
        stranger = four.world.sluice("approve", *where, user=STRANGER)
        assert (stranger.code, f"a group that {STRANGER} is not in" in stranger.err) == (1, True), stranger
        assert four.world.sluice("approve", *where, user=ANNA).code == 0
        app.wait_batch("rest", stage="Approving")
        app.wait_message("waits for approval by 2 of release-managers: nobody yet")
        assert app.condition("Paused")["reason"] == "WaitsForApproval"
        for user, told in ((ANNA, "1 of 2"), (BEN, "2 of 2")):
            assert app.percents() == {"member-1": 100, "member-2": 0, "member-3": 0, "member-4": 0}
            done = four.world.sluice("approve", *where, user=user)
            assert (done.code, f"approved batch/rest: {told}" in done.out) == (0, True), done
        app.wait_phase("Healthy")
        app["member-2"].wait_percent(100)
        app["member-2"].only("v2")
        record.catch_up()
    record.check_order(("member-1",), ("member-2", "member-3", "member-4"))
    record.check_permitted()
    approved = [(each["actor"], each["message"]) for each in app.audit() if each["action"] == "Approve"]
    assert [actor for actor, _ in approved] == [ANNA, ANNA, BEN]


def test_a_rejected_fleet_returns(four: Four, app: FleetApp) -> None:
    """Who may reject ends the run where it waits; clusters on the way return, and no request fails."""
    app.everywhere().lead(canary(weight(20)))
    step = {"approval": {"group": APPROVING}}
    with app.loaded():
        app.ship({"name": "pilot", "clusters": ["member-1"], "steps": [weight(20), step]}, {"name": "rest"})
        app.wait_message("waits for approval")
        done = four.world.sluice("reject", app.name, "-n", app.namespace, "--reason", "refunds untested", user=BEN)
        assert done.code == 0, done
        assert app.wait_outcome(2) == "Aborted"
        app["member-1"].wait_percent(0)
        app["member-1"].only("v1")
    revision = app.status["fleet"]["revision"]
    assert (revision["reason"], f"rejected by {BEN}: refunds untested" in revision["message"]) == (
        "RejectedByAction",
        True,
    )
