"""Broken and hostile Rollouts: each says what is wrong and what to do, makes little work, and disturbs nobody."""

from __future__ import annotations

import copy
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import yaml

from e2e.neighbours import Neighbours
from e2e.recorder import Recorder
from e2e.support.app import GATEWAY, MERGE, SLUICE, App, Json
from e2e.support.fixtures import show
from e2e.support.manifests import background, canary, metric, pause, weight
from e2e.support.waiting import until
from e2e.support.world import World
from testbed import TestbedError, apps

Hostile = Callable[[str], App]
HALF = canary(weight(50), pause())
BRIEF = canary(weight(50), pause("1s"))
FIGHT_SECONDS = 10.0  # at least
FIGHT_RATE = 20
FEWEST_REPAIRS = 3
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def neighbours(world: World) -> Iterator[Neighbours]:
    """Two apps that must notice nothing."""
    made = Neighbours(world)
    yield made
    for app in (made.near, made.far):
        app.remove()


@pytest.fixture
def hostile(world: World, neighbours: Neighbours, request: pytest.FixtureRequest) -> Iterator[Hostile]:
    """Makes apps, not deployed, in the namespace of a neighbour."""
    made: list[App] = []

    def make(name: str) -> App:
        unique = f"{name}-{next(_numbers)}"
        home = neighbours.near
        made.append(App(home.hub, home.data_plane, namespace=home.namespace, name=unique, host=f"{unique}.{home.host}"))
        show(request.node, world, *made)
        return made[-1]

    yield make
    for app in made:
        slots = [f"{kind}/{slot}" for kind in ("deployment", "service") for slot in (app.blue, app.green)]
        app.kubectl("delete", f"rollout/{app.name}", "--ignore-not-found", "--wait=false")
        until(partial(gone, app), f"{app} to be gone")
        app.kubectl("delete", f"httproute/{app.name}", *slots, "--ignore-not-found", "--wait=false")


def said_of(app: App, name: str) -> str:
    """The message of a background metric."""
    return str(app.metric(name).get("message", ""))


def gone(app: App) -> bool:
    """Whether the Rollout is no longer there."""
    return app.hub.request("GET", f"{SLUICE}/namespaces/{app.namespace}/rollouts/{app.name}")[0] == 404


def slots(app: App, *, route: bool = True) -> None:
    """Both slots, and the route; waits for nothing."""
    app.hub.apply(
        apps.two_slots(
            app.namespace, app.name, app.host, replicas=1, grace_seconds=1, route="HTTPRoute" if route else None
        )
    )


def change_route(app: App, change: Callable[[Json], None]) -> None:
    """Read the route, change it, and write it back whole, as an editor would."""

    def written() -> bool:
        route = copy.deepcopy(app.route())
        change(route)
        path = f"{GATEWAY}/namespaces/{app.namespace}/httproutes/{app.name}"
        status, answer = app.hub.request("PUT", path, route)
        assert status in {200, 409}, answer
        return bool(status == 200)

    until(written, f"the route of {app} to be written")


def add_third(route: Json) -> None:
    """A third backend beside the slots, with no weight."""
    backends = route["spec"]["rules"][0]["backendRefs"]
    backends.append({**backends[0], "name": "near-blue", "weight": 0})


# ------------------------------------------------------------------------------------------ never complete


def test_services_that_do_not_exist(hostile: Hostile, neighbours: Neighbours) -> None:
    """It says which Services to create, and goes on by itself once they are there."""
    app = hostile("serviceless")
    app.hub.apply(yaml.safe_dump(apps.weighted_route(app.namespace, app.name, app.host, {app.blue: 100, app.green: 0})))
    app.apply_rollout(BRIEF, active="green", version="v2")
    with neighbours.beside(app):
        stalled = app.wait_condition("Stalled")
        assert app.blue in stalled["message"] or app.green in stalled["message"], stalled
        assert app.status["phase"] == "Degraded"
        assert app.condition("Ready")["status"] == "False"
    slots(app)
    app.wait_phase("Healthy")
    app.only("v2", 100)


