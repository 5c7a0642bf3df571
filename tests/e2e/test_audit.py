"""The audit of a Rollout on a real API server: all of it is kept, and who tampers with it is found."""

from __future__ import annotations

import json

from e2e.support.app import App
from e2e.support.manifests import canary, pause, weight
from e2e.support.waiting import until
from e2e.support.world import World

ENTRIES = 42


def test_the_audit_is_kept_and_tampering_is_located(world: World, app: App) -> None:
    """More than a status keeps is sealed and whole; a changed entry is located; the rest is sealed at the end."""
    app.deploy().manage(canary(weight(10), pause(), weight(50), pause()))
    app.release()
    app.wait_step(2, kind="pause")
    for verb in ("pause", "resume") * ENTRIES:
        if app.status["audit"]["seq"] >= ENTRIES:
            break
        done = world.sluice(verb, app.name, "-n", app.namespace, "--reason", "for the audit")
        assert done.code == 0, done
    kept = app.status["audit"]
    assert kept["seq"] >= ENTRIES
    assert len(kept["entries"]) <= 32
    verified = world.sluice("audit", "verify", app.name, "-n", app.namespace)
    assert (verified.code, "nothing is wrong" in verified.out) == (0, True), verified
    first = kept["entries"][0]["seq"]
    assert first > 1
    assert f"anchored to {first - 1}," in verified.out
    exported = world.sluice("audit", "export", app.name, "-n", app.namespace).out.splitlines()
    assert [json.loads(line)["entry"]["seq"] for line in exported] == list(range(1, kept["seq"] + 1))
    uid = app.rollout()["metadata"]["uid"]
    segment = f"{uid}-{1:010d}"
    refused = app.hub.kubectl(
        *("-n", "sluice-system", "patch", "auditsegment", segment, "--type=json", "-p"),
        json.dumps([{"op": "replace", "path": "/spec/entries/0/actor", "value": "nobody"}]),
        check=False,
    )
    assert "what was told stays told" in refused

    forged = {"op": "replace", "path": "/status/audit/entries/3/actor", "value": "nobody"}
    app.kubectl(
        "patch", "rollouts.sluice.dev", app.name, "--subresource=status", "--type=json", "-p", json.dumps([forged])
    )
    wrong = world.sluice("audit", "verify", app.name, "-n", app.namespace)
    assert wrong.code == 1, wrong
    assert f"wrong at {first + 3} in status: Changed" in wrong.out

    mended = {"op": "replace", "path": "/status/audit/entries/3/actor", "value": kept["entries"][3]["actor"]}
    app.kubectl(
        "patch", "rollouts.sluice.dev", app.name, "--subresource=status", "--type=json", "-p", json.dumps([mended])
    )
    app.kubectl("delete", "rollouts.sluice.dev", app.name, "--wait=true", "--timeout=120s")

    def left() -> bool:
        after = world.sluice("audit", "verify", app.name, "-n", app.namespace, "-o", "json")
        told = json.loads(after.out)
        return after.code == 0 and not told["there"] and told["anchoredTo"] == told["last"] >= kept["seq"]

    until(left, "all of the audit to be sealed")
