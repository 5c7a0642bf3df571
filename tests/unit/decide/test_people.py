"""What people tell a run to do: each verb done, each rejected, and never done twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sluice.api.action import Verb
from sluice.api.names import Slot
from sluice.api.outcome import Outcome
from sluice.decide.audit import SEALED_ENTRIES
from sluice.decide.model import Answer, Observed, Plan, Templates
from sluice.decide.planner import plan
from unit.decide import cluster, workloads
from unit.decide.observed import (
    MINUTE,
    NOW,
    OPEN_PAUSE,
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
)

FULL_AT_ONCE: dict[str, Any] = {"blueGreen": {"watch": "5m"}}
PRE_CHECKED: dict[str, Any] = {"blueGreen": {"prePromotion": {"metrics": [metric().dump()]}}}


def told(seen: Observed, verb: Verb, revision: int | None = None, **fields: Any) -> tuple[Answer, Plan]:
    """The answer to one action, and the plan that holds it."""
    made = plan(replace(seen, actions=(action(verb, revision, **fields),)), NOW)
    assert len(made.answers) == 1
    return made.answers[0], made


# ---------------------------------------------------------------------------------------------- done


def test_promote_ends_the_pause_that_the_run_waits_at() -> None:
    """Promote leaves the pause for the next step, at once and past the gates."""
    answer, made = told(running(), Verb.PROMOTE, 1)
    assert answer == Answer("promote", done=True, message="left step 2 (pause)")
    assert made.status.step is not None
    assert (made.status.step.index, made.status.weight) == (3, 5000)
    assert [(shift.share, shift.grows) for shift in made.shifts] == [(5000, True)]


@pytest.mark.parametrize("verb, needed", [(Verb.PROMOTE, 5), (Verb.PROMOTE_FULLY, 10)])
def test_a_promotion_is_done_once_the_pods_are_there(verb: Verb, needed: int) -> None:
    """A greater share needs more pods: they are made for it, and then the promotion is done; it was never refused."""
    asked = replace(workloads.stepping(), actions=(action(verb, 1),))
    made = plan(asked, NOW)
    assert made.answers == ()
    assert f"has 3 of {needed} pods ready" in made.status.message
    assert workloads.applied(made)["checkout-green"]["replicas"] == needed
    [answer] = plan(cluster.after(asked, made), NOW).answers
    assert answer.done, answer


def test_promote_fully_goes_to_the_last_share() -> None:
    """PromoteFully skips every step up to 100 %."""
    answer, made = told(running(), Verb.PROMOTE_FULLY, 1)
    assert answer.message == "went straight to step 4 of 4"
    assert made.status.weight == 10_000


def test_promote_fully_leaves_what_follows_the_last_share() -> None:
    """Checks after 100 % are not skipped: they are what would bring the traffic back."""
    steps = [{"setWeight": 10}, {"pause": {}}, {"setWeight": 100}, {"analysis": {"metrics": [metric().dump()]}}]
    seen = running(strategy={"canary": {"steps": steps}}, templates=Templates(inline=((metric(),),)))
    answer, made = told(seen, Verb.PROMOTE_FULLY, 1)
    assert answer.message == "went straight to step 3 of 4"
    then = settle(after(seen, made), NOW)
    assert then.status.revision is not None
    assert then.status.step is not None
    assert (then.status.revision.outcome, then.status.step.kind) == (None, "analysis")


def test_pause_and_resume() -> None:
    """A person's Pause stops the run until a person's Resume."""
    seen = running()
    answer, made = told(seen, Verb.PAUSE, reason="lunch")
    assert answer.done
    assert made.status.paused_by is not None
    assert (made.status.paused_by.actor, made.status.paused_by.reason) == ("bob", "lunch")
    assert made.status.phase == "Paused"
    answer, made = told(after(seen, made), Verb.RESUME)
    assert (answer.done, made.status.paused_by, made.status.phase) == (True, None, "Progressing")


@pytest.mark.parametrize("verb", [Verb.ABORT, Verb.UNDO])
def test_abort_and_undo_return_a_run_under_way(verb: Verb) -> None:
    """In mid-run, both take the candidate's traffic away and remember the revision as rejected."""
    answer, made = told(running(), verb, 1, reason="looks wrong")
    assert answer.message == "aborted; traffic returns to blue"
    assert made.status.revision is not None
    assert made.status.revision.outcome is Outcome.ABORTED
    assert made.status.revision.message == "aborted by bob: looks wrong"
    assert [(shift.share, shift.grows) for shift in made.shifts] == [(0, False)]
    assert made.status.rejected == (made.status.revision.hash,)


