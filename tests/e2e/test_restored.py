"""What comes out of a backup: whoever restores it is who did it, and what was agreed once is not agreed again."""

from __future__ import annotations

import json

from e2e.support.app import SLUICE, App
from e2e.support.manifests import Json
from e2e.support.waiting import until
from e2e.support.world import APPROVERS, World
from e2e.test_approvals import approve, ask

__all__ = ["ask"]

ANNA, BEN = APPROVERS


def saved(app: App, kind: str) -> list[Json]:
    """The objects of a kind, as a backup has them: with status, but without what the API server would not take back."""
    items: list[Json] = json.loads(app.kubectl("get", kind, "-o", "json"))["items"]
    for item in items:
        for field in ("uid", "resourceVersion", "managedFields", "generation"):
            item["metadata"].pop(field, None)
    return items


def restore(app: App, kind: str, backup: Json) -> Json:
    """Delete an object and create it anew as it was saved, as the administrator; return it as it is stored."""
    path = f"{SLUICE}/namespaces/{app.namespace}/{kind}"
    app.hub.client.checked("DELETE", f"{path}/{backup['metadata']['name']}")
    made: Json = app.hub.client.checked("POST", path, backup)
    return made


def answered(app: App, action: Json) -> tuple[str, str]:
    """The operator's answer to an action: phase and message."""
    path = f"{SLUICE}/namespaces/{app.namespace}/rolloutactions/{action['metadata']['name']}"
    status = until(lambda: app.hub.get(path).get("status"), "an answer")
    return status["phase"], status["message"]


def test_a_restored_approval_and_promotion_count_for_nothing(world: World, ask: App) -> None:
    """They name who restored them, lose their answers, and are rejected: another run, and nobody of the group."""
    app = ask
    assert approve(world, app, ANNA).code == 0
    app.act("Promote")  # rejected, as an approval is missing
    kept = saved(app, "rolloutactions")
    app.release("v3")
    until(lambda: app.status["revision"]["number"] == 2, "the next run")
    app.wait_step(2, kind="approval")
    told = {}
    for backup in kept:
        assert backup["status"]["phase"] in {"Done", "Rejected"}
        made = restore(app, "rolloutactions", backup)
        assert (made["spec"]["actor"], "status" in made) == ("admin", False)
        told[made["spec"]["action"]] = answered(app, made)
    assert {phase for phase, _ in told.values()} == {"Rejected"}, told
    assert "it is for revision 1, but the current one is 2" in told["Approve"][1]
    assert "it is for revision 1, but the current one is 2" in told["Promote"][1]
    [edited] = [each for each in kept if each["spec"]["action"] == "Approve"]
    edited["spec"]["revision"] = 2
    phase, message = answered(app, restore(app, "rolloutactions", edited))
    assert (phase, "a group that admin is not in" in message) == ("Rejected", True), message
    assert (app.status["weight"], app.status["approvals"][0].get("approvals", [])) == ("10%", [])


def test_a_restored_switch_stops_in_the_name_of_who_restored_it(world: World, app: App) -> None:
    """One that was engaged when it was saved, and released since, covers again; no other name is believed."""
    app.deploy()
    app.apply("KillSwitch", "stop", {"engaged": True, "reason": "5xx"})
    [switch] = saved(app, "killswitches")
    switch["spec"]["engagedBy"] = BEN
    release = {"spec": {"engaged": False, "releaseReason": "fixed"}}
    path = f"{SLUICE}/namespaces/{app.namespace}/killswitches/stop"
    app.hub.client.checked("PATCH", path, release, "application/merge-patch+json")
    until(lambda: world.hub.get(path)["status"]["state"] == "Armed", "the switch to be armed")
    made = restore(app, "killswitches", switch)
    assert (made["spec"]["engagedBy"], "status" in made) == ("admin", False)
    until(lambda: world.hub.get(path).get("status", {}).get("state") == "Engaged", "the switch to be engaged")
