"""From the intended share to writes: what is written, when, how sure it is, and what foreign writers get."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from sluice.api.action import Verb
from sluice.api.conditions import condition_of
from sluice.api.names import Kind, Slot
from sluice.api.rollout import Confirmation
from sluice.decide.model import Acceptance, Observed, TargetView
from sluice.decide.planner import plan
from unit.decide.observed import (
    HOUR,
    MINUTE,
    NOW,
    OPEN_PAUSE,
    SECOND,
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


def meddled(seen: Observed, green: int, *, times: int = 1) -> Observed:
    """Somebody else writes the route."""
    views = [replace(view, shares=(green,), resource_version=f"{times}000") for view in seen.targets]
    return replace(seen, targets=tuple(views))


def shares(seen: Observed, at: datetime = NOW) -> list[tuple[int, bool]]:
    """The shifts of a plan: share and whether it grows."""
    made = plan(seen, at)
    return [(shift.share, shift.grows) for shift in (*made.urgent, *made.shifts)]


# ---------------------------------------------------------------------------------------------- levels


@pytest.mark.parametrize(
    "acceptance, level, condition",
    [
        (Acceptance.ACCEPTED, Confirmation.ACCEPTED, "True"),
        (Acceptance.PENDING, Confirmation.WRITTEN, "Unknown"),
        (Acceptance.REFUSED, Confirmation.WRITTEN, "Unknown"),
    ],
)
def test_written_and_accepted_are_told_apart(acceptance: Acceptance, level: Confirmation, condition: str) -> None:
    """A share that is read back is Written; Accepted only once the controller says so at that generation."""
    seen = replace(running(), targets=(target(1000, acceptance=acceptance, acceptance_message="no such backend"),))
    made = plan(seen, NOW)
    assert made.status.confirmation is level
    found = condition_of(made.status.conditions, "TrafficConfirmed")
    assert found is not None
    assert found.status == condition


def test_a_refused_route_is_told_with_what_its_controller_says() -> None:
    """A controller that refuses the route stalls the run, with the controller's words."""
    seen = replace(running(), targets=(target(1000, acceptance=Acceptance.REFUSED, acceptance_message="no backend"),))
    stalled = condition_of(plan(seen, NOW).status.conditions, "Stalled")
    assert stalled is not None
    assert (stalled.reason, stalled.message) == ("RouteRefused", "HTTPRoute shop/checkout is not accepted: no backend")


def test_nothing_is_claimed_of_a_share_that_was_changed() -> None:
    """From the moment that a foreign write is seen, the status does not say Accepted any more."""
    seen = settle(running(actions=(action(Verb.PAUSE),)), NOW)
    made = plan(meddled(seen, 300), NOW + HOUR)
    assert made.status.confirmation is None
    found = condition_of(made.status.conditions, "TrafficConfirmed")
    assert found is not None
    assert found.status == "False"


def test_every_route_counts() -> None:
    """With two routes the share is confirmed when both have it, and each is written that has not."""
    seen = replace(running(), targets=(target(1000), target(0, "checkout-grpc", kind=Kind.GRPC_ROUTE)))
    made = plan(seen, NOW)
    assert [(str(shift.target.ref), shift.share) for shift in made.shifts] == [("GRPCRoute shop/checkout-grpc", 1000)]
    assert made.status.confirmation is None
    assert settle(seen, NOW).status.confirmation is Confirmation.ACCEPTED


# ---------------------------------------------------------------------------------------------- I1


def test_nothing_is_taken_where_stable_does_not_answer() -> None:
    """A candidate that answers is better than a stable that cannot: traffic stays, and the status says why."""
    seen = replace(running(), slots=slots(blue=0), switches=(switch(),))
    made = plan(seen, NOW)
    assert (made.urgent, made.shifts) == ((), ())
    stalled = condition_of(made.status.conditions, "Stalled")
    assert stalled is not None
    assert stalled.reason == "NoHealthyStable"
    assert "Service shop/checkout-blue (blue), which is stable, has no ready endpoint" in stalled.message
    ready = replace(after(seen, made), slots=slots())
    assert [shift.share for shift in plan(ready, NOW).urgent] == [0]


def test_force_takes_it_even_so_and_says_who_wanted_that() -> None:
    """Asked with force, an answer from the candidate is worse than none; everybody is told who, why and over what."""
    seen = replace(running(), slots=slots(blue=0), switches=(switch(forced_by="bob"),))
    made = plan(seen, NOW)
    assert [shift.share for shift in made.urgent] == [0]
    rest = settle(seen, NOW).status
    assert (rest.phase, rest.confirmation) == ("Degraded", Confirmation.ACCEPTED)
    forced = "traffic is forced to it by KillSwitch shop/stop, with force by bob: 5xx on checkout"
    assert f"which serves, has no ready endpoint; {forced}" in rest.message
    assert rest.history[-1].message.endswith("alice: 5xx on checkout (forced by bob: stable had no ready endpoint)")


