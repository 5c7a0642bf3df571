"""The planner as a whole: kills, deletion, lost records, unreadable specs, and what a crash leaves behind."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sluice.api.action import Verb
from sluice.api.conditions import condition_of
from sluice.api.killswitch import Effect
from sluice.api.names import Kind
from sluice.api.outcome import Outcome
from sluice.api.rollout import StepStatus
from sluice.decide.model import Acceptance, Cause, FinalizerChange, Templates
from sluice.decide.planner import RUN_LOST_AFTER, plan
from unit.decide.observed import (
    HOUR,
    MINUTE,
    NOW,
    SECOND,
    aborted,
    action,
    after,
    ask,
    completed,
    healthy,
    measured,
    metric,
    missing,
    observed,
    rollout_spec,
    running,
    settle,
    slots,
    switch,
    target,
)

# ---------------------------------------------------------------------------------------------- kills


def test_a_divert_is_written_first_and_ends_the_run() -> None:
    """Its weights are urgent, stamped with the switch, and the run is Killed with its reason and actor."""
    made = plan(replace(running(), switches=(switch(),)), NOW)
    (shift,) = made.urgent
    assert (shift.share, shift.grows, made.shifts) == (0, False, ())
    assert (shift.cause.action, shift.cause.switch, shift.cause.actor) == ("divert", switch().id, "alice")
    assert made.status.revision is not None
    assert made.status.revision.message == "killed by KillSwitch shop/stop, engaged by alice: 5xx on checkout"
    assert (made.status.phase, len(made.status.rejected)) == ("Killed", 1)


def test_release_starts_nothing_by_itself() -> None:
    """A killed run stays down until Retry, whatever happens to the switch."""
    killed = settle(replace(running(), switches=(switch(),)), NOW)
    released = settle(replace(killed, switches=()), NOW + HOUR)
    assert (released.status.phase, released.targets[0].shares) == ("Killed", (0,))
    made = plan(replace(released, actions=(action(Verb.RETRY, 1),)), NOW)
    assert made.create_run is not None


def test_a_hold_freezes_and_release_goes_on() -> None:
    """Hold takes nothing away and lets nothing grow."""
    held = settle(replace(running(), switches=(switch(Effect.HOLD),)), NOW)
    assert (held.status.phase, held.targets[0].shares) == ("Paused", (1000,))
    going = settle(replace(held, switches=()), NOW + HOUR)
    assert going.status.phase == "Progressing"


def test_a_kill_before_any_exposure_holds_the_run() -> None:
    """During prePromotion there is nothing to divert: the run waits, and goes on after release."""
    inline = metric(initialDelay="0s")
    strategy = {"blueGreen": {"prePromotion": {"metrics": [inline.dump()]}}}
    seen = running(strategy=strategy, templates=Templates(inline=((inline,),)))
    held = settle(replace(seen, switches=(switch(),), measurements=(measured(0.0, NOW, scope="step-1"),)), NOW)
    assert (held.status.phase, held.targets[0].shares) == ("Paused", (0,))
    assert held.status.revision is not None
    assert held.status.revision.outcome is None
    assert settle(replace(held, switches=()), NOW).status.phase == "Healthy"


def test_a_switch_that_was_released_before_the_pass_still_killed_the_run() -> None:
    """The kill path wrote, the switch was released within the same second: the stamp on the route tells."""
    cause = Cause("uid-checkout/1", "divert", switch=switch().id, reason="5xx on checkout", actor="alice")
    made = plan(replace(running(), targets=(target(0, cause=cause),)), NOW)
    assert (made.status.phase, made.urgent, made.shifts) == ("Killed", (), ())
    assert made.status.revision is not None
    assert made.status.revision.message == "killed by KillSwitch shop/stop, engaged by alice: 5xx on checkout"


def test_a_stamp_of_an_earlier_run_kills_nothing() -> None:
    """The route still carries the kill of run 1 while run 2 begins."""
    killed = settle(replace(running(), switches=(switch(),)), NOW)
    retried = settle(replace(killed, switches=(), actions=(action(Verb.RETRY, 1),)), NOW)
    assert retried.status.revision is not None
    assert (retried.status.revision.number, retried.status.revision.outcome) == (2, None)


def test_a_kill_does_not_wait_for_a_hold_a_pause_or_a_broken_spec() -> None:
    """The strictest switch counts, and nothing that freezes a run keeps its candidate exposed."""
    paused = settle(running(actions=(action(Verb.PAUSE),)), NOW)
    broken = replace(paused, spec=None, spec_problem="no", switches=(switch(), switch(Effect.HOLD, "hold")))
    made = plan(broken, NOW)
    assert ([shift.share for shift in made.urgent], made.status.phase) == ([0], "Killed")


def test_what_is_stable_is_never_killed() -> None:
    """A completed revision is stable: an engaged Divert moves nothing."""
    made = plan(replace(completed(), switches=(switch(),)), NOW)
    assert (made.urgent, made.shifts, made.status.phase) == ((), (), "Healthy")


def test_a_kill_is_carried_on_route_by_route() -> None:
    """A route whose write failed is written again, and only that."""
    seen = replace(running(), targets=(target(1000), target(1000, "second")), switches=(switch(),))
    seen = after(seen, plan(seen, NOW))
    seen = replace(seen, targets=(seen.targets[0], target(1000, "second")))
    assert [str(shift.target.ref) for shift in plan(seen, NOW).urgent] == ["HTTPRoute shop/second"]


# ---------------------------------------------------------------------------------------------- deletion


def test_a_deleted_rollout_returns_first_and_lets_go_then() -> None:
    """In mid-run the finalizer stays until the share is read back at 0."""
    seen = replace(running(), deleting=True)
    made = plan(seen, NOW)
    assert ([shift.share for shift in made.shifts], made.finalizer) == ([0], FinalizerChange.NONE)
    assert made.status.revision is not None
    assert (made.status.revision.outcome, made.status.revision.reason) == (Outcome.RETURNED, "Deleted")
    assert plan(after(seen, made), NOW).finalizer is FinalizerChange.REMOVE


def test_a_deleted_rollout_at_rest_lets_go_of_what_it_marked() -> None:
    """Nothing moves; the marks that keep weights as they are go from the route, then the finalizer goes."""
    seen = replace(healthy(), deleting=True)
    mine = replace(seen.targets[0], owner="shop/checkout/uid-checkout")
    made = plan(replace(seen, targets=(mine,)), NOW)
    assert (made.shifts, made.finalizer) == ((), FinalizerChange.REMOVE)
    assert [(release.kind, release.name) for release in made.releases] == [("HTTPRoute", "checkout")]


def test_a_deleted_rollout_without_our_finalizer_is_left_alone() -> None:
    """There is nothing to do: no write at all."""
    seen = replace(healthy(), deleting=True, has_finalizer=False)
    made = plan(seen, NOW)
    assert (made.status, made.shifts, made.finalizer) == (seen.status, (), FinalizerChange.NONE)


@pytest.mark.parametrize(
    "changes",
    [
        {"namespace_terminating": True},
        {"slots": slots(blue=0)},
        {"targets": (missing(),)},
        {"targets": (target(None, problem="no rule names both"),)},
        {"targets": ()},
        {"rival": "shop/other"},
    ],
)
def test_what_cannot_be_returned_does_not_keep_a_deletion(changes: dict[str, object]) -> None:
    """The namespace goes, stable is gone, no route is left, or another Rollout has it: the finalizer lets go."""
    made = plan(replace(running(), deleting=True, **changes), NOW)  # type: ignore[arg-type]
    assert made.finalizer is FinalizerChange.REMOVE


def test_one_missing_route_does_not_keep_a_deletion() -> None:
    """The other route is returned, then the finalizer lets go."""
    seen = replace(running(), deleting=True, targets=(target(1000), missing("second")))
    seen = settle(seen, NOW)
    assert (seen.has_finalizer, seen.targets[0].shares) == (False, (0,))


def test_a_deletion_with_an_unreadable_spec_returns_too() -> None:
    """The run knows what it moves, whatever became of the spec."""
    seen = replace(running(), deleting=True, spec=None, spec_problem="no")
    made = plan(seen, NOW)
    assert [shift.share for shift in made.shifts] == [0]
    assert settle(seen, NOW).has_finalizer is False


def test_the_finalizer_is_there_from_the_first_sight_on() -> None:
    """What Sluice marked would stay pinned without it, at rest too."""
    assert all(seen.has_finalizer for seen in (healthy(), running(), aborted(), completed()))


# ---------------------------------------------------------------------------------------------- lost records


def test_a_run_whose_record_is_gone_is_aborted_after_a_moment() -> None:
    """A RolloutRun that somebody deleted: nobody knows what comes next, so traffic returns."""
    seen = replace(running(), runs=())
    made = plan(seen, NOW)
    assert (made.shifts, made.wake_at, made.status.phase) == ((), NOW + RUN_LOST_AFTER, "Paused")
    made = plan(after(seen, made), NOW + RUN_LOST_AFTER)
    assert made.status.revision is not None
    assert (made.status.revision.reason, [shift.share for shift in made.shifts]) == ("RunLost", [0])


def test_a_record_that_comes_late_costs_nothing() -> None:
    """A cache that is behind by some seconds ends no run, and grows nothing meanwhile."""
    seen = running()
    behind = settle(replace(seen, runs=()), NOW)
    made = plan(replace(behind, runs=seen.runs), NOW + 5 * SECOND)
    assert made.status.revision is not None
    assert (made.status.revision.outcome, made.status.waiting, made.status.phase) == (None, None, "Progressing")


@pytest.mark.parametrize("index", [0, -3, 5, 99])
def test_a_step_that_the_run_does_not_have_ends_it(index: int) -> None:
    """A status that was edited by hand is no reason to crash in every pass."""
    seen = running()
    odd = StepStatus(index=index, of=4, kind="analysis", started_at=NOW)
    made = plan(replace(seen, status=seen.status.model_copy(update={"step": odd})), NOW)
    assert made.status.revision is not None
    assert made.status.revision.reason == "RunLost"


def test_the_end_of_a_run_is_written_again_after_a_crash() -> None:
    """The Rollout's status says Completed, its RolloutRun does not yet: it is told."""
    seen = completed()
    unwritten = replace(seen.runs[0], status=seen.runs[0].status.model_copy(update={"outcome": None}))
    made = plan(replace(seen, runs=(unwritten,)), NOW)
    assert dict(made.run_statuses)["checkout-1"].outcome is Outcome.COMPLETED


