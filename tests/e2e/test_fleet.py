"""A Rollout over four member clusters, two of them with traffic: in order, in lockstep, and back where it has to be."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import time
from collections.abc import Callable, Iterator

import pytest

from e2e.fleet_recorder import FleetRecorder
from e2e.outages import outage
from e2e.support.app import Json, unix_time
from e2e.support.fixtures import show
from e2e.support.fleet_app import ALL, FleetApp, FleetWorkload, Leg
from e2e.support.four import Four, four_members, writes_of_operator
from e2e.support.manifests import canary, gauge, pause, weight
from e2e.support.waiting import until
from e2e.support.world import World
from testbed import FaultyApi

pytestmark = pytest.mark.timeout(600)  # the first test starts four clusters
log = logging.getLogger(__name__)
MakeFleetApp = Callable[[], FleetApp]
SOAK_SECONDS = 2
KILLS = 5
MOST_LIFE_SECONDS = 1.0  # of an operator that took the run on, before it is killed
OUTAGE_SECONDS = 4.0  # longer than the lease


@pytest.fixture(scope="module")
def four(world: World) -> Iterator[Four]:
    """Four members, registered, and one operator in place of the world's."""
    with four_members(world) as made:
        yield made


@pytest.fixture
def make_fleet_app(four: Four, request: pytest.FixtureRequest) -> Iterator[MakeFleetApp]:
    """Makes apps in all members; nothing of them is made yet."""
    made: list[FleetApp] = []

    def make() -> FleetApp:
        made.append(FleetApp(four, four.world.app()))
        show(request.node, four.world, made[-1])
        return made[-1]

    yield make
    for app in made:
        app.remove()


@pytest.fixture
def app(make_fleet_app: MakeFleetApp) -> FleetApp:
    """One of them."""
    return make_fleet_app()


@pytest.fixture
def workload(four: Four, request: pytest.FixtureRequest) -> Iterator[FleetWorkload]:
    """An app whose pods Sluice runs."""
    made = FleetWorkload(four, four.world.app())
    show(request.node, four.world, made)
    yield made
    made.remove()


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


AWAY = ("member-2", "member-3")
SLOW = "member-4"
SLOW_SECONDS = 20.0


@contextlib.contextmanager
def two_away(four: Four) -> Iterator[None]:
    """One API server is dead, one frozen, and the hub says so; at the end both are back."""
    dead, frozen = map(four.cluster, AWAY)
    dead.stop_apiserver()
    frozen.freeze_apiserver()
    try:
        for name in AWAY:
            four.fleet.wait(name, "Reachable", "False NoAnswer")
        yield
    finally:
        frozen.thaw_apiserver()
        if not four.places[AWAY[0]].answers():
            dead.start_apiserver()
    for name in AWAY:
        four.fleet.wait_ready(name)


def test_who_is_away_holds_its_own_batch_and_is_diverted_when_it_is_back(
    four: Four, make_fleet_app: MakeFleetApp
) -> None:
    """Two are lost in mid-batch: named, since when; others go on; a kill reaches whom it can, and those two at once."""
    held, free = make_fleet_app(), make_fleet_app()
    held.everywhere().lead(canary(weight(50), pause()))
    others = {"matchExpressions": [{"key": "member", "operator": "NotIn", "values": list(AWAY)}]}
    free.everywhere().lead(canary(weight(20), pause("1s"), weight(60)), selector=others)
    held.apply("KillSwitch", "stop", {"effect": "Divert"})
    with held.loaded(), free["member-1"].steady(50), FleetRecorder(held) as record:
        held.ship(ALL)
        for leg in held.legs.values():
            leg.wait_percent(50)
        held.wait_awaits()
        with two_away(four):
            insist_held(held)
            free.ship(ALL)
            assert free.wait_outcome(2) == "Completed"
            assert free.percents("member-1", "member-4") == {"member-1": 100, "member-4": 100}
            kill_within_reach(held)
            written = {name: len(writes_of_operator(four.cluster(name))) for name in AWAY}
            four.cluster(AWAY[0]).start_apiserver()
            served_at = time.monotonic()
            until(lambda: held[AWAY[0]].percent() == 0, "the dead one to be diverted")
            log.warning("%s was diverted within %.2f s of serving again", AWAY[0], time.monotonic() - served_at)
            held[AWAY[0]].wait_percent(0)
            held[AWAY[0]].only("v1")
        held[AWAY[1]].wait_percent(0)
        for name in AWAY:
            first = writes_of_operator(four.cluster(name))[written[name]]["objectRef"]
            assert (first["resource"], first["namespace"]) == ("httproutes", held.namespace), (name, first)
        until(lambda: not held.notable(), "everybody to be back")
        assert held.status["phase"] == "Killed"
        record.catch_up()
    plan = [0, 50, 0]
    record.check_plan(member_1=plan, member_2=plan, member_3=plan, member_4=plan)
    record.check_permitted()


