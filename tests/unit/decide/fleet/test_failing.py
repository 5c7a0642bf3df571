"""What a run over a fleet does about clusters that failed, and what people can do about the run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sluice.api.action import Verb
from sluice.api.conditions import ConditionType
from sluice.api.killswitch import Effect
from sluice.api.outcome import Outcome
from sluice.api.rollout import Phase
from unit.decide.fleet.obedient import Fleet, healthy
from unit.decide.fleet.pretended import DIVERT, HOLD, LAST, MINUTE, PILOT, REST, SECOND, STEPS, Pretended, installed


@pytest.mark.parametrize(
    "on_failure, outcome, letters",
    [
        ("RollbackCluster", Outcome.ABORTED, ["cc", "fcc", "w"]),
        ("RollbackBatch", Outcome.ABORTED, ["cc", "fbb", "w"]),
        ("RollbackFleet", Outcome.ABORTED, ["bb", "fbb", "w"]),
        ("Hold", None, ["cc", "fmm", "w"]),
    ],
)
def test_what_a_failure_too_many_does(on_failure: str, outcome: Outcome | None, letters: list[str]) -> None:
    """Those alone return and no other batch begins; or their batch does; or all of the fleet; or all waits."""
    batches = {"name": "first", "size": 2}, {"name": "second", "size": 3}, REST
    hub = installed("abcdef", *batches, fleet={"onFailure": on_failure})
    stable = hub.serves("a")
    hub.reach("second", 1)
    hub.fail("c")
    hub.go()
    hub.go()
    assert (hub.outcome, hub.letters) == (outcome, letters)
    assert hub.serves("c") == stable
    assert [hub.up_to(name) for name in "f"] == [None]
    if on_failure == "Hold":
        assert hub.condition(ConditionType.STALLED).reason == "TooManyFailed"
        assert "c: errors is 0.2" in hub.status.message
    if on_failure == "RollbackFleet":
        assert {hub.serves(name) for name in "abcdef"} == {stable}


WAITS: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "before a batch": ([{"setWeight": 25}], {"pause": {}}),
    "at a step": ([{"setWeight": 25}, {"pause": {}}, {"setWeight": 50}], {}),
    "at the last step": ([{"setWeight": 25}, {"setWeight": 100}, {"pause": {}}], {}),
}
TOO_MANY = (
    "1 of 1 clusters of batch pilot failed, 0 may: c1: rolled back by alice; all waits: sluice abort checkout -n shop"
)


def waiting(where: str, **fleet: Any) -> Fleet:
    """A run with `onFailure: Hold` that waits for a person there; c1 completed before."""
    steps, rest = WAITS[where]
    batches = [{"name": "pilot", "clusters": ["c1"], "steps": STEPS}, {"name": "rest"} | rest]
    hub = healthy().release("v2", batches=batches, onFailure="Hold", **fleet)
    hub.spec["strategy"] = {"canary": {"steps": steps}}
    return hub.until("waits for a person")


@pytest.mark.parametrize("where", WAITS)
@pytest.mark.parametrize("at_once", [False, True])
def test_nobody_promotes_past_a_failure_too_many(where: str, at_once: bool) -> None:
    """With `onFailure: Hold` no cluster gets more by a word that is no decision about those that failed."""
    hub = waiting(where)
    step, stage = hub.status.step, hub.status.fleet and hub.status.fleet.batch and hub.status.fleet.batch.stage
    back, on = hub._action(Verb.ROLLBACK, {"clusters": ["c1"]}), hub._action(Verb.PROMOTE, {})
    on = replace(on, uid="uid-promote")
    answers = hub.step(back, on) if at_once else (*hub.step(back), *hub.step(on))
    assert [(each.done, each.message) for each in answers[1:]] == [(False, TOO_MANY)]
    hub.settle()
    assert (hub.status.message, hub.status.step) == (TOO_MANY, step)
    assert hub.status.fleet is not None
    assert hub.status.fleet.batch is not None
    assert hub.status.fleet.batch.stage is stage


@pytest.mark.parametrize("where", WAITS)
def test_within_what_may_fail_a_promotion_is_obeyed(where: str) -> None:
    """With `onFailure: Hold` too: nothing is held yet."""
    assert waiting(where).tell(Verb.PROMOTE).done


def test_within_what_may_fail_the_run_goes_on() -> None:
    """The cluster that failed returns, the others complete; the outcome tells of it."""
    hub = installed("abc", {**REST, "maxFailures": 1})
    stable = hub.serves("a")
    hub.look()
    hub.look()
    hub.carry()
    hub.fail("b")
    hub.go()
    assert (hub.outcome, hub.letters, hub.serves("b")) == (Outcome.COMPLETED, ["cfc"], stable)
    assert hub.fleet.revision is not None
    assert "but for 1 cluster that failed" in hub.fleet.revision.message


def test_a_cluster_that_is_lost_has_until_the_deadline() -> None:
    """Until then the others of its wave wait for it; then it counts as failed."""
    hub = installed("abc", {**REST, "maxFailures": 1}, progressDeadline="5m")
    hub.look()
    hub.look()
    hub.carry("a", "b")
    hub.lose("c")
    hub.wait(5 * MINUTE - SECOND)
    assert (hub.step, hub.letters) == (1, ["mmm"])
    hub.wait(30 * SECOND)
    hub.go()
    assert (hub.outcome, hub.letters) == (Outcome.COMPLETED, ["ccf"])
    assert "no progress for 5m" in hub.runs[-1].status.failures[0].message


def test_a_cluster_that_is_back_before_the_deadline_goes_on() -> None:
    """Its deadline begins anew when it is lost again."""
    hub = installed("ab", REST, progressDeadline="5m")
    hub.look()
    hub.look()
    for _ in range(3):
        hub.lose("b")
        hub.wait(4 * MINUTE)
        hub.find("b")
        hub.deaf = {"b"}
        hub.wait(MINUTE)
        hub.deaf = set()
    hub.go()
    assert hub.outcome is Outcome.COMPLETED


def test_an_order_that_a_cluster_does_not_take_has_until_the_deadline() -> None:
    """As one that is lost; the failure says why."""
    hub = installed("ab", {**REST, "maxFailures": 1}, progressDeadline="5m")
    hub.look()
    hub.look()
    hub.carry("a")
    hub.legs["b"] = replace(hub.legs["b"], trouble="Forbidden: may not patch memberrollouts")
    hub.deaf = {"b"}
    hub.wait(6 * MINUTE)
    hub.go()
    assert hub.letters == ["cf"]
    assert "may not patch" in hub.runs[-1].status.failures[0].message


def test_an_abort_takes_back_what_is_halfway() -> None:
    """What had completed keeps the revision, which is not tried again by itself."""
    hub = installed("abc", PILOT, REST)
    hub.reach("rest", 2)
    hub.act(Verb.ABORT)
    hub.go()
    assert (hub.outcome, hub.letters) == (Outcome.ABORTED, ["c", "bb"])
    assert "1 cluster had completed before" in hub.status.message
    assert "sluice retry" in hub.status.message


def test_a_retry_begins_anew_and_leaves_alone_who_has_it() -> None:
    """After an abort the same revision goes from the first batch on; a cluster that has it is done at once."""
    hub = installed("abc", PILOT, REST)
    hub.reach("rest", 2)
    hub.act(Verb.ABORT)
    hub.go()
    hub.act(Verb.RETRY, revision=2)
    hub.go()
    assert (hub.outcome, hub.letters, hub.runs[-1].spec.cause) == (Outcome.COMPLETED, ["c", "cc"], "Retry")


def test_a_newer_revision_supersedes_through_stable() -> None:
    """The run ends, who is halfway returns, and the newer one starts from the first batch."""
    hub = installed("ab", PILOT, REST)
    hub.look()
    hub.look()
    hub.carry()
    hub.ask("3.0")
    hub.look()
    assert [run.status.outcome for run in hub.runs] == [Outcome.COMPLETED, Outcome.SUPERSEDED, None]
    hub.go()
    assert (hub.outcome, hub.letters, len(hub.runs)) == (Outcome.COMPLETED, ["c", "c"], 3)


def test_a_spec_that_asks_for_stable_again_ends_the_run() -> None:
    """Git reverts: who is halfway returns, and nothing else happens."""
    hub = installed("ab", REST)
    stable = hub.serves("a")
    hub.look()
    hub.look()
    hub.carry()
    hub.ask("1.0")
    hub.go()
    assert (hub.outcome, [hub.serves(name) for name in "ab"]) == (Outcome.RETURNED, [stable, stable])
    assert hub.status.phase is Phase.HEALTHY


def test_a_divert_ends_the_run() -> None:
    """As killed; no directive lets anybody grow, and the same revision needs a Retry."""
    hub = installed("abc", PILOT, REST)
    hub.reach("rest", 2)
    hub.switches = (DIVERT,)
    hub.go()
    assert (hub.outcome, hub.letters, hub.status.phase) == (Outcome.KILLED, ["c", "bb"], Phase.KILLED)
    assert not any(directive.grows for directive in hub.plan.directives.values())
    hub.switches = ()
    hub.wait(10 * MINUTE)
    assert len(hub.runs) == 2


def test_who_runs_something_else_has_until_the_deadline() -> None:
    """Nothing is in its order's way, yet it is not in the run: it was edited there, or never begins."""
    hub = installed("abc", {**REST, "maxFailures": 1}, progressDeadline="5m")
    hub.reach("rest", 1)
    hub.legs["c"] = replace(hub.legs["c"], fleet_run=77, message="step 1 of 9")
    hub.deaf = {"c"}
    hub.wait(5 * MINUTE - SECOND)
    assert (hub.letters, "waits for c (step 1 of 9)" in hub.status.message) == (["mmm"], True)
    hub.wait(MINUTE)
    hub.go()
    assert (hub.outcome, hub.letters) == (Outcome.COMPLETED, ["ccf"])
    [failure] = hub.runs[-1].status.failures
    assert (failure.name, failure.reason) == ("c", "ProgressDeadlineExceeded")


