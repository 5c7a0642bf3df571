"""A Rollout over four member clusters, two of them with traffic: in order, in lockstep, and back where it has to be."""

from __future__ import annotations

import logging

import pytest

from e2e.fleet_recorder import FleetRecorder
from e2e.support.app import unix_time
from e2e.support.fleet_app import FleetApp, FleetWorkload
from e2e.support.four import Four
from e2e.support.manifests import canary, gauge, pause, weight

pytestmark = pytest.mark.timeout(600)  # the first test starts four clusters
log = logging.getLogger(__name__)
SOAK_SECONDS = 2


def test_pilot_wave_and_rest_go_in_order(app: FleetApp) -> None:
    """Nobody before its batch, the wave step by step together, soak and a person's word in between, nothing failed."""
    app.everywhere().lead(canary(weight(20), pause("1s"), weight(60), pause("1s")))
    wave = {"name": "wave", "clusters": ["member-2", "member-3"], "pause": {}, "soak": "1s"}
    with app.loaded() as load, FleetRecorder(app) as record:
        app.ship({"name": "pilot", "clusters": ["member-1"], "soak": f"{SOAK_SECONDS}s"}, wave, {"name": "rest"})
        app.wait_awaits()
        assert "batch wave waits for a person: sluice promote" in app.status["message"]
        assert app.percents() == {"member-1": 100, "member-2": 0, "member-3": 0, "member-4": 0}
        app.do("Promote", reason="the pilot is well")
        app.wait_phase("Healthy")
        for leg in (app["member-1"], app["member-2"]):
            leg.wait_percent(100)
            leg.only("v2")
        record.catch_up()
    plan = [0, 20, 60, 100]
    record.check_plan(member_1=plan, member_2=plan, member_3=plan, member_4=plan)
    record.check_order(("member-1",), ("member-2", "member-3"), ("member-4",))
    record.check_lockstep("member-2", "member-3")
    record.check_permitted()
    log.warning("%s", record.told_lags(2))
    assert max(record.lags(2).values()) < 10, record.told_lags(2)
    pilot = app.fleet_run(2)["status"]["batches"][0]
    assert unix_time(pilot["endedAt"]) - unix_time(pilot["doneAt"]) >= SOAK_SECONDS
    assert {version for each in load.values() for version in each.requests.by_version()} == {"v1", "v2"}
    assert [each["status"]["outcome"] for each in app.fleet_runs()] == ["Completed", "Completed"]


BAD = gauge("burn", {"max": 1})


def bad_in_member_2(app: FleetApp) -> FleetApp:
    """What goes to member-2 shows a burn of 5 in its own Prometheus; everywhere else it is well."""
    app.everywhere(member_2="v2-bad")
    app.shown_by("v2", burn=0)
    app.shown_by("v2-bad", burn=5)
    app.apply("AnalysisTemplate", "burn", {"metrics": [BAD]})
    return app.lead(canary(weight(20), pause("2s"), weight(60)), analysis={"templates": [{"name": "burn"}]})


def test_a_bad_cluster_returns_alone(app: FleetApp) -> None:
    """One of a batch of three is measured bad, one may fail: it returns, the others go on, and so does the fleet."""
    bad_in_member_2(app)
    first = {"name": "first", "clusters": ["member-1", "member-2", "member-3"]}
    with app.loaded(), FleetRecorder(app) as record:
        app.ship(first, {"name": "rest"}, onFailure="RollbackCluster", maxFailures=1)
        assert app.wait_outcome(2) == "Completed"
        assert app.percents() == {"member-1": 100, "member-2": 0, "member-3": 100, "member-4": 100}
        app["member-1"].only("v2")
        app["member-2"].only("v1")
        record.catch_up()
    good = [0, 20, 60, 100]
    record.check_plan(member_1=good, member_2=[0, 20, 0], member_3=good, member_4=good)
    record.check_permitted()
    failures = app.fleet_run(2)["status"]["failures"]
    assert [(each["name"], each["reason"]) for each in failures] == [("member-2", "MetricFailed")]
    assert failures[0]["message"] == "burn is 5, above max 1"
    assert "member-2" in app.notable()


def test_a_bad_cluster_takes_the_fleet_back(app: FleetApp) -> None:
    """With RollbackFleet a failure in the second batch takes back what the first had completed, too."""
    bad_in_member_2(app)
    second = {"name": "second", "clusters": ["member-2", "member-3"]}
    with app.loaded(), FleetRecorder(app) as record:
        app.ship({"name": "pilot", "clusters": ["member-1"]}, second, {"name": "rest"}, onFailure="RollbackFleet")
        assert app.wait_outcome(2) == "Aborted"
        app.wait_phase("Aborted")
        for leg in app.legs.values():
            leg.wait_percent(0)
        app["member-1"].only("v1")
        app["member-2"].only("v1")
        record.catch_up()
    record.check_plan(member_1=[0, 20, 60, 100, 0], member_2=[0, 20, 0], member_3=[0, 20, 0], member_4=[0])
    record.check_permitted()
    message = app.status["message"]
    assert "1 of 2 clusters of batch second failed, 0 may: member-2: burn is 5, above max 1" in message
    assert "the whole fleet returns" in message


def test_by_hand_the_fleet_goes_back_also_where_the_old_pods_are_gone(four: Four, workload: FleetWorkload) -> None:
    """`sluice rollback --fleet` after a batch completed and its old pods ended: they come up first, nothing fails."""
    workload.lead(canary(weight(25), pause("1s")))
    pilot = workload["member-1"]
    with workload.loaded(), FleetRecorder(workload) as record:
        workload.ship({"name": "pilot", "clusters": ["member-1"]}, {"name": "rest", "pause": {}})
        workload.wait_awaits()
        pilot.wait_serves("green", 2)
        pilot.wait_gone("blue")
        told = ("--fleet", "--reason", "wrong prices")
        done = four.world.sluice("rollback", workload.name, "-n", workload.namespace, *told)
        assert done.code == 0, done
        assert "1 cluster returns to v1" in done.out, done
        status = workload.wait_phase("Aborted")
        assert "wrong prices" in status["message"]
        for leg in workload.legs.values():
            leg.wait_serves("blue", 2)
            leg.only("v1")
        record.catch_up()
    record.check_plan(member_1=[0, 25, 100, 0], member_2=[0])
    record.check_permitted()
