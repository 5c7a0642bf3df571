"""First sight: what serves is adopted as stable, and no gate is skipped by deleting and creating anew."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sluice.api.action import Verb
from sluice.api.conditions import condition_of
from sluice.api.names import Kind, Slot
from sluice.api.rollout import Outcome, RolloutSpec, RolloutStatus, StepStatus
from sluice.decide.model import Observed, TargetView
from sluice.decide.planner import plan
from unit.decide import cluster, workloads
from unit.decide.observed import (
    NOW,
    STABLE_SPEC,
    aborted,
    action,
    after,
    completed,
    missing,
    observed,
    rollout_spec,
    running,
    settle,
    target,
)


def recreated(before: Observed, spec: RolloutSpec | None = None) -> Observed:
    """The same, by a Rollout that knows nothing: deleted by force and created anew, or with its status lost."""
    return replace(before, status=RolloutStatus(), spec=spec or before.spec, has_finalizer=False)


@pytest.mark.parametrize(
    "green, asked, stable",
    [
        (0, Slot.BLUE, Slot.BLUE),
        (0, Slot.GREEN, Slot.BLUE),
        (10_000, Slot.BLUE, Slot.GREEN),
        (1000, Slot.GREEN, Slot.BLUE),
        (9000, Slot.BLUE, Slot.GREEN),
        (5000, Slot.GREEN, Slot.BLUE),
        (5000, Slot.BLUE, Slot.GREEN),
    ],
)
def test_what_serves_is_stable(green: int, asked: Slot, stable: Slot) -> None:
    """The slot with the greater share; where both have half, the one that is not asked for."""
    made = plan(observed(rollout_spec(asked), targets=(target(green),)), NOW)
    assert made.status.stable is not None
    assert made.status.stable.slot is stable


@pytest.mark.parametrize("green", [0, 10_000])
def test_nothing_moves_because_a_rollout_appears(green: int) -> None:
    """All traffic on one slot: no write, but to the status, until the spec asks for the other one."""
    spec = rollout_spec(Slot.GREEN if green else Slot.BLUE)
    first = plan(observed(spec, targets=(target(green),)), NOW)
    assert (first.shifts, first.urgent, first.create_run) == ((), (), None)
    assert first.status.phase == "Healthy"


def test_a_share_without_a_run_goes_to_stable() -> None:
    """90/10 that no run explains becomes 100/0, and the audit tells what was meant and what was seen."""
    seen = settle(observed(STABLE_SPEC, targets=(target(1000),)), NOW)
    assert seen.targets[0].shares == (0,)
    assert [(entry.stage, entry.action) for entry in seen.status.audit.entries] == [
        ("Observed", "adopt"),
        ("Intended", "return"),
        ("Observed", "return"),
    ]


def test_routes_are_weighed_together() -> None:
    """Several routes and rules: their mean decides."""
    views = (target(0), target(shares=(10_000, 10_000), name="second"), target(9000, name="third"))
    made = plan(observed(STABLE_SPEC, targets=views), NOW)
    assert made.status.stable is not None
    assert made.status.stable.slot is Slot.GREEN


def test_a_missing_route_does_not_hide_the_others() -> None:
    """With one of two routes missing, the other tells what serves; the missing one is named."""
    made = plan(observed(STABLE_SPEC, targets=(target(0), missing("second"))), NOW)
    assert made.status.stable is not None
    stalled = condition_of(made.status.conditions, "Stalled")
    assert stalled is not None
    assert (stalled.reason, stalled.message) == (
        "RouteMissing",
        "HTTPRoute shop/second does not exist. Create it",
    )


@pytest.mark.parametrize("views", [(), (missing(),), (target(None, problem="no rule names both Services"),)])
def test_nothing_is_adopted_from_nothing(views: tuple[TargetView, ...]) -> None:
    """Where no route can be read, nobody knows what serves: Stalled and not Ready, with what to do."""
    made = plan(observed(STABLE_SPEC, targets=views), NOW)
    assert (made.status.stable, made.status.phase, made.shifts) == (None, "Degraded", ())
    reasons = {condition.type: condition.reason for condition in made.status.conditions}
    assert reasons["Stalled"] == reasons["Ready"] != "NoHealthyStable"


def test_an_unfinished_run_is_never_taken_for_stable() -> None:
    """A Rollout that is created anew in mid-run returns to what was stable, also at 90 % and whatever it asks for."""
    seen = recreated(replace(running(), targets=(target(9000),)))
    made = plan(seen, NOW)
    assert made.status.stable is not None
    assert (made.status.stable.slot, made.status.stable.version) == (Slot.BLUE, "1.0")
    assert [shift.share for shift in made.shifts] == [0]
    assert dict(made.run_statuses)["checkout-1"].outcome is Outcome.RETURNED


def test_after_that_the_run_begins_from_step_1() -> None:
    """No gate is skipped: the same revision goes through all its steps again, under a new number."""
    seen = settle(recreated(running()), NOW)
    assert seen.status.revision is not None
    assert seen.status.step is not None
    assert (seen.status.revision.number, seen.status.step.index, seen.targets[0].shares) == (2, 2, (1000,))


def test_an_old_run_whose_end_was_never_written_counts_for_nothing() -> None:
    """Only the newest run can be the one that was under way when the status was lost."""
    seen = completed()
    unfinished = replace(seen.runs[0], status=seen.runs[0].status.model_copy(update={"outcome": None}))
    seen = settle(replace(seen, spec=rollout_spec(Slot.BLUE, "3.0"), generation=9), NOW)
    newest = seen.runs[-1]
    assert newest.status.outcome is None
    done = replace(newest, status=newest.status.model_copy(update={"outcome": Outcome.COMPLETED}))
    made = plan(recreated(replace(seen, runs=(unfinished, done), targets=(target(0),))), NOW)
    assert made.status.stable is not None
    assert (made.status.stable.slot, made.status.stable.number) == (Slot.BLUE, 2)


def test_a_completed_revision_is_known_again() -> None:
    """What the last completed run made stable keeps its version and number, so it can be undone."""
    seen = settle(recreated(completed()), NOW)
    assert seen.status.stable is not None
    assert (seen.status.stable.version, seen.status.stable.number, seen.status.phase) == ("2.0", 1, "Healthy")
    made = plan(replace(seen, actions=(action(Verb.UNDO, 0),)), NOW)
    assert made.answers[0].done, made.answers[0].message


def test_rejected_revisions_are_remembered_across_deletion() -> None:
    """An aborted revision is not tried again because its Rollout was deleted and created."""
    seen = settle(recreated(aborted()), NOW)
    assert (seen.status.phase, seen.status.revision) == ("Aborted", None)
    assert seen.status.message.startswith("aborted by bob; blue serves; try again: sluice retry")


def test_undone_revisions_are_remembered_across_deletion() -> None:
    """Neither is an undone one."""
    undone = settle(replace(completed(), actions=(action(Verb.UNDO, 1),)), NOW)
    seen = settle(recreated(undone), NOW)
    assert seen.status.stable is not None
    assert (seen.status.stable.slot, seen.status.stable.number, seen.status.phase) == (Slot.BLUE, 2, "Aborted")


def test_a_status_without_its_stable_revision_is_taken_as_lost() -> None:
    """Half a status (somebody edited it) can't steer a run."""
    seen = running()
    odd = seen.status.model_copy(
        update={"stable": None, "step": StepStatus(index=99, of=1, kind="watch", started_at=NOW)}
    )
    made = plan(replace(seen, status=odd), NOW)
    assert made.status.stable is not None
    assert (made.status.stable.slot, made.status.revision, made.status.step) == (Slot.BLUE, None, None)