def test_force_that_comes_later_moves_what_was_spared() -> None:
    """Killed, but left where somebody answered: with force it moves, once told in the audit under who added it."""
    seen = settle(replace(running(), slots=slots(blue=0), switches=(switch(),)), NOW)
    assert seen.targets[0].share(Slot.GREEN) == 1000
    made = plan(replace(seen, switches=(switch(forced_by="bob"),)), NOW)
    assert [(shift.share, shift.cause.action) for shift in made.urgent] == [(0, "divert")]
    assert [(note.reason, "forced by bob" in note.message) for note in made.notes] == [("KilledBySwitch", True)]
    rest = settle(replace(seen, switches=(switch(forced_by="bob"),)), NOW).status
    told = [(entry.stage, entry.actor) for entry in rest.audit.entries if entry.action == "force"]
    assert told == [("Intended", "bob"), ("Observed", "sluice")]


def test_force_moves_nothing_that_a_run_completed() -> None:
    """What serves is no candidate: with nobody there to answer, a foreign write stays where somebody does."""
    seen = replace(completed(), slots=slots(green=0), targets=(target(5000),), switches=(switch(forced_by="bob"),))
    assert plan(seen, NOW + HOUR).shifts == ()
    assert plan(seen, NOW + HOUR).urgent == ()


def test_nothing_is_given_to_a_candidate_that_does_not_answer() -> None:
    """A share that a step intends waits for the candidate's endpoints, and the run is not over because of it."""
    seen = ask(healthy(), rollout_spec())
    for _ in range(2):
        seen = after(seen, plan(seen, NOW), writes=False)
    made = plan(replace(seen, slots=slots(green=0)), NOW)
    assert made.shifts == ()
    assert made.status.revision is not None
    assert made.status.revision.outcome is None
    assert made.status.waiting is not None
    assert made.status.waiting.reason == "WaitsForEndpoints"


def test_a_candidate_that_lost_its_endpoints_is_left_at_once() -> None:
    """A share that nobody answers is taken back, and the run is aborted as CandidateLost."""
    made = plan(replace(running(), slots=slots(green=0)), NOW)
    assert [(shift.share, shift.grows) for shift in made.shifts] == [(0, False)]
    assert made.status.revision is not None
    assert made.status.revision.reason == "CandidateLost"


# ---------------------------------------------------------------------------------------------- mixed


def test_rules_with_different_shares_grow_only_past_the_gates() -> None:
    """A route of which one rule has too little and one too much: both are set where nothing is in the way."""
    seen = replace(running(), targets=(target(shares=(0, 5000)),))
    assert shares(seen) == [(1000, True)]


def test_what_a_rule_has_too_much_is_taken_whatever_holds() -> None:
    """While the run is held, a rule with too much gives it back, and none gets more than it had."""
    seen = replace(settle(running(actions=(action(Verb.PAUSE),)), NOW), targets=(target(shares=(200, 5000)),))
    assert shares(seen) == [(200, False)]


def test_a_dark_route_is_lit_by_stable_whatever_holds() -> None:
    """Weights that are all 0 answer nobody: stable gets all, even while the run is paused."""
    seen = replace(settle(running(actions=(action(Verb.PAUSE),)), NOW), targets=(target(5000, dark=True),))
    assert shares(seen) == [(0, False)]


def test_a_dark_route_stays_dark_where_its_part_of_stable_would_not_answer() -> None:
    """Lighting it at 10 % gives stable 90 %: with no ready endpoint there, that is refused, and said (I1)."""
    seen = replace(settle(running(), NOW), targets=(target(5000, dark=True),), slots=slots(0, 1))
    assert shares(seen) == []
    assert shares(replace(seen, slots=slots(1, 1))) == [(1000, True)]


def test_an_unsuitable_route_gets_no_more_but_can_be_reduced() -> None:
    """A third backend stops growth; a kill still finds what to take away."""
    odd = target(1000, problem="rule 1 also sends traffic to x")
    seen = ask(replace(running(), targets=(odd,)), rollout_spec())
    assert shares(replace(seen, switches=(switch(),))) == [(0, False)]
    low = replace(running(), targets=(replace(odd, shares=(0,)),))
    assert shares(low) == []


def test_another_rollouts_routes_are_left_alone() -> None:
    """What a rival moves is not touched, whatever this Rollout intends."""
    seen = replace(running(), rival="shop/other", targets=(target(0),))
    made = plan(seen, NOW)
    assert (made.shifts, made.urgent) == ((), ())
    stalled = condition_of(made.status.conditions, "Stalled")
    assert stalled is not None
    assert stalled.reason == "RouteClaimed"