def test_a_route_that_does_not_exist(hostile: Hostile, neighbours: Neighbours) -> None:
    """It says which route to create, and goes on by itself once it is there."""
    app = hostile("routeless")
    slots(app, route=False)
    app.apply_rollout(BRIEF, active="green", version="v2")
    with neighbours.beside(app):
        stalled = app.wait_condition("Stalled", reason="RouteMissing")
        expected = f"HTTPRoute {app.namespace}/{app.name} does not exist. Create it, or correct the Rollout's"
        assert expected in stalled["message"]
    slots(app)
    app.wait_phase("Healthy")
    app.only("v2", 100)


def test_a_route_with_a_third_backend(hostile: Hostile, neighbours: Neighbours) -> None:
    """Shares would not be shares of the whole: it says which backend to move, and goes on once it is."""
    app = hostile("crowded")
    app.deploy(replicas=1)
    change_route(app, add_third)
    app.apply_rollout(BRIEF, active="green", version="v2")
    with neighbours.beside(app):
        stalled = app.wait_condition("Stalled", reason="RouteUnsuitable")
        assert "also sends traffic to Service near-blue" in stalled["message"]
        assert "Give Service near-blue a rule of its own" in stalled["message"]
        app.only("v1", 100)
    change_route(app, lambda route: route["spec"]["rules"][0]["backendRefs"].pop())
    app.wait_phase("Healthy")
    app.only("v2", 100)


def test_a_template_that_comes_later(hostile: Hostile, neighbours: Neighbours) -> None:
    """No run begins without its analysis; it begins by itself once the template is there."""
    app = hostile("template")
    app.deploy(replicas=1)
    app.apply_rollout(BRIEF, active="green", version="v2", analysis={"templates": [{"name": app.name}]})
    with neighbours.beside(app):
        stalled = app.wait_condition("Stalled", reason="TemplateMissing")
        assert app.name in stalled["message"]
        app.only("v1", 100)
    app.apply("AnalysisTemplate", app.name, {"metrics": [metric("always", "vector(0)", {"max": 1})]})
    app.wait_phase("Healthy")
    assert app.run(1)["spec"]["analysis"]["metrics"][0]["name"] == "always"


def test_a_second_rollout_on_the_same_route(hostile: Hostile, neighbours: Neighbours) -> None:
    """The second says whose route it is and moves nothing; the first goes through its run as if alone."""
    first = hostile("owner")
    first.deploy(replicas=1).manage(HALF)
    first.release()
    first.wait_weight("50%")
    second = hostile("rival")
    second.blue, second.green = first.blue, first.green
    routes = {"routes": [{"name": first.name}]}
    second.apply_rollout(HALF, active="green", version="v2", traffic=routes)
    with neighbours.beside(second), first.steady(rate=50), Recorder(first) as record:
        stalled = second.wait_condition("Stalled", reason="RouteClaimed")
        assert f"Rollout {first.namespace}/{first.name} already has" in stalled["message"]
        first.do("Promote")
        first.wait_phase("Healthy")
        record.catch_up()
    record.check_plan(50, 100)
    assert second.status.get("revision") is None


# ------------------------------------------------------------------------------------------ in mid-run


@pytest.fixture
def at_half(hostile: Hostile) -> Callable[[str], App]:
    """Makes hostile apps whose candidate has half of the traffic, in an open pause."""

    def make(name: str) -> App:
        app = hostile(name)
        app.deploy(replicas=1).manage(HALF)
        app.release()
        app.wait_weight("50%")
        app.wait_step(2)
        return app

    return make


def test_a_route_deleted_and_created_anew_in_mid_run(at_half: Callable[[str], App], neighbours: Neighbours) -> None:
    """The run waits for its route, gives it back its share, and goes on."""
    app = at_half("deleted")
    with neighbours.beside(app, most_writes=20), Recorder(app) as record:
        app.kubectl("delete", "httproute", app.name)
        assert "Create it" in app.wait_condition("Stalled", reason="RouteMissing")["message"]
        assert app.wait_condition("TrafficConfirmed", "False")["reason"] == "NotConfirmed"
        slots(app)
        app.wait_condition("TrafficConfirmed", "True")
        app.wait_weight("50%")
        app.do("Promote")
        app.wait_phase("Healthy")
        record.catch_up()
    record.check_intended()
    assert max(record.percents()[:-1]) == 50
    app.only("v2", 100)


