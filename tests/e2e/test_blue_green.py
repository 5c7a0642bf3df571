"""Blue-green, by a route and by a plain Service: checked, switched, watched; and returned when a check fails."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from e2e.support.app import App, unix_time
from e2e.support.fixtures import MakeApp
from e2e.support.manifests import Json, blue_green, gauge
from e2e.support.traffic import Proxy, Steady
from e2e.support.waiting import until

BEFORE = {"metrics": [gauge("preview_quality", {"min": 0.9}, initialDelay="0s", count=2)]}
AFTER = {"metrics": [gauge("complaints", {"max": 5}, initialDelay="0s", count=3)]}


class Switched:
    """An app whose traffic moves all at once, through Envoy or to the endpoints of a plain Service."""

    def __init__(self, app: App, traffic: Json | None, proxy: Proxy | None) -> None:
        self.app = app
        self.traffic = traffic
        self._proxy = proxy

    def manage(self, **strategy: object) -> App:
        """Apply the Rollout."""
        return self.app.manage(blue_green(**strategy), traffic=self.traffic)

    def steady(self) -> Steady:
        """Load as this way of switching would have it."""
        if self._proxy is None:
            return self.app.steady()
        return Steady(self.app.host, 100, self._proxy.file, keep_alive=False)

    def serves(self, slot: str) -> bool:
        """Whether all traffic is for a slot."""
        if self._proxy is None:
            return self.app.share() == (1 if slot == "green" else 0)
        return self.app.selector(f"{self.app.name}-active")["slot"] == slot


@pytest.fixture(params=["route", "service"])
def switched(request: pytest.FixtureRequest, make_app: MakeApp) -> Iterator[Switched]:
    """The same app, switched in either way."""
    app = make_app()
    if request.param == "route":
        yield Switched(app.deploy(), None, None)
        return
    app.deploy(route=None, active_preview=True)
    active, preview = f"{app.name}-active", f"{app.name}-preview"
    app.wait_endpoints(active, 2)
    with Proxy(app.namespace, lambda: app.endpoints(active)) as proxy:
        yield Switched(app, {"service": {"active": active, "preview": preview}}, proxy)


def test_checked_switched_watched_completed(switched: Switched) -> None:
    """Until the preview's check passes nothing moves; then all does, is checked and watched; no request fails."""
    app = switched.manage(prePromotion=BEFORE, postPromotion=AFTER, watch="2s")
    with switched.steady() as load:
        app.release()
        app.wait_step(1, kind="analysis")
        app.wait_message("preview-quality has no data")
        assert switched.serves("blue")
        assert not load.snapshot().of("v2")
        app.shows("v2", preview_quality=0.95)
        app.wait_step(3, kind="analysis")
        assert switched.serves("green")
        load.wait_for_version("v2")
        app.shows("v2", complaints=2)
        status = app.wait_phase("Healthy")
        load.wait_for_version("v2")
    assert (status["stable"]["slot"], status["history"][-1]["outcome"]) == ("green", "Completed")
    watched = app.wait_run_over(1)["steps"][-1]
    assert app.run(1)["spec"]["steps"][watched["index"] - 1]["kind"] == "watch"
    assert unix_time(watched["endedAt"]) - unix_time(watched["startedAt"]) >= 2
    assert load.last_sent() == "v2"


def test_returned_when_a_check_after_the_switch_fails(switched: Switched) -> None:
    """Complaints after the switch: everything goes back to where it was, and no request fails on the way."""
    app = switched.manage(postPromotion=AFTER)
    with switched.steady() as load:
        app.release()
        load.wait_for_version("v2")
        app.shows("v2", complaints=9)
        status = app.wait_phase("Aborted")
        assert "complaints is 9, above max 5" in status["message"]
        until(lambda: switched.serves("blue"), "traffic to be back")
        app.wait_condition("TrafficConfirmed")
        load.wait_for_version("v1")
        app.wait_event("MetricFailed", "complaints is 9, above max 5")
    assert load.last_sent() == "v1"
    assert status["stable"]["slot"] == "blue"


def test_without_auto_promote_a_person_switches(switched: Switched) -> None:
    """`autoPromote: false` waits for Promote, and says how."""
    app = switched.manage(autoPromote=False)
    with switched.steady() as load:
        app.release()
        app.wait_condition("Paused", "True", "AwaitsPromotion")
        assert f"sluice promote {app.name} -n {app.namespace}" in app.wait_message("waits for a person")
        assert switched.serves("blue")
        app.do("Promote")
        app.wait_phase("Healthy")
        assert switched.serves("green")
        load.wait_for_version("v2")


def test_the_preview_shows_the_candidate_of_each_run(make_app: MakeApp) -> None:
    """The preview Service selects whichever slot is the candidate, the one way and back; the active one stays."""
    app = make_app().deploy(route=None, active_preview=True)
    active, preview = f"{app.name}-active", f"{app.name}-preview"
    app.manage(blue_green(autoPromote=False), traffic={"service": {"active": active, "preview": preview}})
    app.release()
    app.wait_condition("Paused", "True", "AwaitsPromotion")
    assert app.selector(preview)["slot"] == "green"
    app.do("Promote")
    app.wait_phase("Healthy")
    app.release("v3", active="blue")
    app.wait_condition("Paused", "True", "AwaitsPromotion")
    until(lambda: app.selector(preview)["slot"] == "blue", "the preview to show blue")
    assert app.selector(active)["slot"] == "green"
