"""A canary by weights: its shares are exact, it ends Healthy, and nobody notices."""

from __future__ import annotations

import json

from e2e.recorder import Recorder
from e2e.support.app import App
from e2e.support.manifests import background, canary, error_rate, pause, weight


def test_a_canary_takes_its_share_at_every_weight_and_ends_healthy(app: App) -> None:
    """5, 25, 50 and 100 % under load: each share is right over thousands of requests, and no request fails."""
    shares = (5, 25, 50)
    steps = [step for share in shares for step in (weight(share), pause())]
    app.deploy().manage(canary(*steps, weight(100), pause()), analysis=background(error_rate()))
    with app.steady(rate=200) as load:
        app.release()
        for share in shares:
            app.wait_weight(f"{share}%")
            app.check_share("v2", share / 100)
            app.promote_when_measured()
        app.wait_weight("100%")
        app.only("v2", 10_000)
        app.promote_when_measured()
        status = app.wait_phase("Healthy")
    assert status["stable"] == {**status["stable"], "slot": "green", "version": "v2", "number": 1}
    assert status["history"][-1]["outcome"] == "Completed"
    assert app.wait_run_over(1)["outcome"] == "Completed"
    assert app.condition("Ready")["status"] == "True"
    assert {"v1", "v2"} == set(load.requests.by_version())


def test_timed_steps_go_on_by_themselves_while_analysis_passes(app: App) -> None:
    """Timed pauses and background analysis take a canary to the end without a person; no request fails."""
    steps = [step for share in (10, 60) for step in (weight(share), pause("2s"))]
    app.deploy().manage(canary(*steps), analysis=background(error_rate()), readiness="Complete")
    with app.steady(rate=200) as load, Recorder(app) as record:
        app.release()
        app.wait_phase("Healthy")
        app.wait_condition("Ready", "True", "Completed")
        app.only("v2")
        record.catch_up()
    assert ("False", "Stepping") in record.readiness
    confirmed = [entry["message"] for entry in app.audit() if entry["reason"] == "Confirmed"]
    assert confirmed == ["green at 10%: Accepted", "green at 60%: Accepted", "green at 100%: Accepted"]
    assert load.requests.of("v2")


def test_half_a_percent_is_half_a_percent(app: App) -> None:
    """A share of 0.5 % reaches Envoy as such: about 50 requests of 10,000."""
    app.deploy().manage(canary(weight("0.5%"), pause()))
    with app.steady():
        app.release()
        assert app.wait_weight("0.5%") == {app.blue: 995, app.green: 5}
        app.check_share("v2", 0.005)


def test_a_grpc_route_is_moved_like_any_other(app: App) -> None:
    """The weights of a GRPCRoute follow the plan, each accepted by its controller before the next."""
    app.deploy(route="GRPCRoute").manage(canary(weight(10), pause(), weight(50), pause()))
    app.release()
    assert app.wait_weight("10%") == {app.blue: 90, app.green: 10}
    app.do("Promote")
    assert app.wait_weight("50%") == {app.blue: 50, app.green: 50}
    app.do("Promote")
    app.wait_phase("Healthy")
    assert app.share() == 1
    assert app.condition("TrafficConfirmed")["message"].startswith("Accepted")


def test_a_route_keeps_whatever_is_not_a_weight(app: App) -> None:
    """Filters, matches, ports and foreign backends of a route are as they were after a whole run."""
    app.deploy()
    header = {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [{"name": "x-shop", "value": "yes"}]}}
    rule = {"matches": [{"path": {"type": "PathPrefix", "value": "/"}}], "filters": [header]}
    app.kubectl("patch", "httproute", app.name, "--type=json", "-p", json.dumps(
        [{"op": "add", "path": "/spec/rules/0/matches", "value": rule["matches"]},
         {"op": "add", "path": "/spec/rules/0/filters", "value": rule["filters"]}]
    ))  # fmt: skip
    before = app.route()["spec"]
    app.manage(canary(weight(50), pause("1s")))
    app.release()
    app.wait_phase("Healthy")
    after = app.route()["spec"]
    assert [each.pop("weight") for each in after["rules"][0]["backendRefs"]] == [0, 100]
    assert [each.pop("weight") for each in before["rules"][0]["backendRefs"]] == [100, 0]
    assert after == before