def test_a_first_version_that_does_not_come_up_has_until_the_deadline() -> None:
    """There is no run in that cluster whose deadline could decide: its route is missing, say."""
    hub = Pretended("ab", {**REST, "maxFailures": 1}, progressDeadline="5m")
    hub.deaf = {"b"}
    hub.look()
    hub.look()
    hub.carry("a")
    hub.legs["b"] = replace(hub.legs["a"], serves=False, message="HTTPRoute shop/checkout does not exist")
    hub.wait(5 * MINUTE - SECOND)
    assert (hub.outcome, hub.letters) == (None, ["dm"])
    hub.wait(MINUTE)
    hub.deaf = set()
    hub.go()
    assert (hub.outcome, hub.letters) == (Outcome.COMPLETED, ["cf"])
    assert "HTTPRoute shop/checkout does not exist" in hub.runs[-1].status.failures[0].message


def test_who_is_in_a_long_step_has_no_deadline_of_the_hub() -> None:
    """Its own engine counts what there is to count: a pause of a day is none of it."""
    hub = installed("ab", REST, progressDeadline="5m")
    hub.reach("rest", 1)
    hub.legs["b"] = replace(hub.legs["b"], step_done=False, message="pause for 24h")
    hub.deaf = {"b"}
    hub.wait(600 * MINUTE, every=5 * MINUTE)
    assert (hub.letters, hub.status.waiting) == (["mm"], None)


