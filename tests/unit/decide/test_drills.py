"""What a drill does to a run, decided pass by pass, and what comes of a switch's drill."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from sluice.api.conditions import ConditionType, condition_of
from sluice.api.drill import DrillOutcome, DrillPart, LastDrill
from sluice.api.killswitch import Effect, KillSwitchSpec
from sluice.api.outcome import Outcome
from sluice.api.rollout import Confirmation
from sluice.decide.drills import LONGEST, DrillSeen, plan_drill
from sluice.decide.model import SwitchView
from sluice.decide.planner import plan
from sluice.decide.returning import divert
from sluice.decide.switches import diverting, drilling, strictest_first
from unit.decide.observed import (
    MINUTE,
    NOW,
    REF,
    SECOND,
    SERVICES,
    measured,
    metric,
    running,
    settle,
    shifted,
    switch,
)

DRILL = replace(switch(name="rehearsed"), drill=True, reason="rehearsal")


def test_a_drill_is_no_kill_and_comes_last() -> None:
    """Beside a real switch it counts for nothing, be that one weaker."""
    hold = switch(Effect.HOLD)
    assert strictest_first([DRILL, hold]) == (hold, DRILL)
    assert diverting([DRILL]) is None
    assert diverting([DRILL, switch()]) == switch()
    assert drilling([switch(), DRILL]) == DRILL


def test_the_run_is_held_at_nothing_and_goes_on_with_what_it_had() -> None:
    """The weight stays in the status; the writes carry the drill's cause, and the way back the step's."""
    held = settle(running(switches=(DRILL,)), NOW + SECOND)
    assert held.targets[0].shares == (0,)
    assert held.targets[0].cause is not None
    assert (held.targets[0].cause.action, held.targets[0].cause.switch) == ("drill", DRILL.id)
    assert (held.status.weight, held.status.drilled) == (1000, DRILL.id)
    assert held.status.revision is not None
    assert held.status.revision.outcome is None
    assert "is engaged (drill) by alice: rehearsal" in held.status.message
    confirmed = condition_of(held.status.conditions, ConditionType.TRAFFIC_CONFIRMED)
    assert confirmed is not None
    assert (confirmed.status, held.status.confirmation) == ("False", None), "10 % is meant, and not what it has"
    assert confirmed.message == "the drill of KillSwitch shop/rehearsed has the traffic"
    back = settle(replace(held, switches=()), NOW + 2 * SECOND)
    assert back.targets[0].shares == (1000,)
    assert back.targets[0].cause is not None
    assert back.targets[0].cause.switch == ""
    assert (back.status.drilled, back.status.confirmation) == (None, Confirmation.ACCEPTED)
    told = [(each.action, each.stage) for each in back.status.audit.entries if each.action.startswith("drill")]
    assert told == [("drill", "Intended"), ("drill", "Observed"), ("drill-over", "Intended")]
    assert not back.status.drift


@pytest.mark.parametrize("then", [(), (switch(),)], ids=["it is over", "a kill"])
def test_what_a_drill_took_before_any_pass_saw_it_is_told(then: tuple[SwitchView, ...]) -> None:
    """The kill path wrote, and the operator died; whoever comes after finds the drill over, or a real kill."""
    seen = running()
    shifts = divert(REF, seen.status, SERVICES, seen.targets, DRILL, bears=10_000, now=NOW + SECOND)
    seen = replace(seen, targets=tuple(shifted(view, shifts) for view in seen.targets), switches=then)
    rest = settle(seen, NOW + MINUTE)
    told = {each.action: each.actor for each in rest.status.audit.entries if each.stage == "Intended"}
    assert told["drill"] == "alice"
    assert told.get("return" if then else "drill-over") == ("alice" if then else "sluice")
    assert rest.targets[0].shares == (0 if then else 1000,)


def test_a_pause_does_not_count_meanwhile() -> None:
    """Ten minutes of exposure are ten minutes of exposure."""
    held = settle(running(switches=(DRILL,)), NOW + SECOND)
    later = settle(held, NOW + 9 * MINUTE)
    back = settle(replace(later, switches=()), NOW + 9 * MINUTE + SECOND)
    early = settle(back, NOW + 11 * MINUTE)
    assert early.status.weight == 1000
    late = settle(early, NOW + 20 * MINUTE).status
    assert late.revision is not None
    assert late.revision.outcome is Outcome.COMPLETED


def test_nothing_is_measured_meanwhile() -> None:
    """A candidate without traffic has no numbers; those that come in late are of the time before, and count not."""
    strategy = {"canary": {"steps": [{"setWeight": 10}, {"pause": {}}]}}
    analysis: dict[str, Any] = {"metrics": [metric().dump()]}
    held = settle(running(strategy=strategy, spec={"analysis": analysis}, switches=(DRILL,)), NOW + SECOND)
    made = plan(replace(held, measurements=(measured(0.5, NOW + SECOND),)), NOW + MINUTE)
    assert made.measures == ()
    assert made.status.metrics == held.status.metrics


@pytest.mark.parametrize("seen_before", [True, False])
def test_a_real_kill_ends_the_run(*, seen_before: bool) -> None:
    """Whether or not a pass saw the drill, and though the candidate has no traffic any more."""
    held = settle(running(switches=(DRILL,)), NOW + SECOND)
    if not seen_before:
        held = replace(held, status=running().status)
    killed = settle(replace(held, switches=(switch(), DRILL)), NOW + 2 * SECOND)
    assert killed.status.revision is not None
    assert killed.status.revision.outcome is Outcome.KILLED
    assert "killed by KillSwitch shop/stop" in killed.status.revision.message
    assert killed.status.drilled is None
    assert killed.targets[0].shares == (0,)


def test_a_drill_that_no_pass_saw_is_no_foreign_write() -> None:
    """Written by the kill path, over before the first pass: the share comes back, and nobody is blamed."""
    held = settle(running(switches=(DRILL,)), NOW + SECOND)
    back = settle(replace(held, status=running().status, switches=()), NOW + 2 * SECOND)
    assert back.targets[0].shares == (1000,)
    assert back.status.drift is None


# --------------------------------------------------------------------------------------------- of a switch

SPEC = KillSwitchSpec(engaged=True, drill=True, reason="rehearsal", engaged_by="alice")


def seen(known: LastDrill | None = None, spec: KillSwitchSpec = SPEC, **fields: Any) -> DrillSeen:
    """A drill that NOW began, in generation 2."""
    given: dict[str, Any] = {"generation": 2, "began_at": NOW, "rollouts": 1, **fields}
    return DrillSeen(spec, known=known, **given)


def begun() -> LastDrill:
    """One whose route is written, and not accepted yet."""
    last = plan_drill(seen(pending=1, changed_at=NOW + SECOND), NOW + 2 * SECOND).last
    assert last is not None
    return last


def test_each_part_is_timed_when_the_last_route_changed() -> None:
    """Not when somebody looked."""
    last = begun()
    assert (last.outcome, last.seconds(DrillPart.WRITTEN), last.seconds(DrillPart.ACCEPTED)) == (None, 1.0, None)
    made = plan_drill(seen(last, diverted=1, changed_at=NOW + 3 * SECOND), NOW + 5 * SECOND)
    assert made.last is not None
    assert (made.last.outcome, made.last.seconds(DrillPart.ACCEPTED)) == (DrillOutcome.PASSED, 3.0)
    assert made.release.startswith("drill Passed at ")
    released = SPEC.model_copy(update={"engaged": False, "drill": False})
    after = plan_drill(seen(made.last, released, generation=3), NOW + 6 * SECOND)
    assert after.last is not None
    assert (after.release, after.last.seconds(DrillPart.RELEASED)) == ("", 6.0)
    assert plan_drill(seen(after.last, released, generation=3), NOW + MINUTE).last == after.last


def test_it_ends_in_time_whatever_happens() -> None:
    """Looked at just then, and released with what is missing."""
    waiting = plan_drill(seen(begun(), pending=1), NOW + LONGEST - SECOND)
    assert (waiting.release, waiting.wake_at) == ("", NOW + LONGEST)
    made = plan_drill(seen(begun(), pending=1), NOW + LONGEST)
    assert made.last is not None
    assert made.last.outcome is DrillOutcome.TIMED_OUT
    assert made.release


def test_a_release_that_failed_is_tried_again() -> None:
    """With the outcome that is written already."""
    ended = plan_drill(seen(begun(), pending=1), NOW + LONGEST)
    again = plan_drill(seen(ended.last, diverted=1), NOW + LONGEST + MINUTE)
    assert again == ended


@pytest.mark.parametrize(
    "changes, told", [({"drill": False}, "engaged for real"), ({"drill": False, "engaged": False}, "released")]
)
def test_who_comes_in_between_interrupts_it(changes: dict[str, Any], told: str) -> None:
    """A real engagement is never released."""
    made = plan_drill(seen(begun(), SPEC.model_copy(update=changes), generation=3), NOW + 4 * SECOND)
    assert made.last is not None
    assert made.last.outcome is DrillOutcome.INTERRUPTED
    assert told in made.last.message
    assert made.release == ""


def test_the_next_drill_begins_anew() -> None:
    """In another generation, with its own times."""
    old = plan_drill(seen(begun(), diverted=1), NOW + 5 * SECOND).last
    made = plan_drill(seen(old, generation=4, began_at=NOW + MINUTE, pending=1, exposed=1), NOW + MINUTE)
    assert made.last is not None
    assert (made.last.generation, made.last.started_at, made.last.parts) == (4, NOW + MINUTE, ())


def test_where_nothing_was_exposed_nothing_is_proven() -> None:
    """And fleets, of which nothing moves, are counted."""
    made = plan_drill(seen(fleets=2), NOW + timedelta(milliseconds=1))
    assert made.last is not None
    assert (made.last.outcome, made.last.parts) == (DrillOutcome.NOTHING_EXPOSED, ())
    assert "2 Rollouts over a fleet had nothing moved" in made.last.message
