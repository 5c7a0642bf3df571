"""What cannot slip past the people whom RolloutPolicies ask, and what is asked of nobody for ever."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from sluice.decide.model import Observed
from unit.decide.observed import MINUTE, NOW, ask, rollout_spec, settle, target
from unit.decide.test_policies import TWO, approving, asked, message, view

CRDS = Path(__file__).parents[3] / "crds"
ONE = {"approval": {"group": "release-managers"}}


def points(seen: Observed) -> list[str]:
    """Where people are asked."""
    return [each.point for each in seen.status.approvals]


def test_weight_that_somebody_else_wrote_replaces_no_approval() -> None:
    """A stranger gives the candidate a share as people are about to be asked: it is taken back, and they are asked."""
    steps: Any = {"canary": {"steps": [{"pause": {"duration": "1m"}}, {"setWeight": 10}]}}
    begun = settle(ask(asked(view(TWO)), rollout_spec(version="2.0", strategy=steps)), NOW)
    assert begun.status.step is not None
    meddled = settle(replace(begun, targets=(target(2000),)), NOW + 2 * MINUTE)
    assert (meddled.targets[0].shares, meddled.status.step.index, points(meddled)) == ((0,), 1, ["policy/prod"])  # type: ignore[union-attr]
    assert "waits for approval by 2 of release-managers" in meddled.status.message


def test_a_policy_that_stops_asking_is_not_shown_though_it_stays() -> None:
    """It is edited to want a window in place of approval, and another one still asks: that one alone is shown."""
    held = settle(asked(view(ONE, "a"), view(TWO, "b")), NOW)
    one = settle(replace(held, policies=(view({"maxConcurrent": 9}, "a"), view(TWO, "b"))), NOW)
    assert points(one) == ["policy/b"]


def test_more_policies_may_ask_than_a_status_has_room_for() -> None:
    """Sixteen want approval: nothing is exposed, the status can be written, and it is said what to mend."""
    many = tuple(view(ONE, f"p{number:02}") for number in range(16))
    held = settle(asked(*many), NOW)
    assert (held.targets[0].shares, points(held)) == ((0,), [])
    assert (
        "16 RolloutPolicies want approval of it, and at most 15 can be asked: let some of them ask as one"
        in message(asked(*many))
    )
    fewer = settle(replace(held, policies=many[:15]), NOW)
    assert points(fewer) == ["policy/p00"]


@pytest.mark.parametrize("kind, field", [("rolloutactions", "spec"), ("rollouts", "status")])
def test_the_longest_point_has_room(kind: str, field: str) -> None:
    """A policy with the longest name that there may be is asked for, and approved, also before a batch."""
    crd = yaml.safe_load((CRDS / f"{kind}.yaml").read_text())
    fields = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][field]["properties"]
    point = fields["point"] if field == "spec" else fields["approvals"]["items"]["properties"]["point"]
    assert point["maxLength"] >= len(f"policy/{'p' * 253}/batch/{'b' * 63}")


def test_a_run_superseded_while_people_are_asked_takes_their_word_with_it() -> None:
    """One of two agreed to 2.0; 3.0 has to be agreed to by both."""
    held = approving(settle(asked(view(TWO)), NOW), "bob")
    assert len(held.status.approvals[0].approvals) == 1
    anew = settle(ask(held, rollout_spec(version="3.0")), NOW)
    assert [(each.revision, each.approvals) for each in anew.status.approvals] == [(2, ())]
    assert settle(anew, NOW + MINUTE).targets[0].shares == (0,)
