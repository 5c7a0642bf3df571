"""A run over a fleet outlives crashes, outages and lies: nothing is repeated, skipped or spread to another member."""

from __future__ import annotations

import json
import logging
import os
import random
import time

import pytest

from e2e.fleet_recorder import FleetRecorder
from e2e.outages import outage
from e2e.support.app import Json
from e2e.support.fleet_app import ALL, FleetApp, Leg
from e2e.support.four import Four
from e2e.support.manifests import canary, pause, weight
from e2e.support.waiting import until

pytestmark = pytest.mark.timeout(600)  # the first test starts four clusters
log = logging.getLogger(__name__)
KILLS = 5
MOST_LIFE_SECONDS = 1.0  # of an operator that took the run on, before it is killed
OUTAGE_SECONDS = 4.0  # longer than the lease


def pass_time(seconds: float) -> None:
    """Come back when so much has passed."""
    ends_at = time.monotonic() + seconds
    until(lambda: time.monotonic() >= ends_at, "a moment to pass", timeout=seconds + 10)


def test_crashes_repeat_nothing_and_skip_nothing(four: Four, app: FleetApp) -> None:
    """The hub's only operator is killed at random moments: every share in every member once, in order, in lockstep."""
    seed = int(os.environ.get("SLUICE_CRASH_SEED") or random.SystemRandom().randrange(2**32))
    log.warning("SLUICE_CRASH_SEED=%d repeats these moments", seed)
    draw = random.Random(seed)
    app.everywhere().lead(canary(weight(20), pause("1s"), weight(60), pause("1s")))
    wave = {"name": "wave", "clusters": ["member-1", "member-2", "member-3"], "soak": "1s"}
    seen = []
    with app.loaded(), FleetRecorder(app) as record:
        app.ship(wave, {"name": "rest", "pause": {}})
        for _ in range(KILLS):
            before = record.progress
            until(lambda: record.progress > before or at_rest(app), "it to go on")  # noqa: B023 - asked at once
            pass_time(draw.uniform(0.0, MOST_LIFE_SECONDS))
            four.operator.kill()
            seen.append(app.status["message"])
            four.operator.start(ready=False)
        log.warning("crashed in: %s", "; ".join(seen))
        app.wait_batch("rest", stage="Paused")
        assert app.percents() == {"member-1": 100, "member-2": 100, "member-3": 100, "member-4": 0}
        app.do("Promote")
        app.wait_phase("Healthy")
        record.catch_up()
    plan = [0, 20, 60, 100]
    record.check_plan(member_1=plan, member_2=plan, member_3=plan, member_4=plan)
    record.check_order(("member-1", "member-2", "member-3"), ("member-4",))
    record.check_lockstep("member-1", "member-2", "member-3")
    record.check_permitted()
    record.trail.check()
    assert len(app.fleet_runs()) == 2, "a crash began a run twice"
    for leg in app.legs.values():
        assert len(leg.runs()) == 1, f"a crash began a run twice in {leg.name}"


def test_a_run_outlives_the_hub_and_a_token(four: Four, app: FleetApp) -> None:
    """The hub's API server is away in mid-step, later a member's token changes: the run goes on from where it was."""
    app.everywhere().lead(canary(weight(20), pause("2s"), weight(60)))
    first = {"name": "first", "clusters": ["member-1", "member-3"]}
    with app.loaded(), FleetRecorder(app) as record:
        app.ship(first, {"name": "rest", "pause": {}})
        app["member-1"].wait_percent(20)
        with outage(four.hub, app.data_plane):
            pass_time(OUTAGE_SECONDS)
        app.wait_batch("rest", stage="Paused")
        old = four.fleet.token("member-2")
        four.fleet.add(four.cluster("member-2"), "--rotate-token")
        until(
            lambda: four.cluster("member-2").request("GET", "/api/v1/pods", token=old)[0] == 401, "the end of a token"
        )
        app.do("Promote")
        app.wait_phase("Healthy")
        app["member-2"].only("v2")
        record.catch_up()
    plan = [0, 20, 60, 100]
    record.check_plan(member_1=plan, member_2=plan, member_3=plan, member_4=plan)
    record.check_order(("member-1", "member-3"), ("member-2", "member-4"))
    record.check_permitted()
    record.trail.check()
    assert [each["status"]["outcome"] for each in app.fleet_runs()] == ["Completed", "Completed"]