def test_a_third_backend_in_mid_run(at_half: Callable[[str], App], neighbours: Neighbours) -> None:
    """Nothing grows on such a route, also not by a person's word; what takes away still works."""
    app = at_half("intruded")
    with neighbours.beside(app, most_writes=20), Recorder(app) as record:
        change_route(app, add_third)
        app.wait_condition("Stalled", reason="RouteUnsuitable")
        answer = app.act("Promote")
        assert (answer["phase"], "near-blue" in answer["message"]) == ("Rejected", True), answer
        app.do("Abort", reason="who is that?")
        app.wait_weight("0%")
        record.catch_up()
    record.check_plan(50, 0)


def test_somebody_who_keeps_rewriting_the_weights(at_half: Callable[[str], App], neighbours: Neighbours) -> None:
    """Twenty foreign writes a second: told as ForeignWriter, put back with patience, over when they end."""
    app = at_half("fought-over")
    path = f"{GATEWAY}/namespaces/{app.namespace}/httproutes/{app.name}"
    backends = "/spec/rules/0/backendRefs"
    grab = [
        {"op": "add", "path": f"{backends}/0/weight", "value": 10},
        {"op": "add", "path": f"{backends}/1/weight", "value": 90},
    ]
    over = threading.Event()
    # Of all accounts only the operator's own gets past the admission policy: it stands for a cluster without one.
    unpinned = app.hub.token_for("sluice-system", "sluice")

    def fight() -> None:
        while not over.wait(1 / FIGHT_RATE):
            app.hub.request("PATCH", path, grab, "application/json-patch+json", unpinned)

    with neighbours.beside(app, most_writes=60, per_second=4), Recorder(app) as record:
        fighter = threading.Thread(target=fight)
        began_at = time.monotonic()
        fighter.start()
        try:
            stalled = app.wait_condition("Stalled", reason="ForeignWriter")
            assert "stop that writer from setting weights" in stalled["message"]
            until(lambda: record.percents().count(50.0) >= FEWEST_REPAIRS, "it to be put back, again and again")
            until(lambda: time.monotonic() - began_at > FIGHT_SECONDS, "a while to pass")
        finally:
            over.set()
            fighter.join()
        seconds = time.monotonic() - began_at
        until(lambda: app.share() == 0.5, "the planned share to be back")
        app.wait_condition("TrafficConfirmed", "True")
        app.wait_weight("50%")
        record.catch_up()
    assert record.shares[-1].share == 0.5
    repairs = record.percents().count(50.0)
    assert repairs <= seconds * 2, f"put back {repairs} times in {seconds:.0f} s"
    until(lambda: not app.condition("Stalled"), "the complaint to end")
    app.wait_event("ForeignWriter")
    app.do("Promote")
    app.wait_phase("Healthy")


def test_a_status_that_is_wiped(at_half: Callable[[str], App], neighbours: Neighbours) -> None:
    """Wrong types are refused. Without a status, the RolloutRun tells what was stable; its run starts over."""
    app = at_half("wiped")
    path = f"{SLUICE}/namespaces/{app.namespace}/rollouts/{app.name}/status"
    rubbish: tuple[Json, ...] = ({"step": "three"}, {"weight": {"a": 1}}, {"revision": []}, {"conditions": "fine"})
    for garbage in rubbish:
        assert app.hub.request("PATCH", path, {"status": garbage}, MERGE)[0] == 422, garbage
    with neighbours.beside(app, most_writes=30), app.steady(rate=50), Recorder(app) as record:
        wipe = [{"op": "replace", "path": "/status", "value": {}}]
        app.hub.client.checked("PATCH", path, wipe, "application/json-patch+json")
        until(lambda: app.status.get("revision", {}).get("number") == 2, "the next run to begin")
        app.wait_weight("50%")
        record.catch_up()
    record.check_plan(50, 0, 50)
    lost = app.wait_run_over(1)
    assert (lost["outcome"], lost["reason"]) == ("Returned", "RunLost")
    app.do("Promote")
    app.wait_phase("Healthy")