def test_abort_after_a_pause_is_not_held_by_it() -> None:
    """What takes exposure away goes past a person's Pause, and the Pause ends with the run."""
    seen = settle(running(actions=(action(Verb.PAUSE),)), NOW)
    answer, made = told(seen, Verb.ABORT)
    assert (answer.done, made.status.paused_by) == (True, None)
    assert [shift.share for shift in made.shifts] == [0]


def test_retry_tries_the_same_revision_as_a_new_run() -> None:
    """Retry starts from step 1 under a new number."""
    answer, made = told(aborted(), Verb.RETRY, 1)
    assert answer.message == "revision 2 starts again from step 1"
    assert made.create_run is not None
    assert (made.create_run.revision, made.create_run.cause, made.create_run.version) == (2, "Retry", "2.0")
    assert made.status.rejected == ()


def test_undo_swings_back_to_what_served_before() -> None:
    """A completed run is undone by a run of one step, and its revision is remembered as rejected."""
    answer, made = told(completed(), Verb.UNDO, 1)
    assert answer.message == "returns to blue (1.0)"
    then = settle(after(completed(), made), NOW)
    assert (then.status.stable is not None, then.targets[0].shares) == (True, (0,))
    assert then.status.stable is not None
    assert (then.status.stable.slot, then.status.stable.version, then.status.stable.number) == (Slot.BLUE, "1.0", 2)
    assert then.status.phase == "Aborted"
    assert then.status.message.startswith("what the spec asks for was undone; blue serves; try again: sluice retry")


def test_undo_twice_goes_forth_again() -> None:
    """Undoing an undo returns to the revision that was undone, which is then not rejected any more."""
    once = settle(replace(completed(), actions=(action(Verb.UNDO, 1),)), NOW)
    answer, made = told(once, Verb.UNDO, 2)
    assert answer.message == "returns to green (2.0)"
    then = settle(after(once, made), NOW)
    assert then.status.stable is not None
    assert (then.status.stable.slot, then.status.phase, then.targets[0].shares) == (Slot.GREEN, "Healthy", (10_000,))


def test_retry_after_undo_runs_all_steps_again() -> None:
    """An undone revision comes back only by its steps and gates."""
    undone = settle(replace(completed(), actions=(action(Verb.UNDO, 1),)), NOW)
    answer, made = told(undone, Verb.RETRY, 2)
    assert answer.done
    assert made.create_run is not None
    assert (made.create_run.cause, len(made.create_run.steps)) == ("Retry", 2)


def test_an_undo_that_is_aborted_leaves_what_serves_accepted() -> None:
    """An undo that comes to nothing leaves no rejection on the revision that goes on serving."""
    seen = after(completed(), plan(replace(completed(), actions=(action(Verb.UNDO, 1),)), NOW))
    seen = settle(replace(seen, actions=(action(Verb.ABORT),)), NOW)
    assert seen.status.stable is not None
    assert (seen.status.stable.slot, seen.status.phase) == (Slot.GREEN, "Healthy")
    assert seen.status.stable.hash not in seen.status.rejected


def test_several_actions_are_answered_in_their_order() -> None:
    """All unanswered actions are answered in one pass; what the first did counts for the second."""
    actions = (action(Verb.ABORT), action(Verb.PROMOTE, 1))
    made = plan(running(actions=actions), NOW)
    assert [(answer.name, answer.done) for answer in made.answers] == [("abort", True), ("promote", False)]


def test_promote_sets_a_held_analysis_aside() -> None:
    """A metric that waits for a person is measured anew; the step is not skipped, and nothing grows unmeasured."""
    held = metric(onFailure="Hold")
    seen = running(templates=Templates(background=(held,)), strategy=OPEN_PAUSE)
    seen = settle(replace(seen, measurements=(measured(0.5, NOW + SECOND),)), NOW + SECOND)
    assert seen.status.metrics[0].held
    made = plan(replace(seen, actions=(action(Verb.PROMOTE, 1),)), NOW + SECOND)
    assert made.answers[0].message.startswith("set aside: errors")
    assert (made.shifts, made.status.metrics[0].failures, made.status.metrics[0].phase) == ((), 0, "Pending")


# ---------------------------------------------------------------------------------------------- rejected


def _moving() -> Observed:
    seen = ask(healthy(), rollout_spec())
    for _ in range(2):
        seen = after(seen, plan(seen, NOW), writes=False)
    assert seen.status.step is not None
    return seen


