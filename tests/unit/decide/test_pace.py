"""A run that a hub leads: it goes as far as the hub lets it, whatever its own status says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sluice.api.outcome import Outcome
from sluice.decide.model import Observed
from sluice.decide.planner import plan
from unit.decide.observed import HOUR, NOW, ask, healthy, rollout_spec, settle

STEPS = [{"setWeight": 10}, {"pause": {}}, {"setWeight": 50}, {"setWeight": 100}]


def paced(up_to: int, run: int = 7) -> Any:
    """What a hub asks for: green (2.0), in its run 7, up to a step."""
    return rollout_spec(strategy={"canary": {"steps": STEPS}}, pace={"run": run, "upTo": up_to})


def led(up_to: int) -> Observed:
    """A part that has done all that the hub lets it do."""
    return settle(ask(healthy(), paced(up_to)), NOW)


def claims(seen: Observed, **lies: Any) -> Observed:
    """Somebody edited the status."""
    return replace(seen, status=seen.status.model_copy(update=lies))


def green(seen: Observed) -> tuple[int | None, ...]:
    """What the route gives green."""
    return seen.targets[0].shares


def test_it_waits_for_the_hub() -> None:
    """The step that may be entered is entered and told done, and no other."""
    for up_to, share in ((1, 1000), (2, 1000), (3, 5000)):
        seen = led(up_to)
        step = seen.status.step
        assert step is not None
        assert (step.index, step.done, green(seen)) == (up_to, True, (share,))


@pytest.mark.parametrize("index", [3, 4])
def test_a_status_that_is_ahead_is_taken_back(index: int) -> None:
    """It claims a step that the hub did not let it enter, and all of the traffic: nothing is exposed by that."""
    seen = led(2)
    step = seen.status.step
    assert step is not None
    ahead = step.model_copy(update={"index": index, "kind": "setWeight", "done": True})
    mad = claims(seen, step=ahead, weight=10_000)
    assert not [shift for shift in plan(mad, NOW).shifts if shift.grows]
    then = settle(mad, NOW + HOUR)
    assert then.status.step is not None
    assert (then.status.step.index, then.status.step.done, green(then)) == (2, True, (1000,))


def test_a_share_that_no_step_gave_is_taken_back() -> None:
    """The step is honest, the weight is not."""
    then = settle(claims(led(2), weight=9_000), NOW + HOUR)
    assert green(then) == (1000,)


def test_a_run_that_the_fleet_left_begins_anew() -> None:
    """It was away while its fleet's run ended, and is led in the next one, to the same revision: from the beginning."""
    seen = led(3)
    assert green(seen) == (5000,)
    then = settle(ask(seen, paced(1, run=8)), NOW + HOUR)
    assert green(then) == (1000,)
    revision, step = then.status.revision, then.status.step
    assert revision is not None
    assert step is not None
    assert (revision.fleet_run, step.index, step.done) == (8, 1, True)
    assert then.runs[0].status.outcome is Outcome.SUPERSEDED
