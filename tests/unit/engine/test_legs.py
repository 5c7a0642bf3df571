"""What a member tells may be anything: it is read as far as it makes sense, cut short, and breaks nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.api.names import ORDER_ANNOTATION
from sluice.api.outcome import Outcome
from sluice.api.units import FULL
from sluice.decide.fleet.model import LegView
from sluice.engine.legs import leg_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
HUGE = "x" * 100_000
ODD = JSON | st.sampled_from(
    [HUGE, 10**30, -1, float("inf"), "\x00\u202e", "100%", "Accepted", "True", "2999-01-01T00:00:00Z"]
)
FIELDS = {
    "stable": {"hash", "slot", "number"},
    "revision": {"hash", "fleetRun", "outcome", "reason", "message"},
    "step": {"index", "done"},
}


def rubbish() -> st.SearchStrategy[Any]:
    """A status in which each field is right, odd, or not there."""
    inner = {
        name: ODD | st.fixed_dictionaries({}, optional=dict.fromkeys(fields, ODD)) for name, fields in FIELDS.items()
    }
    outer = dict.fromkeys(("weight", "confirmation", "message", "observedGeneration"), ODD)
    conditions = ODD | st.lists(ODD | st.fixed_dictionaries({"type": ODD, "status": ODD}), max_size=3)
    return ODD | st.fixed_dictionaries({}, optional={**inner, **outer, "conditions": conditions})


METADATA = ODD | st.fixed_dictionaries({}, optional={"annotations": ODD, "generation": ODD, "labels": ODD})


@given(status=rubbish(), metadata=METADATA)
def test_anything_is_read(status: Any, metadata: Any) -> None:
    """Whatever it is: no text gets long or has a control character, no number is negative, no share more than all."""
    leg = leg_of({"metadata": metadata, "status": status}, "")
    texts = (leg.stable_hash, leg.hash, leg.reason, leg.why, leg.message, leg.order)
    assert all(len(text) <= 400 for text in texts)
    assert not any(ord(letter) < 32 for text in texts for letter in text)
    assert leg.step >= 0
    assert leg.fleet_run is None or leg.fleet_run >= 0
    assert 0 <= leg.weight <= FULL


@pytest.mark.parametrize("odd", [HUGE, "\x1b[31m", "two words", "", 7, None, ["h"], {"h": 1}])
def test_what_is_no_word_is_none(odd: object) -> None:
    """Hashes and reasons get into messages, names and statuses, where one that no CRD takes would hold the fleet up."""
    status = {"stable": {"hash": odd}, "revision": {"hash": odd, "reason": odd}}
    leg = leg_of({"metadata": {"annotations": {ORDER_ANNOTATION: odd}}, "status": status}, "")
    assert (leg.stable_hash, leg.hash, leg.reason, leg.order) == ("", "", "", "")


@pytest.mark.parametrize("status", [None, 7, "x", [], {}, {"revision": []}])
def test_what_tells_nothing_is_a_member_that_told_nothing(status: object) -> None:
    """It is waited for, like one that has just been told."""
    assert leg_of({"metadata": {}, "status": status}, "") == LegView(up_to_date=True)


@pytest.mark.parametrize("outcome", [None, "", "Splendid", 7, [], {}])
def test_an_outcome_that_is_none_ends_nothing_well(outcome: object) -> None:
    """A run that is over in a way that nobody knows is not under way, and did not come to anything either."""
    leg = leg_of({"metadata": {}, "status": {"revision": {"hash": "h", "outcome": outcome}}}, "")
    assert (leg.outcome, leg.under_way) == (None, False)


def test_what_makes_sense_is_taken() -> None:
    """Such as what our own engine writes there."""
    revision = {"hash": "new", "fleetRun": 3, "outcome": "Aborted", "reason": "MetricFailed", "message": "errors is 5"}
    status = {"revision": revision, "stable": {"hash": "old"}, "weight": "0%", "observedGeneration": 2}
    leg = leg_of({"metadata": {"generation": 2}, "status": status}, "")
    assert (leg.outcome, leg.reason, leg.why) == (Outcome.ABORTED, "MetricFailed", "errors is 5")
    assert (leg.hash, leg.stable_hash, leg.fleet_run, leg.up_to_date) == ("new", "old", 3, True)
