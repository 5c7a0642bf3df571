"""Drills under load: no request fails, the run goes on afterwards, and the evidence is there."""

from __future__ import annotations

import json
from typing import Any

import pytest

from e2e.support.app import SLUICE, App
from e2e.support.fixtures import MakeApp
from e2e.support.manifests import Json, canary, pause, weight
from e2e.support.waiting import until
from e2e.support.world import World

HALF = canary(weight(50), pause())


def stop(app: App) -> Json:
    """The switch."""
    found: Json = app.hub.get(f"{SLUICE}/namespaces/{app.namespace}/killswitches/stop")
    return found


@pytest.fixture
def at_half(make_app: MakeApp) -> App:
    """An app whose candidate has half of the traffic, with an armed switch."""
    app = make_app().deploy().manage(HALF)
    app.release()
    app.wait_weight("50%")
    app.apply("KillSwitch", "stop", {})
    return app


def test_a_drill_takes_the_traffic_away_and_gives_it_back(world: World, at_half: App) -> None:
    """One command: everything to stable and back by itself, no request lost, no run ended, the times kept."""
    app = at_half
    with app.steady(rate=300) as load:
        load.wait_for_version("v2")
        done = world.sluice("drill", "-n", app.namespace, "--reason", "game day")
        assert done.code == 0, done
        assert "drill Passed: 1 route gave everything to stable" in done.out
        for part in ("Written", "Accepted", "Released"):
            assert part in done.out
        app.wait_weight("50%")
        app.check_share("v2", 0.5)

    switch = stop(app)
    last: dict[str, Any] = switch["status"]["lastDrill"]
    assert (last["outcome"], last["by"], last["reason"]) == ("Passed", "rita", "game day")
    assert (last["rollouts"], last["routes"]) == (1, 1)
    seconds = [part["seconds"] for part in last["parts"]]
    assert [part["name"] for part in last["parts"]] == ["Written", "Accepted", "Released"]
    assert seconds == sorted(seconds)
    assert seconds[0] > 0
    assert (switch["spec"]["engaged"], switch["spec"]["drill"]) == (False, False)
    told = [(entry["action"], entry["stage"], entry["actor"]) for entry in app.audit() if entry["reason"] == "Drilled"]
    assert told == [("drill", "Intended", "rita"), ("drill-over", "Intended", "sluice")]
    app.wait_event("Drilled", "drill of KillSwitch", "game day")
    app.do("Promote")
    app.wait_phase("Healthy")


def test_a_real_kill_in_the_middle_of_a_drill(world: World, at_half: App) -> None:
    """Engaged by the patch that engages any switch, right after the drill began: it kills, and stays engaged."""
    app = at_half
    for spec in ({"engaged": True, "drill": True, "reason": "game day"}, {"engaged": True, "reason": "5xx"}):
        app.kubectl("patch", "killswitch", "stop", "--type=merge", "-p", json.dumps({"spec": spec}))
    message = app.wait_phase("Killed")["message"]
    assert "engaged by admin: 5xx" in message
    until(lambda: stop(app)["status"].get("state") == "Engaged", "the switch to be Engaged")
    assert stop(app)["spec"]["drill"] is False
    listed = world.sluice("drill", "-n", app.namespace, "--reason", "game day")
    assert listed.code == 1, listed
    assert "is engaged: release it before drilling it" in listed.err