def at_rest(app: FleetApp) -> bool:
    """Whether the run waits for a person before its last batch."""
    batch = app.status["fleet"].get("batch") or {}
    return (batch.get("name"), batch.get("stage")) == ("rest", "Paused")


def lies_of(status: Json) -> dict[str, Json]:
    """What a member's status may say that is not so, though the CRD takes it."""
    step, revision = status["step"], status["revision"]
    return {
        "is done with everything": {
            "step": {**step, "index": 4, "kind": "setWeight", "done": True},
            "weight": "100%",
            "confirmation": "Accepted",
        },
        "gives what no step gave": {"weight": "90%"},
        "is in another run": {"revision": {**revision, "fleetRun": 99}},
        "runs something else": {"revision": {**revision, "hash": "0123456789"}},
        "has nothing that is stable": {"stable": None},
        "says nothing": dict.fromkeys(status),
        # The last one changes nothing that the hub counts, so that the run can go on at once.
        "talks too much": {"message": "\x1b[31m\u202e" + "x" * 900},
    }


def test_rubbish_in_a_member_harms_nobody(app: FleetApp) -> None:
    """One member's status tells lies: nobody has more than the step's share, there or elsewhere; the run goes on."""
    app.everywhere().lead(canary(weight(20), pause(), weight(60)))
    liar = app["member-3"]
    with app.loaded(), FleetRecorder(app) as record:
        app.ship(ALL)
        app.wait_awaits()
        honest = liar.part()["status"]
        for what, lie in lies_of(honest).items():
            liar.claim(lie)
            until(lambda: is_told(liar, honest), f"the truth about {liar.name}, which {what}")
            app.wait_awaits()
            assert app.percents() == dict.fromkeys(app.legs, 20), what
        assert "\x1b" not in json.dumps(app.status)
        app.do("Promote")
        app.wait_phase("Healthy")
        record.catch_up()
    others = [0, 20, 60, 100]
    record.check_plan(member_1=others, member_2=others, member_4=others)
    assert set(record.percents("member-3")) == set(others)
    record.check_permitted()
    assert app.fleet_run(2)["status"].get("failures", []) == []


def is_told(leg: Leg, honest: Json) -> bool:
    """Whether a member's part says again what is so: the pause at 20 % is done, and waits for the hub."""
    status = leg.part().get("status") or {}
    step, revision, stable = (status.get(field) or {} for field in ("step", "revision", "stable"))
    return (
        (step.get("index"), step.get("done"), status.get("weight")) == (2, True, "20%")
        and (revision.get("hash"), revision.get("fleetRun")) == (honest["revision"]["hash"], 2)
        and stable.get("hash") == honest["stable"]["hash"]
        and status["message"] == honest["message"]
        and leg.percent() == 20
    )


def as_asked(leg: Leg) -> tuple[Json, Json]:
    """What a member's route asks for, and what is stamped on it; its status is a Gateway's, whenever that comes."""
    route = leg.cluster.get(leg.route_path)
    return route["spec"], route["metadata"].get("annotations", {})


def test_what_another_hub_leads_is_left_alone(app: FleetApp) -> None:
    """A MemberRollout of that name is another hub's: nothing is done to it or its route, and the Rollout says whose."""
    app.everywhere()
    taken = app["member-4"]
    spec = {
        "workload": {
            "services": {"blue": f"{app.name}-blue", "green": f"{app.name}-green"},
            "active": "green",
            "version": "v2",
        },
        "traffic": {"routes": [{"name": app.name}]},
        "strategy": canary(weight(50), pause()),
        "pace": {"run": 1, "upTo": 2},
    }
    before = taken.lead_by("another-hub", spec)
    route = as_asked(taken)
    app.apply_rollout(canary(weight(20)), fleet={"batches": [{"name": "all"}]})
    told = app.wait_message("belongs to another hub")
    assert f"MemberRollout {app} in member-4 belongs to another hub (another-hub): delete it there" in told
    others = [leg for leg in app.legs.values() if leg is not taken]
    until(lambda: all(leg.phase == "Healthy" for leg in others), "v1 to serve in the others")
    assert taken.part()["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    assert as_asked(taken) == route
    taken.cluster.client.checked("DELETE", taken.part_path)
    app.wait_phase("Healthy")
    assert taken.part()["metadata"]["annotations"]["sluice.dev/hub"] != "another-hub"
