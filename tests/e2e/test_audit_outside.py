"""The audit goes to a receiver of CloudEvents: nothing waits for it, and a crash in between loses nothing."""

from __future__ import annotations

import json
from pathlib import Path

from e2e.support.app import App
from e2e.support.keeper import keeping
from e2e.support.manifests import canary, pause, weight
from e2e.support.waiting import until
from e2e.support.world import World

RELEASE = {"spec": {"engaged": False, "releaseReason": "it was a drill"}}


def test_what_was_not_taken_before_a_crash_is_taken_after_it(world: World, app: App, tmp_path: Path) -> None:
    """While the receiver is away a canary goes on, a kill works and the operator dies; then all of it arrives."""
    app.deploy()
    with keeping() as keeper, world.lone_operator() as operator:
        operator.arguments += ["--audit-to", keeper.url, "--audit-events", "batched"]
        operator.start()
        app.manage(canary(weight(10), pause()))
        keeper.status = 503
        app.release()
        app.wait_weight("10%")
        app.apply("KillSwitch", "stop", {"effect": "Divert", "engaged": True, "reason": "5xx on checkout"})
        app.wait_phase("Killed")
        until(lambda: keeper.refusals > 0, "the receiver to have been asked")
        uid = app.rollout()["metadata"]["uid"]
        known = len(keeper.entries_of(uid))
        assert known < len(app.audit()), "nobody took what was told since"

        operator.kill()
        keeper.status = 202
        operator.start()
        until(lambda: keeper.entries_of(uid) == app.audit(), "all of the audit to be outside")
        reasons = {entry["reason"]: entry["actor"] for entry in keeper.entries_of(uid)}
        assert reasons["KilledBySwitch"] == "admin"
        assert "sluice_audit_waiting 0.0" in operator.http("/metrics")
        copy = tmp_path / "audit.jsonl"
        copy.write_text("\n".join(json.dumps(event) for event in keeper.events.values()))
        verified = world.sluice("audit", "verify", app.name, "-n", app.namespace, "--copy", str(copy))
        assert (verified.code, f"copied to {len(app.audit())}:" in verified.out) == (0, True), verified
        app.kubectl("patch", "killswitch", "stop", "--type=merge", "-p", json.dumps(RELEASE))