def test_who_does_not_complete_has_until_the_deadline() -> None:
    """When its batch closes it is found to run something else: the others are not kept for ever."""
    hub = installed("abc", {**PILOT, "size": 2, "maxFailures": 1, "soak": "1m"}, REST, progressDeadline="5m")
    hub.reach("pilot", LAST)
    hub.look()
    hub.legs["b"] = replace(hub.legs["b"], fleet_run=77, under_way=True)
    hub.deaf = {"b"}
    hub.wait(4 * MINUTE)
    assert (hub.batch.name, hub.batch.stage) == ("pilot", "Closing")
    hub.wait(5 * MINUTE)
    hub.go()
    assert (hub.outcome, hub.letters) == (Outcome.COMPLETED, ["cf", "c"])


def test_time_in_which_a_run_is_held_is_not_waited() -> None:
    """A cluster is away while somebody pauses the run: it has its whole deadline afterwards."""
    hub = installed("ab", {**REST, "maxFailures": 1}, progressDeadline="5m")
    hub.reach("rest", 1)
    hub.deaf = {"b"}
    hub.legs["b"] = replace(hub.legs["b"], trouble="Forbidden")
    hub.wait(4 * MINUTE)
    hub.ask("2.0", paused=True)
    hub.wait(60 * MINUTE)
    hub.ask("2.0", paused=False)
    hub.wait(4 * MINUTE)
    assert hub.letters == ["mm"]
    hub.wait(2 * MINUTE)
    assert hub.letters[0][1] == "f"


