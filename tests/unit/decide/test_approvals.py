"""Approvals: who counts, once, for what, until when; and that nothing goes past where they are missing."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from sluice.api.action import Verb
from sluice.api.approval import Approval, ApprovalTally
from sluice.api.conditions import condition_of
from sluice.decide import approvals
from sluice.decide.approvals import Petition
from sluice.decide.draft import Draft
from sluice.decide.model import Answer, Observed
from sluice.decide.planner import plan
from unit.decide.observed import HOUR, MINUTE, NOW, SECOND, action, after, ask, rollout_spec, running, settle

GROUP = "release-managers"
TWO = {"approval": {"group": GROUP, "quorum": 2, "expires": "2h"}}
STEPS: dict[str, Any] = {"canary": {"steps": [{"setWeight": 10}, TWO, {"setWeight": 50}, TWO]}}
POINT = "step-2"


def waiting(**fields: Any) -> Observed:
    """A run that alice asked for, at 10 %, which two of the release managers have to let go on."""
    return running(strategy=STEPS, **fields)


def approve(
    seen: Observed,
    actor: str,
    *,
    at: datetime = NOW,
    point: str = POINT,
    groups: tuple[str, ...] = (GROUP, "system:authenticated"),
    revision: int | None = 1,
) -> tuple[Answer, Observed]:
    """What a person's approval is answered, and what there is afterwards."""
    fields: dict[str, Any] = {"point": point, "actor_groups": groups}
    asked = action(Verb.APPROVE, revision, at=at, name=f"{actor or 'nobody'}-{at:%H%M%S}", actor=actor, **fields)
    made = plan(replace(seen, actions=(asked,)), at)
    [answer] = made.answers
    return answer, after(seen, made)


def told(seen: Observed, verb: Verb, **fields: Any) -> tuple[Answer, Observed]:
    """What any other action of bob's is answered, and what there is afterwards."""
    made = plan(replace(seen, actions=(action(verb, **fields),)), NOW)
    [answer] = made.answers
    return answer, after(seen, made)


def step(seen: Observed) -> int:
    """The step that the run is in."""
    assert seen.status.step is not None
    return seen.status.step.index


def tally(seen: Observed) -> ApprovalTally:
    """What is asked for now."""
    [found] = seen.status.approvals
    return found


def approvers(seen: Observed) -> list[str]:
    """Who approved so far."""
    return [each.actor for each in tally(seen).approvals]


# ------------------------------------------------------------------ waiting


def test_the_run_waits_and_says_for_whom() -> None:
    """Phase, condition, message and tally tell what is missing, of which group, what to type, who does not count."""
    status = waiting().status
    paused = condition_of(status.conditions, "Paused")
    assert paused is not None
    assert (status.phase, paused.status, paused.reason) == ("Paused", "True", "WaitsForApproval")
    assert status.message == (
        "step 2 of 5, green at 10%: waits for approval by 2 of release-managers: nobody yet: "
        "sluice approve checkout -n shop; alice, who asked for it, does not count"
    )
    assert (tally(waiting()).point, tally(waiting()).revision, tally(waiting()).approvals) == (POINT, 1, ())


def test_people_are_told_once_that_it_waits() -> None:
    """An Event when it begins to wait, and none in every pass after that."""
    seen = running(strategy={"canary": {"steps": [{"setWeight": 10}, {"pause": {"duration": "1m"}}, TWO]}})
    notes = []
    for at in (NOW + 2 * MINUTE, NOW + 3 * MINUTE, NOW + 4 * MINUTE):
        made = plan(seen, at)
        notes += [note.message for note in made.notes if note.reason == "WaitsForApproval"]
        seen = after(seen, made)
    assert notes == ["step-3: waits for approval by 2 of release-managers"]


def test_waiting_for_people_is_not_late() -> None:
    """The deadline does not count it, and time alone lets nothing on."""
    seen = settle(waiting(), NOW + 100 * HOUR)
    assert (step(seen), seen.status.phase) == (2, "Paused")


# ------------------------------------------------------------------ counting


def test_two_of_the_group_let_it_on() -> None:
    """One is counted and not enough; with the second the run goes on at once."""
    answer, seen = approve(waiting(), "bob")
    assert (answer.done, answer.message) == (True, "approved step-2: 1 of 2 (bob)")
    assert (step(seen), approvers(seen)) == (2, ["bob"])
    assert "bob (until 2026-03-02 11:00 UTC) approved, 1 more: sluice approve checkout -n shop" in seen.status.message
    answer, seen = approve(seen, "carol")
    assert (answer.done, answer.message) == (True, "approved step-2: 2 of 2 (bob, carol)")
    assert (step(seen), seen.status.weight, seen.status.approvals) == (3, 5000, ())


