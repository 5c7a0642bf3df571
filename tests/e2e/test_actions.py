"""What people tell a run to do, by `kubectl create` and by `sluice`: done once, told who, or refused with a reason."""

from __future__ import annotations

import json

from e2e.support.app import App, unix_time
from e2e.support.manifests import background, canary, gate, pause, weight
from e2e.support.waiting import until
from e2e.support.world import RELEASER, World

OPEN = canary(weight(10), pause(), weight(50), pause())


def test_promote_leaves_an_open_pause(world: World, app: App) -> None:
    """`sluice promote` goes to the next step; the answer, an Event and the audit trail name who and why."""
    app.deploy().manage(OPEN)
    app.release()
    app.wait_step(2, kind="pause")
    done = world.sluice("promote", app.name, "-n", app.namespace, "--reason", "numbers are fine")
    assert (done.code, "left step 2 (pause)" in done.out) == (0, True), done
    app.wait_weight("50%")
    app.wait_event("ActionDone", f"Promote by {RELEASER}", "numbers are fine")
    entry = next(entry for entry in app.audit() if entry["action"] == "Promote")
    assert (entry["actor"], entry["message"]) == (RELEASER, "left step 2 (pause) (numbers are fine)")


def test_promote_fully_skips_what_is_left(world: World, app: App) -> None:
    """`sluice promote --full` goes straight to 100 %."""
    app.deploy().manage(canary(weight(1), pause(), weight(10), pause("5m"), weight(50), pause("5m")))
    with app.steady():
        app.release()
        app.wait_step(2)
        done = world.sluice("promote", app.name, "-n", app.namespace, "--full")
        assert done.code == 0, done
        app.wait_phase("Healthy")
        app.only("v2")


def test_paused_time_does_not_count(world: World, app: App) -> None:
    """A pause of 4 s that a person holds for longer is 4 s long without that time; the message tells how to resume."""
    app.deploy().manage(canary(weight(10), pause("4s"), weight(20), pause()), analysis=background(gate()))
    app.release()
    app.wait_step(2)
    paused = world.sluice("pause", app.name, "-n", app.namespace, "--reason", "lunch")
    assert paused.code == 0, paused
    assert f"paused by {RELEASER}: lunch; goes on with: sluice resume {app.name}" in app.wait_message("paused by")
    counted = app.status["step"]["countedSeconds"]
    assert counted < 4
    app.lets_go()
    until(lambda: app.age_of_step() > 6, "more than the pause to pass")
    status = app.status
    assert (status["phase"], status["step"]["index"], status["weight"]) == ("Paused", 2, "10%")
    resumed = world.sluice("resume", app.name, "-n", app.namespace)
    assert resumed.code == 0, resumed
    app.wait_weight("20%")
    times = until(lambda: (step := app.run(1)["status"]["steps"][1]).get("endedAt") and step, "the step to be over")
    assert unix_time(times["endedAt"]) - unix_time(times["startedAt"]) > 6 + (4 - counted) - 0.5


def test_abort_then_retry(world: World, app: App) -> None:
    """Abort returns everything to stable, by whom and why; Retry starts a new revision from step 1."""
    app.deploy().manage(OPEN)
    with app.steady():
        app.release()
        app.wait_weight("10%")
        aborted = world.sluice("abort", app.name, "-n", app.namespace, "--reason", "refunds fail")
        assert aborted.code == 0, aborted
        status = app.wait_phase("Aborted")
        assert f"aborted by {RELEASER}: refunds fail" in status["message"]
        app.wait_weight("0%")
        app.only("v1")
        retried = world.sluice("retry", app.name, "-n", app.namespace)
        assert retried.code == 0, retried
        assert app.wait_weight("10%")
        assert app.status["revision"]["number"] == 2
        assert app.run(2)["spec"]["cause"] == "Retry"


def test_undo_returns_to_the_version_before(world: World, app: App) -> None:
    """After completion, Undo moves all traffic back to the old slot without a failed request, and it stays there."""
    app.deploy().manage(canary(weight(50), pause("1s")))
    with app.steady():
        app.release()
        app.wait_phase("Healthy")
        app.only("v2")
        undone = world.sluice("undo", app.name, "-n", app.namespace, "--reason", "refunds fail since v2")
        assert undone.code == 0, undone

        def back() -> bool:
            status = app.status
            return status["stable"]["slot"] == "blue" and status["revision"].get("outcome") == "Completed"

        until(back, "blue to be stable again")
        app.wait_weight("100%")
        app.only("v1", 1_000)
        assert app.run(2)["spec"]["cause"] == "Undo"
        app.patch_rollout({"progressDeadline": "9m"})
        status = app.wait_phase("Aborted")
        assert status["message"].startswith("what the spec asks for was undone; blue serves")
        assert status["revision"]["number"] == 2
        app.only("v1")


def test_an_action_for_another_revision_is_rejected(world: World, app: App) -> None:
    """Who decided about another revision is told to look again, by RolloutAction and by exit code; nothing moves."""
    app.deploy().manage(OPEN)
    app.release()
    app.wait_step(2)
    answer = app.act("Promote", revision=7)
    assert answer["phase"] == "Rejected"
    assert "it is for revision 7, but the current one is 1" in answer["message"]
    app.wait_event("ActionRejected", "it is for revision 7")
    done = world.sluice("promote", app.name, "-n", app.namespace, "--revision", "7")
    assert (done.code, "revision 7" in done.err) == (1, True), done
    assert app.status["step"]["index"] == 2


def test_what_makes_no_sense_is_rejected_with_the_reason(app: App) -> None:
    """Abort without a run, Resume of what nobody paused, Retry in the middle of a run: each answer says why."""
    app.deploy().manage(OPEN)
    assert "no run is under way to abort" in app.act("Abort")["message"]
    app.release()
    app.wait_step(2)
    resumed = app.act("Resume")
    assert (resumed["phase"], "nobody paused it" in resumed["message"]) == ("Rejected", True)
    assert "revision 1 is under way; abort it first" in app.act("Retry")["message"]


def test_status_and_get_tell_the_same_story(world: World, app: App) -> None:
    """`sluice status` and `sluice get` show phase, step and share of a run; `sluice get -o json` is the object."""
    app.deploy().manage(OPEN)
    app.release()
    app.wait_step(2)
    page = world.sluice("status", app.name, "-n", app.namespace)
    assert page.code == 0, page
    for part in (app.name, "Paused", "10%", f"sluice promote {app.name} -n {app.namespace}"):
        assert part in page.out
    table = world.sluice("get", "-n", app.namespace)
    assert (table.code, app.name in table.out) == (0, True), table
    shown = json.loads(world.sluice("get", "rollouts", app.name, "-n", app.namespace, "-o", "json").out)
    assert shown["status"]["step"]["index"] == 2
