"""Kill switches with the effect Rollback, under load: candidates are removed, and what completed is returned from."""

from __future__ import annotations

import json

from e2e import stories
from e2e.recorder import Recorder
from e2e.slot_recorder import SlotRecorder
from e2e.stories import TWO_STOPS
from e2e.support.waiting import until
from e2e.support.workload import Workload
from e2e.support.world import World


def engage(app: Workload, name: str = "stop", **spec: object) -> None:
    """`kubectl patch` of an armed switch."""
    patch = {"spec": {"engaged": True, "reason": "bad ledgers", **spec}}
    app.kubectl("patch", "killswitch", name, "--type=merge", "-p", json.dumps(patch))


def state(app: Workload, name: str = "stop") -> str:
    """The state of a switch."""
    path = f"/apis/sluice.dev/v1alpha1/namespaces/{app.namespace}/killswitches/{name}"
    return str(app.hub.get(path).get("status", {}).get("state"))


def test_a_candidate_is_diverted_and_then_removed(workload: Workload) -> None:
    """At 20 % its traffic ends at once; its pods go once they are drained, and no request fails by that."""
    workload.open(replicas=4).serve(TWO_STOPS)
    workload.apply("KillSwitch", "stop", {"effect": "Rollback"})
    with workload.steady(rate=200) as load, Recorder(workload) as record, SlotRecorder(workload) as slots:
        stories.started(workload, "v2")
        load.wait_for_version("v2")
        engage(workload)
        status = workload.wait_phase("Killed")
        assert "the pods of Deployment" in status["message"]
        workload.only("v1", 1_000)
        workload.wait_ready("green", 0)
        workload.wait_ready("blue", 4)
        until(lambda: state(workload) == "Engaged", "the switch to be Engaged")
        told = [each["stage"] for each in workload.audit() if each["action"] == "remove"]
        assert told[:1] == ["Intended"]
        slots.check()
        record.catch_up()
    record.check_plan(0, 20, 0)
    record.check_audit()


def test_a_completed_revision_returns(world: World, workload: Workload) -> None:
    """v2 serves wholly, and the pods of v1 are gone: they come up, take all, and v2 needs a retry after the release."""
    workload.open(replicas=2).serve(TWO_STOPS)
    with workload.steady(rate=200), Recorder(workload) as record, SlotRecorder(workload) as slots:
        stories.finished(workload, "v2")
        workload.wait_ready("blue", 0)
        done = world.sluice("kill", "-n", workload.namespace, "--effect", "rollback", "--reason", "bad ledgers")
        assert done.code == 0, done
        status = workload.wait_phase("Killed")
        assert f"returned from by KillSwitch {workload.namespace}/stop, engaged by" in status["message"]
        workload.only("v1", 1_000)
        assert (workload.run(2)["spec"]["cause"], workload.version_in(workload.stable)) == ("KillSwitch", "v1")
        workload.wait_event("KilledBySwitch", "returns from v2 to blue")
        workload.ship("v3")
        workload.wait_phase("Paused")
        released = world.sluice("release", "-n", workload.namespace, "--reason", "mended")
        assert released.code == 0, released
        stories.at_stop(workload, "20%")
        assert stories.number_of(workload) == 3
        slots.check()
        record.catch_up()
    record.check_audit()


def test_the_strictest_of_three_counts(workload: Workload) -> None:
    """Held, diverted and rolled back, one after the other and all at once: frozen, then killed, then removed."""
    workload.open(replicas=2).serve(TWO_STOPS)
    effects = {"hold": "Hold", "divert": "Divert", "back": "Rollback"}
    for name, effect in effects.items():
        workload.apply("KillSwitch", name, {"effect": effect})
    with workload.steady(rate=200), SlotRecorder(workload) as slots:
        stories.started(workload, "v2")
        engage(workload, "hold")
        workload.wait_phase("Paused")
        engage(workload, "divert")
        workload.wait_phase("Killed")
        workload.only("v1", 1_000)
        assert workload.pods("green"), "the pods of a Divert stay for triage"
        engage(workload, "back")
        workload.wait_ready("green", 0)
        assert [each["effect"] for each in workload.status["coveredBy"]] == ["Rollback", "Divert", "Hold"]
        until(lambda: {state(workload, name) for name in effects} == {"Engaged"}, "all three to be Engaged")
        slots.check()