def test_a_runs_record_tells_each_step() -> None:
    """With when it began and ended, up to the last."""
    (run,) = completed().runs
    assert [(step.index, step.ended_at is not None) for step in run.status.steps] == [(1, True), (2, True)]
    assert (run.status.outcome, run.status.ended_at) == (Outcome.COMPLETED, NOW)


def test_old_records_are_deleted_but_not_what_undo_needs() -> None:
    """Beyond revisionHistoryLimit; never the current run, nor the one that made the stable revision."""
    seen = completed()
    for number in range(4):
        seen = settle(ask(seen, rollout_spec("blue", f"3.{number}", revisionHistoryLimit=1)), NOW)  # type: ignore[arg-type]
        seen = settle(replace(seen, actions=(action(Verb.ABORT, name=f"abort-{number}"),)), NOW)
    assert [run.spec.revision for run in seen.runs] == [1, 4, 5]


# ---------------------------------------------------------------------------------------------- unreadable spec


def test_an_unreadable_spec_holds_the_run_and_keeps_its_share() -> None:
    """Nothing grows, nothing is lost, and the status says what is wrong with the spec."""
    seen = replace(running(), spec=None, spec_problem="Rollout shop/checkout: spec: strategy: missing")
    made = plan(seen, NOW + HOUR)
    assert (made.shifts, made.status.phase, made.status.weight) == ((), "Paused", 1000)
    stalled = condition_of(made.status.conditions, "Stalled")
    assert stalled is not None
    assert (stalled.reason, stalled.message) == ("InvalidSpec", "Rollout shop/checkout: spec: strategy: missing")


