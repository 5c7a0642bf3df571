"""Kill switches under load: the candidate's traffic ends at once, nobody else's does, and going on is deliberate."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import pytest

from e2e.support.app import SLUICE, App, Json, unix_time
from e2e.support.fixtures import MakeApp
from e2e.support.manifests import background, canary, gate, pause, weight
from e2e.support.waiting import until
from e2e.support.world import World
from testbed import sample

HALF = canary(weight(50), pause())


def engage(app: App, reason: str, name: str = "stop") -> None:
    """`kubectl patch` of an armed switch."""
    patch = {"spec": {"engaged": True, "reason": reason}}
    app.kubectl("patch", "killswitch", name, "--type=merge", "-p", json.dumps(patch))


def release(app: App, why: str, name: str = "stop") -> None:
    """`kubectl patch` of an engaged switch."""
    patch = {"spec": {"engaged": False, "releaseReason": why}}
    app.kubectl("patch", "killswitch", name, "--type=merge", "-p", json.dumps(patch))


def switch(app: App, name: str = "stop") -> Json:
    """The status of a switch."""
    found: Json = app.hub.get(f"{SLUICE}/namespaces/{app.namespace}/killswitches/{name}").get("status", {})
    return found


@pytest.fixture
def at_half(make_app: MakeApp) -> Callable[..., App]:
    """Makes apps whose candidate has half of the traffic."""

    def make(name: str = "checkout", namespace_labels: dict[str, str] | None = None) -> App:
        app = make_app(name).deploy(namespace_labels=namespace_labels).manage(HALF)
        app.release()
        app.wait_weight("50%")
        return app

    return make


def test_divert_ends_the_candidates_traffic_at_once(world: World, at_half: Callable[..., App]) -> None:
    """One `kubectl patch`: no candidate request any more; who and why on the Rollout; another namespace goes on.

    How soon is measured by `make bench-kill`, beside a bare client.
    """
    app, other = at_half(), at_half("neighbour")
    app.apply("KillSwitch", "stop", {"effect": "Divert"})
    with app.steady(rate=300) as load, other.steady(rate=100):
        load.wait_for_version("v2")
        engage(app, "5xx on checkout")
        status = app.wait_phase("Killed")
        app.wait_weight("0%")
        ended_at = time.time()
        app.only("v1", 1_000)
        for told in (status["message"], app.condition("Killed")["message"]):
            assert f"killed by KillSwitch {app.namespace}/stop, engaged by admin: 5xx on checkout" in told
        app.wait_event("KilledBySwitch", "engaged by admin", "5xx on checkout")
        entry = next(entry for entry in app.audit() if entry["reason"] == "KilledBySwitch")
        assert entry["actor"] == "admin"
        until(lambda: switch(app).get("state") == "Engaged", "the switch to be Engaged")
        assert switch(app)["affected"]["rollouts"] == 1

        other.check_share("v2", 0.5)
        assert other.status["phase"] == "Paused"

        done = world.sluice("release", "-n", app.namespace, "--reason", "fixed in v2")
        assert done.code == 0, done
        until(lambda: switch(app).get("state") == "Armed", "the switch to be Armed")
        assert app.wait_phase("Killed")["revision"]["number"] == 1
        app.do("Retry")
        app.wait_weight("50%")
        app.do("Promote")
        app.wait_phase("Healthy")
        app.only("v2")
    retried_at = unix_time(app.run(2)["metadata"]["creationTimestamp"])
    late = [request for request in load.requests.sent_since(ended_at).of("v2") if request.sent_at < retried_at]
    assert not late, f"v2 answered {len(late)} requests after the kill"


def test_force_diverts_to_a_stable_that_does_not_answer(world: World, at_half: Callable[..., App]) -> None:
    """Nothing moves to a stable without endpoints until force is asked for; from then on no request reaches v2."""
    app = at_half()
    app.apply("KillSwitch", "stop", {"effect": "Divert"})
    app.kubectl("scale", f"deployment/{app.blue}", "--replicas=0")
    app.wait_endpoints(app.blue, 0)
    engage(app, "leaks cards")
    app.wait_condition("Stalled", "True", "NoHealthyStable")
    assert app.share() == 0.5
    assert f"stable has no ready endpoint in {app.namespace}/{app.name}" in switch(app)["message"]

    done = world.sluice("kill", "-n", app.namespace, "--force", "--reason", "leaks cards")
    assert done.code == 0, done
    assert "requests fail now that the candidate answered before" in done.out
    app.wait_message("traffic is forced to it by KillSwitch")
    app.wait_weight("0%")
    seen = sample(app.host, 500, app.data_plane.envoy_address)
    assert "v2" not in seen, seen

    app.kubectl("scale", f"deployment/{app.blue}", "--replicas=2")
    app.data_plane.wait_endpoints(app.namespace, app.blue, 2)
    app.only("v1")
    assert app.wait_phase("Killed")["history"][-1]["outcome"] == "Killed"


def test_hold_freezes_and_release_resumes(make_app: MakeApp) -> None:
    """A Hold leaves the share where it is, for as long as it is engaged; released, the run ends by itself."""
    strategy = canary(weight(20), pause("3s"), weight(60), pause("1s"))
    app = make_app().deploy().manage(strategy, analysis=background(gate()))
    app.apply("KillSwitch", "stop", {"effect": "Hold"})
    with app.steady():
        app.release()
        app.wait_step(2)
        engage(app, "database maintenance")
        app.wait_condition("Paused", "True", "HeldBySwitch")
        app.lets_go()
        assert "(Hold) by admin: database maintenance; goes on when it is released" in app.wait_message("is engaged")
        held_at = time.monotonic()
        until(lambda: time.monotonic() - held_at > 5, "more than the pause to pass")
        app.check_share("v2", 0.2)
        assert app.status["step"]["index"] == 2
        release(app, "maintenance is over")
        app.wait_phase("Healthy")
        app.only("v2")


def test_a_new_run_waits_while_a_switch_is_engaged(make_app: MakeApp) -> None:
    """Nothing starts under an engaged switch; once released, what was asked for begins by itself."""
    app = make_app().deploy().manage(canary(weight(50), pause("1s")))
    app.apply("KillSwitch", "stop", {"effect": "Divert"})
    with app.steady() as load:
        engage(app, "incident 7")
        until(lambda: switch(app).get("state") == "Engaged", "the switch to be Engaged")
        app.release()
        app.wait_message("revision v2 waits")
        status = app.wait_phase("Paused")
        assert "incident 7" in status["message"]
        assert "revision" not in status
        assert not load.snapshot().of("v2")
        release(app, "incident 7 is closed")
        app.wait_phase("Healthy")
        app.only("v2")


def test_a_selector_narrows_a_switch(make_app: MakeApp) -> None:
    """Of one namespace's Rollouts only those with the labels are killed."""
    app = make_app().deploy().labelled(tier="ai").manage(HALF)
    app.release()
    app.wait_weight("50%")
    app.apply("KillSwitch", "stop", {"scope": {"selector": {"matchLabels": {"tier": "web"}}}})
    app.apply("KillSwitch", "ai", {"scope": {"selector": {"matchLabels": {"tier": "ai"}}}})
    with app.steady():
        engage(app, "web is down")
        until(lambda: switch(app).get("state") == "Engaged", "the switch to be Engaged")
        assert app.status["phase"] == "Paused"
        assert app.share() == 0.5
        engage(app, "models answer nonsense", name="ai")
        app.wait_phase("Killed")
        app.only("v1")


