"""What RolloutPolicies hold, what they never hold, and what people are told."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from sluice.api.action import Verb
from sluice.api.errorbudget import BudgetLook, BudgetStatus
from sluice.api.killswitch import Effect
from sluice.api.names import Slot
from sluice.api.policy import RolloutPolicySpec
from sluice.decide import error_budget
from sluice.decide.model import Observed
from sluice.decide.planner import plan
from sluice.decide.policyview import PolicyView, Reference
from unit.decide import cluster, workloads
from unit.decide.observed import (
    HOUR,
    MINUTE,
    NOW,
    OPEN_PAUSE,
    SECOND,
    action,
    after,
    ask,
    completed,
    healthy,
    observed,
    rollout_spec,
    running,
    settle,
    switch,
)

# NOW is 2026-03-02 09:00 UTC.
FREEZE = {"windows": [{"name": "month end", "kind": "Deny", "schedule": "0 8 2 * *", "duration": "4h"}]}
FROZEN = "held by RolloutPolicy prod: the freeze month end lasts until 2026-03-02 12:00 UTC"
HOUSE = {"requireStable": {"selector": {"matchLabels": {"account": "house"}}, "for": "168h"}}


def view(spec: dict[str, Any], name: str = "prod", **fields: Any) -> PolicyView:
    """A policy that covers the Rollout."""
    return PolicyView(name, RolloutPolicySpec.parse(spec, "spec"), **fields)


def asked(*policies: PolicyView, version: str = "2.0") -> Observed:
    """Blue serves 1.0, and green is asked for."""
    return ask(replace(healthy(), policies=policies), rollout_spec(version=version))


def message(seen: Observed, now: datetime = NOW) -> str:
    """What the Rollout says, at rest."""
    return settle(seen, now).status.message


def test_a_freeze_holds_a_run_from_beginning_until_it_is_over() -> None:
    """The message names policy, rule and time; the pass is woken at that time, and then it begins."""
    held = settle(asked(view(FREEZE)), NOW)
    assert held.status.message == f"revision 2.0 waits: {FROZEN}"
    assert (held.status.phase, held.status.revision, held.runs) == ("Paused", None, ())
    paused = next(each for each in held.status.conditions if each.type == "Paused")
    assert (paused.status, paused.reason) == ("True", "HeldByPolicy")
    assert plan(held, NOW).wake_at == NOW + 3 * HOUR
    begun = settle(held, NOW + 3 * HOUR)
    assert begun.status.revision is not None
    assert begun.targets[0].shares == (1000,)


def test_a_freeze_leaves_a_run_at_the_share_that_it_has() -> None:
    """Its pause goes on and counts, but the next step, which exposes more, waits."""
    held = settle(replace(running(), policies=(view(FREEZE),)), NOW + 10 * MINUTE)
    assert held.status.message == f"step 2 of 4, green at 10%: {FROZEN}"
    assert (held.targets[0].shares, held.status.phase) == ((1000,), "Paused")
    assert settle(held, NOW + 3 * HOUR).targets[0].shares == (10000,)


def test_promote_does_not_go_past_a_policy() -> None:
    """A person is told what is in the way, and nothing is skipped."""
    seen = running(strategy=OPEN_PAUSE, policies=(view(FREEZE),), actions=(action(Verb.PROMOTE, 1),))
    made = plan(seen, NOW)
    assert made.answers[0].message == f"{FROZEN}; nothing was skipped"
    seen = replace(seen, actions=(action(Verb.PROMOTE_FULLY, 1),))
    assert plan(seen, NOW).answers[0].message == f"{FROZEN}; nothing was skipped"


@pytest.mark.parametrize("verb", [Verb.ABORT, Verb.UNDO])
def test_a_policy_does_not_hold_what_takes_exposure_away(verb: Verb) -> None:
    """In a freeze a run is aborted as at any time."""
    seen = settle(running(policies=(view(FREEZE),), actions=(action(verb, 1),)), NOW)
    assert (seen.targets[0].shares, seen.status.phase) == ((0,), "Aborted")


def test_a_policy_does_not_hold_a_kill() -> None:
    """In a freeze a kill switch diverts as at any time."""
    seen = settle(running(policies=(view(FREEZE),), switches=(switch(Effect.DIVERT),)), NOW)
    assert (seen.targets[0].shares, seen.status.phase) == ((0,), "Killed")


def test_a_policy_does_not_hold_undo() -> None:
    """What served before comes back in the middle of a freeze: the version that is wrong is not kept by it."""
    seen = settle(replace(completed(), policies=(view(FREEZE),), actions=(action(Verb.UNDO, 1),)), NOW)
    assert (seen.targets[0].shares, seen.status.stable and seen.status.stable.slot) == ((0,), Slot.BLUE)


def test_a_policy_that_cannot_be_read_holds_what_grows() -> None:
    """Nobody knows what it says, so nothing goes on as if it said nothing."""
    unreadable = PolicyView("prod", None, problem="spec.windows.0.timeZone: unknown time zone 'Mars'")
    told = message(asked(unreadable))
    assert told.startswith("revision 2.0 waits: RolloutPolicy prod cannot be read, so nothing grows: spec.windows.0")


def test_of_several_policies_each_has_to_be_content() -> None:
    """One that allows does not outweigh one that does not."""
    assert message(asked(view({"windows": []}, "all"), view(FREEZE))) == f"revision 2.0 waits: {FROZEN}"


def test_a_first_version_waits_as_well() -> None:
    """What has never served is an exposure like any other; to adopt what serves already is none."""
    assert settle(replace(observed(), policies=(view(FREEZE),)), NOW).status.phase == "Healthy"
    held = cluster.settle(replace(workloads.unborn(), policies=(view(FREEZE),)), NOW)
    assert held.status.message == f"first version 1.0 waits: {FROZEN}"
    assert (held.status.phase, held.status.stable) == ("Paused", None)
    assert cluster.settle(held, NOW + 3 * HOUR).status.stable is not None


# ---------------------------------------------------------------------------------------------- stable first


def house(version: str = "2.0", *, days: float = 8, serves: bool = True, name: str = "house") -> Reference:
    """A Rollout of a house account."""
    return Reference(f"{name}/checkout", f"hash-{version}", version, serves, NOW - days * 24 * HOUR)


@pytest.mark.parametrize(
    "references, said",
    [
        ((), "2.0 has to be stable for 168h first, but no Rollout matches its requireStable"),
        ((house("1.0"),), "2.0 has to be stable for 168h first; something else is stable in house/checkout (1.0)"),
        ((house(), house("1.0", name="staff")), "something else is stable in staff/checkout (1.0)"),
        ((Reference("house/checkout"),), "something else is stable in house/checkout (nothing yet)"),
        ((house(serves=False),), "it does not serve well in house/checkout"),
        ((house(), house(days=6, name="staff")), "in staff/checkout it is at 2026-03-03 09:00 UTC"),
        ((replace(house(), since=None),), "nobody knows since when it is in house/checkout"),
    ],
)
def test_others_have_to_be_stable_first(references: tuple[Reference, ...], said: str) -> None:
    """The run waits, and the message says for whom, and where it is known until when."""
    told = message(asked(view(HOUSE, references=references)))
    assert told.startswith("revision 2.0 waits: held by RolloutPolicy prod: ")
    assert said in told


def test_it_begins_once_they_have_been_stable_for_long_enough() -> None:
    """Seven days after the last of them it goes by itself."""
    held = settle(asked(view(HOUSE, references=(house(), house(days=6, name="staff")))), NOW)
    assert plan(held, NOW).wake_at == NOW + 24 * HOUR
    assert settle(held, NOW + 24 * HOUR).targets[0].shares == (1000,)


def test_who_goes_first_waits_for_nobody() -> None:
    """A policy that covers the house accounts too does not have them wait for themselves."""
    assert settle(asked(view(HOUSE, goes_first=True)), NOW).targets[0].shares == (1000,)


def test_without_a_version_the_content_is_compared() -> None:
    """Services without a version, or templates: equal hashes are the same revision."""
    seen = ask(replace(healthy(), policies=(view(HOUSE, references=(house(),)),)), rollout_spec(version=None))
    assert "something else is stable in house/checkout (2.0)" in message(seen)


def test_a_new_name_for_what_serves_is_stable_from_then_on() -> None:
    """The same pods under another version: who wants that one for a week does not get the week of the one before."""
    served = workloads.serving()
    assert served.asked is not None
    named = cluster.settle(replace(served, asked=replace(served.asked, version="2.0")), NOW + HOUR)
    assert named.status.stable is not None
    assert (named.status.stable.version, named.status.stable.since) == ("2.0", NOW + HOUR)
    assert cluster.settle(named, NOW + 2 * HOUR).status.stable == named.status.stable


# ---------------------------------------------------------------------------------------------- turns


CAP = {"maxConcurrent": 3, "minInterval": "10m"}
TURN = "waits for its turn by RolloutPolicy prod: at most 3 runs at a time, one run begins every 10m"


def test_a_run_asks_for_its_turn_and_begins_when_it_has_it() -> None:
    """The asking is in the status before anything else, so that it survives a crash; with the turn, the run begins."""
    held = settle(asked(view(CAP)), NOW)
    assert held.status.message == f"revision 2.0 waits: {TURN}"
    assert held.status.queued is not None
    assert (held.status.queued.policy, held.status.queued.since) == ("prod", NOW)
    later = settle(held, NOW + MINUTE)
    assert later.status.queued == held.status.queued  # it does not go to the end of the line by being looked at
    begun = settle(replace(later, policies=(view(CAP, turn=NOW),)), NOW + MINUTE)
    assert (begun.status.queued, begun.targets[0].shares) == (None, (1000,))


def test_a_turn_of_an_earlier_asking_counts_for_nothing() -> None:
    """A status of the policy that is behind does not let a run begin out of turn."""
    assert message(asked(view(CAP, turn=NOW - HOUR))) == f"revision 2.0 waits: {TURN}"
    held = settle(asked(view(CAP)), NOW)
    assert settle(replace(held, policies=(view(CAP, turn=NOW - HOUR),)), NOW).status.revision is None


def test_turns_are_asked_for_one_policy_after_the_other() -> None:
    """By name, so that no two Rollouts wait for one another; the time at which it began to wait is kept."""
    first, second = view(CAP, "a"), view(CAP, "b")
    held = settle(asked(first, second), NOW)
    assert held.status.queued
    assert held.status.queued.policy == "a"
    held = settle(replace(held, policies=(view(CAP, "a", turn=NOW), second)), NOW + MINUTE)
    assert held.status.queued
    assert (held.status.queued.policy, held.status.queued.since) == ("b", NOW)
    begun = settle(replace(held, policies=(view(CAP, "a", turn=NOW), view(CAP, "b", turn=NOW))), NOW + MINUTE)
    assert begun.status.revision is not None


def test_who_may_not_begin_anyhow_does_not_stand_in_line() -> None:
    """A freeze, a pause or a switch comes before the line: nobody waits for who could not go."""
    for seen in (
        asked(view(FREEZE | CAP)),
        ask(replace(healthy(), policies=(view(CAP),)), rollout_spec(paused=True)),
        replace(asked(view(CAP)), switches=(switch(Effect.HOLD),)),
    ):
        assert settle(seen, NOW).status.queued is None


def test_a_run_that_is_refused_loses_its_turn() -> None:
    """It asks anew, behind the others, so that a template that the API server refuses holds nobody up."""
    held = settle(asked(view(CAP)), NOW)
    refused = replace(held, policies=(view(CAP, turn=NOW),), write_problem=("TemplateRefused", "no such field"))
    made = plan(refused, NOW + MINUTE)
    assert made.create_run is None
    assert made.status.queued
    assert made.status.queued.since == NOW + MINUTE + timedelta(seconds=30)
    again = replace(after(refused, made), write_problem=None)
    assert settle(again, NOW + MINUTE).status.queued == made.status.queued


def test_retry_waits_for_its_turn_like_everybody() -> None:
    """It is answered at once; the run begins when it is its turn."""
    seen = replace(settle(running(actions=(action(Verb.ABORT),)), NOW), policies=(view(CAP),))
    asked_again = settle(replace(seen, actions=(action(Verb.RETRY, 1),)), NOW + SECOND)
    made = plan(replace(seen, actions=(action(Verb.RETRY, 1),)), NOW + SECOND)
    assert (made.answers[0].done, made.answers[0].message) == (True, "it is tried again as soon as it is its turn")
    assert asked_again.status.message == f"revision 2.0 waits: {TURN}"
    begun = settle(replace(asked_again, policies=(view(CAP, turn=NOW + SECOND),)), NOW + MINUTE)
    assert begun.status.revision is not None
    assert begun.status.revision.number == 2


def test_retry_in_a_freeze_is_refused() -> None:
    """Who asks is told until when, rather than surprised by a run that begins at night."""
    seen = replace(settle(running(actions=(action(Verb.ABORT),)), NOW), policies=(view(FREEZE),))
    made = plan(replace(seen, actions=(action(Verb.RETRY, 1),)), NOW)
    assert (made.answers[0].done, made.answers[0].message) == (False, f"{FROZEN}; then ask again")


def test_a_crash_after_the_run_was_made_does_not_wait_again() -> None:
    """The RolloutRun is there and the status is not: the turn is still out, and the same run goes on."""
    held = replace(settle(asked(view(CAP)), NOW), policies=(view(CAP, turn=NOW),))
    made = plan(held, NOW + MINUTE)
    assert made.create_run is not None
    crashed = replace(after(held, made), status=held.status)
    assert settle(crashed, NOW + MINUTE).status.revision is not None
    assert [run.name for run in settle(crashed, NOW + MINUTE).runs] == ["checkout-1"]


# ---------------------------------------------------------------------------------------------- people


GROUP = "release-managers"
TWO = {"approval": {"group": GROUP, "quorum": 2}}


def approving(seen: Observed, actor: str, at: datetime = NOW) -> Observed:
    """Somebody of the group approves what the policy asks for."""
    fields: dict[str, Any] = {"point": "policy/prod", "actor_groups": (GROUP,)}
    asked_for = action(Verb.APPROVE, 1, at=at, name=actor, actor=actor, **fields)
    return settle(replace(seen, actions=(asked_for,)), at)


def test_people_of_a_group_have_to_agree_before_anything_is_exposed() -> None:
    """The run is there and recorded; it exposes nothing until two agree, none of them who asked for it."""
    held = settle(asked(view(TWO)), NOW)
    assert held.status.message == (
        "revision 1 begins: RolloutPolicy prod waits for approval by 2 of release-managers: nobody yet: "
        "sluice approve checkout -n shop; alice, who asked for it, does not count"
    )
    assert (held.targets[0].shares, held.status.phase) == ((0,), "Paused")
    one = approving(approving(held, "alice"), "bob")
    assert one.targets[0].shares == (0,)
    both = approving(one, "carol")
    assert (both.targets[0].shares, both.status.approvals) == ((1000,), ())


def test_they_are_asked_once_for_a_run() -> None:
    """From the first exposure on, the steps go as the strategy says."""
    seen = approving(approving(settle(asked(view(TWO)), NOW), "bob"), "carol")
    assert settle(seen, NOW + 10 * MINUTE).targets[0].shares == (10000,)


def test_what_a_policy_no_longer_asks_for_is_not_shown() -> None:
    """The policy goes away while people were asked: the run goes on, and nobody is asked any more."""
    held = settle(asked(view(TWO)), NOW)
    assert [each.point for each in held.status.approvals] == ["policy/prod"]
    gone = settle(replace(held, policies=()), NOW)
    assert (gone.targets[0].shares, gone.status.approvals) == ((1000,), ())


def test_a_policy_may_want_to_know_who_asked() -> None:
    """Where nobody knows that, anybody could approve their own: with requireRequester nobody can."""
    strict = {"approval": {"group": GROUP, "requireRequester": True}}
    held = settle(replace(asked(view(strict)), requester="unattributed (field manager helm)"), NOW)
    assert "it is not known which person asked for this run, and who did may not approve it" in held.status.message
    assert approving(held, "bob").targets[0].shares == (0,)


def test_undo_asks_nobody() -> None:
    """To go back takes no approval."""
    seen = settle(replace(completed(), policies=(view(TWO),), actions=(action(Verb.UNDO, 1),)), NOW)
    assert seen.targets[0].shares == (0,)


# ---------------------------------------------------------------------------------------------- error budgets


QUERIES = {"goodQuery": "sum(g[{{window}}])", "totalQuery": "sum(t[{{window}}])"}
BUDGET = {"errorBudget": {"objective": "99%", "window": "1h", **QUERIES}}


def spent(rate: float, at: datetime = NOW) -> BudgetStatus:
    """Everything was looked at just then, and burns at that rate."""
    budget = RolloutPolicySpec.parse(BUDGET, "spec").error_budget
    ranges = error_budget.ranges(budget) if budget is not None else ()
    looks = tuple(BudgetLook(range=each, burn_rate=rate, asked_at=at) for each in ranges)
    return BudgetStatus(remaining=1 - rate, looks=looks)


@pytest.mark.parametrize(
    "seen, said",
    [
        (spent(1.5), "the error budget of 99% over 1h is used up: -50% of it is left, and it stops at 0%"),
        (None, "the error budget was not looked at over 1h yet"),
        (spent(0.2, NOW - HOUR), "the error budget is not known: nothing new over 1h"),
    ],
)
def test_without_error_budget_nothing_grows(seen: BudgetStatus | None, said: str) -> None:
    """Used up, or not known because nobody looked, or looked too long ago: the run waits, and says for what."""
    held = settle(asked(view(BUDGET, budget=seen)), NOW)
    assert held.status.message == f"revision 2.0 waits: held by RolloutPolicy prod: {said}"


def test_with_some_error_budget_left_it_grows() -> None:
    """And a run under way stops where it is once that is gone."""
    begun = settle(asked(view(BUDGET, budget=spent(0.2))), NOW)
    assert begun.targets[0].shares == (1000,)
    later = NOW + 10 * MINUTE
    held = settle(replace(begun, policies=(view(BUDGET, budget=spent(1.5, later)),)), later)
    assert (held.targets[0].shares, held.status.phase) == ((1000,), "Paused")
