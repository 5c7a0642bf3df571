"""Members that come and go in the middle of a run, and what a crash of the hub leaves behind."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sluice.api.action import Verb
from sluice.api.fleet import BatchRecord
from sluice.api.outcome import Outcome
from sluice.decide.fleet.model import LegView, MemberView
from sluice.decide.model import FinalizerChange
from unit.decide.fleet.pretended import LAST, MINUTE, PILOT, REST, installed


def test_a_joiner_gets_what_is_stable_and_waits_for_the_next_run() -> None:
    """The members of a run are fixed when it begins."""
    hub = installed("ab", REST)
    stable = hub.serves("a")
    hub.look()
    hub.members["c"] = MemberView("c", {})
    hub.look()
    hub.carry()
    assert (hub.serves("c"), hub.up_to("c")) == (stable, None)
    hub.go()
    assert (hub.letters, hub.serves("c")) == (["cc"], stable)
    hub.ask("3.0")
    hub.go()
    assert (hub.letters, hub.outcome) == (["ccc"], Outcome.COMPLETED)


def test_who_leaves_counts_as_failed_and_is_not_waited_for() -> None:
    """Nobody knows what it has; within what may fail, the others go on."""
    hub = installed("abc", {**REST, "maxFailures": 1})
    hub.look()
    hub.look()
    del hub.members["b"]
    hub.go()
    assert (hub.outcome, hub.letters) == (Outcome.COMPLETED, ["clc"])


def test_a_deleted_rollout_waits_until_every_part_is_gone() -> None:
    """Also for members that are not known yet: what is there would stay for ever."""
    hub = installed("ab", REST)
    hub.go()
    hub.deleting = True
    hub.members["b"] = replace(hub.members["b"], known=False)
    leg = hub.legs.pop("b")
    hub.look()
    hub.carry("a")
    hub.look()
    assert (hub.plan.finalizer, "b" in hub.status.message) == (FinalizerChange.NONE, True)
    hub.legs["b"], hub.members["b"] = leg, replace(hub.members["b"], known=True)
    hub.look()
    hub.carry("b")
    hub.look()
    assert hub.plan.finalizer is FinalizerChange.REMOVE


def test_a_soak_is_not_skipped_while_members_are_not_known_yet() -> None:
    """After a restart nobody has told anything yet: that is not as if nothing had been there before."""
    hub = installed("ab", {**PILOT, "soak": "10m"}, REST)
    hub.go()
    legs, hub.legs = hub.legs, {}
    hub.members = {name: replace(member, known=False) for name, member in hub.members.items()}
    hub.look()
    assert (hub.batch.name, hub.batch.stage) == ("pilot", "Soaking")
    hub.legs, hub.members = legs, {name: replace(member, known=True) for name, member in hub.members.items()}
    hub.wait(10 * MINUTE)
    hub.go()
    assert hub.outcome is Outcome.COMPLETED


def test_a_rollback_of_the_fleet_survives_a_crash_before_the_status() -> None:
    """The record is closed first: who returns is known, and the run ends as that tells."""
    hub = installed("abc", PILOT, REST, fleet={"onFailure": "RollbackFleet"})
    stable = hub.serves("a")
    hub.reach("rest", 1)
    hub.fail("b")
    before = hub.status
    hub.look()
    assert [(name, record.outcome) for name, record in hub.plan.closed] == [("checkout-2", Outcome.ABORTED)]
    hub.status = before  # this one was not written any more
    hub.go()
    assert (hub.outcome, hub.letters) == (Outcome.ABORTED, ["b", "fb"])
    assert {hub.serves(name) for name in "abc"} == {stable}


def test_a_record_that_is_behind_by_one_pass_loses_nothing() -> None:
    """The status went on to the next batch and the record was not written: who completed is not taken back."""
    hub = installed("ab", PILOT, {**REST, "pause": {}})
    hub.reach("pilot", LAST)
    before = hub.runs
    while hub.batch.name == "pilot":
        before = hub.runs
        hub.look()
        hub.carry()
    hub.runs = before  # this one was not written any more
    assert hub.letters == ["d", "w"]
    hub.act(Verb.ABORT)
    hub.go()
    assert (hub.outcome, hub.letters) == (Outcome.ABORTED, ["c", "w"])


def test_a_cluster_that_is_lost_when_the_run_completes_completes_later() -> None:
    """All of its traffic is on the new revision: it is told to go on with the run, also after its end."""
    hub = installed("ab", REST)
    while hub.letters != ["dd"]:
        hub.look()
        hub.carry()
    hub.lose("b")
    hub.go()
    assert (hub.outcome, hub.letters) == (Outcome.COMPLETED, ["cd"])
    hub.find("b")
    hub.go()
    assert (hub.letters, hub.serves("b")) == (["cc"], hub.serves("a"))


def test_records_that_unknown_members_may_need_are_kept_for_longer() -> None:
    """What a member has that is not known yet may be any revision; in the end there is a limit all the same."""
    hub = installed("ab", REST, revisionHistoryLimit=1)
    hub.members["b"] = replace(hub.members["b"], known=False)
    for version in ("2.0", "3.0", "4.0", "5.0", "6.0"):
        hub.ask(version)
        hub.go()
    kept = [run.spec.revision for run in hub.runs]
    hub.members["b"] = replace(hub.members["b"], known=True)
    hub.go()
    assert len(kept) > len(hub.runs)


@pytest.mark.parametrize("joined", [False, True])
def test_who_is_away_for_long_gets_what_it_had_when_it_is_back(joined: bool) -> None:
    """Half-way through 2.0, and the hub's operator began anew meanwhile: what the cluster had outlasts its limit.

    Also where no run completed there: it joined when 1.0 served, and was given that.
    """
    hub = installed("a" if joined else "ab", {**REST, "maxFailures": 1}, revisionHistoryLimit=1, progressDeadline="5m")
    stable = hub.serves("a")
    if joined:
        hub.members["b"] = MemberView("b", {})
        hub.legs["b"] = hub.legs["a"]
    hub.reach("rest", 1)
    assert hub.legs["b"].weight
    hub.lose("b")
    hub.members["b"] = replace(hub.members["b"], known=False)
    there = hub.legs.pop("b")
    for version in ("2.0", "3.0", "4.0", "5.0", "6.0"):
        hub.ask(version)
        hub.wait(6 * MINUTE)
        hub.go()
        assert (hub.outcome, hub.letters) == (Outcome.COMPLETED, ["cf"])
    assert len(hub.runs) <= 4
    hub.find("b")
    hub.members["b"] = replace(hub.members["b"], known=True)
    hub.legs["b"] = there
    hub.go()
    assert (hub.serves("b"), hub.legs["b"].under_way, hub.legs["b"].weight) == (stable, False, 0)


def test_a_record_that_cannot_be_read_is_kept_while_somebody_may_need_it() -> None:
    """Nobody knows whether that was the run which a cluster that is away has completed."""
    hub = installed("ab", {**REST, "maxFailures": 1}, revisionHistoryLimit=1, progressDeadline="5m")
    torn = hub.runs[0]
    [batch] = torn.status.batches
    hub.runs = (replace(torn, status=torn.status.model_copy(update={"batches": (rubbish(batch),)})),)
    hub.lose("b")
    hub.members["b"] = replace(hub.members["b"], known=False)
    del hub.legs["b"]
    for version in ("2.0", "3.0", "4.0", "5.0", "6.0"):
        hub.ask(version)
        hub.wait(6 * MINUTE)
        hub.go()
    assert hub.runs[0].spec.revision == 1


def rubbish(record: BatchRecord) -> BatchRecord:
    """It tells nothing of any cluster."""
    return record.model_copy(update={"clusters": "?"})


def test_a_leg_that_tells_nothing_is_waited_for() -> None:
    """A member whose data makes no sense is as one that has not done its step."""
    hub = installed("ab", REST)
    hub.look()
    hub.look()
    hub.carry("a")
    hub.legs["b"] = LegView()
    hub.deaf = {"b"}
    hub.wait(MINUTE)
    assert (hub.step, hub.letters) == (1, ["mm"])