def test_another_label_frees_nobody(make_app: MakeApp) -> None:
    """Held by a platform's switch, a Rollout gets other labels: it stays where it is, and says why, until released."""
    app = make_app().deploy().labelled(**{"sluice.dev/platform": "ios"})
    app.manage(canary(weight(20), pause("2s"), weight(60), pause("1s")))
    app.apply("KillSwitch", "stop", {"effect": "Hold", "scope": {"platforms": ["ios", "android"]}})
    with app.steady():
        app.release()
        app.wait_weight("20%")
        engage(app, "review of the store")
        app.wait_condition("Paused", "True", "HeldBySwitch")
        app.kubectl("label", "rollout", app.name, "sluice.dev/platform=web", "--overwrite")
        held_at = time.monotonic()
        until(lambda: time.monotonic() - held_at > 4, "more than the pause to pass")
        app.check_share("v2", 0.2)
        assert app.rollout()["metadata"]["labels"]["sluice.dev/platform"] == "web"
        kept = app.status["coveredBy"]
        assert [(each["switch"], each["engagedBy"]) for each in kept] == [(f"KillSwitch {app.namespace}/stop", "admin")]
        assert switch(app)["affected"]["rollouts"] == 1
        release(app, "the store agrees")
        app.wait_phase("Healthy")
        assert app.status["coveredBy"] == []
        app.only("v2")