def test_a_status_that_tells_lies(at_half: Callable[[str], App], neighbours: Neighbours) -> None:
    """A phase, conditions and metrics that somebody wrote into the status are put right; the pause still waits."""
    app = at_half("lied-about")
    path = f"{SLUICE}/namespaces/{app.namespace}/rollouts/{app.name}/status"
    lies = {"status": {"phase": "Healthy", "message": "all is well", "conditions": [], "metrics": []}}
    with neighbours.beside(app, most_writes=20), Recorder(app) as record:
        app.hub.client.checked("PATCH", path, lies, MERGE)
        app.wait_phase("Paused")
        assert app.condition("Paused")["reason"] == "AwaitsPromotion"
        record.catch_up()
    record.check_plan(50)


def test_a_run_that_is_deleted(at_half: Callable[[str], App], neighbours: Neighbours) -> None:
    """Nobody knows what it would do next: traffic returns to stable, and a retry starts a new one."""
    app = at_half("runless")
    with neighbours.beside(app, most_writes=30), app.steady(rate=50), Recorder(app) as record:
        app.kubectl("delete", "rolloutrun", f"{app.name}-1")
        status = app.wait_phase("Aborted")
        assert f"RolloutRun {app.namespace}/{app.name}-1 is gone; retry starts a new one" in status["message"]
        app.wait_weight("0%")
        app.do("Retry")
        app.wait_weight("50%")
        record.catch_up()
    record.check_plan(50, 0, 50)


def test_a_rollout_that_is_deleted(at_half: Callable[[str], App], neighbours: Neighbours) -> None:
    """Traffic returns to stable, then it goes; no request fails."""
    app = at_half("retired")
    with neighbours.undisturbed(), app.steady(rate=50), Recorder(app) as record:
        app.kubectl("delete", "rollout", app.name, "--wait=false")
        until(lambda: gone(app), "it to be gone")
        assert app.share() == 0
        app.data_plane.wait_weights(app.host, {app.blue: 100})
        app.only("v1", 100)
        record.catch_up()
    record.check_plan(50, 0)


def test_a_namespace_that_is_deleted(world: World, neighbours: Neighbours, request: pytest.FixtureRequest) -> None:
    """The end of a namespace in mid-run is not held up by what was under way there."""
    app = world.app("doomed")
    show(request.node, world, app)
    app.deploy(replicas=1).manage(HALF)
    app.release()
    app.wait_weight("50%")
    with neighbours.undisturbed():
        app.hub.client.checked("DELETE", f"/api/v1/namespaces/{app.namespace}")
        until(lambda: app.hub.request("GET", f"/api/v1/namespaces/{app.namespace}")[0] == 404, "it to be gone", 120)


# ------------------------------------------------------------------------------------------ rubbish and excess


RUBBISH = {
    "not-promql": ("sum(rate(", "Error", "bad_data: "),
    "a-string": ('"twelve"', "Error", "the query returns a string, not a number; mend the query"),
    "a-matrix": ("up[1m]", "Error", "the query returns a matrix, not a number; mend the query"),
    "several": ('{__name__=~"up|scrape_duration_seconds"}', "Inconclusive", "series: aggregate it"),
    "not-a-number": ("vector(0) / vector(0)", "NoData", "NaN"),
    "nothing": ("no_such_metric_anywhere", "NoData", "no series"),
    "infinite": ("vector(1) / vector(0)", "Inconclusive", "inf"),
    "enormous": ('{__name__=~".+"}', "", ""),
}


