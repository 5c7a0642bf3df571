"""A kill switch of some member clusters, with traffic in two of four."""

from __future__ import annotations

import json

import pytest

from e2e.support.fleet_app import FleetApp
from e2e.support.manifests import canary, pause, weight
from e2e.support.waiting import until

pytestmark = pytest.mark.timeout(600)  # the first test starts four clusters


def test_a_switch_kills_in_the_clusters_that_it_selects(app: FleetApp) -> None:
    """Of two that move together one is killed, at once and alone; the other goes on, and so does the fleet."""
    app.everywhere().lead(canary(weight(50), pause()))
    app.apply("KillSwitch", "stop", {"scope": {"clusters": {"matchLabels": {"member": "member-2"}}}})
    with app.loaded():
        first = {"name": "first", "clusters": ["member-1", "member-2"]}
        app.ship(first, {"name": "rest", "pause": {}}, maxFailures=1)
        for name in ("member-1", "member-2"):
            app[name].wait_percent(50)
        app.wait_awaits()
        body = {"spec": {"engaged": True, "reason": "5xx in that region"}}
        app.kubectl("patch", "killswitch", "stop", "--type=merge", "-p", json.dumps(body))
        app["member-2"].wait_percent(0)
        app["member-2"].only("v1")
        path = f"/apis/sluice.dev/v1alpha1/namespaces/{app.namespace}/killswitches/stop"
        until(lambda: app.hub.get(path)["status"]["state"] == "Engaged", "the switch to be Engaged")
        assert app.hub.get(path)["status"]["affected"]["clusters"] == 1
        assert app.percents("member-1") == {"member-1": 50}
        until(lambda: app.act("Promote")["phase"] == "Done", "the step to be left")
        app["member-1"].wait_percent(100)
        app["member-1"].only("v2")
    failures = until(lambda: app.fleet_run(2).get("status", {}).get("failures"), "the failure to be on record")
    assert [(each["name"], each["reason"]) for each in failures] == [("member-2", "KilledBySwitch")]
    assert "killed by KillSwitch" in failures[0]["message"]
    assert "5xx in that region" in failures[0]["message"]