def test_both_at_the_same_moment() -> None:
    """Two approvals in one pass are both counted; a third is told that it was not needed."""
    each = [
        action(Verb.APPROVE, 1, name=who, actor=who, point=POINT, actor_groups=(GROUP,))
        for who in ("bob", "carol", "d")
    ]
    made = plan(replace(waiting(), actions=tuple(each)), NOW)
    assert [answer.done for answer in made.answers] == [True, True, False]
    assert made.answers[2].message == "step-2 has been approved already: 2 of 2 (bob, carol)"
    assert made.status.step is not None
    assert made.status.step.index == 3


def test_nobody_counts_twice() -> None:
    """The same person's second approval is rejected, and changes nothing."""
    _, once = approve(waiting(), "bob")
    answer, seen = approve(once, "bob", at=NOW + MINUTE)
    assert (answer.done, answer.message) == (False, "bob has approved step-2 already: 1 of 2 (bob)")
    assert (step(seen), approvers(seen)) == (2, ["bob"])


def test_who_asked_does_not_count() -> None:
    """Nobody approves what they asked for themselves."""
    answer, seen = approve(waiting(), "alice")
    assert (answer.done, approvers(seen)) == (False, [])
    assert answer.message == "alice asked for this run: somebody else of release-managers has to approve it"


@pytest.mark.parametrize("groups", [("system:authenticated",), ("release-managers-eu", "Release-Managers")])
def test_strangers_do_not_count(groups: tuple[str, ...]) -> None:
    """Only the very group that is named."""
    answer, seen = approve(waiting(), "mallory", groups=groups)
    assert (answer.done, approvers(seen)) == (False, [])
    assert answer.message == "step-2 waits for approval by release-managers, a group that mallory is not in"


@pytest.mark.parametrize("actor, groups", [("", (GROUP,)), ("bob", ()), ("", ())])
def test_what_nobody_vouches_for_does_not_count(actor: str, groups: tuple[str, ...]) -> None:
    """Where the API server stamps no name or no groups, an approval is rejected."""
    answer, seen = approve(waiting(), actor, groups=groups)
    assert (answer.done, approvers(seen)) == (False, [])
    assert "nobody vouches for who approves, and in which groups they are" in answer.message


@pytest.mark.parametrize(
    "requester", ["unattributed", "unattributed (field manager helm)", "", "system:serviceaccount:argocd:controller"]
)
def test_an_unknown_requester_is_told(requester: str) -> None:
    """Approvals count, and everybody is told that nobody could check whether they are of one's own change."""
    seen = waiting()
    assert "could not be ruled out" not in seen.status.message
    runs = tuple(replace(run, spec=run.spec.model_copy(update={"requester": requester})) for run in seen.runs)
    seen = settle(replace(seen, runs=runs), NOW)
    assert "which person asked for the run is not known" in seen.status.message
    answer, _ = approve(seen, "bob")
    assert answer.done
    assert "self-approval could not be ruled out" in answer.message


# ------------------------------------------------------------------ for what


def test_an_approval_is_for_one_revision() -> None:
    """Who looked at another run, or names none, is told to look again."""
    for revision, why in ((7, "it is for revision 7, but the current one is 1"), (None, "Approve needs spec.revision")):
        answer, seen = approve(waiting(), "bob", revision=revision)
        assert (answer.done, approvers(seen)) == (False, [])
        assert why in answer.message


@pytest.mark.parametrize("point", ["step-4", "step-1", "batch/pilot", "step-2 "])
def test_an_approval_is_for_one_point(point: str) -> None:
    """It is not good for another step or batch, be it one to come."""
    answer, seen = approve(waiting(), "bob", point=point)
    assert (answer.done, approvers(seen)) == (False, [])
    assert f"it approves {point}, but what waits for approval now is step-2" in answer.message


def test_nothing_is_approved_ahead() -> None:
    """Before the run waits there is nothing to approve, and what was said then does not count later."""
    seen = running(strategy={"canary": {"steps": [{"setWeight": 10}, {"pause": {}}, TWO, {"setWeight": 50}]}})
    answer, seen = approve(seen, "bob", point="step-3")
    assert (answer.done, seen.status.approvals) == (False, ())
    assert "nothing waits for approval now, so step-3 cannot be approved" in answer.message


