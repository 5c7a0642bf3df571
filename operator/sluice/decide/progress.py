"""Taking the run from step to step. Pure.

A step is left when it is done and nothing freezes the run; a step that exposes more is entered only past every gate.
At most one step is entered in a pass, so that what it intends is persisted before it is done.
"""

from __future__ import annotations

from datetime import timedelta

from sluice.api.analysis import ResolvedMetric
from sluice.api.approval import Approval
from sluice.api.conditions import ConditionType, Reason, condition_of
from sluice.api.outcome import Outcome
from sluice.api.rollout import Confirmation, StepStatus, Waiting
from sluice.api.run import RolloutRunSpec, RunStep
from sluice.api.units import NONE, format_duration, format_share
from sluice.decide import analysis, approvals, coverage, faults, gates, oncall
from sluice.decide.analysis import Outcome as Finding
from sluice.decide.coverage import BACKGROUND
from sluice.decide.draft import Draft
from sluice.decide.hold import FROZEN


def relative_metrics(spec: RolloutRunSpec) -> tuple[ResolvedMetric, ...]:
    """The metrics of a run that compare with a baseline, each name once."""
    every = (*spec.analysis.metrics, *(metric for step in spec.steps for metric in step.metrics))
    return tuple({metric.name: metric for metric in every if metric.threshold.relative}.values())


def advance(draft: Draft) -> None:
    """Take the run one step further, if it may go."""
    spec = draft.run_spec
    if spec is None:
        return
    frozen = gates.first(gates.FREEZING, draft)
    if frozen is not None:
        draft.hold(frozen.reason, frozen.message, until=frozen.until)
        _skip_time(draft, spec)
        return
    if draft.status.step is None:
        if not draft.cleared:
            draft.hold(Reason.NOT_CONFIRMED, f"waits until {draft.candidate} has no traffic", counts=True)
        else:
            _begin(draft, spec)
        return
    bad = gates.analysis_bad(draft)
    if bad is not None:
        draft.hold(bad.reason, bad.message)
    if draft.step is not None and _done(draft, spec, draft.step, draft.status.step):
        _go_on_in_pace(draft, spec, draft.status.step)
    else:
        _tell_done(draft, done=False)


def _go_on_in_pace(draft: Draft, spec: RolloutRunSpec, at: StepStatus) -> None:
    """Go on; where the hub has to let it first, tell it that this step is done, once it was measured as well."""
    waits = gates.beyond_pace(draft, at.index + 1)
    if waits is None:
        go_on(draft, spec)
        return
    unmeasured = gates.analysis_in_the_way(draft)
    draft.wait_for(unmeasured or waits)
    _tell_done(draft, done=unmeasured is None)


def _tell_done(draft: Draft, *, done: bool) -> None:
    at = draft.status.step
    if at is not None and at.done != done:
        draft.update(step=at.model_copy(update={"done": done}))


def go_on(draft: Draft, spec: RolloutRunSpec) -> bool:
    """Leave the present step for the next, or complete the run.

    Returns:
        Whether it went on; otherwise a hold says why not.
    """
    index = draft.status.step.index if draft.status.step else 0
    return enter_step(draft, spec, index + 1) if index < len(spec.steps) else _complete(draft, spec)


def enter_step(draft: Draft, spec: RolloutRunSpec, index: int) -> bool:
    """Enter step `index`, past every gate where it exposes more than now."""
    held = gates.beyond_pace(draft, index)
    if held is not None:
        draft.wait_for(held)
        return False
    step = spec.steps[index - 1]
    if step.kind == "setWeight" and (step.share or NONE) > draft.intended:
        draft.sought = max(draft.sought, step.share or NONE)
        hold = gates.first(gates.GROWTH, draft)
        if hold is not None:
            draft.wait_for(hold)
            return False
    draft.enter(index)
    if step.kind == "analysis":
        scope = scope_of(index)
        kept = tuple(tally for tally in draft.status.metrics if tally.scope == BACKGROUND)
        draft.update(metrics=(*kept, *analysis.begin(step.metrics, scope, draft.now)))
    draft.note(Reason.STEP_STARTED, f"step {index} of {len(spec.steps)}: {describe(step)}")
    return True