REFUSALS: list[tuple[Any, Verb, int | None, str]] = [
    (running, Verb.PROMOTE, None, "Promote needs spec.revision; the current revision is 1"),
    (running, Verb.PROMOTE, 7, "it is for revision 7, but the current one is 1"),
    (running, Verb.ABORT, 7, "it is for revision 7, but the current one is 1"),
    (healthy, Verb.PROMOTE, 0, "no run is under way to promote: there was none yet"),
    (healthy, Verb.PAUSE, None, "no run is under way to pause: there was none yet"),
    (aborted, Verb.ABORT, None, "no run is under way to abort: revision 1 is Aborted"),
    (_moving, Verb.PROMOTE, 1, "step 1 is still moving weight"),
    (lambda: running(switches=(switch(),)), Verb.PROMOTE_FULLY, 1, "no run is under way"),
    (lambda: running(slots=slots(0, 0)), Verb.PROMOTE_FULLY, 1, "has no ready endpoint; nothing was skipped"),
    (lambda: ask(running(), rollout_spec(paused=True)), Verb.PROMOTE, 1, "spec.paused is true; goes on when it is"),
    (lambda: settle(running(actions=(action(Verb.PAUSE),)), NOW), Verb.PROMOTE, 1, "paused by bob; goes on with"),
    (lambda: settle(running(actions=(action(Verb.PAUSE),)), NOW), Verb.PAUSE, None, "already paused by bob"),
    (running, Verb.RESUME, None, "nobody paused it; to leave a pause step: sluice promote checkout -n shop"),
    (running, Verb.RETRY, 1, "revision 1 is under way"),
    (healthy, Verb.RETRY, 0, "nothing to retry"),
    (lambda: replace(aborted(), switches=(switch(),)), Verb.RETRY, 1, "goes on when it is released; then ask again"),
    (
        lambda: replace(aborted(), templates=Templates(problem_reason="TemplateMissing", problem="no such template")),
        Verb.RETRY,
        1,
        "no such template",
    ),
    (healthy, Verb.UNDO, 0, "there is no completed run to undo"),
    (lambda: replace(completed(), runs=()), Verb.UNDO, 1, "RolloutRun shop/checkout-1 is gone"),
    (lambda: replace(completed(), slots=slots(blue=0)), Verb.UNDO, 1, "which served before, has no ready endpoint"),
    (lambda: replace(completed(), switches=(switch(),)), Verb.UNDO, 1, "goes on when it is released; then ask again"),
]


@pytest.mark.parametrize("make, verb, revision, why", REFUSALS)
def test_what_is_rejected_says_why(make: Any, verb: Verb, revision: int | None, why: str) -> None:
    """A rejected action changes nothing and says what is in its way."""
    seen = make()
    made = plan(replace(seen, actions=(action(verb, revision, name="another"),)), NOW)
    plain = plan(seen, NOW)
    assert [answer.done for answer in made.answers] == [False]
    assert why in made.answers[0].message
    assert (made.status, made.shifts, made.create_run) == (plain.status, plain.shifts, plain.create_run)
    assert [note.reason for note in made.notes if note.warning][:1] != []


def test_an_old_action_is_rejected() -> None:
    """An action that was restored from a backup, or waited for ten minutes, speaks of another situation."""
    answer, _ = told(running(), Verb.ABORT, at=NOW - 10 * MINUTE - SECOND)
    assert (answer.done, answer.message.split(",")[0]) == (False, "older than 10 minutes")
    answer, _ = told(running(), Verb.ABORT, at=NOW - 10 * MINUTE)
    assert answer.done


def test_promote_past_failing_analysis_is_rejected() -> None:
    """Exposure never grows past an analysis that is not good, whoever asks."""
    lenient = metric(failureLimit=3)
    seen = running(templates=Templates(background=(lenient,)), strategy=OPEN_PAUSE)
    seen = settle(replace(seen, measurements=(measured(0.5, NOW + SECOND),)), NOW + SECOND)
    for verb in (Verb.PROMOTE, Verb.PROMOTE_FULLY):
        made = plan(replace(seen, actions=(action(verb, 1),)), NOW + SECOND)
        assert "nothing was skipped" in made.answers[0].message
        assert made.shifts == ()


def test_promote_fully_before_the_first_step_is_rejected() -> None:
    """The baselines are taken before step 1; a run that skipped them could never be judged by them."""
    relative = metric(threshold={"maxRatio": 2})
    seen = running(templates=Templates(background=(relative,)))
    assert seen.status.step is None
    answer, made = told(seen, Verb.PROMOTE_FULLY, 1)
    assert (answer.done, made.status.weight) == (False, 0)
    assert answer.message.startswith("the run has not begun its first step yet")


def test_promote_fully_looks_for_the_candidates_endpoints_too() -> None:
    """A missing measurement can be skipped by a person; a candidate without endpoints can't."""
    seen = running(templates=Templates(background=(metric(),)), slots=slots(0, 0))
    answer, made = told(seen, Verb.PROMOTE_FULLY, 1)
    assert (answer.done, made.status.weight) == (False, 1000)
    assert "has no ready endpoint" in answer.message