def test_a_route_that_is_gone_does_not_keep_a_return_open() -> None:
    """After an abort a deleted route has nothing to return; the others decide whether the return is confirmed."""
    seen = settle(replace(running(), actions=(action(Verb.ABORT),), targets=(target(1000), missing("second"))), NOW)
    assert seen.targets[0].shares == (0,)
    assert seen.status.confirmation is Confirmation.ACCEPTED
    stalled = condition_of(seen.status.conditions, "Stalled")
    assert stalled is not None
    assert stalled.reason == "RouteMissing"


def test_a_run_is_not_confirmed_by_half_its_routes() -> None:
    """In mid-run every route has to read back: a missing one keeps the step open."""
    fresh = after(ask(healthy(), rollout_spec()), plan(ask(healthy(), rollout_spec()), NOW))
    seen = settle(replace(fresh, targets=(target(0), missing("second"))), NOW)
    assert seen.status.step is None or seen.status.confirmation is None


@pytest.mark.parametrize("views", [(), (missing(),), (target(None, problem="no rule names both"),)])
def test_without_a_readable_route_nothing_is_written_or_claimed(views: tuple[TargetView, ...]) -> None:
    """Routes that are missing or unreadable: no write, and a kill that found nothing does not say it did."""
    seen = replace(running(), targets=views, switches=(switch(),))
    made = plan(seen, NOW)
    assert (made.shifts, made.urgent) == ((), ())
    assert made.status.confirmation is None


# ---------------------------------------------------------------------------------------------- foreign writers


def test_a_foreign_write_is_put_back_and_told() -> None:
    """The first is put back at once: event, audit entry before and after."""
    seen = meddled(running(), 5000)
    made = plan(seen, NOW)
    assert [(shift.share, shift.grows) for shift in made.shifts] == [(1000, False)]
    message = "HTTPRoute shop/checkout was changed by kubectl: green has 50% instead of 10%; put back"
    assert [(note.reason, note.message) for note in made.notes] == [("ForeignWriter", message)]
    repairs = [entry.stage for entry in settle(seen, NOW).status.audit.entries if entry.action == "repair"]
    assert repairs == ["Intended", "Observed"]


def test_each_repair_is_told_once() -> None:
    """Two foreign writes are two pairs of entries, however many passes see them."""
    seen, at = running(), NOW
    for number in (1, 2):
        at += MINUTE
        seen = settle(meddled(seen, 5000, times=number), at)
    repairs = [entry.stage for entry in seen.status.audit.entries if entry.action == "repair"]
    assert repairs == ["Intended", "Observed"] * 2


def test_that_a_run_ends_is_told_also_where_it_began_by_taking_back_what_was_left() -> None:
    """A retry that comes before the share was returned returns it; that the second run was aborted is told even so."""
    aborted = running(actions=(action(Verb.ABORT),))
    seen = after(aborted, plan(aborted, NOW), writes=False)
    seen = settle(replace(seen, actions=(action(Verb.RETRY, revision=1),)), NOW + SECOND)
    assert (seen.status.phase, seen.targets[0].shares) == ("Progressing", (1000,))
    seen = settle(replace(seen, actions=(action(Verb.ABORT, at=NOW + MINUTE, name="again"),)), NOW + MINUTE)
    told = [entry.at for entry in seen.status.audit.entries if (entry.action, entry.stage) == ("return", "Intended")]
    assert told == [NOW, NOW + MINUTE]


def test_a_foreign_write_that_comes_before_the_read_back_is_told_too() -> None:
    """Sluice wrote 10 %, and before it could read that back somebody else wrote 50 %: a repair, told as one."""
    seen = meddled(_begun(), 5000)
    assert shares(seen, NOW + SECOND) == [(1000, False)]
    rest = settle(seen, NOW + SECOND).status
    told = [(entry.action, entry.stage) for entry in rest.audit.entries if entry.action in {"step-1", "repair"}]
    assert told == [("step-1", "Intended"), ("repair", "Intended"), ("step-1", "Observed"), ("repair", "Observed")]


@pytest.mark.parametrize(
    "fields", [{"written": None}, {"written": 0}, {"written": 1000, "owner": "shop/checkout/another"}]
)
def test_what_was_not_written_yet_is_no_foreign_write(fields: dict[str, Any]) -> None:
    """A share that an older step, or another Rollout, wrote last is put right as the step says, and as nothing else."""
    seen = meddled(_begun(), 5000)
    made = plan(replace(seen, targets=tuple(replace(view, **fields) for view in seen.targets)), NOW + SECOND)
    assert (made.status.drift, made.notes) == (None, ())


