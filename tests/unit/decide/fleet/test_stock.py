"""What members tell is taken as far as it can be so."""

from __future__ import annotations

from dataclasses import replace

from sluice.api.fleet import ClusterPhase
from sluice.api.outcome import Outcome
from unit.decide.fleet.obedient import healthy


def test_who_is_done_before_it_may_be_is_not_believed() -> None:
    """A cluster claims the last step in the first one: to be done would let it go all the way."""
    fleet = healthy().release("v2").until("step 1 of 2")
    fleet.deaf = {"c1"}
    honest = fleet.legs["c1"]
    fleet.legs["c1"] = replace(honest, step=2, step_done=True)
    for _ in range(3):
        fleet.step()
        told = fleet.directives["c1"].spec
        assert told is not None
        assert (fleet.phases()["c1"], told["pace"]["upTo"]) == (ClusterPhase.MOVING, 1)
    fleet.legs["c1"] = honest
    fleet.deaf = set()
    fleet.settle()
    assert fleet.serves() == dict.fromkeys(fleet.names, "v2")


def test_a_failure_is_told_in_the_words_of_its_cause() -> None:
    """Of what a member says, why its run ended: what serves there now, and what one might do, is not the cause."""
    fleet = healthy(onFailure="RollbackCluster", maxFailures=1).release(
        "v2", onFailure="RollbackCluster", maxFailures=1
    )
    fleet.until("step 1 of 2").deaf = {"c1"}
    why = "errors is 5, above max 1"
    ended = replace(fleet.legs["c1"], under_way=False, outcome=Outcome.ABORTED, reason="MetricFailed", why=why)
    fleet.legs["c1"] = replace(ended, message=f"{why}; blue serves; try again")
    fleet.step()
    failures = fleet.runs[-1].status.failures
    assert [(each.reason, each.message) for each in failures] == [("MetricFailed", why)]