def test_queries_that_return_rubbish(hostile: Hostile, neighbours: Neighbours) -> None:
    """A number that cannot be had is no pass: the run holds, and says of each metric what is wrong with it."""
    app = hostile("rubbish")
    metrics = [metric(name, query, {"max": 1e12}) for name, (query, _, _) in RUBBISH.items()]
    app.deploy(replicas=1).manage(canary(weight(5), pause("1s"), weight(50)), analysis=background(*metrics))
    with neighbours.beside(app, most_writes=100, per_second=10), app.steady(rate=50), Recorder(app) as record:
        app.release()
        app.wait_weight("5%")
        for name, (_, phase, message) in RUBBISH.items():
            until(partial(said_of, app, name), f"a word about {name}")
            told = app.metric(name)
            assert (phase or told["phase"]) == told["phase"], told
            assert message in told["message"], told
            assert told["phase"] not in {"Passing", "Successful"}, told
        until(lambda: all(app.metric(name).get("held") for name in RUBBISH), "every metric to hold the run")
        assert app.wait_phase("Paused")["step"]["index"] == 2
        assert app.condition("AnalysisPassed")["status"] == "Unknown"
        record.catch_up()
    record.check_plan(0, 5)
    app.do("Abort", reason="nobody can measure that")
    app.wait_weight("0%")


@pytest.mark.timeout(600)
def test_the_largest_rollout_that_is_allowed(hostile: Hostile, neighbours: Neighbours) -> None:
    """Sixty-four steps over eight routes, with as many labels and annotations as an object may have: it just works."""
    app = hostile("vast")
    app.deploy(replicas=1)
    names = [app.name, *(f"{app.name}-{number}" for number in range(7))]
    weights = {app.blue: 100, app.green: 0}
    routes = [apps.weighted_route(app.namespace, name, f"{name}.vast.example", weights) for name in names[1:]]
    app.hub.apply(yaml.safe_dump_all(routes))
    app.labelled(**{f"label-{number}": "x" * 60 for number in range(500)})
    shares = [0.5, 1, 2.5, 5, 10, 25, 50, 75]
    steps = [weight(f"{share}%") for share in shares for _ in range(8)]
    app.apply_rollout(canary(*steps), traffic={"routes": [{"name": name} for name in names]})
    note = [{"op": "add", "path": "/metadata/annotations/note", "value": "x" * 150 * 1024}]
    path = f"{SLUICE}/namespaces/{app.namespace}/rollouts/{app.name}"
    app.hub.client.checked("PATCH", path, note, "application/json-patch+json")
    app.wait_phase("Healthy")
    with neighbours.undisturbed(), app.steady(rate=50), Recorder(app) as record:
        app.release()
        app.wait_phase("Healthy", timeout=200)
        record.catch_up()
    record.check_plan(0, *shares, 100)
    record.check_intended()
    app.kubectl("delete", "httproute", *names[1:])


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"workload": {"version": "v" * 1000}}, "spec.workload.version: Too long"),
        ({"workload": {"active": "purple"}}, 'spec.workload.active: Unsupported value: "purple"'),
        ({"paused": "yes please"}, "spec.paused: Invalid value"),
        ({"strategy": {"canary": {"steps": "all"}}}, "spec.strategy.canary.steps: Invalid value"),
        ({"strategy": {"canary": {"steps": [{"setWeight": {}}]}}}, "spec.strategy.canary.steps[0].setWeight"),
        ({"strategy": {"canary": {"steps": [{"setWeight": 1}] * 65}}}, "must have at most 64 items"),
        ({"traffic": {"routes": [{"name": f"r{number}"} for number in range(9)]}}, "must have at most 8 items"),
        ({"trafic": {}}, 'unknown field "spec.trafic"'),
    ],
    ids=["version", "slot", "boolean", "list", "share", "steps", "routes", "typo"],
)
def test_what_can_be_refused_is_refused_at_apply(neighbours: Neighbours, change: Json, sentence: str) -> None:
    """`kubectl apply` says which field is wrong; what serves is not touched."""
    near = neighbours.near
    spec: dict[str, Any] = copy.deepcopy(near.rollout()["spec"])
    for field, value in change.items():
        spec[field] = {**spec.get(field, {}), **value} if isinstance(value, dict) else value
    before = near.rollout()["metadata"]["generation"]
    with pytest.raises(TestbedError) as refusal:
        near.apply("Rollout", near.name, spec)
    assert sentence in str(refusal.value)
    assert near.rollout()["metadata"]["generation"] == before
