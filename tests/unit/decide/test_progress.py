"""From step to step: when each kind is done, what freezes a run, which time counts, and the deadline."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sluice.api.action import Verb
from sluice.api.killswitch import Effect
from sluice.api.names import Slot
from sluice.api.outcome import Outcome
from sluice.api.rollout import StepStatus
from sluice.decide.model import Acceptance, Observed, Reading, ReadingKind, Templates
from sluice.decide.planner import plan
from sluice.decide.pods import PodFault
from unit.decide import cluster, workloads
from unit.decide.observed import (
    HOUR,
    MINUTE,
    NOW,
    SECOND,
    action,
    after,
    ask,
    healthy,
    measured,
    metric,
    missing,
    rollout_spec,
    running,
    settle,
    slots,
    switch,
    target,
)

GOOD = Templates(background=(metric(),))


def step(seen: Observed) -> StepStatus:
    """The step the run is in."""
    assert seen.status.step is not None
    return seen.status.step


def begun() -> Observed:
    """Step 1 is in the status, and not written yet."""
    seen = ask(healthy(), rollout_spec())
    for _ in range(2):
        seen = after(seen, plan(seen, NOW), writes=False)
    assert step(seen).index == 1
    return seen


# ---------------------------------------------------------------------------------------------- each kind


def test_a_share_is_done_when_every_controller_took_it() -> None:
    """A setWeight is done at Accepted, not at Written."""
    pending = settle(replace(begun(), targets=(target(1000, acceptance=Acceptance.PENDING),)), NOW)
    assert (step(pending).index, pending.status.confirmation) == (1, "Written")
    assert "waits until 10% is accepted by its controller everywhere" in pending.status.message
    done = settle(replace(pending, targets=(target(1000),)), NOW)
    assert step(done).index == 2


def test_a_pause_is_done_when_its_time_has_counted() -> None:
    """Ten minutes by the clock, where nothing is measured; the plan says when it looks again."""
    seen = running()
    made = plan(seen, NOW + MINUTE)
    assert made.wake_at == made.status.next_transition_at == NOW + 10 * MINUTE
    assert step(settle(seen, NOW + 10 * MINUTE - SECOND)).index == 2
    assert settle(seen, NOW + 10 * MINUTE).status.phase == "Healthy"


def test_an_open_pause_waits_for_a_person() -> None:
    """No time ends it; the message says what does."""
    seen = settle(running(strategy={"canary": {"steps": [{"setWeight": 10}, {"pause": {}}]}}), NOW + 1000 * HOUR)
    assert (step(seen).index, seen.status.phase) == (2, "Paused")
    assert seen.status.message.endswith("waits for a person: sluice promote checkout -n shop")


def test_an_analysis_is_done_when_every_metric_passed() -> None:
    """An inline analysis is measured as often as it says, and the run goes on when all have passed."""
    inline = metric(count=2, initialDelay="0s")
    strategy = {"canary": {"steps": [{"setWeight": 10}, {"analysis": {"metrics": [inline.dump()]}}, {"pause": {}}]}}
    seen = running(strategy=strategy, templates=Templates(inline=((inline,),)))
    assert [measure.scope for measure in plan(seen, NOW).measures] == ["step-2"]
    for index, at in ((2, NOW), (3, NOW + 30 * SECOND)):
        seen = settle(replace(seen, measurements=(measured(0.0, at, scope="step-2"),)), at)
        assert step(seen).index == index


def test_a_failed_inline_analysis_aborts() -> None:
    """The message names metric, value and threshold."""
    inline = metric(initialDelay="0s")
    strategy = {"canary": {"steps": [{"setWeight": 10}, {"analysis": {"metrics": [inline.dump()]}}]}}
    seen = running(strategy=strategy, templates=Templates(inline=((inline,),)))
    made = plan(replace(seen, measurements=(measured(0.25, NOW, scope="step-2"),)), NOW)
    assert made.status.revision is not None
    assert (made.status.revision.outcome, made.status.revision.reason) == (Outcome.ABORTED, "MetricFailed")
    assert made.status.revision.message == "errors is 0.25, above max 0.01"


def test_blue_green_checks_before_and_watches_after() -> None:
    """Prechecks without traffic, 100 % at once, then the watch, which can still return."""
    inline = metric(initialDelay="0s")
    strategy = {"blueGreen": {"prePromotion": {"metrics": [inline.dump()]}, "watch": "5m"}}
    seen = running(strategy=strategy, templates=Templates(background=(metric(),), inline=((inline,),)))
    assert (step(seen).kind, seen.targets[0].shares) == ("analysis", (0,))
    seen = settle(replace(seen, measurements=(measured(0.0, NOW, scope="step-1"),)), NOW)
    assert (step(seen).kind, seen.targets[0].shares) == ("watch", (10_000,))
    made = plan(replace(seen, measurements=(measured(0.5, NOW + MINUTE),)), NOW + MINUTE)
    assert [shift.share for shift in made.shifts] == [0]


def test_the_first_step_waits_for_its_baselines() -> None:
    """A snapshot of stable is taken before anything is exposed; no number is no baseline."""
    relative = metric(threshold={"maxRatio": 2})
    seen = running(templates=Templates(background=(relative,)))
    assert (seen.status.step, seen.targets[0].shares) == (None, (0,))
    nothing = measured(Reading(ReadingKind.NO_DATA, message="no series"), NOW)
    made = plan(replace(seen, baselines={"errors": nothing}), NOW)
    assert made.status.step is None
    assert "waits for a baseline of errors from the stable slot: no series" in made.status.message
    made = plan(replace(seen, baselines={"errors": measured(0.001, NOW)}), NOW)
    assert made.status.baselines == {"errors": 0.001}
    assert made.status.step is not None


def test_a_baseline_that_cannot_be_had_is_asked_for_now_and_then() -> None:
    """Each answer is looked at in a pass of its own; asking anew in that pass would be a loop without a rest."""
    relative = metric(threshold={"maxRatio": 2})
    seen = running(templates=Templates(background=(relative,)))
    assert [measure.snapshot for measure in plan(seen, NOW).measures] == [True]
    nothing = measured(Reading(ReadingKind.NO_DATA, message="no series"), NOW)
    made = plan(replace(seen, baselines={"errors": nothing}), NOW + SECOND)
    assert (made.measures, made.wake_at) == ((), NOW + 10 * SECOND)
    assert len(plan(replace(seen, baselines={"errors": nothing}), NOW + 10 * SECOND).measures) == 1
    assert len(plan(replace(seen, baselines={"errors": nothing}), NOW - HOUR).measures) == 1


def test_one_step_is_entered_in_a_pass() -> None:
    """What a step intends is in a status before the next is looked at."""
    strategy = {"canary": {"steps": [{"pause": {"duration": "0s"}}, {"pause": {"duration": "0s"}}]}}
    seen, indices = ask(healthy(), rollout_spec(strategy=strategy)), []
    for _ in range(4):
        seen = after(seen, plan(seen, NOW))
        indices.append(seen.status.step.index if seen.status.step else 0)
    assert indices == [1, 2, 3, 0]
    assert seen.status.phase == "Healthy"


def test_a_run_ends_only_past_its_analysis() -> None:
    """The last share is 100 %, but the run is Completed only once it was measured there."""
    strategy = {"canary": {"steps": [{"setWeight": 100}]}}
    seen = running(strategy=strategy, templates=GOOD)
    assert seen.targets[0].shares == (10_000,)
    assert "waits for every metric to be measured at 100%" in seen.status.message
    seen = settle(replace(seen, measurements=(measured(0.0, NOW + MINUTE),)), NOW + MINUTE)
    assert seen.status.phase == "Healthy"


# ---------------------------------------------------------------------------------------------- frozen


FREEZERS: list[dict[str, Any]] = [
    {"switches": (switch(Effect.HOLD),)},
    {"spec": rollout_spec(paused=True)},
    {"actions": (action(Verb.PAUSE, at=NOW + 4 * MINUTE),)},
    {"spec": None, "spec_problem": "spec: no"},
]


@pytest.mark.parametrize("changes", FREEZERS)
def test_frozen_time_does_not_count_and_the_time_before_does(changes: dict[str, Any]) -> None:
    """Four minutes, an hour frozen, then six minutes: a pause of ten is over, and not before."""
    seen = running()
    frozen = settle(replace(seen, **changes), NOW + 4 * MINUTE)
    assert step(frozen).counted_seconds == 240
    assert frozen.status.phase == "Paused"
    free: dict[str, Any] = {"switches": (), "spec": seen.spec}
    later = NOW + 4 * MINUTE + HOUR
    going = settle(replace(frozen, **free, actions=(action(Verb.RESUME, at=later),)), later)
    assert (step(going).index, going.status.next_transition_at) == (2, later + 6 * MINUTE)
    assert step(settle(going, later + 6 * MINUTE - SECOND)).index == 2
    assert settle(going, later + 6 * MINUTE).status.phase == "Healthy"


@pytest.mark.parametrize("changes", FREEZERS)
def test_a_frozen_run_gets_nothing_more(changes: dict[str, Any]) -> None:
    """A step that is begun but not written stays unwritten while the run is frozen."""
    seen = replace(begun(), **changes)
    if changes.get("actions"):
        seen = replace(seen, actions=(action(Verb.PAUSE),))
    made = plan(seen, NOW)
    assert [shift for shift in made.shifts if shift.grows] == []


def test_a_frozen_run_is_still_aborted_by_its_metrics() -> None:
    """A Hold keeps exposure where it is; what takes it away goes on."""
    seen = replace(running(templates=GOOD), switches=(switch(Effect.HOLD),))
    made = plan(replace(seen, measurements=(measured(0.5, NOW + SECOND),)), NOW + SECOND)
    assert made.status.revision is not None
    assert (made.status.revision.outcome, [shift.share for shift in made.shifts]) == (Outcome.ABORTED, [0])


def test_a_restart_while_frozen_counts_nothing() -> None:
    """The status alone says that the run was frozen: a new process that finds it released counts from then on."""
    frozen = settle(replace(running(), switches=(switch(Effect.HOLD),)), NOW + MINUTE)
    made = plan(replace(frozen, switches=()), NOW + 9 * HOUR)
    assert made.status.step is not None
    assert made.status.step.counted_seconds == 60


# ---------------------------------------------------------------------------------------------- deadline


def test_waiting_for_endpoints_is_bounded() -> None:
    """After progressDeadline without a ready endpoint the run is aborted, and says what it waited for."""
    seen = ask(replace(healthy(), slots=slots(green=0)), rollout_spec())
    seen = settle(seen, NOW)
    assert seen.status.waiting is not None
    assert plan(seen, NOW).wake_at == NOW + 10 * MINUTE
    made = plan(seen, NOW + 10 * MINUTE)
    assert made.status.revision is not None
    assert made.status.revision.reason == "ProgressDeadlineExceeded"
    assert made.status.revision.message.startswith("no progress for 10m: Service shop/checkout-green (green) has no")


def test_what_takes_turns_in_the_way_is_one_wait() -> None:
    """A missing route, then a missing endpoint: nothing went on, so the time is the same."""
    seen = settle(replace(begun(), slots=slots(green=0)), NOW)
    seen = settle(replace(seen, slots=slots(), targets=(missing(),)), NOW + 6 * MINUTE)
    assert seen.status.waiting is not None
    assert (seen.status.waiting.reason, seen.status.waiting.since) == ("RouteMissing", NOW)
    made = plan(seen, NOW + 10 * MINUTE)
    assert made.status.revision is not None
    assert made.status.revision.outcome is Outcome.ABORTED


def test_frozen_runs_have_no_deadline() -> None:
    """People and kill switches take the time they need."""
    seen = settle(replace(begun(), slots=slots(green=0)), NOW)
    held = settle(replace(seen, switches=(switch(Effect.HOLD),)), NOW + 9 * MINUTE)
    assert held.status.waiting is None
    assert settle(held, NOW + 9 * HOUR).status.revision.outcome is None  # type: ignore[union-attr]


def test_the_pass_of_the_deadline_gives_the_candidate_nothing() -> None:
    """The share that the pass was about to write is no longer meant once the same pass aborts the run."""
    refused = ("WriteRefused", "HTTPRoute shop/checkout: admission webhook said no")
    seen = replace(begun(), write_problem=refused)
    assert [shift.grows for shift in plan(seen, NOW).shifts] == [True]
    made = plan(after(seen, plan(seen, NOW), writes=False), NOW + 11 * MINUTE)
    assert made.status.revision is not None
    assert made.status.revision.reason == "ProgressDeadlineExceeded"
    assert (made.shifts, made.urgent) == ((), ())


def test_a_share_that_is_never_accepted_is_bounded_too() -> None:
    """A controller that stays silent aborts the run."""
    seen = settle(replace(begun(), targets=(target(1000, acceptance=Acceptance.PENDING),)), NOW)
    made = plan(seen, NOW + 10 * MINUTE)
    assert made.status.revision is not None
    assert made.status.revision.message.startswith("no progress for 10m: waits until 10% is accepted")
    assert [shift.share for shift in made.shifts] == [0]


def test_a_clock_that_went_back_ends_nothing_early() -> None:
    """An hour back: no deadline passes, no pause ends, and nothing crashes."""
    seen = settle(replace(begun(), slots=slots(green=0)), NOW)
    assert plan(seen, NOW - HOUR).status.revision.outcome is None  # type: ignore[union-attr]
    made = plan(running(), NOW - HOUR)
    assert made.status.step is not None
    assert (made.status.step.index, made.status.step.counted_seconds) == (2, 0.0)


@pytest.mark.parametrize("left, blamed", [("1.9", False), ("2.0", True)])
def test_a_candidate_is_blamed_for_its_own_containers_only(left: str, blamed: bool) -> None:
    """A slot still holds the pods of a version that crashed: the version that replaces it is not given up for that."""
    seen = workloads.serving()
    for version in dict.fromkeys((left, "2.0")):
        asked = workloads.ship(seen, workloads.template(version))
        seen = cluster.settle(asked, NOW, cluster.slowly)
        if version == left:
            fault = PodFault("checkout-green-1", "app", "CrashLoopBackOff", "back-off 10s restarting failed container")
            seen = workloads.with_deployment(seen, Slot.GREEN, faults=(fault,))
    made = plan(seen, NOW + 11 * SECOND)
    assert made.status.revision is not None
    assert (made.status.revision.outcome is Outcome.ABORTED) is blamed
    assert ("CrashLoopBackOff" in made.status.revision.message) is blamed
