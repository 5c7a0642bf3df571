"""Following the spec: what starts a run, what ends one, and what does neither."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sluice.api.action import Verb
from sluice.api.conditions import condition_of
from sluice.api.killswitch import Effect
from sluice.api.names import Slot
from sluice.api.outcome import Outcome
from sluice.decide.model import Templates
from sluice.decide.planner import plan
from unit.decide.observed import (
    HOUR,
    NOW,
    STABLE_SPEC,
    aborted,
    action,
    after,
    ask,
    completed,
    healthy,
    missing,
    rollout_spec,
    running,
    settle,
    slots,
    switch,
    target,
)

NEW = rollout_spec()


def test_asking_for_the_other_slot_starts_a_run() -> None:
    """The run is fixed in a RolloutRun; the status speaks of it, and the finalizer is there before anything moves."""
    made = plan(ask(healthy(), NEW), NOW)
    assert made.create_run is not None
    assert made.status.revision is not None
    assert (made.create_run.revision, made.create_run.from_slot, made.create_run.to_slot) == (1, "blue", "green")
    assert (made.create_run.stable_version, made.create_run.version, made.create_run.requester) == (
        "1.0",
        "2.0",
        "alice",
    )
    assert (made.status.run, made.status.revision.number) == ("checkout-1", 1)
    assert made.notes[0].message == "revision 1 (2.0) begins: blue to green in 4 steps"


def test_a_new_version_in_the_stable_slot_is_taken_note_of() -> None:
    """What is asked for serves already: no run, the version is remembered."""
    made = plan(ask(healthy(), rollout_spec(Slot.BLUE, "1.1")), NOW)
    assert made.create_run is None
    assert made.status.stable is not None
    assert made.status.stable.version == "1.1"
    assert made.status.message == "blue (1.1) serves"


def test_an_edit_that_asks_for_the_same_revision_changes_nothing_of_the_run() -> None:
    """Steps, analysis and deadline are the run's own: an edit counts for the next one."""
    seen = running()
    other = rollout_spec(strategy={"canary": {"steps": [{"setWeight": 99}]}}, progressDeadline="1s")
    made = plan(ask(seen, other), NOW)
    assert made.status.step == seen.status.step
    assert (made.shifts, made.status.phase) == ((), "Progressing")


def test_another_version_supersedes_the_run() -> None:
    """Traffic returns to stable first; the new run starts from step 1 once that is read back."""
    made = plan(ask(running(), rollout_spec(version="2.1")), NOW)
    assert made.status.revision is not None
    assert (made.status.revision.outcome, made.create_run) == (Outcome.SUPERSEDED, None)
    assert [(shift.share, shift.grows) for shift in made.shifts] == [(0, False)]
    seen = settle(after(ask(running(), rollout_spec(version="2.1")), made), NOW)
    assert seen.status.revision is not None
    assert seen.status.step is not None
    assert (seen.status.revision.number, seen.status.revision.version, seen.status.step.index) == (2, "2.1", 2)


def test_a_rejected_version_supersedes_the_run_too_but_starts_none() -> None:
    """The candidate's slot was given something that needs a retry: what ran there is no longer there."""
    seen = settle(ask(aborted(), rollout_spec(version="3.0")), NOW)
    made = plan(ask(seen, NEW), NOW)
    assert made.status.revision is not None
    assert made.status.revision.outcome is Outcome.SUPERSEDED
    assert made.status.revision.message == "superseded by 2.0, which needs a retry"
    rest = settle(after(ask(seen, NEW), made), NOW)
    assert (rest.status.phase, rest.targets[0].shares) == ("Aborted", (0,))
    assert rest.status.message.startswith("aborted by bob; blue serves")


def test_going_back_to_stable_ends_the_run_as_returned() -> None:
    """`active` back on the stable slot: traffic returns at once, and nothing is rejected."""
    made = plan(ask(running(), STABLE_SPEC), NOW)
    assert made.status.revision is not None
    assert (made.status.revision.outcome, made.status.rejected) == (Outcome.RETURNED, ())
    assert [shift.share for shift in made.shifts] == [0]
    assert settle(after(ask(running(), STABLE_SPEC), made), NOW).status.phase == "Healthy"


def test_a_rejected_revision_is_not_tried_again_by_itself() -> None:
    """Neither by a later pass, nor by a re-sync that changes something else."""
    made = plan(ask(aborted(), rollout_spec(progressDeadline="20m")), NOW + HOUR)
    assert (made.create_run, made.status.phase) == (None, "Aborted")


def test_a_new_version_after_an_abort_is_a_new_revision() -> None:
    """Another version starts by itself; the rejected one stays rejected."""
    made = plan(ask(aborted(), rollout_spec(version="2.1")), NOW)
    assert made.create_run is not None
    assert made.create_run.revision == 2
    assert len(made.status.rejected) == 1


