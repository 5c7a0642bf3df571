"""What a Rollout says of itself in each situation: phase, message, and conditions that kstatus understands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from sluice.api.action import Verb
from sluice.api.conditions import Reason, is_true
from sluice.api.killswitch import Effect
from sluice.api.names import Slot
from sluice.api.rollout import Readiness, RolloutStatus
from sluice.decide.model import Acceptance, Observed, Templates
from sluice.decide.planner import plan
from sluice.decide.report import with_stalled
from unit.decide import cluster, workloads
from unit.decide.observed import (
    HOUR,
    NOW,
    OPEN_PAUSE,
    SECOND,
    aborted,
    action,
    after,
    ask,
    completed,
    healthy,
    measured,
    metric,
    missing,
    observed,
    rollout_spec,
    running,
    settle,
    slots,
    switch,
    target,
)

Make = Callable[[], Observed]


def undone() -> Observed:
    """Run 1 completed, run 2 undid it."""
    return settle(replace(completed(), actions=(action(Verb.UNDO, 1),)), NOW)


def killed() -> Observed:
    """Run 1 was killed; the switch is still engaged."""
    return settle(replace(running(), switches=(switch(),)), NOW)


def measuring(value: float, *, hold: bool = False) -> Observed:
    """Ten per cent, and the last answer."""
    asked = metric(onFailure="Hold") if hold else metric(failureLimit=2)
    seen = running(templates=Templates(background=(asked,)), strategy=OPEN_PAUSE)
    return settle(replace(seen, measurements=(measured(value, NOW + SECOND),)), NOW + SECOND)


def complete(make: Make) -> Make:
    """The same with `readiness: Complete`."""

    def made() -> Observed:
        seen = make()
        assert seen.spec is not None
        return settle(ask(seen, seen.spec.model_copy(update={"readiness": Readiness.COMPLETE})), NOW)

    return made


# ---------------------------------------------------------------------------------------------- every situation

# What is true of `Ready Reconciling Stalled Progressing Paused Killed`, in the order R r S P p K.
SITUATIONS: list[tuple[str, Make, str, str, str]] = [
    ("healthy", healthy, "Healthy", "R", "blue (1.0) serves"),
    ("stepping", running, "Progressing", "RP", "step 2 of 4, green at 10%: pause for 10m"),
    ("open pause", lambda: running(strategy=OPEN_PAUSE), "Paused", "RPp", "waits for a person: sluice promote"),
    ("paused by spec", lambda: settle(ask(running(), rollout_spec(paused=True)), NOW), "Paused", "RPp", "spec.paused"),
    ("paused by bob", lambda: settle(running(actions=(action(Verb.PAUSE),)), NOW), "Paused", "RPp", "paused by bob"),
    ("held", lambda: settle(replace(running(), switches=(switch(Effect.HOLD),)), NOW), "Paused", "RPpK", "is engaged"),
    (
        "killed",
        killed,
        "Killed",
        "RK",
        "killed by KillSwitch shop/stop, engaged by alice: 5xx on checkout; blue serves",
    ),
    ("aborted", aborted, "Aborted", "R", "aborted by bob; blue serves; try again: sluice retry checkout -n shop"),
    ("undone", undone, "Aborted", "R", "what the spec asks for was undone; blue serves; try again: sluice retry"),
    ("completed", completed, "Healthy", "R", "green (2.0) serves"),
    ("analysis fails once", lambda: measuring(0.5), "Paused", "RPp", "errors is 0.5, above max 0.01"),
    ("analysis holds", lambda: measuring(0.5, hold=True), "Paused", "RPp", "errors is 0.5, above max 0.01"),
    (
        "stable is gone",
        lambda: settle(replace(healthy(), slots=slots(blue=0)), NOW),
        "Degraded",
        "",
        "Service shop/checkout-blue (blue), which serves, has no ready endpoint",
    ),
    (
        "a route is gone",
        lambda: settle(replace(healthy(), targets=(target(0), missing("second"))), NOW),
        "Degraded",
        "S",
        "HTTPRoute shop/second does not exist. Create it",
    ),
    (
        "a route is gone in mid-run",
        lambda: settle(replace(running(), targets=(target(1000), missing("second"))), NOW),
        "Progressing",
        "RSP",
        "step 2 of 4, green at 10%: pause for 10m",
    ),
    (
        "a route is refused",
        lambda: settle(replace(running(), targets=(target(1000, acceptance=Acceptance.REFUSED),)), NOW),
        "Progressing",
        "RSP",
        "HTTPRoute shop/checkout is not accepted",
    ),
    (
        "never adopted",
        lambda: observed(targets=(missing(),)),
        "Degraded",
        "S",
        "HTTPRoute shop/checkout does not exist",
    ),
    ("claimed", lambda: observed(rival="shop/first"), "Degraded", "S", "Rollout shop/first already has one"),
    (
        "unreadable spec at rest",
        lambda: settle(replace(healthy(), spec=None, spec_problem="spec.strategy: missing"), NOW),
        "Degraded",
        "S",
        "spec.strategy: missing",
    ),
    (
        "unreadable spec in mid-run",
        lambda: settle(replace(running(), spec=None, spec_problem="spec.strategy: missing"), NOW),
        "Paused",
        "SPp",
        "spec.strategy: missing; goes on when it is mended",
    ),
    ("Complete: healthy", complete(healthy), "Healthy", "R", "blue (1.0) serves"),
    ("Complete: stepping", complete(running), "Progressing", "rP", "pause for 10m"),
    ("Complete: completed", complete(completed), "Healthy", "R", "green (2.0) serves"),
    ("Complete: aborted", complete(aborted), "Aborted", "S", "aborted by bob"),
    ("Complete: killed", complete(killed), "Killed", "SK", "killed by KillSwitch"),
    ("Complete: undone", complete(undone), "Aborted", "S", "was undone"),
]


@pytest.mark.parametrize(
    "make, phase, true, says", [each[1:] for each in SITUATIONS], ids=[each[0] for each in SITUATIONS]
)
def test_what_is_said(make: Make, phase: str, true: str, says: str) -> None:
    """The phase in a word, the message in a sentence, and conditions of which three are kstatus'."""
    status = plan(make(), NOW + SECOND).status
    letters = {"R": "Ready", "r": "Reconciling", "S": "Stalled", "P": "Progressing", "p": "Paused", "K": "Killed"}
    found = "".join(letter for letter, kind in letters.items() if is_true(status.conditions, kind))
    assert (status.phase, found) == (phase, true)
    assert says in status.message


