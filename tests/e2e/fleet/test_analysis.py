"""What the hub measures of clusters as a whole, by a Prometheus that has the numbers of all, with a label `cluster`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from e2e.fleet_recorder import FleetRecorder
from e2e.support.app import Json
from e2e.support.fixtures import show
from e2e.support.fleet_app import FleetApp
from e2e.support.four import FULL, Four
from e2e.support.manifests import canary, metric, pause, weight
from e2e.support.waiting import until

pytestmark = pytest.mark.timeout(600)  # the first test starts four clusters
_WHOLE = 'cluster=~"{{clusters}}", namespace="{{namespace}}"'
MEMBERS = 1000  # that each cluster stands for
RESPONDING = metric(
    "responding",
    f"100 * sum(members_responding{{{_WHOLE}}}) / sum(members_total{{{_WHOLE}}})",
    {"min": 98.5},
)
# A cluster whose numbers do not come is not among those that respond, and not among those that are counted either.
REPORTING = metric(
    "reporting", f"100 * count(sum by (cluster) (members_total{{{_WHOLE}}})) / {{{{clusterCount}}}}", {"min": 100}
)
PILOT: Json = {"name": "pilot", "clusters": ["member-3"]}
WAVE: Json = {
    "name": "wave",
    "clusters": ["member-1", "member-2"],
    "soak": "2m",
    "analysis": {"metrics": [RESPONDING, REPORTING]},
}
REST: Json = {"name": "rest"}
STEPS = canary(weight(20), pause("1s"), weight(60))


@pytest.fixture(scope="module", autouse=True)
def federated(four: Four) -> Iterator[None]:
    """The hub's Prometheus knows what those members' know that have pods."""
    urls = {name: place.plane.prometheus_url for name, place in four.places.items() if place.plane is not None}
    four.world.data_plane.federate(urls)
    yield
    four.world.data_plane.federate({})


@pytest.fixture
def app(four: Four, request: pytest.FixtureRequest) -> Iterator[FleetApp]:
    """An app in all members; of what goes to member-2 the members can be told apart."""
    made = FleetApp(four, four.world.app())
    show(request.node, four.world, made)
    made.everywhere(member_2="v2-in-2")
    made.shown_by("v2", members_responding=MEMBERS, members_total=MEMBERS)
    made.shown_by("v2-in-2", members_responding=MEMBERS, members_total=MEMBERS)
    until(lambda: reporting(made) == set(FULL), "the hub's Prometheus to know the numbers of all that have any")
    yield made.lead(STEPS)
    made.remove()


def reporting(app: FleetApp) -> set[str]:
    """The clusters whose numbers the hub's Prometheus has: one that has none yet does not report."""
    found = app.data_plane.query(f'sum by (cluster) (members_total{{namespace="{app.namespace}"}})')
    return {each["metric"]["cluster"] for each in found}


def numbers(app: FleetApp, scope: str) -> dict[str, float | None]:
    """What the status says was measured last."""
    return {each["name"]: each.get("value") for each in app.status.get("metrics", ()) if each["scope"] == scope}


def measured_well(app: FleetApp) -> bool:
    """Whether both were, and all is well."""
    batch = {"responding": 100.0, "reporting": 100.0}
    return numbers(app, "batch-wave") == batch and numbers(app, "fleet") == {"responding": 100.0}


def promote(app: FleetApp) -> None:
    """Let it go on; a moment without a number is one in which nothing is skipped, and one asks again."""
    until(lambda: str(app.act("Promote")["message"]).startswith("left step"), f"{app} to leave its pause")


def test_all_well_completes_with_its_numbers(four: Four, app: FleetApp) -> None:
    """Batch and fleet pass: each goes on only measured, the soak is measured throughout, and the numbers are told."""
    first = {**WAVE, "soak": "4s", "steps": [weight(20), pause(), weight(60)]}
    with app.loaded(), FleetRecorder(app) as record:
        app.ship(first, REST, analysis={"metrics": [RESPONDING]})
        until(lambda: measured_well(app), "batch and fleet to be measured at 20 %")
        app.wait_awaits()
        told = four.world.sluice("status", app.name, "-n", app.namespace)
        assert told.code == 0, told
        shown = [line.split()[:3] for line in told.out.splitlines() if line.startswith(("responding", "reporting"))]
        assert shown == [["responding", "Passing", "100"], ["reporting", "Passing", "100"], shown[0]], told.out
        promote(app)
        assert app.wait_outcome(2) == "Completed"
        record.catch_up()
    plan = [0, 20, 60, 100]
    record.check_plan(member_1=plan, member_2=plan, member_3=plan, member_4=plan)
    record.check_order(("member-1", "member-2"), ("member-3", "member-4"))
    record.check_permitted()
    status = app.fleet_run(2)["status"]
    kept = {each["name"]: (each["phase"], each["value"]) for each in status["batches"][0]["metrics"]}
    assert kept == {"responding": ("Passing", 100.0), "reporting": ("Passing", 100.0)}
    assert [(each["name"], each["value"]) for each in status["metrics"]] == [("responding", 100.0)]
    assert numbers(app, "fleet") == {"responding": 100.0}
    assert app.condition("AnalysisPassed")["status"] == "True"


@pytest.mark.parametrize(
    "on_failure, pilot, what", [("RollbackBatch", 100, "the batch returns"), ("RollbackFleet", 0, "the whole fleet")]
)
def test_too_few_members_that_respond_take_the_batch_back(
    app: FleetApp, on_failure: str, pilot: float, what: str
) -> None:
    """Of two clusters one is well and one has 4 % silent members: 98 % of both, less than 98.5, so both return."""
    with app.loaded(), FleetRecorder(app) as record:
        app.ship(PILOT, WAVE, REST, onFailure=on_failure)
        app.wait_batch("wave", stage="Soaking")
        assert app.percents() == {"member-1": 100, "member-2": 100, "member-3": 100, "member-4": 0}
        app.shown_by("v2-in-2", members_responding=0.96 * MEMBERS, members_total=MEMBERS)
        assert app.wait_outcome(2) == "Aborted"
        until(lambda: app.percents()["member-3"] == pilot, f"{pilot} % in the pilot")
        for name in ("member-1", "member-2"):
            app[name].wait_percent(0)
            app[name].only("v1")
        record.catch_up()
    plan = [0, 20, 60, 100]
    back = [*plan, 0]
    record.check_plan(member_1=back, member_2=back, member_3=plan if pilot else back, member_4=[0])
    record.check_permitted()
    why = "batch wave: responding is 98, below min 98.5"
    run = app.fleet_run(2)["status"]
    assert (run["reason"], why in run["message"], what in run["message"]) == ("MetricFailed", True, True), run
    assert run["failures"] == [], "no single cluster failed"
    kept = {each["name"]: (each["phase"], each["value"]) for each in run["batches"][1]["metrics"]}
    assert kept == {"responding": ("Failed", 98.0), "reporting": ("Passing", 100.0)}
    assert why in app.status["message"]
    assert numbers(app, "batch-wave")["responding"] == 98.0
    found = app.condition("AnalysisPassed")
    assert (found["status"], found["reason"]) == ("False", "MetricFailed")
    assert any(why in entry["message"] and entry["reason"] == "MetricFailed" for entry in app.audit())
    assert app.wait_event("MetricFailed", why)["type"] == "Warning"
