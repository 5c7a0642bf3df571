"""A record that cannot be: nobody knows then where the clusters are, so nobody is told anything, and it is said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sluice.api.action import Verb
from sluice.api.conditions import ConditionType
from sluice.api.fleet import BatchStage
from sluice.api.outcome import Outcome
from sluice.api.rollout import Phase, RolloutStatus
from unit.decide.fleet.pretended import DIVERT, LAST, MINUTE, PILOT, REST, Pretended, installed


def mangle(hub: Pretended, *letters: str) -> None:
    """Somebody writes other letters into the record, batch by batch."""
    run = hub.runs[-1]
    batches = tuple(
        each.model_copy(update={"clusters": wrong}) for each, wrong in zip(run.status.batches, letters, strict=False)
    )
    hub.runs = (*hub.runs[:-1], replace(run, status=run.status.model_copy(update={"batches": batches})))


@pytest.mark.parametrize(
    "letters, told",
    [
        (("c", "?m"), "batch rest: a record is made of the letters"),
        (("c", "m"), "batch rest: a record of 2 clusters has a letter for each, not 1"),
        (("c", ""), "batch rest: a record of 2 clusters has a letter for each, not 0"),
        (("", "mm"), "batch pilot: a record of 1 clusters has a letter for each, not 0"),
        (("w", "mm"), "batch pilot is over, but its record tells of a cluster that waits: a"),
        ((), "batch pilot is over, but its record tells of a cluster that waits: a"),
    ],
)
def test_letters_that_cannot_be_hold_the_run(letters: tuple[str, ...], told: str) -> None:
    """Nobody is told anything, nothing is written over them, and people are: until they are mended, and it goes on."""
    hub = installed("abc", PILOT, REST)
    hub.reach("rest", 1)
    good, before, legs = hub.runs, dict(hub.told), dict(hub.legs)
    mangle(hub, *letters)
    bad = hub.runs
    hub.told.clear()
    hub.wait(30 * MINUTE)
    assert (hub.told, hub.legs, hub.runs, hub.outcome) == ({}, legs, bad, None)
    assert (hub.batch.name, hub.step, hub.status.phase) == ("rest", 1, Phase.PAUSED)
    stalled = hub.condition(ConditionType.STALLED)
    assert (stalled.reason, hub.status.message) == ("RunLost", stalled.message)
    assert told in stalled.message
    assert "FleetRun shop/checkout-2" in stalled.message
    hub.act(Verb.PROMOTE, revision=2)
    hub.look()
    assert [(answer.done, told in answer.message) for answer in hub.plan.answers] == [(False, True)]
    hub.runs, hub.told = good, before
    hub.go()
    assert (hub.outcome, hub.letters) == (Outcome.COMPLETED, ["c", "cc"])


def test_letters_that_cannot_be_do_not_end_a_soak() -> None:
    """Where nobody seems to be done, nobody would be soaked for."""
    hub = installed("abc", {**PILOT, "soak": "10m"}, REST)
    hub.go()
    assert hub.batch.stage == BatchStage.SOAKING
    mangle(hub, "w")
    hub.wait(30 * MINUTE)
    assert (hub.batch.name, hub.batch.stage) == ("pilot", BatchStage.SOAKING)


def test_a_kill_does_not_wait_for_a_record() -> None:
    """Each cluster's own engine diverts; the run ends as killed when the record is mended."""
    hub = installed("abc", PILOT, REST)
    hub.reach("rest", 1)
    good = hub.runs
    mangle(hub, "c", "??")
    hub.switches = (DIVERT,)
    hub.look()
    assert hub.condition(ConditionType.KILLED).status == "True"
    hub.runs = good
    hub.look()
    assert hub.outcome is Outcome.KILLED


@pytest.mark.parametrize(
    "edit, told",
    [
        ({"index": 9}, "status.fleet.batch names batch 9 (rest), but batch 9 of the run is another or none"),
        ({"index": 1}, "status.fleet.batch names batch 1 (rest)"),
        ({"name": "nobody"}, "status.fleet.batch names batch 2 (nobody)"),
        ({"first": 7}, "status.fleet.batch.first is 7, but batch rest has 2 clusters"),
        ({"first": -1}, "status.fleet.batch.first is -1, but batch rest has 2 clusters"),
    ],
)
def test_a_place_that_is_not_in_the_run_holds_it(edit: dict[str, Any], told: str) -> None:
    """Somebody edited the status, or restored an old one: nothing is made of it but a condition."""
    hub = installed("abc", PILOT, REST)
    hub.reach("rest", 1)
    legs, runs = dict(hub.legs), hub.runs
    at = hub.batch.model_copy(update=edit)
    hub.status = hub.status.model_copy(update={"fleet": hub.fleet.model_copy(update={"batch": at})})
    hub.wait(MINUTE)
    assert told in hub.condition(ConditionType.STALLED).message
    assert (hub.legs, hub.runs) == (legs, runs)


@pytest.mark.parametrize("index", [LAST + 1, 99, -1])
def test_a_step_that_is_not_in_the_batch_holds_the_run(index: int) -> None:
    """Nobody is sent there, and nobody starts over."""
    hub = installed("abc", PILOT, REST)
    hub.reach("rest", 1)
    legs = dict(hub.legs)
    step = hub.status.step
    assert step is not None
    hub.status = hub.status.model_copy(update={"step": step.model_copy(update={"index": index})})
    hub.wait(MINUTE)
    assert f"status.step names step {index}, but batch rest has {LAST}" in hub.condition(ConditionType.STALLED).message
    assert hub.legs == legs


def test_who_is_on_the_way_back_goes_on_when_the_record_of_a_run_that_is_over_cannot_be_read() -> None:
    """What was ordered stays; nobody gets an order from a record that tells nothing, and the next run may begin."""
    hub = installed("abc", REST)
    hub.reach("rest", 1)
    hub.act(Verb.ABORT)
    hub.look()
    mangle(hub, "???")
    hub.told.clear()
    hub.look()
    assert (hub.told, hub.status.phase) == ({}, Phase.DEGRADED)
    hub.ask("3.0")
    hub.go()
    assert (hub.outcome, hub.letters) == (Outcome.COMPLETED, ["ccc"])


def test_a_record_that_is_deleted_ends_the_run_and_clusters_return() -> None:
    """There is a way out: what was stable serves again everywhere, but where the revision had completed."""
    hub = installed("abc", PILOT, REST)
    stable = hub.serves("b")
    hub.reach("rest", 1)
    hub.runs = hub.runs[:-1]
    hub.wait(MINUTE)
    assert (hub.outcome, hub.status.phase) == (Outcome.ABORTED, Phase.ABORTED)
    assert [hub.legs[name].under_way for name in "abc"] == [False] * 3
    assert (hub.serves("a") != stable, hub.serves("b"), hub.serves("c")) == (True, stable, stable)


def test_a_lost_status_is_no_reason_to_start_over() -> None:
    """Without its status the Rollout's run is begun anew, by a new FleetRun; the old one moves nobody any more."""
    hub = installed("abc", PILOT, REST)
    hub.reach("rest", 1)
    hub.status = RolloutStatus()
    hub.go()
    assert hub.outcome is Outcome.COMPLETED
    assert len({hub.serves(name) for name in "abc"}) == 1