@pytest.mark.parametrize("make", [each[1] for each in SITUATIONS], ids=[each[0] for each in SITUATIONS])
def test_conditions_are_well_formed(make: Make) -> None:
    """Each type once; Reconciling and Stalled only while True; reasons are ours; each has its generation."""
    seen = make()
    conditions = plan(seen, NOW + SECOND).status.conditions
    assert len({condition.type for condition in conditions}) == len(conditions)
    reasons = {str(reason) for reason in Reason}
    for condition in conditions:
        assert condition.status == "True" or condition.type not in {"Reconciling", "Stalled"}
        assert condition.reason in reasons
        assert condition.observed_generation == seen.generation
        assert len(condition.message) <= 1024


def kstatus(status: RolloutStatus) -> str:
    """What kstatus computes: Failed while Stalled, InProgress while Reconciling or not Ready, else Current."""
    if is_true(status.conditions, "Stalled"):
        return "Failed"
    if is_true(status.conditions, "Reconciling") or not is_true(status.conditions, "Ready"):
        return "InProgress"
    return "Current"


@pytest.mark.parametrize(
    "make, serving, finished",
    [
        (healthy, "Current", "Current"),
        (running, "Current", "InProgress"),
        (completed, "Current", "Current"),
        (aborted, "Current", "Failed"),
        (killed, "Current", "Failed"),
    ],
)
def test_who_waits_by_kstatus_waits_for_the_right_thing(make: Make, serving: str, finished: str) -> None:
    """Serving: a sync never waits for a canary. Complete: it waits for the end, and fails where the end was another."""
    assert (kstatus(plan(make(), NOW).status), kstatus(plan(complete(make)(), NOW).status)) == (serving, finished)


