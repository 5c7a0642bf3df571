"""Runs over fleets, pass by pass: who moves when, and what is waited for."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sluice.api.action import Verb
from sluice.api.conditions import ConditionType
from sluice.api.outcome import Outcome
from sluice.api.rollout import Phase
from unit.decide.fleet.pretended import HOLD, LAST, MINUTE, PILOT, REST, SECOND, Pretended, installed


def test_a_first_run_installs_everywhere() -> None:
    """Clusters that have nothing get what is asked for; there is nothing to soak for, and nothing to move."""
    hub = Pretended("abc", {**PILOT, "soak": "1h"}, REST)
    hub.go()
    assert (hub.outcome, hub.letters, hub.status.phase) == (Outcome.COMPLETED, ["c", "cc"], Phase.HEALTHY)


def test_a_step_is_entered_by_all_that_move_once_each_has_done_the_one_before() -> None:
    """Lockstep: a cluster that is slower keeps the others of its batch."""
    hub = installed("abc", REST)
    hub.deaf = {"c"}
    hub.go()
    assert (hub.step, [hub.up_to(name) for name in "abc"]) == (1, [1, 1, 1])
    assert "waits for c" in hub.status.message
    hub.deaf = set()
    hub.look()
    hub.carry("c")
    hub.look()
    assert (hub.step, [hub.up_to(name) for name in "abc"]) == (2, [2, 2, 2])


def test_what_lets_clusters_go_further_is_in_the_status_of_the_same_plan() -> None:
    """Nobody is told of a step that the status does not tell of; so a crash in between repeats it and skips none."""
    hub = installed("ab", REST)
    for _ in range(30):
        hub.look()
        told = {hub.up_to(name) for name in "ab" if hub.up_to(name) is not None}
        if hub.outcome is None and hub.batch.stage == "Moving":
            assert told <= {hub.step}
        hub.carry()
    assert hub.outcome is Outcome.COMPLETED


def test_waves_go_one_after_the_other() -> None:
    """`maxConcurrency` of a batch's clusters move at the same time; those that moved wait with all of their traffic."""
    hub = installed("abcde", {"name": "all", "maxConcurrency": 2})
    seen = []
    for _ in range(60):
        hub.look()
        hub.carry()
        seen.append("".join(name for name in "abcde" if hub.up_to(name) is not None))
    assert list(dict.fromkeys(seen))[:4] == ["", "ab", "abcd", "abcde"]
    assert hub.outcome is Outcome.COMPLETED


def test_no_batch_begins_before_the_one_before_has_soaked() -> None:
    """Soak counts from the moment at which the last cluster is done."""
    hub = installed("ab", {**PILOT, "soak": "2m"}, REST)
    hub.go()
    assert (hub.batch.name, hub.batch.stage, hub.letters) == ("pilot", "Soaking", ["d", "w"])
    hub.wait(2 * MINUTE - SECOND)
    assert (hub.batch.stage, hub.up_to("a"), hub.up_to("b")) == ("Soaking", LAST, None)
    hub.wait(SECOND)
    hub.go()
    assert (hub.outcome, hub.letters) == (Outcome.COMPLETED, ["c", "c"])


@pytest.mark.parametrize(
    "away, counts", [(30 * SECOND, True), (MINUTE, True), (61 * SECOND, False), (90 * MINUTE, False)]
)
def test_time_in_which_nobody_looked_does_not_soak(away: timedelta, counts: bool) -> None:
    """An operator that was away for long did not see how the clusters fared meanwhile."""
    hub = installed("ab", {**PILOT, "soak": "10m"}, REST)
    hub.go()
    before = hub.batch.counted_seconds
    hub.now += away
    hub.look()
    assert hub.batch.counted_seconds - before == (away.total_seconds() if counts else 0)


def test_a_clock_that_goes_back_soaks_for_longer_at_most() -> None:
    """Nothing is counted twice, and nothing taken off."""
    hub = installed("ab", {**PILOT, "soak": "10m"}, REST)
    hub.go()
    hub.wait(5 * MINUTE)
    before = hub.batch.counted_seconds
    hub.now -= 3 * MINUTE
    hub.look()
    assert hub.batch.counted_seconds == before
    hub.wait(5 * MINUTE - SECOND)
    assert hub.batch.stage == "Soaking"
    hub.wait(SECOND)
    assert hub.batch.stage == "Closing"


def test_a_lost_cluster_stops_the_soak() -> None:
    """Time in which a cluster of the batch cannot be seen does not count, and the message says which."""
    hub = installed("ab", {**PILOT, "soak": "2m"}, REST)
    hub.go()
    hub.lose("a")
    hub.wait(10 * MINUTE)
    assert (hub.batch.stage, hub.batch.counted_seconds) == ("Soaking", 0)
    assert "a, which does not answer since" in hub.status.message
    hub.find("a")
    hub.wait(2 * MINUTE)
    hub.go()
    assert hub.outcome is Outcome.COMPLETED


@pytest.mark.parametrize("frozen", ["switch", "spec", "action"])
def test_what_freezes_a_run_stops_its_pauses_and_soak(frozen: str) -> None:
    """A Hold, spec.paused and a person's Pause each keep the run where it is; time in them does not count."""
    hub = installed("ab", {**PILOT, "soak": "2m"}, REST)
    hub.go()
    if frozen == "switch":
        hub.switches = (HOLD,)
    elif frozen == "spec":
        hub.ask("2.0", paused=True)
    else:
        hub.act(Verb.PAUSE)
    hub.wait(10 * MINUTE)
    assert (hub.batch.stage, hub.batch.counted_seconds, hub.status.phase) == ("Soaking", 0, Phase.PAUSED)
    hub.switches = ()
    hub.ask("2.0", paused=False)
    hub.act(Verb.RESUME)
    hub.wait(2 * MINUTE)
    hub.go()
    assert hub.outcome is Outcome.COMPLETED


def test_a_pause_before_a_batch_waits_for_its_time_or_for_a_person() -> None:
    """With a duration it ends by itself, without by Promote only; nobody of the batch is told anything before."""
    hub = installed("abc", PILOT, {"name": "timed", "size": 1, "pause": {"duration": "5m"}}, {**REST, "pause": {}})
    hub.go()
    assert (hub.batch.name, hub.batch.stage, hub.up_to("b")) == ("timed", "Paused", None)
    hub.wait(5 * MINUTE)
    hub.go()
    assert (hub.batch.name, hub.batch.stage, hub.up_to("c")) == ("rest", "Paused", None)
    hub.wait(timedelta(hours=2), every=MINUTE)
    assert hub.condition(ConditionType.PAUSED).reason == "AwaitsPromotion"
    hub.act(Verb.PROMOTE, revision=2)
    hub.look()
    assert [answer.done for answer in hub.plan.answers] == [True]
    hub.go()
    assert hub.outcome is Outcome.COMPLETED