def test_retry_of_what_already_serves_is_rejected() -> None:
    """A run never leads from a slot to itself, even where the hash of what serves was once rejected."""
    seen = completed()
    assert seen.status.stable is not None
    seen = replace(seen, status=seen.status.model_copy(update={"rejected": (seen.status.stable.hash,)}))
    answer, made = told(seen, Verb.RETRY, 1)
    assert (answer.done, made.create_run) == (False, None)


def test_undo_does_not_swing_to_a_slot_that_was_given_something_else() -> None:
    """After a later, aborted run the old slot holds what was aborted: that must not get all traffic by an undo."""
    seen = ask(completed(), rollout_spec(Slot.BLUE, "3.0"))
    seen = settle(seen, NOW)
    seen = settle(replace(seen, actions=(action(Verb.ABORT),)), NOW)
    answer, made = told(seen, Verb.UNDO, 2)
    assert (answer.done, made.create_run) == (False, None)
    assert "revision 2 (3.0) took the place of what served before in blue" in answer.message


@pytest.mark.parametrize(
    "seen, why",
    [
        (observed(rival="shop/first"), "Rollout shop/first already has one of this Rollout's routes"),
        (observed(targets=(missing(),)), "HTTPRoute shop/checkout does not exist. Create it"),
        (replace(running(), deleting=True), "the Rollout is being deleted"),
        (replace(healthy(), deleting=True), "the Rollout is being deleted"),
    ],
)
def test_people_are_answered_where_nothing_can_be_done(seen: Observed, why: str) -> None:
    """Nobody waits for an answer that never comes."""
    answer, _ = told(seen, Verb.ABORT)
    assert not answer.done
    assert answer.message.startswith(why)


# ---------------------------------------------------------------------------------------------- once


@pytest.mark.parametrize(
    "make, verb, revision",
    [
        (running, Verb.PROMOTE, 1),
        (running, Verb.PAUSE, None),
        (running, Verb.ABORT, None),
        (aborted, Verb.RETRY, 1),
        (completed, Verb.UNDO, 1),
    ],
)
def test_an_action_is_done_once_whatever_crashes(make: Any, verb: Verb, revision: int | None) -> None:
    """After a crash between the status write and the answer, the action is answered as done, and not done again."""
    seen = replace(make(), actions=(action(verb, revision),))
    made = plan(seen, NOW)
    assert made.answers[0].done
    crashed = replace(after(seen, made), actions=seen.actions)
    again = plan(crashed, NOW)
    plain = plan(replace(crashed, actions=()), NOW)
    assert [answer.done for answer in again.answers] == [True]
    assert again.status == plain.status


def test_two_pauses_of_one_run_are_both_told() -> None:
    """The audit tells what each person did, also the same thing twice."""
    seen = running()
    for name in ("first", "second"):
        seen = settle(replace(seen, actions=(action(Verb.PAUSE, name=name),)), NOW)
        seen = settle(replace(seen, actions=(action(Verb.RESUME, name=f"end-{name}"),)), NOW)
    told_actions = [entry.action for entry in seen.status.audit.entries if entry.action in {"Pause", "Resume"}]
    assert told_actions == ["Pause", "Resume", "Pause", "Resume"]


def test_a_run_never_starts_without_its_analysis() -> None:
    """Templates that were not looked up are no empty templates: Abort and Retry in one pass must not drop the gates."""
    unresolved = Templates(problem_reason="TemplateMissing", problem="not looked up")
    made = plan(replace(running(), templates=unresolved, actions=(action(Verb.ABORT), action(Verb.RETRY, 1))), NOW)
    assert [answer.done for answer in made.answers] == [True, False]
    assert made.create_run is None


def test_of_many_actions_a_pass_does_as_many_as_a_status_can_tell_of() -> None:
    """The oldest first, the others in the passes after it; each is told once, and none is left out."""
    seen, done = running(), list[str]()
    verbs = [Verb.PAUSE, Verb.RESUME] * 20
    waiting = [replace(action(verb, 1), name=f"{at}", uid=f"uid-{at}") for at, verb in enumerate(verbs)]
    while waiting:
        before = seen.status.audit.seq
        made = plan(replace(seen, actions=tuple(waiting)), NOW)
        assert 0 < made.status.audit.seq - before <= SEALED_ENTRIES
        assert all(answer.done for answer in made.answers)
        done += [answer.name for answer in made.answers]
        waiting = [each for each in waiting if each.name not in done]
        seen = replace(seen, status=made.status)
    assert done == [f"{at}" for at in range(40)]
