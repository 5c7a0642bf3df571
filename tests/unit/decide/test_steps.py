"""Canary and blue-green are one list of steps."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.api.strategy import Strategy
from sluice.decide.steps import compile_steps
from unit.decide.observed import metric

A, B = metric("a"), metric("b")
ANALYSIS = {"analysis": {"metrics": [A.dump()]}}


def compiled(strategy: dict[str, Any]) -> list[str]:
    """The steps in short: a share, or the kind; a timed wait with its seconds, an analysis with its metrics."""
    return [
        str(step.share)
        if step.share is not None
        else step.kind
        + (f" {step.duration.total_seconds():g}" if step.duration else "")
        + "".join(f" {each.name}" for each in step.metrics)
        for step in compile_steps(Strategy.parse(strategy, "strategy"), ((A,), (B,)))
    ]


@pytest.mark.parametrize(
    "steps, found",
    [
        ([], ["10000"]),
        ([{"setWeight": 5}], ["500", "10000"]),
        ([{"setWeight": "0.5%"}, {"setWeight": 100}], ["50", "10000"]),
        ([{"setWeight": 100}, {"pause": {"duration": "1h"}}], ["10000", "pause 3600"]),
        ([{"setWeight": 100}, {"setWeight": 50}], ["10000", "5000", "10000"]),
        ([{"pause": {}}, {"setWeight": 5}, {"pause": {"duration": "90s"}}], ["pause", "500", "pause 90", "10000"]),
        ([ANALYSIS, {"setWeight": 5}, ANALYSIS], ["analysis a", "500", "analysis b", "10000"]),
    ],
)
def test_a_canary_is_its_steps_and_always_ends_at_100(steps: list[dict[str, Any]], found: list[str]) -> None:
    """As written; the last share is 100 % whether it is written or not, and each analysis has its own metrics."""
    assert compiled({"canary": {"steps": steps}}) == found


@pytest.mark.parametrize(
    "fields, found",
    [
        ({}, ["10000"]),
        ({"autoPromote": False}, ["pause", "10000"]),
        ({"watch": "5m"}, ["10000", "watch 300"]),
        ({"watch": "0s"}, ["10000"]),
        ({"postPromotion": {"metrics": [A.dump()]}}, ["10000", "analysis a"]),
        (
            {
                "prePromotion": {"metrics": [A.dump()]},
                "autoPromote": False,
                "postPromotion": {"metrics": [B.dump()]},
                "watch": "1h",
            },
            ["analysis a", "pause", "10000", "analysis b", "watch 3600"],
        ),
    ],
)
def test_blue_green_checks_switches_and_watches(fields: dict[str, Any], found: list[str]) -> None:
    """Checks before, a pause unless autoPromote, all at once, checks after, the watch."""
    assert compiled({"blueGreen": fields}) == found