def test_a_slow_member_is_in_nobodys_way_and_is_killed_in_all_the_same(
    four: Four, make_fleet_app: MakeFleetApp
) -> None:
    """One takes 20 seconds for each answer: it is named, the others are killed in at once, and it as soon as it can."""
    held = make_fleet_app()
    held.everywhere().lead(canary(weight(50), pause()))
    held.apply("KillSwitch", "stop", {"effect": "Divert"})
    slow = four.cluster(SLOW)
    with FaultyApi(slow, 0.0, seed=1) as proxy:
        four.fleet.add(slow, "--server", proxy.server)
        with held.loaded(), FleetRecorder(held) as record:
            held.ship(ALL)
            held.wait_awaits()
            proxy.slow_down(SLOW_SECONDS)
            four.fleet.wait(SLOW, "Reachable", "False NoAnswer")
            written = len(writes_of_operator(slow))
            engage(held)
            for name in ("member-1", "member-2", "member-3"):
                held[name].wait_percent(0)
            left = until(lambda: returning(held) == {SLOW} and held.notable(), "just one to be on its way back")
            assert left[SLOW]["since"], left
            held[SLOW].wait_percent(0)
            first = writes_of_operator(slow)[written]["objectRef"]
            assert (first["resource"], first["namespace"]) == ("httproutes", held.namespace), first
            proxy.slow_down(0.0)
            until(lambda: not held.notable(), "everybody to be back")
            assert held.status["phase"] == "Killed"
            record.catch_up()
        four.fleet.add(slow, "--server", slow.server)
    plan = [0, 50, 0]
    record.check_plan(member_1=plan, member_2=plan, member_3=plan, member_4=plan)
    record.check_permitted()


def insist_held(app: FleetApp) -> None:
    """The run stays where it is, and says for whom and since when it waits; nobody can talk it out of that."""
    answer = app.act("Promote")
    assert answer["phase"] == "Rejected", answer
    message = app.wait_message("does not answer since")
    assert all(f"{name}, which does not answer since" in message for name in AWAY), message
    assert all(app.notable()[name]["since"] for name in AWAY)
    assert app.percents("member-1", "member-4") == {"member-1": 50, "member-4": 50}


def kill_within_reach(app: FleetApp) -> None:
    """Engage the switch: who can be reached is diverted, and the status says who is not, and since when."""
    engage(app)
    for name in ("member-1", "member-4"):
        app[name].wait_percent(0)
    app["member-1"].only("v1")
    app.wait_phase("Killed")
    left = until(lambda: returning(app) == set(AWAY) and app.notable(), "just two to be on their way back")
    assert all(left[name]["since"] for name in AWAY), left


def engage(app: FleetApp) -> None:
    """As somebody on call does."""
    body = {"spec": {"engaged": True, "reason": "5xx on checkout"}}
    app.kubectl("patch", "killswitch", "stop", "--type=merge", "-p", json.dumps(body))


def returning(app: FleetApp) -> set[str]:
    """Who is on its way back, by the status."""
    return {name for name, told in app.notable().items() if told["phase"] == "Returning"}


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
        with outage(four.hub):
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
    route = taken.cluster.get(taken.route_path)["metadata"]["resourceVersion"]
    app.apply_rollout(canary(weight(20)), fleet={"batches": [{"name": "all"}]})
    told = app.wait_message("belongs to another hub")
    assert f"MemberRollout {app} in member-4 belongs to another hub (another-hub): delete it there" in told
    others = [leg for leg in app.legs.values() if leg is not taken]
    until(lambda: all(leg.phase == "Healthy" for leg in others), "v1 to serve in the others")
    assert taken.part()["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    assert taken.cluster.get(taken.route_path)["metadata"]["resourceVersion"] == route
    taken.cluster.client.checked("DELETE", taken.part_path)
    app.wait_phase("Healthy")
    assert taken.part()["metadata"]["annotations"]["sluice.dev/hub"] != "another-hub"