def test_a_rival_adopts_nothing() -> None:
    """The second Rollout of a route moves nothing, and names the first."""
    made = plan(observed(rival="shop/first"), NOW)
    assert (made.status.stable, made.shifts) == (None, ())
    stalled = condition_of(made.status.conditions, "Stalled")
    assert stalled is not None
    assert stalled.message.startswith("Rollout shop/first already has one of this Rollout's routes")


def test_a_switched_service_is_adopted_like_a_route() -> None:
    """A Service whose selector is green's has green as stable."""
    view: Any = target(10_000, kind=Kind.SERVICE, all_or_nothing=True)
    made = plan(observed(rollout_spec(Slot.GREEN), targets=(view,)), NOW)
    assert made.status.stable is not None
    assert made.status.stable.slot is Slot.GREEN


def test_adopting_is_told_once() -> None:
    """One event and one audit entry, in the pass that adopts."""
    first = plan(observed(), NOW)
    assert [note.reason for note in first.notes] == ["Adopted"]
    assert plan(after(observed(), first), NOW).notes == ()


def test_a_deployment_of_somebody_else_is_not_adopted() -> None:
    """Where a slot's Deployment shall be there is another one already: it is named, and nothing is written or begun."""
    foreign = workloads.deployment(workloads.serving(), Slot.BLUE)
    template = {"metadata": {"labels": {"app": "checkout"}}, "spec": foreign.template["spec"]}
    seen = workloads.unborn()
    view = replace(seen.slots[Slot.BLUE], deployment=replace(foreign, template=template, owner="", applied="", hash=""))
    made = plan(replace(seen, slots={**seen.slots, Slot.BLUE: view}), NOW)
    stalled = condition_of(made.status.conditions, "Stalled")
    assert stalled is not None
    assert stalled.reason == "NameTaken"
    assert "Deployment shop/checkout-blue" in stalled.message
    assert (made.applies, made.status.stable, made.create_run) == ((), None, None)


def test_a_first_version_is_not_written_again_when_a_run_begins() -> None:
    """Its template is then read off its Deployment, with the API server's defaults: it is still the same."""
    seen = workloads.ship(workloads.serving(), workloads.template("2.0"))
    written: set[str] = set()
    for _ in range(8):
        made = plan(seen, NOW)
        written |= set(workloads.applied(made))
        seen = cluster.after(seen, made)
    assert written == {"checkout-green"}


@pytest.mark.parametrize("slot", Slot)
def test_of_two_slots_with_half_each_the_one_with_more_pods_is_stable(slot: Slot) -> None:
    """Somebody made the weights even while no Rollout was there: full stable outweighs what a canary left behind."""
    seen = workloads.stepping()
    for each in Slot:
        seen = workloads.with_deployment(seen, each, ready=10 if each is slot else 3)
    made = plan(replace(recreated(seen), runs=(), targets=(target(5000),)), NOW)
    assert made.status.stable is not None
    assert made.status.stable.slot is slot
