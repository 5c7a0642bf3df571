"""Kill switches that trip by themselves, by a real Prometheus over real traffic."""

from __future__ import annotations

from typing import Any

import pytest

from e2e.support.app import SLUICE, App
from e2e.support.fixtures import MakeApp
from e2e.support.manifests import Json, canary, pause, weight
from e2e.support.waiting import until
from e2e.support.world import World

OPERATOR = "system:serviceaccount:sluice-system:sluice"
HALF = canary(weight(50), pause())
_ALL = 'http_requests_total{namespace="{{namespace}}"}[10s]'
_BAD = 'http_requests_total{namespace="{{namespace}}", code=~"5.."}[10s]'


def error_rate(**fields: Any) -> Json:
    """The share of all answers in the switch's namespace that are 5xx."""
    return {
        "name": "error-rate",
        "prometheus": {"query": f"(sum(rate({_BAD})) or vector(0)) / sum(rate({_ALL}))"},
        "interval": "5s",
        "initialDelay": "0s",
        "threshold": {"max": 0.05},
        "minSamples": {"query": f"sum(increase({_ALL}))", "value": 50},
        **fields,
    }


def stop(app: App) -> Json:
    """The switch."""
    found: Json = app.hub.get(f"{SLUICE}/namespaces/{app.namespace}/killswitches/stop")
    return found


def watching(app: App) -> Json:
    """Its condition."""
    conditions = stop(app).get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] == "Watching"), {})


def wait_watching(app: App, status: str, reason: str) -> Json:
    """Wait for the condition."""

    def there() -> Json | None:
        told = watching(app)
        return told if (told.get("status"), told.get("reason")) == (status, reason) else None

    found: Json = until(there, f"the switch to be Watching={status}, {reason}")
    return found


def arm(app: App, *metrics: Json) -> None:
    """Apply its manifest, as a sync from Git does."""
    app.apply("KillSwitch", "stop", {"autoTrip": {"metrics": list(metrics)}})


@pytest.fixture
def at_half(make_app: MakeApp) -> App:
    """An app whose candidate has half of the traffic."""
    app = make_app().deploy().manage(HALF)
    app.release()
    app.wait_weight("50%")
    return app


def test_errors_trip_it_and_it_stays_engaged_until_a_person_releases_it(world: World, at_half: App) -> None:
    """No person needed to stop; one needed to go on, whatever the numbers are and Git says meanwhile."""
    app, metric = at_half, error_rate(failureLimit=1)
    arm(app, metric)
    with app.steady(rate=200).count_apart("v2") as load:
        load.wait_for_version("v2")
        assert "error-rate" in wait_watching(app, "True", "MeasurementsPass")["message"]
        app.behaves("v2", error_rate=0.5)
        status = app.wait_phase("Killed")
        app.wait_weight("0%")
        app.only("v1", 1_000)
        spec, told = stop(app)["spec"], stop(app)["status"]["trippedBy"]
        assert (told["metric"], told["threshold"]) == ("error-rate", "<= 0.05")
        reason = f"tripped by itself: error-rate is {told['value']:.6g}, above max 0.05, 2 times in a row"
        assert (spec["engaged"], spec["engagedBy"], spec["reason"]) == (True, OPERATOR, reason)
        assert reason in status["message"]
        app.wait_event("KilledBySwitch", "error-rate is")
        entry = next(entry for entry in app.audit() if entry["reason"] == "KilledBySwitch")
        assert (entry["actor"], "above max 0.05" in entry["message"]) == (OPERATOR, True)
        listed = world.sluice("get", "switches", "-n", app.namespace)
        assert "error-rate" in listed.out, listed

        app.behaves("v2")
        arm(app, metric)  # the manifest, once more
        arm(app, error_rate(failureLimit=2))  # and changed
        wait_watching(app, "False", "Latched")
        until(lambda: stop(app)["status"]["observedGeneration"] == stop(app)["metadata"]["generation"], "a look at it")
        assert stop(app)["spec"]["engaged"]
        assert stop(app)["status"]["trippedBy"] == told

        done = world.sluice("release", "stop", "-n", app.namespace, "--reason", "fixed in v2")
        assert done.code == 0, done
        wait_watching(app, "True", "MeasurementsPass")
        assert "trippedBy" not in stop(app)["status"]
        app.do("Retry")
        app.wait_weight("50%")
        app.do("Promote")
        app.wait_phase("Healthy")


