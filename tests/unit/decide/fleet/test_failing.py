"""What a run over a fleet does about clusters that failed, and what people can do about the run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sluice.api.action import Verb
from sluice.api.conditions import ConditionType
from sluice.api.outcome import Outcome
from sluice.api.rollout import Phase
from unit.decide.fleet.pretended import DIVERT, MINUTE, PILOT, REST, SECOND, installed


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
