"""Kill switches: whom one covers, which of several counts, and a hold that a person writes onto a route."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sluice.api.action import Verb
from sluice.api.killswitch import Effect
from sluice.api.names import Kind
from sluice.api.outcome import Outcome
from sluice.decide.planner import plan
from sluice.decide.switches import Reached, anywhere, covers, diverting, read_switch, strictest_first
from unit.decide.observed import (
    MINUTE,
    NOW,
    action,
    healthy,
    rollout_spec,
    running,
    settle,
    switch,
    target,
)

EDGE = {"selector": {"matchLabels": {"tier": "edge"}}}
TEAM = {"namespaceSelector": {"matchExpressions": [{"key": "team", "operator": "In", "values": ["shop", "pay"]}]}}


@pytest.mark.parametrize(
    "kind, scope, namespace, covered",
    [
        (Kind.KILL_SWITCH, {}, "shop", True),
        (Kind.KILL_SWITCH, {}, "other", False),
        (Kind.KILL_SWITCH, EDGE, "shop", True),
        (Kind.KILL_SWITCH, {"selector": {"matchLabels": {"tier": "core"}}}, "shop", False),
        (Kind.CLUSTER_KILL_SWITCH, {}, "shop", True),
        (Kind.CLUSTER_KILL_SWITCH, {}, "other", True),
        (Kind.CLUSTER_KILL_SWITCH, TEAM, "shop", True),
        (Kind.CLUSTER_KILL_SWITCH, {**TEAM, **EDGE}, "shop", True),
        (Kind.CLUSTER_KILL_SWITCH, {"namespaceSelector": {"matchLabels": {"team": "x"}}}, "shop", False),
        (Kind.CLUSTER_KILL_SWITCH, {**TEAM, "selector": {"matchLabels": {"tier": "core"}}}, "shop", False),
    ],
)
def test_whom_a_switch_covers(kind: Kind, scope: dict[str, Any], namespace: str, covered: bool) -> None:
    """A KillSwitch its own namespace, a ClusterKillSwitch those it selects; both by the Rollout's labels."""
    metadata = {"name": "stop", "namespace": "shop" if kind is Kind.KILL_SWITCH else ""}
    spec, view = read_switch(kind, {"metadata": metadata, "spec": {"engaged": True, "scope": scope}})
    assert covers(view, spec, Reached(namespace, {"tier": "edge"}), {"team": "shop"}) is covered


@pytest.mark.parametrize("labels, covered", [({"zone": "a"}, True), ({"zone": "b"}, False), ({}, False), (None, False)])
def test_a_switch_of_some_clusters_covers_parts_there(labels: dict[str, str] | None, covered: bool) -> None:
    """Nothing in other members, and no Rollout of this cluster itself; but what it once covered it goes on covering."""
    scope = {"clusters": {"matchLabels": {"zone": "a"}}, **EDGE}
    metadata = {"name": "stop", "namespace": "shop", "uid": "uid-stop"}
    spec, view = read_switch(Kind.KILL_SWITCH, {"metadata": metadata, "spec": {"engaged": True, "scope": scope}})
    assert covers(view, spec, Reached("shop", {"tier": "edge"}), {}, labels) is covered
    assert not covers(view, spec, Reached("shop", {"tier": "core"}), {}, labels)
    assert covers(view, spec, Reached("shop", {}, [(view.uid, view.scope)]), {}, labels)
    assert covers(view, anywhere(spec), Reached("shop", {"tier": "edge"}), {}, None)


def test_who_comes_by_the_name_of_one_that_was_deleted_is_covered() -> None:
    """Whatever its labels are, by the switch that covered that one with the scope that it has."""
    metadata = {"name": "stop", "namespace": "shop", "uid": "uid-stop"}
    body: dict[str, Any] = {"metadata": metadata, "spec": {"engaged": True, "scope": EDGE}}
    _, before = read_switch(Kind.KILL_SWITCH, body)
    spec, view = read_switch(Kind.KILL_SWITCH, {**body, "status": {"deleted": {"shop/checkout": before.scope}}})
    assert covers(view, spec, Reached("shop", {}, name="checkout"), {})
    assert not covers(view, spec, Reached("shop", {}, name="payments"), {})
    assert not covers(view, spec, Reached("other", {}, name="checkout"), {})
    other = {**body, "spec": {"engaged": True, "scope": {}}, "status": {"deleted": {"shop/checkout": before.scope}}}
    assert read_switch(Kind.KILL_SWITCH, other)[1].deleted == frozenset()


