"""Plain Services for callers that go past the routes: they select the stable slot, never the candidate."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sluice.api.conditions import condition_of
from sluice.api.names import Kind, Slot
from sluice.decide.model import Observed
from sluice.decide.planner import plan
from unit.decide.cluster import after, settle, slowly
from unit.decide.observed import NOW, SECOND, completed, missing, switch
from unit.decide.workloads import CAPACITY, finished, follower, serving, stepping, unborn, with_deployment

NEITHER = follower(5000, problem="selects neither slot", problem_reason="RouteUnsuitable", owner="")


def followed(seen: Observed) -> tuple[int, ...]:
    """Green's part of the follower: all or nothing."""
    return seen.followers[0].shares


def test_it_is_led_to_a_first_version_once_all_of_it_is_ready() -> None:
    """Until then it selects what it did: whoever calls it is served by that."""
    seen = settle(unborn(followers=(NEITHER,)), NOW, slowly)
    nine = settle(with_deployment(seen, Slot.BLUE, ready=CAPACITY - 1), NOW, slowly)
    assert followed(nine) == (5000,)
    assert followed(settle(with_deployment(nine, Slot.BLUE, ready=CAPACITY), NOW)) == (0,)


def test_it_follows_when_the_candidate_becomes_stable_and_not_before() -> None:
    """At every share of a run its callers get what is stable."""
    seen = stepping(followers=(follower(0),))
    assert followed(seen) == (0,)
    seen = finished(followers=(follower(0),))
    assert followed(seen) == (10_000,)
    assert [entry.action for entry in seen.status.audit.entries if entry.action.startswith("follow")] == [
        "follow-green"
    ]


def test_it_is_put_right_when_somebody_points_it_at_the_candidate() -> None:
    """That would be exposure that no weight governs; stamped with who moved it."""
    made = plan(replace(stepping(), followers=(follower(10_000),)), NOW)
    (shift,) = made.shifts
    assert (shift.target.ref.kind, shift.slot, shift.share, shift.grows) == (Kind.SERVICE, Slot.BLUE, 10_000, False)
    assert (shift.cause.action, shift.owner) == ("follow", "shop/checkout/uid-checkout")


def test_who_points_it_back_again_and_again_gets_no_tight_loop() -> None:
    """The third time within minutes waits, and then it is told who has to stop."""
    seen = serving(followers=(follower(0),))
    for _ in range(2):
        seen = after(
            replace(seen, followers=(follower(10_000),)), plan(replace(seen, followers=(follower(10_000),)), NOW)
        )
        assert followed(seen) == (0,)
    made = plan(replace(seen, followers=(follower(10_000),)), NOW)
    assert (made.shifts, made.wake_at) == ((), NOW + SECOND / 4)


def test_it_is_never_led_to_pods_that_do_not_answer() -> None:
    """Stable has no ready pod: it stays where it is."""
    seen = with_deployment(replace(serving(), followers=(follower(10_000),)), Slot.BLUE, ready=0)
    assert plan(seen, NOW).shifts == ()


def test_a_kill_leaves_it_alone() -> None:
    """It selects stable already, and the routes are what has to move."""
    seen = settle(replace(stepping(followers=(follower(0),)), switches=(switch(),)), NOW)
    assert (followed(seen), seen.targets[0].shares) == ((0,), (0,))


@pytest.mark.parametrize(
    "view, reason, says",
    [
        (replace(missing(), problem="Service shop/checkout does not exist. Create it"), "ServiceMissing", "Create it"),
        (follower(10_000, owner="shop/first/uid-first"), "RouteClaimed", "is moved by Rollout shop/first already"),
    ],
)
def test_one_that_cannot_be_led_is_named(view: object, reason: str, says: str) -> None:
    """It is not there, or another Rollout has it; nothing is written."""
    made = plan(replace(serving(), followers=(view,)), NOW)  # type: ignore[arg-type]
    stalled = condition_of(made.status.conditions, "Stalled")
    assert stalled is not None
    assert (stalled.reason, says in stalled.message, made.shifts) == (reason, True, ())


def test_with_services_of_the_users_own_it_follows_as_well() -> None:
    """Who runs the pods makes no difference to its callers."""
    seen = replace(completed(), followers=(follower(0),))
    made = plan(seen, NOW)
    assert [(shift.slot, shift.share) for shift in made.shifts] == [(Slot.GREEN, 10_000)]