def test_deleting_and_applying_anew_frees_nobody(make_app: MakeApp) -> None:
    """Git takes a covered Rollout away and brings it back with other labels, and its switch: it starts held.

    Nobody is dropped meanwhile. The switch, applied as it stands in Git, stays engaged; released, the run begins.
    """
    strategy = canary(weight(20), pause("1s"))
    app = make_app().deploy().labelled(tier="edge").manage(strategy)
    scope = {"effect": "Hold", "scope": {"selector": {"matchLabels": {"tier": "edge"}}}}
    app.apply("KillSwitch", "stop", scope)
    with app.steady():
        engage(app, "5xx at the edge")
        app.wait_condition("Killed", "True", "HeldBySwitch")
        for _ in range(2):
            app.kubectl("delete", "rollout", app.name)
            app.labelled(tier="core").apply_rollout(strategy, active="green", version="v2")
            app.apply("KillSwitch", "stop", scope)
            told = app.wait_message("waits")
            assert f"KillSwitch {app.namespace}/stop is engaged (Hold) by admin: 5xx at the edge" in told
            assert [each["switch"] for each in app.status["coveredBy"]] == [f"KillSwitch {app.namespace}/stop"]
            assert list(switch(app)["deleted"]) == [f"{app.namespace}/{app.name}"]
        app.only("v1")
        release(app, "mended")
        app.wait_phase("Healthy")
        until(lambda: not switch(app).get("deleted"), "the switch to forget it")
        app.only("v2")


def test_a_hold_lets_go_when_it_expires(world: World, make_app: MakeApp) -> None:
    """It says until when it holds, and then lets go by itself and says so."""
    strategy = canary(weight(20), pause("1s"), weight(60), pause("1s"))
    app = make_app().deploy().manage(strategy, analysis=background(gate()))  # which is held before that is measured
    with app.steady():
        app.release()
        app.wait_weight("20%")
        hold = ("kill", "freeze", "-n", app.namespace, "--effect", "hold", "--expires", "8s", "--reason", "works")
        done = world.sluice(*hold)
        assert done.code == 0, done
        app.wait_condition("Paused", "True", "HeldBySwitch")
        app.wait_message("at the latest")
        assert app.share() == 0.2
        app.lets_go()
        until(lambda: switch(app, "freeze")["state"] == "Expired", "the switch to be Expired")
        app.wait_phase("Healthy")
        app.only("v2")


@pytest.fixture
def cluster_switch(world: World) -> Iterator[str]:
    """The name of a ClusterKillSwitch that is gone after the test."""
    name = "everywhere-prod"
    yield name
    path = f"{SLUICE}/clusterkillswitches/{name}"
    world.hub.request(
        "PATCH", path, {"spec": {"engaged": False, "releaseReason": "test over"}}, "application/merge-patch+json"
    )
    world.hub.request("DELETE", path)


def test_a_cluster_switch_reaches_the_namespaces_it_selects(
    world: World, at_half: Callable[..., App], cluster_switch: str
) -> None:
    """`sluice kill --cluster --namespaces`: every Rollout of those namespaces is killed, and no other."""
    one, two, dev = (
        at_half(name, namespace_labels={"stage": stage})
        for name, stage in (("one", "e2e-prod"), ("two", "e2e-prod"), ("three", "e2e-dev"))
    )
    with one.steady(rate=50), two.steady(rate=50), dev.steady(rate=50):
        done = world.sluice(
            "kill", cluster_switch, "--cluster", "--namespaces", "stage=e2e-prod", "--reason", "bad base image"
        )
        assert done.code == 0, done
        for app in (one, two):
            assert "bad base image" in app.wait_phase("Killed")["message"]
            app.wait_weight("0%")
            app.only("v1")
        dev.check_share("v2", 0.5)
        assert dev.status["phase"] == "Paused"
        path = f"{SLUICE}/clusterkillswitches/{cluster_switch}"
        until(lambda: world.hub.get(path)["status"]["state"] == "Engaged", "the switch to be Engaged")
        assert world.hub.get(path)["status"]["affected"]["rollouts"] == 2
        released = world.sluice("release", cluster_switch, "--cluster", "--reason", "rebuilt")
        assert released.code == 0, released