@pytest.mark.parametrize("deleted", [None, [], "shop/checkout", {"shop/checkout": None}, {7: {}}])
def test_a_note_that_means_nothing_covers_nobody(deleted: Any) -> None:
    """Somebody edited the status: no pass fails by that."""
    body = {"metadata": {"name": "stop", "namespace": "shop"}, "spec": {}, "status": {"deleted": deleted}}
    assert read_switch(Kind.KILL_SWITCH, body)[1].deleted == frozenset()


def test_the_strictest_counts_and_the_order_is_fixed() -> None:
    """Divert before Hold; the same set always reads the same."""
    views = [switch(Effect.HOLD, "b"), switch(Effect.HOLD, "a"), switch(Effect.DIVERT, "z")]
    for order in (views, views[::-1]):
        assert [view.name for view in strictest_first(order)] == ["z", "a", "b"]
    assert diverting(views) == views[2]
    assert diverting(views[:2]) is None


# ---------------------------------------------------------------------------------------------- break glass

HAND = "dora: INC-42"


def test_a_hold_by_hand_ends_the_run_as_a_divert_would() -> None:
    """It is Killed with who and why, all goes to stable first of all, and it needs a retry."""
    made = plan(replace(running(), targets=(target(1000, hold=HAND),)), NOW)
    assert [(shift.share, shift.grows) for shift in made.urgent] == [(0, False)]
    assert made.status.revision is not None
    assert (made.status.revision.outcome, made.status.revision.reason) == (Outcome.KILLED, "HeldByHand")
    told = "killed by hand: HTTPRoute shop/checkout carries sluice.dev/hold (dora: INC-42)"
    assert made.status.revision.message == told
    assert made.status.message.startswith(
        f"{told}; green still has 10%; to try again, first remove sluice.dev/hold from it, then: sluice retry"
    )
    assert (made.status.phase, len(made.status.rejected)) == ("Killed", 1)


def test_while_it_is_held_nothing_begins_and_nobody_can_promote() -> None:
    """No run starts, Retry is refused, and both say what to remove."""
    held = replace(healthy(), targets=(target(0, hold=HAND),))
    waits = plan(replace(held, spec=rollout_spec(), generation=2), NOW)
    assert (waits.create_run, waits.status.phase) == (None, "Paused")
    assert "carries sluice.dev/hold (dora: INC-42); goes on when it is removed" in waits.status.message
    killed = settle(replace(running(), targets=(target(1000, hold=HAND),)), NOW)
    (answer,) = plan(replace(killed, actions=(action(Verb.RETRY, 1),)), NOW).answers
    assert (answer.done, HAND in answer.message) == (False, True)


def test_a_hold_before_any_exposure_only_freezes() -> None:
    """There is nothing to take away: the run goes on once it is removed."""
    begun = running(strategy={"canary": {"steps": [{"pause": {"duration": "1m"}}, {"setWeight": 10}, {"pause": {}}]}})
    held = settle(replace(begun, targets=(target(0, hold=HAND),)), NOW)
    assert held.status.revision is not None
    assert (held.status.revision.outcome, held.status.phase) == (None, "Paused")
    free = settle(replace(held, targets=(target(0),)), NOW)
    assert settle(free, NOW + MINUTE).targets[0].shares == (1000,)


def test_after_it_is_removed_a_retry_is_needed() -> None:
    """What was stopped by hand starts by nobody but a person."""
    killed = settle(replace(running(), targets=(target(1000, hold=HAND),)), NOW)
    free = settle(replace(killed, targets=(target(0),)), NOW)
    assert free.status.phase == "Killed"
    assert plan(replace(free, actions=(action(Verb.RETRY, 1),)), NOW).create_run is not None
