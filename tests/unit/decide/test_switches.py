"""Kill switches: whom one covers, which of several counts, and what a Divert writes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sluice.api.killswitch import Effect, KillSwitchSpec
from sluice.api.names import Kind, Slot
from sluice.decide.model import Shift, SwitchView
from sluice.decide.sizing import bearable
from sluice.decide.switches import covers, divert, diverting, strictest_first
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
    spec = KillSwitchSpec.parse({"engaged": True, "scope": scope}, "switch")
    labels = {"tier": "edge"}
    assert covers(kind, "shop", spec, namespace=namespace, namespace_labels={"team": "shop"}, labels=labels) is covered


def test_the_strictest_counts_and_the_order_is_fixed() -> None:
    """Divert before Hold; the same set always reads the same."""
    views = [switch(Effect.HOLD, "b"), switch(Effect.HOLD, "a"), switch(Effect.DIVERT, "z")]
    for order in (views, views[::-1]):
        assert [view.name for view in strictest_first(order)] == ["z", "a", "b"]
    assert diverting(views) == views[2]
    assert diverting(views[:2]) is None


def diverted(seen: Any, *, ready: int = 3, view: SwitchView | None = None) -> tuple[Shift, ...]:
    """The writes of a Divert."""
    return divert(REF, seen.status, SERVICES, seen.targets, view or switch(), stable_bears=bearable(1, ready), now=NOW)


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
    assert diverted(running(), ready=0) == ()


def test_a_divert_finds_unsuitable_routes_too() -> None:
    """A third backend keeps growth away, not a kill."""
    assert len(diverted(replace(running(), targets=(target(1000, problem="a third backend"),)))) == 1


@pytest.mark.parametrize("make", [healthy, completed, aborted])
def test_without_a_run_there_is_no_candidate(make: Any) -> None:
    """What is stable is never touched, wherever the traffic is."""
    assert diverted(replace(make(), targets=(target(5000),))) == ()


def test_the_reason_on_a_route_is_bounded() -> None:
    """An annotation is no place for an essay."""
    (shift,) = diverted(running(), view=replace(switch(), reason="x" * 5000))
    assert len(shift.cause.reason.encode()) == 256
