"""Ends of runs with clusters away, members that lie, hubs that were restored: nothing of that is left to chance."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sluice.api.outcome import Outcome
from sluice.api.rollout import RolloutSpec
from sluice.decide.fleet import parts
from sluice.decide.fleet.model import MemberView
from sluice.decide.model import FinalizerChange
from unit.decide.fleet.pretended import LAST, MINUTE, PILOT, REST, installed

TWO = {**PILOT, "size": 2, "soak": "10m"}


@pytest.mark.parametrize("batches", [(TWO, REST), (TWO,)])
def test_too_many_failed_begins_no_other_batch_also_where_a_cluster_is_away(
    batches: tuple[dict[str, object], ...],
) -> None:
    """One failed in the soak, the other cannot be reached when the batch closes: the run ends as aborted."""
    hub = installed("abc" if len(batches) > 1 else "ab", *batches, fleet={"onFailure": "RollbackCluster"})
    hub.reach("pilot", LAST)
    hub.look()
    hub.fail("a")
    hub.deaf = {"b"}
    hub.wait(11 * MINUTE)
    assert hub.batch.stage == "Closing"
    hub.lose("b")
    hub.go()
    assert (hub.outcome, hub.letters[0][0]) == (Outcome.ABORTED, "f")
    assert len(hub.letters) == 1 or hub.letters[1] == "w"
    hub.find("b")
    hub.deaf = set()
    hub.go()
    assert (hub.letters[0], hub.serves("b")) == ("fc", hub.runs[-1].spec.hash)


def test_a_pilot_that_claims_to_have_had_it_is_soaked_for() -> None:
    """How long the others wait for a batch is not for one of its clusters to say."""
    hub = installed("ab", {**PILOT, "soak": "10m"}, REST)
    hub.reach("pilot", 1)
    hub.deaf = {"a"}
    hub.legs["a"] = replace(hub.legs["a"], under_way=False, fleet_run=None, stable_hash=hub.runs[-1].spec.hash)
    hub.wait(9 * MINUTE)
    assert (hub.batch.name, hub.batch.stage) == ("pilot", "Soaking")
    hub.wait(2 * MINUTE)
    assert hub.batch.name == "rest"


def test_a_hub_that_was_restored_takes_no_number_that_members_know() -> None:
    """What a member made of a later run of that number says nothing of the one that begins now."""
    hub = installed("ab", REST)
    wanted, _ = parts.revision_of(RolloutSpec.parse(hub.given, "spec"))
    hub.legs["a"] = replace(hub.legs["a"], fleet_run=4, hash=wanted, outcome=Outcome.ABORTED, reason="MetricFailed")
    hub.go()
    assert (hub.runs[-1].spec.revision, hub.outcome, hub.letters) == (5, Outcome.COMPLETED, ["cc"])
    assert hub.serves("a") == wanted


def test_a_member_that_claims_a_run_far_ahead_is_not_followed() -> None:
    """Numbers stay small, whatever one says."""
    hub = installed("ab", REST)
    hub.legs["a"] = replace(hub.legs["a"], fleet_run=2**53 - 1)
    hub.go()
    assert (hub.runs[-1].spec.revision, hub.outcome) == (2, Outcome.COMPLETED)


def test_a_cluster_that_the_rollout_never_went_over_keeps_nobody_from_deleting_it() -> None:
    """It was never reached, and neither is, nor was, one of the fleet."""
    hub = installed("ab", REST, fleet={"selector": {"matchExpressions": [{"key": "lab", "operator": "DoesNotExist"}]}})
    hub.members["c"] = MemberView("c", {"lab": "yes"}, known=False)
    hub.deleting = True
    hub.go()
    assert (hub.legs, hub.plan.finalizer) == ({}, FinalizerChange.REMOVE)


@pytest.mark.parametrize("how", ["selected", "in an earlier run"])
def test_a_cluster_that_may_have_a_part_is_waited_for(how: str) -> None:
    """It belongs to the fleet, or did: what is there would stay for ever."""
    hub = installed("ab", REST)
    if how == "selected":
        hub.members["c"] = MemberView("c", {}, known=False)
    else:
        hub.go()
        selector = {"matchLabels": {"env": "prod"}}
        hub.ask("2.0", fleet={"selector": selector})
        hub.members["b"] = replace(hub.members["b"], known=False)
        hub.legs.pop("b")
    hub.deleting = True
    hub.go()
    waited = "c" if how == "selected" else "b"
    assert (hub.plan.finalizer, f"waits for {waited}" in hub.status.message) == (FinalizerChange.NONE, True)


def test_who_is_not_let_in_is_told_where_to_look() -> None:
    """It answers, but the hub does not work there: its own words are not known then."""
    hub = installed("ab", REST)
    hub.reach("rest", 1)
    hub.legs.pop("b")
    hub.members["b"] = replace(hub.members["b"], known=False)
    hub.look()
    assert "b (the hub does not work there: see sluice clusters check b)" in hub.status.message
