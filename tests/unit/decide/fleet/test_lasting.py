"""Members that come and go in the middle of a run, and what a crash of the hub leaves behind."""

from __future__ import annotations

from dataclasses import replace

from sluice.api.action import Verb
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