def test_an_error_budget_that_is_used_up_trips_it(at_half: App) -> None:
    """By what Prometheus has counted of the window, and not before; the reason says how much is left."""
    app = at_half
    good = 'http_requests_total{namespace="{{namespace}}", code!~"5.."}[{{window}}]'
    every = 'http_requests_total{namespace="{{namespace}}"}[{{window}}]'
    never = {"factor": 1000, "long": "30s", "short": "10s"}
    budget = {
        "objective": "90%",
        "window": "1h",
        "goodQuery": f"sum(increase({good})) or vector(0)",
        "totalQuery": f"sum(increase({every}))",
        "burnRates": [never],
        "minTotal": 50,
        "interval": "5s",
    }
    app.apply("KillSwitch", "stop", {"autoTrip": {"errorBudget": budget}})
    with app.steady(rate=100).count_apart("v2") as load:
        load.wait_for_version("v2")
        until(lambda: (_left(app) or 0) > 0.99, "the whole budget to be left", timeout=180)
        wait_watching(app, "True", "MeasurementsPass")
        app.behaves("v2", error_rate=0.9)
        app.wait_phase("Killed", timeout=240)
        spec, told = stop(app)["spec"], stop(app)["status"]["trippedBy"]
        assert "the error budget of 90% over 1h is used up" in spec["reason"]
        assert told["metric"] == "error-budget"
        assert told["value"] <= 0
        app.only("v1")


def test_a_budget_that_burns_too_fast_trips_it(at_half: App) -> None:
    """While most of it is left: over a long range, and over a short one that tells that it is still so."""
    app = at_half
    good = 'http_requests_total{namespace="{{namespace}}", code!~"5.."}[{{window}}]'
    every = 'http_requests_total{namespace="{{namespace}}"}[{{window}}]'
    budget = {
        "objective": "60%",
        "window": "1h",
        "goodQuery": f"sum(increase({good})) or vector(0)",
        "totalQuery": f"sum(increase({every}))",
        "burnRates": [{"factor": 1.1, "long": "30s", "short": "10s"}],
        "minTotal": 50,
        "interval": "5s",
    }
    app.apply("KillSwitch", "stop", {"autoTrip": {"errorBudget": budget}})
    with app.steady(rate=100).count_apart("v2") as load:
        load.wait_for_version("v2")
        wait_watching(app, "True", "MeasurementsPass")
        app.behaves("v2", error_rate=1.0)
        status = app.wait_phase("Killed", timeout=240)
    assert "burns at" in status["message"]


def test_without_prometheus_it_is_blind_and_says_so(at_half: App) -> None:
    """Nothing trips while nobody can tell; a sum that was fine is not called fine. When it is back, the switch sees."""
    app = at_half
    arm(app, error_rate())
    with app.steady(rate=100).count_apart("v2"):
        wait_watching(app, "True", "MeasurementsPass")
        app.data_plane.stop_prometheus()
        try:
            told = wait_watching(app, "False", "MetricErrors")
            assert told["message"].startswith("blind: error-rate could not be measured")
            app.behaves("v2", error_rate=0.5)
            errors = stop(app)["status"]["watch"]["metrics"][0]["errors"]
            until(lambda: _errors(app) > errors, "more measurements without an answer", timeout=120)
            assert watching(app)["status"] == "False"
            assert not stop(app)["spec"].get("engaged")
            assert app.share() == 0.5
        finally:
            app.data_plane.start_prometheus()
        app.wait_phase("Killed", timeout=120)
        app.only("v1")


def test_a_query_cannot_be_widened_and_an_address_not_be_chosen(at_half: App) -> None:
    """Args are escaped within quotes; an address that the operator does not allow is not asked. Both are told."""
    app = at_half
    query = 'sum(rate(http_requests_total{namespace="{{args.who}}"}[10s])) or vector(9)'
    sly = 'x"} or {__name__=~".+'
    metric = {"name": "m", "prometheus": {"query": query}, "interval": "5s", "initialDelay": "0s"}
    trip = {"metrics": [{**metric, "threshold": {"max": 10}}], "args": [{"name": "who", "value": sly}]}
    app.apply("KillSwitch", "stop", {"autoTrip": trip})
    wait_watching(app, "True", "MeasurementsPass")
    until(lambda: stop(app)["status"]["watch"]["metrics"][0].get("value") == 9.0, "nothing to match")
    inward = {"query": "up", "address": "http://169.254.169.254"}
    trip = {"metrics": [{**metric, "prometheus": inward, "threshold": {"max": 0}}]}
    app.apply("KillSwitch", "stop", {"autoTrip": trip})
    assert "169.254.169.254" in wait_watching(app, "False", "MetricErrors")["message"]
    assert not stop(app)["spec"].get("engaged")


def _left(app: App) -> float | None:
    found: float | None = stop(app).get("status", {}).get("watch", {}).get("budget", {}).get("remaining")
    return found


def _errors(app: App) -> int:
    metrics = stop(app)["status"].get("watch", {}).get("metrics", [{}])
    return int(metrics[0].get("errors", 0))