def test_times_of_conditions_change_with_their_status_alone() -> None:
    """A new message leaves lastTransitionTime where it was."""
    seen = running()
    later = plan(replace(seen, switches=(switch(Effect.HOLD),)), NOW + HOUR).status
    times = {condition.type: condition.last_transition_time for condition in later.conditions}
    assert (times["Ready"], times["Progressing"], times["Paused"]) == (NOW, NOW, NOW + HOUR)


def test_why_is_the_rejected_revisions_own_end() -> None:
    """v2 was killed, v3 aborted; the spec asks for v2 again: the message is v2's."""
    seen = settle(ask(replace(killed(), switches=()), rollout_spec(version="3.0")), NOW)
    seen = settle(replace(seen, actions=(action(Verb.ABORT),)), NOW)
    back = settle(ask(seen, rollout_spec(version="2.0")), NOW)
    assert back.status.phase == "Killed"
    assert back.status.message.startswith("killed by KillSwitch shop/stop")


def test_a_revision_that_waits_to_begin_is_no_healthy_rollout() -> None:
    """Held before its start it is Paused; while the last candidate's share is on its way back, Progressing."""
    held = settle(replace(ask(healthy(), rollout_spec()), switches=(switch(),)), NOW)
    assert (held.status.phase, held.status.revision) == ("Paused", None)
    returning = after(seen := ask(running(), rollout_spec(version="2.1")), plan(seen, NOW), writes=False)
    assert plan(returning, NOW).status.phase == "Progressing"


def test_messages_are_bounded_whatever_people_write() -> None:
    """A reason of a hundred thousand characters ends up as a bounded message everywhere."""
    long = "x" * 100_000
    loud = replace(switch(), reason=long, actor=long)
    for seen in (
        replace(running(), switches=(loud,)),
        running(actions=(action(Verb.PAUSE, reason=long),)),
        running(actions=(action(Verb.ABORT, reason=long),)),
        replace(running(), spec=None, spec_problem=long),
        replace(healthy(), targets=(target(0, problem=long),)),
    ):
        status = settle(seen, NOW).status
        assert len(str(status.dump())) < 40_000


@pytest.mark.parametrize("reason", ["Forbidden", "WriteRefused"])
def test_a_refusal_in_a_run_is_added_to_a_status_as_it_is(reason: str) -> None:
    """Only the generation counts as seen; adding it again changes nothing at all."""
    status = running().status
    told = with_stalled(status, reason, "no" * 1000, 7, NOW)
    assert kstatus(told) == "Failed"
    assert (
        told.model_copy(update={"conditions": status.conditions, "observed_generation": status.observed_generation})
        == status
    )
    assert told.observed_generation == 7
    assert with_stalled(told, reason, "no" * 1000, 7, NOW + HOUR) == told


@pytest.mark.parametrize("make", [healthy, aborted])
def test_a_refusal_is_what_a_status_at_rest_says(make: Make) -> None:
    """Not how the last run ended, nor that the operator has not looked yet: who waits is told that it is in vain."""
    told = with_stalled(make().status, "TemplateRefused", "422: no such volume", 7, NOW)
    ready = next(each for each in told.conditions if each.type == "Ready")
    assert (told.phase, told.message, told.observed_generation) == ("Degraded", "422: no such volume", 7)
    assert (ready.status, ready.reason, ready.message) == ("False", "TemplateRefused", "422: no such volume")
    assert kstatus(told) == "Failed"


