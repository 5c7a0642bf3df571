"""A Rollout over four member clusters, two of them with traffic: in order, in lockstep, and back where it has to be."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Iterator

import pytest

from e2e.fleet_recorder import FleetRecorder
from e2e.support.app import unix_time
from e2e.support.fixtures import show
from e2e.support.fleet_app import ALL, FleetApp
from e2e.support.four import Four, four_members, writes_of_operator
from e2e.support.manifests import canary, gauge, pause, weight
from e2e.support.waiting import until
from e2e.support.world import World

log = logging.getLogger(__name__)
SOAK_SECONDS = 2


@pytest.fixture(scope="module")
def four(world: World) -> Iterator[Four]:
    """Four members, registered, and one operator in place of the world's."""
    with four_members(world) as made:
        yield made


@pytest.fixture
def make_fleet_app(four: Four, request: pytest.FixtureRequest) -> Iterator[Callable[[], FleetApp]]:
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
def app(make_fleet_app: Callable[[], FleetApp]) -> FleetApp:
    """One of them."""
    return make_fleet_app()


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
    assert "burn is 5, above max 1" in failures[0]["message"]
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


AWAY = ("member-2", "member-3")


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
    four: Four, make_fleet_app: Callable[[], FleetApp]
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
            answer = held.act("Promote")
            assert answer["phase"] == "Rejected", answer
            message = held.wait_message("does not answer since")
            assert all(f"{name}, which does not answer since" in message for name in AWAY), message
            assert all(held.notable()[name]["since"] for name in AWAY)
            assert held.percents("member-1", "member-4") == {"member-1": 50, "member-4": 50}

            free.ship(ALL)
            assert free.wait_outcome(2) == "Completed"
            assert free.percents("member-1", "member-4") == {"member-1": 100, "member-4": 100}

            engage = {"spec": {"engaged": True, "reason": "5xx on checkout"}}
            held.kubectl("patch", "killswitch", "stop", "--type=merge", "-p", json.dumps(engage))
            for name in ("member-1", "member-4"):
                held[name].wait_percent(0)
            held["member-1"].only("v1")
            held.wait_phase("Killed")
            left = until(lambda: returning(held) == set(AWAY) and held.notable(), "just two to be on their way back")
            assert all(left[name]["since"] for name in AWAY), left
            written = {name: len(writes_of_operator(four.cluster(name))) for name in AWAY}
            four.cluster(AWAY[0]).start_apiserver()
            held[AWAY[0]].wait_percent(0)
            held[AWAY[0]].only("v1")
        held[AWAY[1]].wait_percent(0)
        for name in AWAY:
            first = writes_of_operator(four.cluster(name))[written[name]]["objectRef"]
            assert (first["resource"], first["namespace"]) == ("httproutes", held.namespace), (name, first)
        until(lambda: not held.notable(), "everybody to be back")
        assert "Killed" in held.status["phase"]
        record.catch_up()
    plan = [0, 50, 0]
    record.check_plan(member_1=plan, member_2=plan, member_3=plan, member_4=plan)
    record.check_permitted()


def returning(app: FleetApp) -> set[str]:
    """Who is on its way back, by the status."""
    return {name for name, told in app.notable().items() if told["phase"] == "Returning"}
