"""One member lies, in any way: that is its own harm. Nobody else is told more, or taken back, for what it says."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.api.outcome import Outcome
from sluice.decide.fleet.model import LegView
from unit.decide.fleet.pretended import LAST, MINUTE, PILOT, Pretended, installed

LIAR = "c"
WAVE: dict[str, Any] = {"name": "wave", "size": 2, "soak": "1m"}
REST: dict[str, Any] = {"name": "rest", "pause": {"duration": "1m"}}


def fleet() -> Pretended:
    """One alone, then b and the liar together, d at the end; one of the wave may fail. The pilot is done."""
    hub = installed("abcd", PILOT, WAVE, REST, fleet={"onFailure": "RollbackCluster", "maxFailures": 1})
    hub.reach("wave", 1)
    return hub


TO_COPY = fleet()


def claims_of(hub: Pretended) -> st.SearchStrategy[LegView]:
    """What a member may say: something else than the truth here and there, of the hashes that there are, and others."""
    new, old = hub.runs[-1].spec.hash, hub.runs[0].spec.hash
    words = st.sampled_from([new, new, old, "", "0123456789", "x" * 64])
    odd: dict[str, st.SearchStrategy[Any]] = {
        "stable_hash": words,
        "hash": words,
        "fleet_run": st.sampled_from([None, 0, 1, 2, 3, 2**53 - 1]),
        "under_way": st.booleans(),
        "outcome": st.none() | st.sampled_from(list(Outcome)),
        "reason": st.sampled_from(["", "MetricFailed"]),
        "why": st.sampled_from(["", "x" * 300]),
        "step": st.sampled_from([0, 1, LAST, LAST + 1, 2**53 - 1]),
        "step_done": st.booleans(),
        "weight": st.sampled_from([0, 1000, 10_000]),
        "confirmed": st.booleans(),
        "up_to_date": st.booleans(),
        "serves": st.booleans(),
        "message": st.sampled_from(["", "y" * 300]),
        "trouble": st.sampled_from(["", "z" * 300]),
    }
    honest = hub.legs[LIAR]
    return st.fixed_dictionaries({}, optional=odd).map(lambda told: replace(honest, **told))


@settings(max_examples=60)
@given(data=st.data())
def test_what_one_says_moves_nobody_else(data: st.DataObject) -> None:
    """The others go in lockstep to the end or wait; the liar is told no step before they are; texts stay short."""
    hub = copy.deepcopy(TO_COPY)
    hub.deaf = {LIAR}
    claims = claims_of(hub)
    for _ in range(30):
        hub.look()
        hub.carry()
        hub.now += data.draw(st.sampled_from([MINUTE / 60, MINUTE, 11 * MINUTE]))
        hub.legs[LIAR] = data.draw(claims)
        if hub.fleet.batch is not None and (hub.batch.name, hub.batch.stage) == ("wave", "Moving"):
            told = {name: hub.up_to(name) for name in "bcd"}
            assert told["b"] in {None, *range(hub.step + 1)}
            assert told[LIAR] in {None, *range(hub.step + 1)}, (told, hub.step)
            assert told["d"] is None
        assert len(hub.status.model_dump_json()) < 32_000
    failed = {each.name for each in hub.runs[-1].status.failures}
    assert failed <= {LIAR}
    assert hub.outcome in {None, Outcome.COMPLETED}
    if hub.outcome is Outcome.COMPLETED:
        assert {hub.serves(name) for name in "abd"} == {hub.runs[-1].spec.hash}


@pytest.mark.parametrize(
    "lie, has_it, step",
    [
        ({"under_way": True, "step": LAST, "step_done": True}, False, 1),
        ({"under_way": False, "outcome": Outcome.COMPLETED}, True, 2),
        ({"under_way": False, "fleet_run": None}, True, 2),
    ],
)
def test_who_claims_to_be_done_is_told_no_more_than_those_beside_it(
    lie: dict[str, Any], has_it: bool, step: int
) -> None:
    """It says in the first step that it has all of the revision: it may enter the step only that the others may."""
    hub = fleet()
    hub.deaf = {LIAR, "b"}
    run = hub.runs[-1].spec
    hub.legs[LIAR] = replace(hub.legs[LIAR], stable_hash=run.hash if has_it else run.stable_hash, **lie)
    hub.wait(5 * MINUTE)
    assert (hub.step, hub.up_to("b"), hub.up_to(LIAR)) == (step, step, step)