def scope_of(index: int) -> str:
    """The scope of an inline analysis' tallies."""
    return f"step-{index}"


def describe(step: RunStep) -> str:
    """A step in a few words."""
    match step.kind:
        case "setWeight":
            return f"set weight to {format_share(step.share or NONE)}"
        case "pause" if step.duration is None:
            return "pause until promoted"
        case "pause" | "watch":
            return f"{step.kind} for {format_duration(step.duration or timedelta(0))}"
        case "setCanaryScale":
            return "set the candidate's size"
        case "approval" if step.approval is not None:
            return approvals.describe(step.approval)
    return "analysis of " + ", ".join(metric.name for metric in step.metrics)


def _begin(draft: Draft, spec: RolloutRunSpec) -> None:
    """Enter the first step, once every relative threshold has its baseline."""
    if draft.workload is not None:
        # Whatever comes first, a preview or an analysis without weight is of pods that run.
        hold = gates.first((gates.exposed_outside_weight, gates.candidate_not_ready), draft)
        if hold is not None:
            draft.wait_for(hold)
            return
    missing = [metric.name for metric in relative_metrics(spec) if metric.name not in draft.status.baselines]
    if missing and spec.analysis.baseline == "Snapshot":
        answer = draft.observed.baselines.get(missing[0])
        draft.hold(
            Reason.WAITS_FOR_BASELINE,
            f"waits for a baseline of {', '.join(missing)} from the stable slot"
            + (f": {answer.reading.message}" if answer and answer.reading.message else ""),
        )
        return
    enter_step(draft, spec, 1)


def _done(draft: Draft, spec: RolloutRunSpec, step: RunStep, at: StepStatus) -> bool:
    match step.kind:
        case "setWeight":
            return _weight_done(draft, step)
        case "setCanaryScale":
            return _size_done(draft)
        case "analysis":
            return _analysis_done(draft, step, at)
        case "approval" if step.approval is not None and draft.pace is None:
            return _approved(draft, spec, step.approval, at)
        case "approval":
            return True  # the hub asks the people
        case "pause" if step.duration is None and draft.pace is not None:
            return True  # the hub waits for the person
        case "pause" if step.duration is None:
            name, namespace = draft.observed.ref.name, draft.observed.ref.namespace
            draft.hold(Reason.AWAITS_PROMOTION, f"waits for a person: sluice promote {name} -n {namespace}")
            return False
    return _time_done(draft, spec, step, at)


def _weight_done(draft: Draft, step: RunStep) -> bool:
    if draft.status.confirmation is Confirmation.ACCEPTED:
        return True
    unfit = gates.target_unfit(draft)
    if unfit is not None:
        draft.hold(unfit.reason, unfit.message, counts=unfit.counts)
    missing = "written" if draft.status.confirmation is None else "accepted by its controller"
    draft.hold(
        Reason.NOT_CONFIRMED, f"waits until {format_share(step.share or NONE)} is {missing} everywhere", counts=True
    )
    return False


def _size_done(draft: Draft) -> bool:
    hold = gates.candidate_not_ready(draft)
    if hold is not None:
        draft.wait_for(hold)
    return hold is None


def _analysis_done(draft: Draft, step: RunStep, at: StepStatus) -> bool:
    verdict = analysis.verdict(step.metrics, draft.status.metrics, scope_of(at.index))
    if verdict.outcome is Finding.PASSED:
        return True
    held = verdict.outcome in {Finding.HELD, Finding.UNSURE}
    draft.hold(Reason.ANALYSIS_HOLDS if held else Reason.ANALYSING, verdict.message or describe(step))
    return False


def _approved(draft: Draft, spec: RolloutRunSpec, wanted: Approval, at: StepStatus) -> bool:
    petition = approvals.petitions(draft.observed.ref, spec)
    missing = approvals.ask(draft, petition(f"step-{at.index}", wanted))
    if missing is not None:
        draft.wait_for(missing)
    return missing is None