def test_approvals_do_not_outlive_their_step() -> None:
    """The next step that asks starts with nobody."""
    _, seen = approve(waiting(), "bob")
    _, seen = approve(seen, "carol")
    seen = settle(seen, NOW + SECOND)
    assert (step(seen), tally(seen).point, approvers(seen)) == (4, "step-4", [])


@pytest.mark.parametrize("how", ["aborted", "superseded", "retried"])
def test_approvals_do_not_outlive_their_run(how: str) -> None:
    """A run that is ended takes them along, and the next one asks anew."""
    _, seen = approve(waiting(), "bob")
    if how == "superseded":
        seen = settle(ask(seen, rollout_spec(version="3.0", strategy=STEPS)), NOW)
        assert (tally(seen).revision, approvers(seen)) == (2, [])
        return
    _, seen = told(seen, Verb.ABORT)
    assert seen.status.approvals == ()
    if how == "retried":
        seen = settle(seen, NOW)
        _, seen = told(seen, Verb.RETRY, revision=1)
        seen = settle(seen, NOW)
        assert (tally(seen).revision, approvers(seen)) == (2, [])


# ------------------------------------------------------------------ until when


def test_an_approval_expires() -> None:
    """Where the second comes too late, the first no longer counts; people are told, and it can be given anew."""
    _, seen = approve(waiting(), "bob")
    made = plan(seen, NOW + 2 * HOUR)
    assert [note.message for note in made.notes if note.warning] == [
        "step-2: what bob approved has expired, before approval by 2 of release-managers"
    ]
    late = after(seen, made)
    assert (step(late), approvers(late)) == (2, [])
    answer, late = approve(late, "carol", at=NOW + 2 * HOUR)
    assert answer.message == "approved step-2: 1 of 2 (carol)"
    answer, late = approve(late, "bob", at=NOW + 2 * HOUR + SECOND)
    assert (answer.done, step(late)) == (True, 3)


def test_it_wakes_when_an_approval_expires() -> None:
    """Nobody has to look for the status to tell the truth."""
    _, seen = approve(waiting(), "bob")
    assert plan(seen, NOW + MINUTE).wake_at == NOW + 2 * HOUR


def test_an_expired_approval_does_not_complete_a_quorum() -> None:
    """Also in the very pass in which the second person approves."""
    _, seen = approve(waiting(), "bob")
    answer, seen = approve(seen, "carol", at=NOW + 2 * HOUR)
    assert answer.message == "approved step-2: 1 of 2 (carol)"
    assert (step(seen), approvers(seen)) == (2, ["carol"])


# ------------------------------------------------------------------ nothing goes past


@pytest.mark.parametrize("verb", [Verb.PROMOTE, Verb.PROMOTE_FULLY])
def test_no_promotion_replaces_an_approval(verb: Verb) -> None:
    """Who may promote does not therefore approve."""
    answer, seen = told(waiting(), verb, revision=1)
    assert (answer.done, step(seen)) == (False, 2)
    assert "approval by 2 of release-managers, which no promotion replaces; nothing was skipped" in answer.message


def test_promoting_fully_does_not_skip_an_approval_to_come() -> None:
    """Not from the step before it either."""
    steps = [{"setWeight": 10}, {"pause": {}}, {"setWeight": 20}, TWO, {"setWeight": 50}]
    answer, seen = told(running(strategy={"canary": {"steps": steps}}), Verb.PROMOTE_FULLY, revision=1)
    assert (answer.done, step(seen)) == (False, 2)
    assert "step 4 waits for approval" in answer.message


def test_a_pause_holds_what_is_approved() -> None:
    """Enough approvals go past nothing else: a run that is paused goes on once it is resumed."""
    _, seen = told(waiting(), Verb.PAUSE)
    for who in ("bob", "carol"):
        _, seen = approve(seen, who)
    assert (step(seen), len(approvers(seen))) == (2, 2)
    _, seen = told(seen, Verb.RESUME)
    assert step(settle(seen, NOW)) >= 3


