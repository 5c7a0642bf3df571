"""The way back to stable: what a Divert writes, and a candidate that answers no more while stable is small."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sluice.api.names import Slot
from sluice.api.units import FULL, NONE, BasisPoints
from sluice.decide.model import Shift, SwitchView
from sluice.decide.planner import plan
from sluice.decide.returning import divert
from unit.decide.cluster import settle, slowly
from unit.decide.observed import (
    NOW,
    OWNER,
    REF,
    SERVICES,
    aborted,
    completed,
    healthy,
    missing,
    running,
    switch,
    target,
)
from unit.decide.workloads import stepping, with_deployment

SMALL = {"canary": {"steps": [{"setWeight": 80}, {"pause": {}}], "dynamicStable": True}}


def diverted(seen: Any, *, bears: BasisPoints = FULL, view: SwitchView | None = None) -> tuple[Shift, ...]:
    """The writes of a Divert."""
    return divert(REF, seen.status, SERVICES, seen.targets, view or switch(), bears=bears, now=NOW)


def test_a_divert_takes_every_route_to_stable() -> None:
    """At any weight, with its cause and owner in the same patch; what has nothing is not written."""
    seen = replace(running(), targets=(target(1000), target(10_000, "second"), target(0, "third"), missing("fourth")))
    shifts = diverted(seen)
    assert [(shift.target.ref.name, shift.slot, shift.share, shift.grows) for shift in shifts] == [
        ("checkout", Slot.GREEN, 0, False),
        ("second", Slot.GREEN, 0, False),
    ]
    cause = shifts[0].cause
    assert (cause.run, cause.action, cause.switch, cause.actor) == ("uid-checkout/1", "divert", switch().id, "alice")
    assert shifts[0].owner == OWNER


def test_a_divert_moves_nothing_to_a_stable_that_does_not_answer() -> None:
    """A candidate that answers is better."""
    assert diverted(running(), bears=NONE) == ()


@pytest.mark.parametrize(
    "bears, told",
    [(NONE, "(forced by bob: stable had no ready endpoint)"), (4000, "(forced by bob: stable could take 40% only)")],
)
def test_a_divert_with_force_asks_not_what_stable_can_bear(bears: BasisPoints, told: str) -> None:
    """All of it at once, and the route tells of it; where nothing had to be forced it doesn't."""
    (shift,) = diverted(running(), bears=bears, view=switch(forced_by="bob"))
    assert (shift.share, shift.cause.reason) == (0, f"5xx on checkout {told}")
    (plain,) = diverted(running(), view=switch(forced_by="bob"))
    assert plain.cause.reason == "5xx on checkout"
    (long,) = diverted(running(), bears=bears, view=replace(switch(forced_by="b" * 500), reason="x" * 5000))
    assert len(long.cause.reason.encode()) <= 256
    assert "stable " in long.cause.reason


@pytest.mark.parametrize("make", [healthy, completed])
def test_a_divert_with_force_makes_no_candidate(make: Any) -> None:
    """What is stable is no candidate; force or not."""
    assert diverted(replace(make(), targets=(target(5000),)), bears=NONE, view=switch(forced_by="bob")) == ()


def test_a_divert_finds_unsuitable_routes_too() -> None:
    """A third backend keeps growth away, not a kill."""
    assert len(diverted(replace(running(), targets=(target(1000, problem="a third backend"),)))) == 1


def test_what_an_ended_run_has_left_is_taken_in_the_very_event() -> None:
    """A run that came to nothing, and whose weight was not taken back yet: no pass may be there to do it."""
    (shift,) = diverted(replace(aborted(), targets=(target(5000),)))
    assert (shift.slot, shift.share, shift.grows) == (Slot.GREEN, 0, False)


@pytest.mark.parametrize("make", [healthy, completed])
def test_without_a_run_there_is_no_candidate(make: Any) -> None:
    """What is stable is never touched, wherever the traffic is."""
    assert diverted(replace(make(), targets=(target(5000),))) == ()


def test_the_reason_on_a_route_is_bounded() -> None:
    """An annotation is no place for an essay."""
    (shift,) = diverted(running(), view=replace(switch(), reason="x" * 5000))
    assert len(shift.cause.reason.encode()) == 256


# ---------------------------------------------------------------------------------------------- a small stable slot


def test_a_divert_takes_as_much_as_stable_can_bear() -> None:
    """A stable slot that a run let shrink gets no more than its pods can carry; a selector knows nothing between."""
    views = (target(9000), target(2000, "second"), target(10_000, "switched", all_or_nothing=True))
    seen = replace(running(), targets=views)
    shifts = diverted(seen, bears=6000)
    assert [(shift.target.ref.name, shift.share) for shift in shifts] == [("checkout", 4000)]


def test_a_divert_never_gives_the_candidate_more_on_any_rule() -> None:
    """Rules that differ: to even them out would raise the one that has least."""
    seen = replace(running(), targets=(target(shares=(1000, 9000)),))
    assert diverted(seen, bears=6000) == ()
    (shift,) = diverted(seen)
    assert shift.share == 0


# ---------------------------------------------------------------------------------------------- a candidate that fails


def test_a_candidate_without_endpoints_keeps_no_traffic_for_a_small_stable_slot() -> None:
    """Eight pods of ten are gone, and stable shrank to two: late answers from two are better than 503 from none."""
    dead = with_deployment(stepping(strategy=SMALL), Slot.GREEN, ready=0)
    made = plan(dead, NOW)
    assert made.status.revision is not None
    assert made.status.revision.reason == "CandidateLost"
    assert [shift.share for shift in made.shifts] == [NONE]


def test_of_two_small_slots_neither_gets_more_than_its_part() -> None:
    """Two pods each of ten, at 80 % to the candidate: the kill evens the load out; the rest follows stable's pods."""
    weak = with_deployment(stepping(strategy=SMALL), Slot.GREEN, ready=2)
    seen = settle(replace(weak, switches=(switch(),)), NOW, slowly)
    assert seen.targets[0].shares == (5000,)
    assert settle(with_deployment(seen, Slot.BLUE, ready=10), NOW, slowly).targets[0].shares == (0,)