def test_a_cluster_that_is_lost_later_has_its_own_time() -> None:
    """It is not counted from when another one was lost."""
    hub = installed("abc", {**REST, "maxFailures": 2}, progressDeadline="5m")
    hub.reach("rest", 1)
    hub.lose("b")
    hub.wait(4 * MINUTE)
    hub.lose("c")
    hub.wait(2 * MINUTE)
    assert hub.letters == ["mfm"]
    hub.wait(3 * MINUTE + 15 * SECOND)
    assert hub.letters == ["mff"]


def ends(hub: Fleet) -> list[tuple[str, str, str]]:
    """Who ended runs, and how it is told in the audit, and in the record of the last."""
    told = [entry for entry in hub.status.audit.entries if entry.action == "return"]
    return [(entry.actor, entry.message, hub.runs[-1].status.message) for entry in told]


@pytest.mark.parametrize("verb, how", [(Verb.ABORT, "aborted"), (Verb.REJECT, "rejected")])
def test_who_returns_by_an_abort_is_told_also_after_a_crash(verb: Verb, how: str) -> None:
    """The record was closed and the status not written: whoever it sends back is counted in the answer all the same."""
    quiet, torn = (waiting("at a step") for _ in range(2))
    answers = [quiet.tell(verb, reason="5xx"), torn.crash_after_the_record(verb, reason="5xx")]
    message = "3 clusters return; 1 cluster had completed before and keeps it"
    assert [(each.done, each.message) for each in answers] == [(True, f"{how}: {message}")] * 2
    told = f"{how} by alice: 5xx; {message}"
    assert [ends(quiet), ends(torn)] == [[("alice", told, told)]] * 2


@pytest.mark.parametrize("effect", [Effect.DIVERT, Effect.ROLLBACK])
def test_who_killed_is_told_also_after_a_crash(effect: Effect) -> None:
    """The record was closed and the status not written: the audit names who engaged the switch all the same."""
    quiet, torn = (waiting("at a step") for _ in range(2))
    for hub in (quiet, torn):
        hub.switches = (replace(DIVERT, name="5xx", effect=effect, actor="carol"), HOLD)
    torn.crash()
    quiet.step()
    torn.step()
    [(actor, told, recorded)] = ends(quiet)
    assert (actor, told) == ("carol", recorded)
    assert told.startswith("killed by KillSwitch shop/5xx, engaged by carol: 5xx; ")
    assert ends(torn) == ends(quiet)