def test_people_can_abort_while_the_spec_is_unreadable() -> None:
    """What takes exposure away needs no spec."""
    made = plan(replace(running(), spec=None, spec_problem="no", actions=(action(Verb.ABORT),)), NOW)
    assert (made.answers[0].done, [shift.share for shift in made.shifts]) == (True, [0])


@pytest.mark.parametrize("verb", [Verb.PROMOTE, Verb.PROMOTE_FULLY])
def test_nobody_can_promote_while_the_spec_is_unreadable(verb: Verb) -> None:
    """What lets more through waits until somebody can tell what is asked for."""
    made = plan(replace(running(), spec=None, spec_problem="no", actions=(action(verb, 1),)), NOW)
    assert (made.answers[0].done, made.answers[0].message[:2]) == (False, "no")


def test_a_rollout_with_an_unreadable_spec_from_the_start_is_stalled() -> None:
    """Nothing is adopted, nothing is written but the condition."""
    made = plan(observed(None, services=None, targets=(), slots=slots(-1, -1)), NOW)
    assert (made.status.stable, made.shifts, made.status.phase) == (None, (), "Degraded")


# ---------------------------------------------------------------------------------------------- the preview


def test_the_preview_shows_the_candidate_once_per_run() -> None:
    """Pointed at the candidate when the run begins; who points it elsewhere afterwards keeps it so."""
    preview = target(0, "checkout-preview", kind=Kind.SERVICE)
    seen = settle(replace(ask(healthy(), rollout_spec()), preview=preview), NOW)
    assert seen.preview is not None
    assert seen.preview.shares == (10_000,)
    assert plan(replace(seen, preview=replace(seen.preview, shares=(0,))), NOW).shifts == ()


