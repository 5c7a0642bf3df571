"""`sluice plan` against a real API server: it writes nothing, and what it says is what then happens."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from e2e.support.app import App
from e2e.support.fixtures import MakeApp
from e2e.support.manifests import Json, canary, pause, weight
from e2e.support.waiting import until
from e2e.support.world import PLANNER, World
from e2e.test_policies import policy
from sluice.sim import manifests

STEPS = canary(weight(10), pause(), weight(50), pause("2s"))
_KINDS = "rollouts,rolloutruns,killswitches,httproutes,services,endpointslices"


def rollout(app: App, version: str, *, slot: str = "green", **spec: Any) -> Json:
    """The app's Rollout as a file has it."""
    services = {"blue": app.blue, "green": app.green}
    return {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": app.name, "namespace": app.namespace},
        "spec": {
            "workload": {"services": services, "active": slot, "version": version},
            "traffic": {"routes": [{"kind": "HTTPRoute", "name": app.name}]},
            "strategy": STEPS,
            **spec,
        },
    }


def switch(app: App) -> Json:
    """A kill switch over the app's namespace."""
    return {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "KillSwitch",
        "metadata": {"name": "stop", "namespace": app.namespace},
        "spec": {"engaged": True, "reason": "5xx on checkout"},
    }


def versions(app: App) -> dict[str, str]:
    """The resourceVersion of everything that a plan is about."""
    listed = json.loads(app.kubectl("get", _KINDS, "-o", "json"))["items"]
    return {f"{each['kind']}/{each['metadata']['name']}": each["metadata"]["resourceVersion"] for each in listed}


def plan(world: World, app: App, folder: Path, *objects: Json, code: int = 0) -> Json:
    """What is said to a file of these objects. Nothing may have been written then."""
    file = folder / "all.yaml"
    file.write_text(yaml.safe_dump_all(objects))
    before = versions(app)
    done = world.sluice("plan", str(file), "-o", "json", user=PLANNER)
    assert done.code == code, f"{done.out}{done.err}"
    assert versions(app) == before
    told: Json = json.loads(done.out)
    return told


def grant(app: App) -> None:
    """Let the user of the command line move the app's routes and Services, which a Rollout may not do for less."""
    resources = "--resource=httproutes.gateway.networking.k8s.io,services,deployments.apps"
    app.kubectl("create", "role", "mover", "--verb=get,patch,update,create", resources)
    app.kubectl("create", "rolebinding", "mover", "--role=mover", f"--user={PLANNER}")


def test_a_plan_comes_true(world: World, make_app: MakeApp, tmp_path: Path) -> None:
    """A new version, a freeze that holds another one, and a switch: each is told, then applied, and is so."""
    app = make_app()
    app.deploy()
    grant(app)
    world.hub.apply(yaml.safe_dump(rollout(app, "v1", slot="blue")))
    app.wait_phase("Healthy")

    new = rollout(app, "v2")
    (told,) = plan(world, app, tmp_path, new)["rollouts"]
    assert (told["verdict"], told["candidate"]["number"]) == ("Start", 1)
    assert told["writes"] == [
        f"RolloutRun {app}-1: made",
        f"HTTPRoute {app}: weights {app.blue} 100 to 90, {app.green} 0 to 10",
    ]
    steps = [line["message"] for line in told["course"]["lines"] if line["message"].startswith("step")]
    assert len(steps) == 5
    assert told["course"]["doneSeconds"] is not None
    world.hub.apply(yaml.safe_dump(new))
    assert app.wait_weight("10%") == {app.blue: 90, app.green: 10}
    until(lambda: app.status.get("message") == told["message"], f"it to say: {told['message']}")

    kill = switch(app)
    page = plan(world, app, tmp_path, kill)
    (told,) = page["rollouts"]
    assert (told["verdict"], page["guards"][0]["covers"]) == ("Kill", [str(app)])
    assert told["writes"] == [f"HTTPRoute {app}: weights {app.blue} 90 to 100, {app.green} 10 to 0"]
    world.hub.apply(yaml.safe_dump(kill))
    app.wait_weight("0%")
    app.wait_phase("Killed")

    world.sluice("release", "stop", "-n", app.namespace, "--reason", "fixed")
    with policy(world, app, windows=[manifests.freeze(datetime.now(UTC), 600)]) as rule:
        rule.wait(lambda status: status["state"] == "Frozen", "that it is frozen")
        later = rollout(app, "v3")
        (told,) = plan(world, app, tmp_path, later)["rollouts"]
        assert told["verdict"] == "Wait"
        assert f"held by RolloutPolicy {rule.name}: the freeze sale lasts until" in told["message"]
        world.hub.apply(yaml.safe_dump(later))
        assert app.wait_message("v3 waits: held by") == told["message"]


def test_what_the_api_server_refuses_is_told(world: World, make_app: MakeApp, tmp_path: Path) -> None:
    """By an admission policy, a CRD's rule, and for want of a right; a field that kubectl would take out is seen."""
    app = make_app()
    app.deploy()
    world.hub.apply(yaml.safe_dump(rollout(app, "v1", slot="blue", progressDeadline="5m")))
    app.wait_phase("Healthy")

    told = plan(world, app, tmp_path, rollout(app, "v2"), code=1)
    assert f"{PLANNER} may not move HTTPRoute {app.name}" in told["objects"][0]["message"]
    assert told["rollouts"] == []
    grant(app)

    wrong = rollout(app, "v1", slot="blue", rollbackWindow={"revisions": 500})
    told = plan(world, app, tmp_path, wrong, code=1)
    assert (told["refused"], told["objects"][0]["result"]) == (True, "refused")
    assert "rollbackWindow" in told["objects"][0]["message"]

    rule = {"apiVersion": "sluice.dev/v1alpha1", "kind": "RolloutPolicy", "metadata": {"name": "of-nobody"}}
    told = plan(world, app, tmp_path, {**rule, "spec": {"maxConcurrent": 1}}, code=1)
    assert "cannot" in told["objects"][0]["message"]
    assert "rolloutpolicies" in told["objects"][0]["message"]

    told = plan(world, app, tmp_path, rollout(app, "v1", slot="blue"))
    assert told["objects"][0]["changed"] == ["spec.progressDeadline"]
    assert told["rollouts"][0]["verdict"] == "Nothing"