def test_what_the_run_before_wrote_was_not_overwritten_in_this_one() -> None:
    """Run 1 wrote 10 %, somebody took that back, and it was aborted. Run 2's 10 % is a step that is written late."""
    seen = settle(meddled(replace(running(), actions=(action(Verb.ABORT),)), 0), NOW)
    seen = ask(seen, rollout_spec(version="3.0"))
    while not (made := plan(seen, NOW)).shifts:
        seen = after(seen, made)
    late = after(seen, made, writes=False)
    made = plan(late, NOW + SECOND)
    assert [(shift.share, shift.grows) for shift in made.shifts] == [(1000, True)]
    assert (made.status.drift, made.notes) == (None, ())


def _begun() -> Observed:
    """The first step's share is written, and nobody has read it back."""
    seen = ask(healthy(), rollout_spec())
    while not (made := plan(seen, NOW)).shifts:
        seen = after(seen, made)
    seen = after(seen, made)
    assert (seen.status.confirmation, seen.targets[0].shares) == (None, (1000,))
    return seen


def test_patience_grows_and_starts_anew_after_a_quiet_while() -> None:
    """A writer that never stops is answered ever more slowly; the plan says when it looks again."""
    seen, at, waits = running(strategy=OPEN_PAUSE), NOW, []
    for number in range(1, 6):
        seen = meddled(seen, 5000, times=number)
        began = at
        while not (made := plan(seen, at)).shifts:
            assert made.wake_at is not None
            seen, at = after(seen, made), made.wake_at
        waits.append((at - began).total_seconds())
        seen = settle(after(seen, made), at)
    assert waits == [0, 0.25, 0.5, 1.0, 2.0]
    assert plan(meddled(seen, 5000, times=9), at + HOUR).shifts


def test_a_fight_needs_a_person() -> None:
    """After three foreign writes in a row the Rollout is Stalled, and says how to end it."""
    seen, at = running(), NOW
    for number in range(1, 4):
        at += MINUTE
        seen = settle(meddled(seen, 5000, times=number), at)
    stalled = condition_of(plan(meddled(seen, 5000, times=4), at).status.conditions, "Stalled")
    assert stalled is not None
    assert stalled.reason == "ForeignWriter"
    assert "let Git ignore the field" in stalled.message


def test_under_a_kill_patience_is_short() -> None:
    """A writer that gives a killed candidate traffic again is overruled within a second, however often it tries."""
    seen, at = settle(replace(running(), switches=(switch(),)), NOW), NOW
    for number in range(1, 12):
        at += MINUTE
        seen = meddled(seen, 5000, times=number)
        made = plan(seen, at)
        if not (made.urgent or made.shifts):
            assert made.wake_at is not None
            assert made.wake_at - at <= SECOND
        seen = settle(after(seen, made), at + SECOND)
        assert seen.targets[0].shares == (0,)


def test_a_repair_that_is_held_is_neither_counted_nor_told() -> None:
    """A paused run whose share was lowered waits quietly: no event, no write, however often it is looked at."""
    seen = meddled(settle(running(actions=(action(Verb.PAUSE),)), NOW), 300)
    first = plan(seen, NOW + SECOND)
    assert (first.shifts, first.notes) == ((), ())
    seen = after(seen, first)
    for seconds in (2, 200, 20_000):
        made = plan(seen, NOW + timedelta(seconds=seconds))
        assert (made.shifts, made.notes) == ((), ())
        assert made.status.drift is not None
        assert made.status.drift.count == 0
        assert made.status.model_copy(update={"step": None}) == seen.status.model_copy(update={"step": None})


def test_a_held_share_is_put_back_when_the_hold_ends() -> None:
    """What was lowered by somebody else during a pause grows again once the pause is over."""
    seen = settle(meddled(settle(running(actions=(action(Verb.PAUSE),)), NOW), 300), NOW)
    seen = settle(replace(seen, actions=(action(Verb.RESUME),)), NOW + SECOND)
    assert seen.targets[0].shares == (1000,)


def test_a_clock_that_went_back_does_not_stop_repairs() -> None:
    """A last repair that lies in the future does not keep a foreign write in place until then."""
    seen = settle(meddled(running(), 5000), NOW)
    assert shares(meddled(seen, 5000, times=2), NOW - HOUR) == [(1000, False)]


def test_a_new_step_is_written_without_patience() -> None:
    """Patience is for what others wrote; what a step begins or an abort takes back is written at once."""
    seen: Any = running(strategy=OPEN_PAUSE)
    for number in range(1, 5):
        seen = settle(meddled(seen, 5000, times=number), NOW + number * MINUTE)
    seen = replace(meddled(seen, 5000, times=9), actions=(action(Verb.ABORT, at=NOW + 4 * MINUTE),))
    assert shares(seen, NOW + 4 * MINUTE) == [(0, False)]