def test_an_undo_under_way_is_not_called_off_by_the_spec_it_undoes() -> None:
    """The spec still asks for what is being undone."""
    seen = after(completed(), plan(replace(completed(), actions=(action(Verb.UNDO, 1),)), NOW))
    made = plan(replace(seen, actions=()), NOW)
    assert made.status.revision is not None
    assert (made.status.revision.number, made.status.revision.outcome) == (2, Outcome.COMPLETED)


def test_a_new_version_calls_an_undo_off() -> None:
    """A spec that asks for something else is followed, also in the middle of an undo."""
    seen = after(completed(), plan(replace(completed(), actions=(action(Verb.UNDO, 1),)), NOW), writes=False)
    made = plan(ask(replace(seen, actions=()), rollout_spec(Slot.BLUE, "4.0")), NOW)
    assert made.status.revision is not None
    assert made.status.revision.outcome is Outcome.SUPERSEDED


@pytest.mark.parametrize(
    "changes, reason, says",
    [
        ({"switches": (switch(),)}, "HeldBySwitch", "revision 2.0 waits: KillSwitch shop/stop is engaged (Divert)"),
        ({"switches": (switch(Effect.HOLD),)}, "HeldBySwitch", "goes on when it is released"),
        ({"targets": (missing(),), "stable_known": True}, "RouteMissing", "HTTPRoute shop/checkout does not exist"),
        ({"slots": slots(green=-1)}, "ServiceMissing", "Service shop/checkout-green does not exist; create it"),
        ({"templates": Templates(problem_reason="TemplateMissing", problem="no template x")}, "TemplateMissing", "no"),
    ],
)
def test_a_new_run_waits_and_says_for_what(changes: dict[str, Any], reason: str, says: str) -> None:
    """Nothing starts under a switch or without what it needs; the status names it."""
    changes = {name: value for name, value in changes.items() if name != "stable_known"}
    made = plan(replace(ask(healthy(), NEW), **changes), NOW)
    assert made.create_run is None
    found = [condition_of(made.status.conditions, kind) for kind in ("Stalled", "Paused")]
    assert reason in {condition.reason for condition in found if condition}
    assert says in made.status.message


def test_a_paused_spec_starts_nothing() -> None:
    """`paused: true` holds a new run before its first step."""
    made = plan(ask(healthy(), rollout_spec(paused=True)), NOW)
    assert (made.create_run, made.status.phase) == (None, "Paused")
    assert made.status.message == "revision 2.0 waits: spec.paused is true; goes on when it is false"


def test_a_run_created_before_a_crash_is_taken_up() -> None:
    """The RolloutRun exists, but no status speaks of it: it is taken as it is, not created once more."""
    seen = ask(healthy(), NEW)
    made = plan(seen, NOW)
    crashed = replace(after(seen, made), status=seen.status)
    again = plan(crashed, NOW)
    assert (again.create_run, again.status.run) == (None, "checkout-1")


def test_a_run_created_before_a_crash_is_closed_when_the_spec_went_on() -> None:
    """Nobody asks for it any more: the next run gets the next number, and the orphan an end."""
    seen = ask(healthy(), NEW)
    crashed = replace(after(seen, plan(seen, NOW)), status=seen.status)
    rest = settle(ask(crashed, rollout_spec(version="2.1")), NOW)
    assert (rest.status.run, [run.status.outcome for run in rest.runs]) == ("checkout-2", [Outcome.RETURNED, None])


def test_an_orphan_of_a_retry_is_closed_too() -> None:
    """A crash between creating a retry's run and the status leaves no run without an end."""
    seen = replace(aborted(), actions=(action(Verb.RETRY, 1),))
    crashed = replace(after(seen, plan(seen, NOW)), status=seen.status, actions=seen.actions)
    rest = settle(crashed, NOW)
    assert rest.status.run == "checkout-3"
    assert [run.status.outcome for run in rest.runs] == [Outcome.ABORTED, Outcome.RETURNED, None]


def test_a_share_that_is_still_there_is_returned_before_the_next_run() -> None:
    """The next run starts when the old candidate's share is gone and accepted, not when it is only written."""
    seen = ask(running(), rollout_spec(version="2.1"))
    seen = after(seen, plan(seen, NOW))
    written = settle(replace(seen, targets=(target(0, acceptance="Pending"),)), NOW)
    assert (written.status.run, written.status.phase) == ("checkout-1", "Progressing")
    assert written.status.message == "revision 2.1 waits until green has no traffic"
    assert settle(replace(written, targets=(target(0),)), NOW).status.run == "checkout-2"
