"""Which namespaces of the hub a member takes Rollouts of: others send it nothing, and hear why."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sluice.api.common import LabelSelector
from sluice.api.conditions import ConditionType
from sluice.api.member import AllowedNamespaces
from sluice.api.outcome import Outcome
from sluice.decide.fleet.model import MemberView
from unit.decide.fleet.pretended import PILOT, REST, Pretended, installed

SHOP, OTHERS = AllowedNamespaces(names=("shop", "web")), AllowedNamespaces(names=("payments",))
LABELLED = AllowedNamespaces(selector=LabelSelector(match_labels={"team": "shop"}))


def let(hub: Pretended, name: str, allows: AllowedNamespaces | None) -> None:
    """Set whose Rollouts a member takes."""
    hub.members[name] = replace(hub.members[name], allows=allows)


@pytest.mark.parametrize(
    "allows, labels, admitted",
    [
        (SHOP, {}, True),
        (OTHERS, {}, False),
        (LABELLED, {"team": "shop"}, True),
        (LABELLED, {"team": "pay"}, False),
        (LABELLED, {}, False),
        (AllowedNamespaces(), {}, False),
        (
            AllowedNamespaces(names=("payments",), selector=LabelSelector(match_labels={"team": "shop"})),
            {"team": "shop"},
            True,
        ),
    ],
)
def test_who_is_admitted(allows: AllowedNamespaces, labels: dict[str, str], admitted: bool) -> None:
    """By name, or by the labels of the hub's namespace; what names nobody admits nobody."""
    assert allows.admit("shop", labels) is admitted


def test_no_run_begins_over_a_cluster_that_does_not_take_it() -> None:
    """Nobody is told anything, and the condition names the cluster and the namespace; once it is allowed, it begins."""
    hub = installed("ab", PILOT, REST)
    let(hub, "b", OTHERS)
    hub.told.clear()
    hub.go()
    stalled = hub.condition(ConditionType.STALLED)
    assert (stalled.reason, len(hub.runs)) == ("NamespaceRefused", 1)
    assert "b does not take Rollouts of namespace shop" in stalled.message
    assert set(hub.told) <= {"a"}
    let(hub, "b", SHOP)
    hub.go()
    assert (hub.outcome, hub.letters) == (Outcome.COMPLETED, ["c", "c"])


def test_a_cluster_that_the_selector_leaves_out_is_in_nobodys_way() -> None:
    """It may refuse whom it likes."""
    hub = installed("ab", REST)
    hub.ask("2.0", fleet={"selector": {"matchExpressions": [{"key": "lab", "operator": "DoesNotExist"}]}})
    hub.members["c"] = MemberView("c", {"lab": "yes"}, allows=OTHERS)
    hub.go()
    assert (hub.outcome, hub.letters, "c" in hub.told) == (Outcome.COMPLETED, ["cc"], False)


def test_a_joiner_that_does_not_take_it_gets_nothing() -> None:
    """Not even what is stable."""
    hub = installed("ab", REST)
    hub.look()
    hub.members["c"] = MemberView("c", {}, allows=OTHERS)
    hub.go()
    assert (hub.outcome, "c" in hub.told, "c" in hub.legs) == (Outcome.COMPLETED, False, False)


def test_a_cluster_that_takes_it_no_more_in_mid_run_failed() -> None:
    """It goes back to what it had, which stays; the others go on within what may fail."""
    hub = installed("ab", {**REST, "maxFailures": 1})
    stable = hub.serves("b")
    hub.reach("rest", 1)
    let(hub, "b", OTHERS)
    hub.go()
    assert (hub.outcome, hub.letters, hub.serves("b")) == (Outcome.COMPLETED, ["cf"], stable)
    [failure] = hub.runs[-1].status.failures
    assert (failure.name, failure.reason) == ("b", "NamespaceRefused")
    hub.told.clear()
    hub.look()
    assert "b" not in hub.told


def test_who_is_gone_is_taken_back_also_where_it_is_not_taken_any_more() -> None:
    """A deleted Rollout leaves no part behind."""
    hub = installed("ab", REST)
    hub.go()
    let(hub, "b", OTHERS)
    hub.deleting = True
    hub.go()
    assert hub.legs == {}
