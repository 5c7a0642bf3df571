"""What people tell a run whose pods Sluice runs: undo from nothing, retry, and restart."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sluice.api.action import Verb
from sluice.api.names import RESTARTED_ANNOTATION, Slot
from sluice.api.rollout import Outcome
from sluice.decide.model import Observed
from sluice.decide.planner import plan
from unit.decide import observed as plain
from unit.decide.cluster import after, settle, slowly
from unit.decide.observed import HOUR, MINUTE, NOW, SECOND, action
from unit.decide.workloads import (
    CAPACITY,
    aborted,
    applied,
    change,
    deployment,
    entry,
    finished,
    pods_in,
    serving,
    ship,
    stepping,
    template,
    told,
    version_in,
    with_deployment,
    without,
)

DELAYED = NOW + 10 * MINUTE


def asking(seen: Observed, verb: Verb, at: object = NOW) -> Observed:
    """Bob tells the current run to do something, and nobody has looked at it yet."""
    number = seen.status.revision.number if seen.status.revision else None
    return replace(seen, actions=(action(verb, number, at=at),))  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------- undo


def test_an_undo_that_a_crash_left_behind_gives_nobody_a_run_without_steps() -> None:
    """Its RolloutRun was made, and nothing else; who asks for that version an hour later gets all of the steps."""
    seen = asking(finished(), Verb.UNDO)
    crashed = replace(after(seen, plan(seen, NOW)), status=seen.status, actions=())
    assert crashed.runs[-1].spec.cause == "Undo"
    asked = settle(ship(crashed, template("1.0")), NOW + HOUR)
    run = asked.runs[-1].spec
    assert (run.cause, run.revision, asked.targets[0].shares) == ("SpecChanged", 3, (7500,))
    assert asked.runs[-2].status.outcome is Outcome.RETURNED


def test_undo_from_no_pods_scales_then_waits_then_swings() -> None:
    """The old slot went to zero long ago: all of its pods first, then all of the traffic, in one step."""
    late = settle(finished(), DELAYED)
    assert pods_in(late) == (0, CAPACITY)
    coming = settle(asking(late, Verb.UNDO, DELAYED), DELAYED, slowly)
    assert (pods_in(coming), coming.targets[0].shares, coming.actions) == ((CAPACITY, CAPACITY), (10_000,), ())
    assert "Deployment shop/checkout-blue has 0 of 10 pods ready" in coming.status.message
    nearly = settle(with_deployment(coming, Slot.BLUE, ready=CAPACITY - 1), DELAYED, slowly)
    assert nearly.targets[0].shares == (10_000,)
    back = settle(with_deployment(coming, Slot.BLUE, ready=CAPACITY), DELAYED)
    assert (back.targets[0].shares, version_in(back, Slot.BLUE)) == ((0,), "1.0")
    assert back.status.stable is not None
    assert (back.status.stable.slot, back.status.stable.version) == (Slot.BLUE, "1.0")


def test_undo_needs_no_deployment_to_be_left() -> None:
    """The RolloutRun keeps the template of what served before."""
    late = without(settle(finished(), DELAYED), Slot.BLUE)
    seen = settle(asking(replace(late, status=late.status), Verb.UNDO, DELAYED), DELAYED)
    assert (version_in(seen, Slot.BLUE), seen.targets[0].shares) == ("1.0", (0,))


def test_undo_puts_back_what_a_later_run_displaced() -> None:
    """3.0 was aborted in the old slot, in the place of 1.0: it is drained, and 1.0 comes back there."""
    displaced = told(settle(ship(finished(), template("3.0")), NOW + 10 * SECOND), Verb.ABORT, NOW + MINUTE)
    assert version_in(displaced, Slot.BLUE) == "3.0"
    seen = settle(told(displaced, Verb.UNDO, NOW + MINUTE), NOW + 2 * MINUTE)
    assert (version_in(seen, Slot.BLUE), seen.targets[0].shares) == ("1.0", (0,))


def test_what_was_undone_needs_a_retry() -> None:
    """The spec still asks for it: no run begins by itself."""
    seen = settle(told(finished(), Verb.UNDO), NOW + HOUR)
    assert seen.status.phase == "Aborted"
    again = told(seen, Verb.RETRY, NOW + HOUR)
    assert (again.targets[0].shares, again.runs[-1].spec.cause) == ((2500,), "Retry")


def test_an_undo_of_what_nobody_knows_any_more_changes_nothing() -> None:
    """Refused for the lost template: and what serves is not held to be rejected for that."""
    seen = settle(finished(), DELAYED)
    unknown = [replace(run, spec=run.spec.model_copy(update={"stable_template": None})) for run in seen.runs]
    asked = asking(without(replace(seen, runs=tuple(unknown)), Slot.BLUE), Verb.UNDO, DELAYED)
    made = plan(asked, DELAYED)
    (answer,) = made.answers
    assert (answer.done, answer.message) == (False, "the pod template of 1.0 is not known any more")
    assert (made.status.rejected, made.create_run) == ((), None)


# ---------------------------------------------------------------------------------------------- retry


def test_a_retry_finds_its_pods_still_there() -> None:
    """The same template in the same slot: nothing is drained, and it starts from the first step."""
    made = plan(asking(aborted(), Verb.RETRY), NOW)
    assert made.trial is not None
    assert made.trial.name == "checkout-green"
    seen = told(aborted(), Verb.RETRY)
    assert (seen.targets[0].shares, pods_in(seen), seen.status.run) == ((2500,), (CAPACITY, 3), "checkout-2")


def test_a_retry_from_no_pods_brings_them_up_first() -> None:
    """Long after the abort."""
    late = settle(aborted(), DELAYED)
    assert pods_in(late) == (CAPACITY, 0)
    coming = settle(asking(late, Verb.RETRY, DELAYED), DELAYED, slowly)
    assert (pods_in(coming), coming.targets[0].shares) == ((CAPACITY, 1), (0,))
    assert told(late, Verb.RETRY, DELAYED).targets[0].shares == (2500,)


# ---------------------------------------------------------------------------------------------- restart


def restarted_at(seen: Observed, slot: Slot) -> str | None:
    """When the pods of a slot were last asked to be replaced."""
    found: str | None = deployment(seen, slot).template["metadata"]["annotations"].get(RESTARTED_ANNOTATION)
    return found


def test_a_restart_replaces_the_pods_of_both_slots() -> None:
    """By an annotation, new ones first; it is the same revision, and the weight stays."""
    before = stepping()
    made = plan(asking(before, Verb.RESTART), NOW)
    assert made.answers[0].message == "the pods of checkout-blue and checkout-green are replaced, new ones first"
    seen = settle(asking(before, Verb.RESTART), NOW)
    assert {restarted_at(seen, slot) for slot in Slot} == {"2026-03-02T09:00:00.000000Z"}
    assert [deployment(seen, slot).hash for slot in Slot] == [deployment(before, slot).hash for slot in Slot]
    assert (seen.targets[0].shares, seen.status.run, pods_in(seen)) == ((2500,), "checkout-1", (CAPACITY, 3))


def test_a_restart_is_done_once_and_stays_done() -> None:
    """Later passes and a change of the number of pods replace nothing again."""
    seen = settle(asking(serving(), Verb.RESTART), NOW)
    later = settle(change(seen, replicas=4), NOW + HOUR)
    assert restarted_at(later, Slot.BLUE) == restarted_at(seen, Slot.BLUE) == "2026-03-02T09:00:00.000000Z"


def test_a_crash_does_not_lose_a_restart() -> None:
    """It is in the status before any Deployment is written."""
    seen = asking(serving(), Verb.RESTART)
    crashed = after(seen, plan(seen, NOW), writes=False)
    assert RESTARTED_ANNOTATION in applied(plan(crashed, NOW))["checkout-blue"]["template"]["metadata"]["annotations"]


def test_the_next_revision_is_not_restarted_by_the_last_ones_restart() -> None:
    """Its pods are new anyhow."""
    seen = settle(ship(told(stepping(), Verb.RESTART), template("3.0")), NOW)
    seen = settle(seen, NOW + 10 * SECOND)
    assert (version_in(seen, Slot.GREEN), restarted_at(seen, Slot.GREEN)) == ("3.0", None)
    assert entry(seen, Slot.BLUE).restarted_at == NOW


def test_a_restart_leaves_an_empty_slot_alone() -> None:
    """There is nothing to replace in the old slot."""
    seen = settle(finished(), DELAYED)
    made = plan(asking(seen, Verb.RESTART, DELAYED), DELAYED)
    assert (made.answers[0].message, set(applied(made))) == (
        "the pods of checkout-green are replaced, new ones first",
        {"checkout-green"},
    )


@pytest.mark.parametrize("seen, why", [(plain.healthy(), "its pods are not Sluice's"), (serving(), "")])
def test_only_pods_of_sluices_can_be_restarted(seen: Observed, why: str) -> None:
    """Behind Services of the user's own there are Deployments that it knows nothing of."""
    (answer,) = plan(asking(seen, Verb.RESTART), NOW).answers
    assert (answer.done, why in answer.message) == (not why, True)


def test_a_restart_in_mid_run_holds_growth_until_it_is_through() -> None:
    """No share is given while a pod of before the restart is left."""
    seen = settle(asking(stepping(), Verb.RESTART), NOW)
    rolling = with_deployment(seen, Slot.GREEN, rolled=False, replicas=5, pods=6, ready=5)
    made = plan(asking(rolling, Verb.PROMOTE), NOW)
    assert (made.shifts, made.answers) == ((), ())
    assert made.status.revision is not None
    assert made.status.revision.outcome is not Outcome.ABORTED


# ---------------------------------------------------------------------------------------------- promote


def test_a_promote_while_the_first_pods_come_up_says_what_it_waits_for() -> None:
    """That may take as long as the deadline: nobody is told to try again in a moment."""
    coming = settle(ship(serving(), template("2.0")), NOW, slowly)
    [answer] = plan(asking(coming, Verb.PROMOTE), NOW).answers
    assert (answer.done, answer.message) == (
        False,
        "the run has not begun its first step yet: it waits (WaitsForEndpoints); see: sluice status checkout -n shop",
    )