def test_what_needs_a_person_is_an_event_once() -> None:
    """A missing route is told as a Warning when it is seen first, and again for a changed spec; not in every pass."""
    seen = replace(healthy(), targets=(missing(),))
    made = plan(seen, NOW)
    assert [(note.warning, note.reason) for note in made.notes] == [(True, "RouteMissing")]
    assert plan(after(seen, made), NOW + SECOND).notes == ()
    assert len(plan(replace(after(seen, made), generation=9), NOW + SECOND).notes) == 1


def test_a_stable_slot_that_stops_answering_is_an_event() -> None:
    """It is told when Ready turns False over it, and not again while it stays so."""
    seen = replace(healthy(), slots=slots(0, 0))
    made = plan(seen, NOW)
    assert [(note.warning, note.reason) for note in made.notes] == [(True, "NoHealthyStable")]
    assert plan(after(seen, made), NOW + SECOND).notes == ()


def test_a_status_of_another_version_of_sluice_is_reported_on() -> None:
    """A reason that this version does not know is passed on, not a crash in every pass."""
    seen = aborted()
    assert seen.status.revision is not None
    other = seen.status.model_copy(update={"revision": seen.status.revision.model_copy(update={"reason": "NewReason"})})
    made = plan(replace(seen, status=other), NOW)
    progressing = next(each for each in made.status.conditions if each.type == "Progressing")
    assert progressing.reason == "NewReason"


def test_the_version_is_named_where_it_is_known() -> None:
    """Without a version, slots alone."""
    seen = settle(observed(rollout_spec(Slot.BLUE, None)), NOW)
    assert seen.status.message == "blue serves"


def test_nobody_is_said_to_serve_without_an_endpoint() -> None:
    """Stable lost its pods after an abort: that is the message, not that it serves."""
    seen = replace(aborted(), slots=slots(0, 0))
    assert plan(seen, NOW).status.message == "Service shop/checkout-blue (blue), which serves, has no ready endpoint"


def test_a_rollout_scaled_to_nothing_says_why_nobody_answers() -> None:
    """Whoever set replicas to 0 reads that, and not only that endpoints are missing."""
    made = plan(workloads.with_deployment(workloads.change(workloads.serving(), replicas=0), Slot.BLUE, ready=0), NOW)
    assert made.status.message.endswith("which serves, has no ready endpoint: spec.workload.replicas is 0")


def test_what_mends_itself_is_no_event() -> None:
    """A first version's Services are not there yet when the gateway looks; a refused template may be mended already."""
    refused = target(acceptance=Acceptance.REFUSED)
    unfit = target(0, problem="Service shop/checkout selects neither slot")
    for early in (refused, unfit):
        assert [note.reason for note in plan(workloads.unborn(targets=(early,)), NOW).notes] == ["Adopted"]
    unborn = workloads.unborn(targets=(target(None, all_or_nothing=True, problem="it selects neither slot"),))
    comes = cluster.after(unborn, plan(unborn, NOW))
    up = workloads.with_deployment(comes, Slot.BLUE, ready=workloads.CAPACITY)
    assert plan(up, NOW).status.stable != up.status.stable
    assert plan(up, NOW).notes == ()
    mended = replace(workloads.serving(), write_problem=("TemplateRefused", "no such volume"), generation=9)
    assert plan(mended, NOW).notes == ()


def test_a_run_whose_stable_slot_fails_says_so_first() -> None:
    """Most requests find nobody: that comes before the pause that waits for a person."""
    seen = cluster.settle(workloads.without(workloads.stepping(), Slot.BLUE), NOW, cluster.slowly)
    assert seen.status.phase == "Degraded"
    assert seen.status.message == (
        "Service shop/checkout-blue (blue), which serves, has no ready endpoint; "
        "step 2 of 5, green at 25%: waits for a person: sluice promote checkout -n shop"
    )
