"""Which slot may get requests, and how many pods that takes; and a stable slot that shrinks as weight leaves it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sluice.api.action import Verb
from sluice.api.conditions import condition_of
from sluice.api.names import Slot
from sluice.decide.draft import Draft
from sluice.decide.model import Acceptance, Observed, TargetView
from sluice.decide.planner import plan
from sluice.decide.traffic import may_serve
from unit.decide.cluster import after, settle, slowly
from unit.decide.observed import MINUTE, NOW, action, missing, switch, target
from unit.decide.workloads import (
    CAPACITY,
    aborted,
    applied,
    change,
    finished,
    follower,
    pods_in,
    serving,
    ship,
    stepping,
    template,
    told,
    with_deployment,
)

HALF = {"steps": [{"setWeight": 50}, {"pause": {}}, {"setWeight": 75}, {"pause": {}}]}
DYNAMIC: dict[str, Any] = {"canary": {**HALF, "dynamicStable": True}}
LATE = NOW + 11 * MINUTE


def sized(size: dict[str, Any] | None, *steps: dict[str, Any]) -> dict[str, Any]:
    """A canary with a size, to 25 %, and back to the pause there unless `steps` say otherwise."""
    given = {"canarySize": size} if size else {}
    return {"canary": {"steps": [*(steps or ({"setWeight": 25},)), {"pause": {}}], **given}}


def serves(seen: Observed, slot: Slot) -> bool:
    """Whether the slot may get requests."""
    return may_serve(Draft(observed=seen, now=NOW, status=seen.status), slot)


# ---------------------------------------------------------------------------------------------- who may serve


def test_what_is_surely_at_nothing_serves_nobody() -> None:
    """A confirmed 0 on every route; stable serves always."""
    seen = aborted()
    assert (serves(seen, Slot.GREEN), serves(seen, Slot.BLUE)) == (False, True)


@pytest.mark.parametrize(
    "views",
    [
        (target(1),),
        (target(None, problem="no rule names both"),),
        (target(0), target(None, "second", problem="no rule names both")),
        (target(5000, dark=True),),
        (target(shares=(0, 100)),),
    ],
)
def test_what_cannot_be_told_counts_as_traffic(views: tuple[TargetView, ...]) -> None:
    """A share on any rule of any route, one that cannot be read, or one that answers nobody."""
    assert serves(replace(aborted(), targets=views), Slot.GREEN)


def test_a_route_that_is_not_there_sends_nobody_anywhere() -> None:
    """It would keep the pods of an old version for ever."""
    assert not serves(replace(aborted(), targets=(target(0), missing("second"))), Slot.GREEN)


@pytest.mark.parametrize("level", [None, "Written"])
def test_what_is_not_accepted_counts_as_traffic(level: str | None) -> None:
    """Not yet read back, or not yet taken by every controller."""
    seen = aborted()
    seen = replace(seen, status=seen.status.model_copy(update={"confirmation": level}))
    assert serves(seen, Slot.GREEN)


def test_a_follower_that_lags_behind_counts_as_traffic() -> None:
    """The plain Service for other callers still selects the slot."""
    assert serves(replace(aborted(), followers=(follower(10_000),)), Slot.GREEN)
    assert not serves(replace(aborted(), followers=(follower(0),)), Slot.GREEN)


# ---------------------------------------------------------------------------------------------- the candidate's size


@pytest.mark.parametrize(
    "size, at_25, at_50",
    [
        (None, 3, 5),
        ({"byWeight": {"min": 4}}, 4, 5),
        ({"byWeight": {"min": 1}}, 3, 5),
        ({"replicas": 2}, 2, 2),
        ({"share": 40}, 4, 4),
        ({"full": True}, 10, 10),
    ],
)
def test_a_candidate_is_sized_as_the_spec_says(size: dict[str, Any] | None, at_25: int, at_50: int) -> None:
    """By its weight and a least, by a number, a share, or all; for all of the traffic all of the pods in any case."""
    seen = stepping(strategy=sized(size, {"setWeight": 25}, {"pause": {}}, {"setWeight": 50}))
    assert (pods_in(seen), seen.targets[0].shares) == ((CAPACITY, at_25), (2500,))
    seen = told(seen, Verb.PROMOTE)
    assert (pods_in(seen), seen.targets[0].shares) == ((CAPACITY, at_50), (5000,))
    seen = told(seen, Verb.PROMOTE)
    assert (pods_in(seen), seen.targets[0].shares) == ((CAPACITY, CAPACITY), (10_000,))


def test_blue_green_has_all_pods_before_it_has_any_traffic() -> None:
    """What is looked at before the switch is what will serve."""
    strategy = {"blueGreen": {"autoPromote": False}}
    seen = ship(serving(strategy=strategy), template("2.0"))
    waits = settle(seen, NOW, slowly)
    assert (pods_in(waits), waits.status.step) == ((CAPACITY, CAPACITY), None)
    ready = settle(with_deployment(waits, Slot.GREEN, ready=CAPACITY), NOW)
    assert ready.targets[0].shares == (0,)
    assert ready.status.step is not None
    assert ready.status.step.kind == "pause"


def test_set_canary_scale_counts_from_its_step_on() -> None:
    """Scaled up without any share, waited for, and then by weight again."""
    steps: list[dict[str, Any]] = [
        {"setCanaryScale": {"replicas": 6}},
        {"pause": {}},
        {"setCanaryScale": {"byWeight": {"min": 2}}},
        {"setWeight": 50},
    ]
    strategy = sized(None, *steps)
    seen = ship(serving(strategy=strategy), template("2.0"))
    waits = settle(with_deployment(settle(seen, NOW, slowly), Slot.GREEN, ready=1), NOW, slowly)
    assert waits.status.step is not None
    assert (waits.status.step.kind, pods_in(waits)) == ("setCanaryScale", (CAPACITY, 6))
    assert "has 1 of 6 pods ready" in waits.status.message
    six = settle(with_deployment(waits, Slot.GREEN, ready=6), NOW)
    assert (six.status.message.startswith("step 2 of 6"), six.targets[0].shares) == (True, (0,))
    half = told(six, Verb.PROMOTE)
    assert (pods_in(half), half.targets[0].shares) == ((CAPACITY, 5), (5000,))


@pytest.mark.parametrize(
    "fields, why",
    [
        ({"ready": 2}, "2 of 3 pods are available"),
        ({"rolled": False}, "a pod of the template before is left"),
        ({"template": {"metadata": {"labels": {"sluice.dev/revision": "another"}}}}, "they are of another revision"),
    ],
)
def test_a_share_is_given_only_to_pods_that_are_ready_and_right(fields: dict[str, Any], why: str) -> None:
    """As many as the share needs, of this very revision, rolled out to the last, and in the Service's endpoints."""
    seen = with_deployment(stepping(), Slot.GREEN, **{"ready": 5, "replicas": 5, "pods": 5} | fields)
    promoted = plan(replace(seen, actions=(action(Verb.PROMOTE, 1),)), NOW)
    assert promoted.shifts == (), why