def _time_done(draft: Draft, spec: RolloutRunSpec, step: RunStep, at: StepStatus) -> bool:
    """Count the part of the wait that measurements cover; done when that is long enough."""
    wanted = (step.duration or timedelta(0)).total_seconds() + at.extended_seconds
    counted = _count(draft, spec, at)
    draft.update(step=counted)
    left = wanted - counted.counted_seconds
    if left <= 0:
        return True
    reason = Reason.WATCHING if step.kind == "watch" else Reason.PAUSE_STEP
    until = (counted.counted_until or draft.now) + timedelta(seconds=left)
    draft.hold(reason, describe(step) + oncall.told_longer(at.extended_seconds), until=until)
    draft.update(next_transition_at=None if gates.analysis_bad(draft) else until)
    return False


def _count(draft: Draft, spec: RolloutRunSpec, at: StepStatus) -> StepStatus:
    before = condition_of(draft.observed.status.conditions, ConditionType.PAUSED)
    if before is not None and before.status == "True" and before.reason in FROZEN:
        return coverage.skip_time(at, draft.now)
    return coverage.count_time(
        at,
        spec.analysis.metrics if draft.exposed else (),
        before=draft.observed.status.metrics,
        after=draft.status.metrics,
        scope=BACKGROUND,
        now=draft.now,
    )


def _skip_time(draft: Draft, spec: RolloutRunSpec) -> None:
    """Time in which the run is frozen does not count; what had passed before does."""
    step = draft.status.step
    if step is not None and step.kind in {"pause", "watch"}:
        counted = _count(draft, spec, step)
        draft.update(step=coverage.skip_time(counted, draft.now), next_transition_at=None)


def _complete(draft: Draft, spec: RolloutRunSpec) -> bool:
    hold = gates.analysis_in_the_way(draft)
    if hold is not None:
        draft.wait_for(hold)
        return False
    version = f" ({spec.version})" if spec.version else ""
    draft.end_run(Outcome.COMPLETED, Reason.COMPLETED, f"revision {spec.revision}{version} serves from {spec.to_slot}")
    return True


def watch_deadline(draft: Draft) -> bool:
    """Abort when what progressDeadline counts has been waited for too long.

    Returns:
        Whether it did: what was planned for the run under way is then no longer meant.
    """
    spec = draft.run_spec
    if spec is None:
        return False
    causes = sorted(draft.holds, key=lambda hold: hold.reason is Reason.NOT_CONFIRMED)
    counting = next((hold for hold in causes if hold.counts), None)
    if counting is None or any(hold.reason in FROZEN for hold in draft.holds):
        draft.update(waiting=None)
        return False
    waiting = draft.status.waiting or Waiting(reason=counting.reason, since=draft.now)
    draft.update(waiting=Waiting(reason=counting.reason, since=waiting.since))
    ends_at = waiting.since + spec.progress_deadline
    trouble = faults.hopeless(draft) if counting.reason is Reason.WAITS_FOR_ENDPOINTS else ""
    if trouble:
        return _give_up(draft, spec, Reason.CONTAINER_FAILS, f"{draft.candidate} cannot run: {trouble}")
    if draft.now < ends_at:
        draft.wake(ends_at)
        return False
    message = f"no progress for {format_duration(spec.progress_deadline)}: {counting.message}"
    return _give_up(draft, spec, Reason.PROGRESS_DEADLINE_EXCEEDED, message)


def _give_up(draft: Draft, spec: RolloutRunSpec, reason: Reason, message: str) -> bool:
    """Abort; or, as `onDeadline: Hold` asks, tell people and wait on. Returns whether it aborted."""
    if spec.on_deadline == "Hold":
        draft.stall(reason, f"{message}; waits on (onDeadline is Hold): mend it, or {draft.command('abort')}")
        return False
    draft.end_run(Outcome.ABORTED, reason, message)
    return True
