"""What members tell is taken as far as it can be so."""

from __future__ import annotations

from dataclasses import replace

from sluice.api.fleet import ClusterPhase
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