def test_other_guards_ask_beside_a_step() -> None:
    """Whoever needs approval asks at a point of its own; each counts for itself, and says what it waits for."""
    seen = waiting()
    draft = Draft(observed=seen, now=NOW, status=seen.status)
    policy = Petition("policy/freeze", Approval(group="directors"), 1, "alice", "sluice approve checkout -n shop")
    missing = approvals.ask(draft, policy)
    assert missing is not None
    assert (missing.reason, "approval by 1 of directors: nobody yet" in missing.message) == ("WaitsForApproval", True)
    seen = replace(seen, status=draft.status)
    assert [each.point for each in seen.status.approvals] == [POINT, "policy/freeze"]
    answer, seen = approve(seen, "dora", point="policy/freeze", groups=("directors",))
    assert (answer.done, step(seen)) == (True, 2)
    assert approvals.ask(Draft(observed=seen, now=NOW, status=seen.status), policy) is None
    assert [len(each.approvals) for each in seen.status.approvals] == [1, 0]


# ------------------------------------------------------------------ crashes and forgeries


def test_a_crash_before_the_answer_counts_nobody_twice() -> None:
    """The status was written and the answer was not: the same action is answered as before, and adds nobody."""
    asked = action(Verb.APPROVE, 1, actor="bob", point=POINT, actor_groups=(GROUP,))
    made = plan(replace(waiting(), actions=(asked,)), NOW)
    again = plan(replace(after(waiting(), made), actions=(asked,)), NOW + SECOND)
    assert again.answers == made.answers
    assert [[one.actor for one in each.approvals] for each in again.status.approvals] == [["bob"]]
    assert again.status.audit == made.status.audit


def test_a_crash_before_the_status_loses_the_approval_and_not_the_person() -> None:
    """Nothing was written: the action is there still, and is done then."""
    answer, seen = approve(waiting(), "bob")
    once_more, then = approve(waiting(), "bob")
    assert (once_more, then.status.approvals) == (answer, seen.status.approvals)


@pytest.mark.parametrize(
    "changes", [{"quorum": 1}, {"group": "everybody"}, {"expires": timedelta(hours=9)}, {"revision": 2}]
)
def test_a_tally_that_asks_for_something_else_counts_for_nothing(changes: dict[str, Any]) -> None:
    """What is asked for is what the immutable record of the run says, whatever somebody wrote into the status."""
    _, seen = approve(waiting(), "bob")
    forged = tuple(each.model_copy(update=changes) for each in seen.status.approvals)
    seen = settle(replace(seen, status=seen.status.model_copy(update={"approvals": forged})), NOW)
    assert (step(seen), tally(seen).quorum, tally(seen).group, approvers(seen)) == (2, 2, GROUP, [])


def test_a_tally_with_the_askers_name_in_it_does_not_count() -> None:
    """Nor an approval of one's own that somebody wrote into the status."""
    _, seen = approve(waiting(), "bob")
    [known] = seen.status.approvals
    forged = known.model_copy(
        update={"approvals": (*known.approvals, known.approvals[0].model_copy(update={"actor": "alice"}))}
    )
    seen = settle(replace(seen, status=seen.status.model_copy(update={"approvals": (forged,)})), NOW)
    assert (step(seen), approvers(seen)) == (2, ["bob"])


def test_each_is_audited_with_its_actor() -> None:
    """The chain tells who approved what."""
    _, seen = approve(waiting(), "bob")
    entry = seen.status.audit.entries[-1]
    assert (entry.action, entry.actor, entry.message) == ("Approve", "bob", "approved step-2: 1 of 2 (bob)")


# ------------------------------------------------------------------ rejecting


def test_reject_ends_the_run() -> None:
    """Traffic returns at once, the reason is its own, and the revision waits for a Retry."""
    answer, seen = told(waiting(), Verb.REJECT, reason="refunds untested")
    revision = seen.status.revision
    assert revision is not None
    assert (answer.done, answer.message) == (True, "rejected; traffic returns to blue")
    assert (revision.outcome, revision.reason) == ("Aborted", "RejectedByAction")
    assert revision.message == "rejected by bob: refunds untested"
    assert seen.status.rejected == (revision.hash,)
    assert settle(seen, NOW).targets[0].shares == (0,)


@pytest.mark.parametrize("verb", [Verb.REJECT, Verb.HOLD, Verb.EXTEND])
def test_they_need_a_reason_and_a_run(verb: Verb) -> None:
    """Others are to learn why; and where nothing runs there is nothing to stop."""
    answer, seen = told(waiting(), verb, reason=" ", **({} if verb is Verb.REJECT else {"duration": HOUR}))
    assert (answer.done, f"{verb} needs spec.reason" in answer.message, step(seen)) == (False, True, 2)
    _, seen = told(seen, Verb.ABORT)
    answer, _ = told(seen, verb, reason="why", name="later")
    assert f"no run is under way to {verb.value.lower()}" in answer.message