def test_nor_to_pods_that_are_not_in_the_endpoints() -> None:
    """They are ready, but the Service does not have them yet."""
    seen = with_deployment(stepping(), Slot.GREEN, ready=3)
    view = with_deployment(seen, Slot.GREEN, replicas=5, pods=5, available=5)
    promoted = plan(replace(view, actions=(action(Verb.PROMOTE, 1),)), NOW)
    assert promoted.shifts == ()
    assert "has 3 of 5 pods ready" in promoted.status.message


# ---------------------------------------------------------------------------------------------- stable's size


def test_stable_never_shrinks_without_dynamic_stable() -> None:
    """At 50 % and at 100 % it has all of its pods: a return needs none to be made."""
    seen = stepping(strategy={"canary": HALF})
    assert pods_in(seen) == (CAPACITY, 5)
    seen = told(seen, Verb.PROMOTE)
    assert (pods_in(seen), seen.targets[0].shares) == ((CAPACITY, 8), (7500,))


def test_stable_shrinks_as_weight_leaves_it() -> None:
    """To what its share needs, never to nothing."""
    seen = stepping(strategy=DYNAMIC)
    assert (pods_in(seen), seen.targets[0].shares) == ((5, 5), (5000,))
    seen = told(seen, Verb.PROMOTE)
    assert (pods_in(seen), seen.targets[0].shares) == ((3, 8), (7500,))


def test_it_shrinks_only_once_the_lower_share_is_accepted() -> None:
    """Written is not enough: it may still get what it had."""
    seen = ship(serving(strategy=DYNAMIC), template("2.0"))
    for _ in range(12):
        seen = after(seen, plan(seen, NOW))
        seen = replace(seen, targets=(replace(seen.targets[0], acceptance=Acceptance.PENDING),))
    assert (pods_in(seen), seen.targets[0].shares) == ((CAPACITY, 5), (5000,))
    accepted = settle(replace(seen, targets=(replace(seen.targets[0], acceptance=Acceptance.ACCEPTED),)), NOW)
    assert pods_in(accepted) == (5, 5)


@pytest.mark.parametrize(
    "views",
    [
        (target(5000), target(1000, "second")),
        (target(shares=(5000, 1000)),),
        (target(1000),),
    ],
)
def test_the_rule_that_gives_stable_most_counts(views: tuple[TargetView, ...]) -> None:
    """One route or rule that still gives it 90 % needs nine pods, whatever the others say."""
    made = plan(replace(stepping(strategy=DYNAMIC), targets=views), NOW)
    assert applied(made)["checkout-blue"]["replicas"] == CAPACITY - 1


def test_a_share_that_cannot_be_read_needs_all_of_stable() -> None:
    """Nothing is taken away on a guess."""
    views = (target(5000), target(None, "second", problem="no rule names both"))
    made = plan(replace(stepping(strategy=DYNAMIC), targets=views), NOW)
    assert applied(made)["checkout-blue"]["replicas"] == CAPACITY


