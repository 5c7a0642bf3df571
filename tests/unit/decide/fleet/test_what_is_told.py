"""What a Rollout over a fleet tells of itself, where a wrong word would mislead."""

from __future__ import annotations

from sluice.api.action import Verb
from sluice.api.rollout import Phase
from unit.decide.fleet.obedient import healthy


def test_the_end_of_a_soak_is_not_the_end_of_the_pause_that_follows() -> None:
    """A pause for a person has no time at which it ends."""
    batches = [{"name": "pilot", "clusters": ["c1"], "soak": "3s"}, {"name": "rest", "pause": {}}]
    fleet = healthy().release("v2", batches=batches).until("batch pilot soaks")
    assert fleet.status.dump()["nextTransitionAt"]
    fleet.until("batch rest waits for a person")
    assert fleet.status.phase is Phase.PAUSED
    assert "nextTransitionAt" not in fleet.status.dump()


def test_no_share_is_told_of_a_cluster_that_is_back() -> None:
    """It has all of its traffic on what was there before, which is no share of the candidate."""
    fleet = healthy().release("v2").settle()
    fleet.tell(Verb.ROLLBACK, clusters=["c2"])
    fleet.settle()
    assert fleet.status.fleet is not None
    assert [(each.name, each.weight) for each in fleet.status.fleet.clusters] == [("c2", "")]