def test_the_preview_is_no_reason_to_tell_of_a_share() -> None:
    """A preview that is pointed somewhere while a step is held is not told as the step's weight change."""
    preview = target(0, "checkout-preview", kind=Kind.SERVICE)
    seen = replace(ask(healthy(), rollout_spec()), preview=preview)
    for _ in range(2):
        seen = after(seen, plan(seen, NOW), writes=False)
    held = plan(replace(seen, slots=slots(green=0)), NOW)
    assert [shift.target.ref.name for shift in held.shifts] == ["checkout-preview"]
    plain = plan(replace(seen, slots=slots(green=0), preview=None), NOW)
    assert [entry.action for entry in held.status.audit.entries] == [
        entry.action for entry in plain.status.audit.entries
    ]


# ---------------------------------------------------------------------------------------------- quiet


def test_nothing_is_told_twice() -> None:
    """A pass that changes nothing has no notes, no writes and no audit entry, at rest and in every waiting."""
    waiting = [
        healthy(),
        running(),
        completed(),
        aborted(),
        settle(replace(running(), switches=(switch(Effect.HOLD),)), NOW),
        settle(replace(running(), targets=(missing(),)), NOW),
        settle(replace(running(), targets=(target(1000, acceptance=Acceptance.REFUSED),)), NOW),
        settle(replace(running(), slots=slots(0, 0)), NOW),
        settle(replace(running(), spec=None, spec_problem="no"), NOW),
        settle(observed(rival="shop/first"), NOW),
    ]
    for seen in waiting:
        made = plan(seen, NOW)
        assert (made.notes, made.shifts, made.urgent, made.run_statuses, made.answers) == ((), (), (), (), ())
        assert made.status == seen.status


def test_analysis_that_holds_after_a_minute_says_so_once() -> None:
    """A held run keeps its message while nothing changes, so that watching it costs nothing."""
    seen = running(templates=Templates(background=(metric(onFailure="Hold"),)))
    seen = settle(replace(seen, measurements=(measured(0.5, NOW + MINUTE),)), NOW + MINUTE)
    made = plan(seen, NOW + MINUTE + SECOND)
    assert made.status.message == seen.status.message
    assert (made.notes, made.shifts) == ((), ())