def test_callers_that_go_past_the_routes_need_all_of_stable() -> None:
    """How many they are is in no weight."""
    assert pods_in(stepping(strategy=DYNAMIC, followers=(follower(0),))) == (CAPACITY, 5)


def test_an_autoscaler_changes_both_by_their_share() -> None:
    """Doubled and halved in mid-run, with the weight where it is."""
    seen = stepping(strategy=DYNAMIC)
    assert pods_in(settle(change(seen, replicas=20), NOW)) == (10, 10)
    assert pods_in(settle(change(seen, replicas=4), NOW)) == (2, 2)


def test_stable_has_all_pods_again_when_the_run_is_over() -> None:
    """The new stable slot has them already; the old one keeps those that it has left, for scaleDownDelay."""
    seen = finished(strategy=DYNAMIC)
    assert (pods_in(seen), seen.targets[0].shares) == ((5, CAPACITY), (10_000,))


# ---------------------------------------------------------------------------------------------- the way back


def shares_on_the_way_back(seen: Observed, ready: tuple[int, ...]) -> list[int]:
    """Green's share as so many pods of blue become ready, one after the other."""
    found = []
    for pods in ready:
        seen = settle(with_deployment(seen, Slot.BLUE, ready=pods), NOW, slowly)
        found.append(seen.targets[0].share(Slot.GREEN))
    return found


@pytest.mark.parametrize("how", [Verb.ABORT, "kill", "supersede", "delete"])
def test_a_small_stable_slot_takes_back_what_it_can_bear(how: str) -> None:
    """Its pods are asked for at once, and the weight follows as they become ready: nobody is turned away."""
    seen = told(stepping(strategy=DYNAMIC), Verb.PROMOTE)
    assert pods_in(seen) == (3, 8)
    if how == "kill":
        seen = replace(seen, switches=(switch(),))
    elif how == "supersede":
        seen = ship(seen, template("3.0"))
    elif how == "delete":
        seen = replace(seen, deleting=True)
    else:
        seen = replace(seen, actions=(action(Verb.ABORT),))
    seen = settle(seen, NOW, slowly)
    assert (pods_in(seen), seen.targets[0].shares) == ((CAPACITY, 8), (7000,))
    assert shares_on_the_way_back(seen, (5, 9, CAPACITY)) == [5000, 1000, 0]


def test_the_way_back_says_what_it_waits_for() -> None:
    """Who aborted reads why not all of it is back yet."""
    seen = told(stepping(strategy=DYNAMIC), Verb.PROMOTE)
    made = plan(replace(seen, actions=(action(Verb.ABORT),)), NOW)
    assert made.shifts[0].share == 7000
    progressing = condition_of(made.status.conditions, "TrafficConfirmed")
    assert progressing is not None
    assert progressing.status == "False"


def test_a_stable_slot_that_does_not_come_up_takes_all_after_the_deadline() -> None:
    """What was aborted is not left with traffic for ever."""
    seen = settle(replace(stepping(strategy=DYNAMIC), actions=(action(Verb.ABORT),)), NOW, slowly)
    assert seen.targets[0].shares == (5000,)
    assert settle(seen, LATE - 2 * MINUTE, slowly).targets[0].shares == (5000,)
    assert settle(seen, LATE, slowly).targets[0].shares == (0,)


def test_a_service_that_is_all_or_nothing_returns_when_stable_can_take_all() -> None:
    """There is nothing between for a selector."""
    seen = told(stepping(strategy=DYNAMIC), Verb.PROMOTE)
    switched = replace(seen.targets[0], all_or_nothing=True, shares=(10_000,))
    seen = settle(replace(seen, targets=(switched,), actions=(action(Verb.ABORT),)), NOW, slowly)
    assert shares_on_the_way_back(seen, (9, CAPACITY)) == [10_000, 0]


def test_a_step_down_waits_for_stables_pods() -> None:
    """From 75 % to 20 %: stable grows first, the share follows as it does."""
    steps = [{"setWeight": 75}, {"pause": {}}, {"setWeight": 20}, {"pause": {}}]
    seen = stepping(strategy={"canary": {"steps": steps, "dynamicStable": True}})
    assert (pods_in(seen), seen.targets[0].shares) == ((3, 8), (7500,))
    seen = settle(replace(seen, actions=(action(Verb.PROMOTE, 1),)), NOW, slowly)
    assert (pods_in(seen), seen.targets[0].shares) == ((8, 8), (7000,))
    assert shares_on_the_way_back(seen, (6, 8)) == [4000, 2000]


def test_what_completed_is_put_back_whole_whatever_an_autoscaler_wants() -> None:
    """A foreign write after the end of such a run, while twice the pods were asked for: all of it goes back."""
    seen = settle(change(finished(strategy=DYNAMIC), replicas=20), NOW, slowly)
    seen = settle(replace(seen, targets=(target(4000),)), NOW, slowly)
    assert seen.targets[0].shares == (10_000,)
