"""What may stop exposure from growing: in which order it is named, and what each says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sluice.api.action import Verb
from sluice.api.conditions import Reason
from sluice.api.killswitch import Effect
from sluice.decide import gates
from sluice.decide.draft import Draft
from sluice.decide.hold import Hold
from sluice.decide.model import Observed, Templates
from unit.decide.observed import (
    NOW,
    OPEN_PAUSE,
    SECOND,
    action,
    ask,
    measured,
    metric,
    missing,
    rollout_spec,
    running,
    settle,
    slots,
    switch,
    target,
)

LENIENT = metric(failureLimit=3)


def draft(seen: Observed) -> Draft:
    """A plan in the making."""
    return Draft(observed=seen, now=NOW + SECOND, status=seen.status)


def first(seen: Observed) -> Hold | None:
    """What is named."""
    return gates.first(gates.GROWTH, draft(seen))


def unsure() -> Observed:
    """Ten per cent, and the last measurement failed."""
    seen = running(templates=Templates(background=(LENIENT,)), strategy=OPEN_PAUSE)
    return settle(replace(seen, measurements=(measured(0.5, NOW + SECOND),)), NOW + SECOND)


def test_everything_at_once_is_named_in_the_order_of_the_policy() -> None:
    """A kill switch first, then the spec, pauses, routes, analysis, endpoints: taking one away shows the next."""
    paused = settle(replace(unsure(), actions=(action(Verb.PAUSE),)), NOW + SECOND)
    seen = replace(
        ask(paused, rollout_spec(paused=True)),
        switches=(switch(Effect.HOLD),),
        targets=(missing(), target(1000, "second")),
        slots=slots(0, 0),
    )
    unread = replace(seen, spec=None, spec_problem="no")
    steps: list[tuple[Observed, str]] = [
        (unread, "HeldBySwitch"),
        (replace(unread, switches=()), "InvalidSpec"),
        (replace(seen, switches=(), runs=()), "RunLost"),
        (seen := replace(seen, switches=()), "PausedBySpec"),
        (seen := replace(seen, spec=rollout_spec()), "PausedByAction"),
        (seen := replace(seen, status=seen.status.model_copy(update={"paused_by": None})), "RouteMissing"),
        (seen := replace(seen, targets=(target(1000),)), "MetricFailed"),
        (replace(seen, runs=running().runs), "WaitsForEndpoints"),
    ]
    for step, (observed, reason) in enumerate(steps):
        hold = first(observed)
        assert hold is not None, step
        assert hold.reason == reason, step


@pytest.mark.parametrize(
    "changes, reason, counts, says",
    [
        (
            {"switches": (switch(),)},
            Reason.HELD_BY_SWITCH,
            False,
            "KillSwitch shop/stop is engaged (Divert) by alice: 5xx on checkout; goes on when it is released",
        ),
        (
            {"spec": rollout_spec(paused=True)},
            Reason.PAUSED_BY_SPEC,
            False,
            "spec.paused is true; goes on when it is false",
        ),
        (
            {"spec": None, "spec_problem": "spec.strategy: missing"},
            Reason.INVALID_SPEC,
            False,
            "spec.strategy: missing; goes on when it is mended",
        ),
        ({"runs": ()}, Reason.RUN_LOST, False, "RolloutRun shop/checkout-1 is not there"),
        (
            {"rival": "shop/first"},
            Reason.ROUTE_CLAIMED,
            False,
            "Rollout shop/first already has one of this Rollout's routes or Services; remove it from one of the two",
        ),
        ({"targets": (missing(),)}, Reason.ROUTE_MISSING, True, "HTTPRoute shop/checkout does not exist. Create it"),
        (
            {"slots": slots(green=0)},
            Reason.WAITS_FOR_ENDPOINTS,
            True,
            "Service shop/checkout-green (green) has no ready endpoint",
        ),
        (
            {"slots": slots(green=-1)},
            Reason.SERVICE_MISSING,
            True,
            "Service shop/checkout-green (green) does not exist; create it",
        ),
    ],
)
def test_each_names_the_object_and_what_lets_go(
    changes: dict[str, Any], reason: Reason, counts: bool, says: str
) -> None:
    """And whether progressDeadline counts the wait: objects and pods yes, people and switches no."""
    assert first(replace(running(), **changes)) == Hold(reason, says, counts)


def test_a_persons_pause_names_the_command_that_ends_it() -> None:
    """Who, why, and what to type."""
    seen = settle(running(actions=(action(Verb.PAUSE, reason="lunch"),)), NOW)
    assert first(seen) == Hold(
        Reason.PAUSED_BY_ACTION, "paused by bob: lunch; goes on with: sluice resume checkout -n shop"
    )


def test_nothing_in_the_way() -> None:
    """A run in good health may grow."""
    assert first(running()) is None


def test_what_was_not_measured_at_the_present_share_is_in_the_way() -> None:
    """Before the first measurement of a step; a good one lets go."""
    seen = running(templates=Templates(background=(metric(),)), strategy=OPEN_PAUSE)
    assert first(seen) == Hold(Reason.NO_MEASUREMENT, "waits for every metric to be measured at 10%")
    good = settle(replace(seen, measurements=(measured(0.0, NOW + SECOND),)), NOW + SECOND)
    assert first(good) is None


def test_dry_runs_are_in_nobodys_way() -> None:
    """They are measured and reported, without effect."""
    seen = running(templates=Templates(background=(metric(dryRun=True),)), strategy=OPEN_PAUSE)
    bad = settle(replace(seen, measurements=(measured(0.5, NOW + SECOND),)), NOW + SECOND)
    assert first(bad) is None
    assert bad.status.revision is not None
    assert bad.status.revision.outcome is None


def test_a_switch_that_only_holds_is_named_like_one_that_diverts() -> None:
    """The first of the switches is the strictest."""
    hold = first(replace(running(), switches=(switch(), switch(Effect.HOLD, "other"))))
    assert hold is not None
    assert hold.message.startswith("KillSwitch shop/stop is engaged (Divert)")
