"""PodDisruptionBudgets: Sluice takes no pod away that one keeps, and says which it was."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sluice.api.conditions import condition_of
from sluice.api.names import Slot
from sluice.decide.budgets import Budgets, Spared
from sluice.decide.model import Observed
from sluice.decide.planner import plan
from sluice.decide.pods import BudgetView
from unit.decide.cluster import settle
from unit.decide.observed import MINUTE, NOW, SECOND
from unit.decide.workloads import (
    CAPACITY,
    applied,
    change,
    deployment,
    finished,
    pods_in,
    serving,
    stepping,
    with_deployment,
)

BOTH = frozenset(Slot)
LATE = NOW + 10 * MINUTE


def budget(allowed: int, slots: frozenset[Slot] = BOTH, name: str = "web") -> BudgetView:
    """A budget that lets so many pods go."""
    return BudgetView(name, allowed, slots)


def due(*budgets: BudgetView) -> Observed:
    """Green serves, and blue's ten pods have been idle for scaleDownDelay."""
    return replace(finished(), budgets=budgets)


def left(seen: Observed) -> int:
    """How many pods of blue a plan leaves."""
    specs = applied(plan(seen, LATE))
    return int(specs["checkout-blue"]["replicas"]) if "checkout-blue" in specs else deployment(seen, Slot.BLUE).replicas


def test_without_a_budget_all_go_at_once() -> None:
    """Nor does one that covers other pods keep any."""
    assert (left(due()), left(due(budget(0, frozenset({Slot.GREEN}))))) == (0, 0)


def test_no_more_go_than_the_budget_lets() -> None:
    """The others follow as it lets go of them; meanwhile people read which one it is."""
    seen = due(budget(3))
    made = plan(seen, LATE)
    assert applied(made)["checkout-blue"]["replicas"] == 7
    assert made.status.message == "PodDisruptionBudget web keeps 7 pods of checkout-blue up; 0 are needed"
    assert made.wake_at is not None
    assert made.wake_at <= LATE + 5 * SECOND
    assert made.status.phase == "Healthy"
    assert pods_in(settle(seen, LATE)) == (0, CAPACITY)


@pytest.mark.parametrize("allowed", [0, -1])
def test_a_budget_that_lets_none_go_keeps_all(allowed: int) -> None:
    """Nothing is written until it does."""
    kept = settle(due(budget(allowed)), LATE)
    assert pods_in(kept) == (CAPACITY, CAPACITY)
    assert pods_in(settle(replace(kept, budgets=()), LATE)) == (0, CAPACITY)


def test_the_tightest_of_several_counts() -> None:
    """Each has to let go of a pod."""
    assert left(due(budget(6, name="loose"), budget(2, name="tight"))) == 8


def test_pods_that_are_not_available_are_in_nobodys_budget() -> None:
    """Four of ten do not run anyhow: they go at once, and two more."""
    assert left(with_deployment(due(budget(2)), Slot.BLUE, ready=6)) == 4


def test_both_slots_draw_on_the_same_budget() -> None:
    """What one took in a pass, the other cannot."""
    halved = replace(change(stepping(), replicas=4), budgets=(budget(5),))
    specs = applied(plan(halved, NOW))
    assert (specs["checkout-blue"]["replicas"], specs.get("checkout-green")) == (5, None)


def test_what_was_let_go_of_has_to_be_gone_before_more_goes() -> None:
    """The budget is counted anew only then: its number still speaks of the pods that are about to end."""
    seen = with_deployment(due(budget(3)), Slot.BLUE, replicas=7, pods=CAPACITY)
    assert left(seen) == 7
    assert left(with_deployment(seen, Slot.BLUE, pods=7, ready=7)) == 4


def test_stable_keeps_its_pods_too_when_an_autoscaler_wants_fewer() -> None:
    """A budget of everything keeps everything."""
    seen = settle(replace(change(serving(), replicas=2), budgets=(budget(0),)), NOW)
    assert pods_in(seen) == (CAPACITY, 0)
    paused = condition_of(seen.status.conditions, "Stalled")
    assert paused is None


def test_a_budget_ends_no_run() -> None:
    """How long it keeps pods is no matter of the run's progress."""
    seen = settle(replace(change(stepping(), replicas=4), budgets=(budget(0),)), NOW)
    late = settle(seen, NOW + 60 * MINUTE)
    assert (late.status.run, late.targets[0].shares, pods_in(late)) == ("checkout-1", (2500,), (CAPACITY, 3))
    assert late.status.revision is not None
    assert late.status.revision.outcome is None


@pytest.mark.parametrize("allowed, asked, taken", [(3, 2, 2), (3, 5, 3), (0, 1, 0), (-2, 1, 0), (3, 0, 0)])
def test_taking(allowed: int, asked: int, taken: int) -> None:
    """Never more than is left, never less than nothing."""
    assert Budgets([budget(allowed)]).take(Slot.BLUE, asked) == Spared(taken, "web")
    assert Budgets([]).take(Slot.BLUE, asked) == Spared(asked, "")
