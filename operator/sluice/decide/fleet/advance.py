"""Taking a run over a fleet on: from step to step in lockstep, from wave to wave, from batch to batch. Pure.

Nobody advances before all have: a step is entered by all clusters that move at the same time, once each of them told
that the step before is done, confirmed and measured, and the hub's own measurements since then are good. At most one
step is entered in a pass, so that what it lets happen is persisted first.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial

from sluice.api.conditions import Reason
from sluice.api.fleet import BatchStage, ClusterPhase, FleetRunSpec, RunBatch
from sluice.api.outcome import Outcome
from sluice.api.rollout import Waiting
from sluice.api.units import format_duration
from sluice.decide import oncall, policies
from sluice.decide.fleet import approving, measuring
from sluice.decide.fleet.course import Course, stage_after_pause
from sluice.decide.fleet.stock import was_new
from sluice.decide.hold import Hold
from sluice.decide.switches import held_by
from sluice.decide.texts import count_of, some

# Two looks at a soak that are further apart than this did not see what was in between: the operator was away.
_GAP_SECONDS = 60.0
_LOOKS = timedelta(seconds=15)


def advance(course: Course) -> None:
    """Take the run one step further, if it may go."""
    spec, batch = course.run_spec, course.batch
    if spec is None or not course.under_way:
        return
    if course.fleet.batch is None:
        _next_batch(course, spec, 1)
        return
    frozen = freeze(course)
    if frozen is not None:
        course.holds.insert(0, frozen)
        course.wakes += [frozen.until] if frozen.until is not None else []
        course.update(waiting=None)
        _count(course, counts=False)
        return
    if batch is None:
        return
    _STAGES[course.at.stage](course, spec, batch)


def freeze(course: Course) -> Hold | None:
    """What holds the run where it is, whatever its clusters do."""
    observed, spec = course.observed, course.observed.spec
    held = held_by(observed.switches)
    if held is not None:
        return held
    if spec is None:
        return Hold(Reason.INVALID_SPEC, f"{observed.spec_problem}; goes on when it is mended")
    if spec.paused:
        return Hold(Reason.PAUSED_BY_SPEC, "spec.paused is true; goes on when it is false")
    resume = f"sluice resume {observed.ref.name} -n {observed.ref.namespace}"
    if course.status.paused_by is not None:
        paused = course.status.paused_by
        why = f": {paused.reason}" if paused.reason else ""
        return Hold(Reason.PAUSED_BY_ACTION, f"paused by {paused.actor}{why}; goes on with: {resume}")
    return oncall.in_the_way(course.status.held_by, resume)


def growth_held(course: Course) -> Hold | None:
    """What a RolloutPolicy says where the next step of the clusters that move would give the candidate more."""
    grows = course.step < len(course.steps) and course.steps[course.step].kind == "setWeight"
    return policies.hold_growth(course.observed.policies, course.now) if grows or course.step == 0 else None


def promote(course: Course) -> str:
    """Leave what waits for a person. Returns what was left; "" where nothing waits for one."""
    spec, batch = course.run_spec, course.batch
    if spec is None or batch is None:
        return ""
    if course.at.stage is BatchStage.PAUSED:
        course.enter_stage(stage_after_pause(batch))
        return f"left the pause before batch {batch.name}"
    if course.at.stage is BatchStage.MOVING and course.awaits_person and not _laggards(course):
        left = course.step
        if left < len(course.steps):
            course.enter_step(left + 1)
        else:
            course.phases |= dict.fromkeys(course.among(course.wave, ClusterPhase.MOVING), ClusterPhase.DONE)
        return f"left step {left} (pause)"
    return ""


# --------------------------------------------------------------------------------------------- stages


def _pause(course: Course, _: FleetRunSpec, batch: RunBatch) -> None:
    wanted = batch.pause.duration if batch.pause is not None else None
    if batch.pause is not None and wanted is None:
        name = f"{course.observed.ref.name} -n {course.observed.ref.namespace}"
        course.hold(Reason.AWAITS_PROMOTION, f"batch {batch.name} waits for a person: sluice promote {name}")
        return
    if _waited(course, wanted or timedelta(0), Reason.BATCH_PAUSE, f"pause before batch {batch.name}"):
        course.enter_stage(stage_after_pause(batch))


def _approve(course: Course, _: FleetRunSpec, __: RunBatch) -> None:
    if not _held(course, approving.in_the_way(course)):
        course.enter_stage(BatchStage.MOVING)


def _move(course: Course, spec: FleetRunSpec, batch: RunBatch) -> None:
    """Let the clusters of a wave go together; then those of the next."""
    wave = course.wave
    if course.step == 0 and _kept_from_beginning(course):
        return
    for name in course.among(wave, ClusterPhase.WAITING):
        course.phases[name] = ClusterPhase.MOVING
    if course.step == 0:
        course.enter_step(1)
        return
    if not course.among(wave, ClusterPhase.MOVING):
        _note_done(course)
        _next_wave(course, batch)
        return
    laggards = _laggards(course)
    if laggards:
        _held(course, measuring.bad(course))
        _wait(course, spec, laggards)
        return
    course.update(waiting=None)
    _note_done(course)
    unmeasured = _held(course, measuring.in_the_way(course, course.at.step_done_at))
    held = _held(course, approving.in_the_way(course)) or unmeasured
    if course.awaits_person:
        name = f"{course.observed.ref.name} -n {course.observed.ref.namespace}"
        course.hold(Reason.AWAITS_PROMOTION, f"waits for a person: sluice promote {name}")
    elif not held and course.step < len(course.steps) and not _held(course, growth_held(course)):
        course.enter_step(course.step + 1)


def _kept_from_beginning(course: Course) -> bool:
    """Whether something is in the way of the clusters that are to move next."""
    checks = (measuring.in_the_way, growth_held, approving.unapproved)
    return any(_held(course, check(course)) for check in checks)


def _note_done(course: Course) -> None:
    """Keep since when all that move have done the present step: what was measured before is of another share."""
    if course.at.step_done_at is None and measuring.wholes(course):
        course.update_fleet(batch=course.at.model_copy(update={"step_done_at": course.now}))


def _held(course: Course, hold: Hold | None) -> bool:
    if hold is not None:
        course.hold(hold.reason, hold.message, until=hold.until)
    return hold is not None


def _soak(course: Course, spec: FleetRunSpec, batch: RunBatch) -> None:
    """Where no cluster had anything before, there is nothing to take back to, and nothing to soak for.

    By what clusters say that is so only in a fleet's first run: later, one that lies would be soaked for by nobody.
    """
    first = not spec.stable_hash
    if first and all(was_new(course, spec, name) for name in course.among(batch.clusters, ClusterPhase.DONE)):
        course.enter_stage(BatchStage.CLOSING)
        return
    _held(course, measuring.bad(course))
    if not _waited(course, batch.soak, Reason.SOAKING, f"batch {batch.name} soaks"):
        return
    if not _held(course, measuring.in_the_way(course, course.at.started_at)):
        if batch.soak:
            course.note(Reason.SOAKED, f"batch {batch.name} has soaked for {format_duration(batch.soak)}")
        course.enter_stage(BatchStage.CLOSING)


def _close(course: Course, spec: FleetRunSpec, batch: RunBatch) -> None:
    """Its clusters let go of what they had before; then the next batch goes."""
    # Who cannot be told now has all of its traffic on the new revision, and completes when it can.
    open_ones = tuple(
        name for name in course.among(batch.clusters, ClusterPhase.DONE) if not is_out_of_reach(course, name)
    )
    if open_ones:
        elsewhere = tuple(name for name in open_ones if not course.leg(name).runs(spec))
        _grow_impatient(course, spec, elsewhere)
        course.hold(Reason.WAITS_FOR_CLUSTERS, f"{len(open_ones)} clusters of batch {batch.name} complete their runs")
        return
    course.update(waiting=None)
    if _held(course, measuring.in_the_way(course)):
        return
    _next_batch(course, spec, course.at.index + 1)


_STAGES: dict[BatchStage, Callable[[Course, FleetRunSpec, RunBatch], None]] = {
    BatchStage.PAUSED: _pause,
    BatchStage.APPROVING: _approve,
    BatchStage.MOVING: _move,
    BatchStage.SOAKING: _soak,
    BatchStage.CLOSING: _close,
}


def _next_batch(course: Course, spec: FleetRunSpec, index: int) -> None:
    """Begin the first batch from `index` on that has a cluster; or complete the run."""
    found = next((place for place, batch in enumerate(spec.batches, 1) if place >= index and batch.clusters), None)
    if found is None:
        version = f" ({spec.version})" if spec.version else ""
        failed = len(course.failures)
        but = f", but for {count_of(failed, 'cluster')} that failed" if failed else ""
        course.end_run(Outcome.COMPLETED, Reason.COMPLETED, f"revision {spec.revision}{version} serves{but}")
        return
    course.enter_batch(found)
    batch = spec.batches[found - 1]
    clusters = count_of(len(batch.clusters), "cluster")
    course.note(Reason.BATCH_STARTED, f"batch {batch.name} begins: {clusters}")
    course.record("Observed", f"batch-{found}", Reason.BATCH_STARTED, f"batch {batch.name} begins")


def _next_wave(course: Course, batch: RunBatch) -> None:
    first = course.at.first + batch.max_concurrency
    if first < len(batch.clusters):
        if _held(course, measuring.in_the_way(course, course.at.step_done_at)):
            return
        course.update_fleet(batch=course.at.model_copy(update={"first": first, "step_done_at": None}))
        course.update(step=None, weight=None, waiting=None)
        return
    count = len(course.among(batch.clusters, ClusterPhase.DONE, ClusterPhase.COMPLETED))
    have = "has all of its" if count == 1 else "have all of their"
    soaks = f"; soaks for {format_duration(batch.soak)}" if batch.soak else ""
    done = f"batch {batch.name}: {count} of {len(batch.clusters)} clusters {have} traffic on it{soaks}"
    course.note(Reason.BATCH_DONE, done)
    course.enter_stage(BatchStage.SOAKING)


# --------------------------------------------------------------------------------------------- waiting for clusters


def _laggards(course: Course) -> tuple[str, ...]:
    """The clusters that did not do the present step yet."""
    spec = course.run_spec
    if spec is None:
        return ()
    moving = course.among(course.wave, ClusterPhase.MOVING)
    return tuple(name for name in moving if not _did(course, spec, name))


def _did(course: Course, spec: FleetRunSpec, name: str) -> bool:
    leg = course.leg(name)
    return not _lost(course, name) and leg.runs(spec) and leg.step == course.step and leg.step_done


def _lost(course: Course, name: str) -> bool:
    member = course.member(name)
    return member is None or member.lost_since is not None


def _wait(course: Course, spec: FleetRunSpec, laggards: tuple[str, ...]) -> None:
    """Say for whom the others wait. Who is not in the run has until the deadline; in it, its own engine counts."""
    away = tuple(name for name in laggards if is_out_of_reach(course, name))
    course.hold(
        Reason.CLUSTER_LOST if away else Reason.WAITS_FOR_CLUSTERS, f"waits for {_these(course, away or laggards)}"
    )
    # What a switch keeps from beginning is waited for until that is released.
    in_order = {name for name in laggards if course.leg(name).runs(spec) or _is_kept_back(course, name)}
    _grow_impatient(course, spec, tuple(name for name in laggards if name in away or name not in in_order))


def _is_kept_back(course: Course, name: str) -> bool:
    """Whether a cluster says that a switch covers it, and there is one that covers some clusters."""
    return bool(course.observed.partial) and course.leg(name).covered


def _grow_impatient(course: Course, spec: FleetRunSpec, astray: tuple[str, ...]) -> None:
    """Count for how long clusters are not in the run that should be; they fail when that has been too long."""
    if not astray:
        course.update(waiting=None)
        return
    away = any(is_out_of_reach(course, name) for name in astray)
    reason, before = Reason.CLUSTER_LOST if away else Reason.WAITS_FOR_CLUSTERS, course.status.waiting
    since = before.since if before is not None and before.reason == reason else course.now
    course.update(waiting=Waiting(reason=reason, since=since))
    for name in astray:
        member = course.member(name)
        lost_since = member.lost_since if member is not None else None
        ends_at = max(since, lost_since or since) + spec.progress_deadline
        if course.now < ends_at:
            course.wakes.append(ends_at)
            continue
        waited = format_duration(spec.progress_deadline)
        course.fail(name, Reason.PROGRESS_DEADLINE_EXCEEDED, f"no progress for {waited}: {_told(course, name)}")


def is_out_of_reach(course: Course, name: str) -> bool:
    """Whether it cannot be reached, does not let the hub work there, or does not take its order."""
    member = course.member(name)
    return _lost(course, name) or (member is not None and not member.known) or bool(course.leg(name).trouble)


def _these(course: Course, names: tuple[str, ...]) -> str:
    return some(names, told=partial(_told, course))


def _told(course: Course, name: str) -> str:
    """A cluster, and why it does not go on."""
    member, leg = course.member(name), course.leg(name)
    if member is not None and member.lost_since is not None:
        return f"{name}, which does not answer since {member.lost_since:%H:%M:%S} UTC"
    why = leg.trouble or leg.message
    if not why and member is not None and not member.known:
        why = f"the hub does not work there: see sluice clusters check {name}"
    return f"{name} ({why})" if why else name


def _waited(course: Course, wanted: timedelta, reason: Reason, what: str) -> bool:
    """Count time in which every cluster of the batch that is done can be reached; whether it is enough."""
    batch = course.batch
    lost = [name for name in course.among(batch.clusters if batch else (), ClusterPhase.DONE) if _lost(course, name)]
    _count(course, counts=not lost)
    left_seconds = wanted.total_seconds() + course.at.extended_seconds - course.at.counted_seconds
    if left_seconds <= 0:
        return True
    until = (course.at.counted_until or course.now) + timedelta(seconds=left_seconds)
    lasts = f"{format_duration(wanted)}{oncall.told_longer(course.at.extended_seconds)}"
    if lost:
        course.hold(reason, f"{what} for {lasts}; does not count while {_told(course, lost[0])}")
        course.update(next_transition_at=None)
        course.wakes.append(course.now + _LOOKS)
        return False
    course.hold(reason, f"{what} for {lasts}", until=until)
    course.update(next_transition_at=until if measuring.bad(course) is None else None)
    course.wakes.append(course.now + _LOOKS)
    return False


def _count(course: Course, *, counts: bool) -> None:
    """Let the time since the last look count, or not."""
    if course.fleet.batch is None or course.at.stage not in {BatchStage.PAUSED, BatchStage.SOAKING}:
        return
    measured = measuring.counted(course) if counts and course.at.stage is BatchStage.SOAKING else None
    if measured is not None:
        course.update_fleet(batch=measured)
        return
    since = course.at.counted_until or course.at.started_at
    passed = max(timedelta(0), course.now - since).total_seconds()  # a clock may go back
    more = passed if counts and passed <= _GAP_SECONDS else 0.0
    course.update_fleet(
        batch=course.at.model_copy(
            update={"counted_seconds": course.at.counted_seconds + more, "counted_until": course.now}
        )
    )
