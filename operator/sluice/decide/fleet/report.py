"""What a Rollout says of its fleet: phase, message, conditions, the clusters that people should look at. Pure."""

from __future__ import annotations

from sluice.api.conditions import Condition, ConditionType, Reason, Status, condition_of, merge_conditions
from sluice.api.fleet import ClusterPhase, ClusterStatus
from sluice.api.outcome import Outcome
from sluice.api.rollout import Phase, Readiness
from sluice.api.units import NONE, format_share
from sluice.decide import analysis
from sluice.decide.analysis import Outcome as Finding
from sluice.decide.conditions import tell_condition
from sluice.decide.fleet import joining, measuring
from sluice.decide.fleet.course import Course
from sluice.decide.fleet.record import counts
from sluice.decide.hold import PAUSING, Hold
from sluice.decide.switches import engagement
from sluice.decide.texts import MESSAGE_BYTES, clip, some

MOST_SHOWN = 24
_MESSAGE_BYTES = 200
# Who has to be looked at comes first.
_ORDER = (
    ClusterPhase.FAILED,
    ClusterPhase.LEFT,
    ClusterPhase.RETURNING,
    ClusterPhase.RETURNED,
    ClusterPhase.MOVING,
)


def report(course: Course) -> None:
    """Fill in phase, message, conditions, the fleet's counts, and observedGeneration."""
    _show_clusters(course)
    phase, message = _phase(course), _message(course)
    course.update(phase=phase, message=clip(message, MESSAGE_BYTES), observed_generation=course.observed.generation)
    conditions = [_ready(course, phase, message), _progressing(course, message), _paused(course), _killed(course)]
    run = course.run_spec
    if run is not None and measuring.measures(run):
        conditions.append(_analysis(course))
    if course.stalled is not None:
        conditions.append(
            _condition(course, ConditionType.STALLED, "True", course.stalled.reason, course.stalled.message)
        )
        _warn(course, course.stalled)
    elif _reconciles(course):
        conditions.append(_condition(course, ConditionType.RECONCILING, "True", Reason.STEPPING, message))
    course.update(conditions=merge_conditions(course.observed.status.conditions, conditions, course.now))


def _show_clusters(course: Course) -> None:
    members, legs = course.observed.members, course.observed.legs
    ready = sum(1 for name in members if name in legs and legs[name].serves and members[name].lost_since is None)
    total = sum(1 for name in members if name in course.phases or name in legs)
    everybody = tuple(course.phases)
    notable = [name for phase in _ORDER if _is_notable(course, phase) for name in course.among(everybody, phase)]
    if course.under_way:  # they hold the soak
        notable += [name for name in course.among(everybody, ClusterPhase.DONE) if _is_away(course, name)]
    shown = tuple(_cluster(course, name) for name in notable[:MOST_SHOWN])
    course.update_fleet(total=total, ready=ready, clusters=shown, not_shown=len(notable) - len(shown))
    _tell_who_is_away(course, shown)
    batch, at = course.batch, course.fleet.batch
    if batch is not None and at is not None and course.phases:
        found = counts(course.phases[name] for name in batch.clusters)
        course.update_fleet(batch=at.model_copy(update={"clusters": found}))


def _is_away(course: Course, name: str) -> bool:
    member = course.member(name)
    return member is not None and member.lost_since is not None


def _tell_who_is_away(course: Course, shown: tuple[ClusterStatus, ...]) -> None:
    """Tell people by an Event who went, and who came; once, for by the status they are known to be away."""
    fleet = course.observed.status.fleet
    before = {each.name for each in fleet.clusters if each.since is not None} if fleet is not None else set()
    went = [each.name for each in shown if each.since is not None and each.name not in before]
    came = sorted(name for name in before if course.member(name) is not None and not _is_away(course, name))
    if went:
        course.note(Reason.CLUSTER_LOST, f"{some(went)} do{'es' if len(went) == 1 else ''} not answer", warning=True)
    if came:
        course.note(Reason.CLUSTER_BACK, f"{some(came)} answer{'s' if len(came) == 1 else ''} again")


def _is_notable(course: Course, phase: ClusterPhase) -> bool:
    """Who is back is only worth a word where the others went on."""
    return phase is not ClusterPhase.RETURNED or course.under_way or _serves_revision(course)


def _serves_revision(course: Course) -> bool:
    """Whether the last run's revision is what is stable."""
    revision, stable = course.fleet.revision, course.fleet.stable
    return revision is not None and stable is not None and revision.hash == stable.hash


def _cluster(course: Course, name: str) -> ClusterStatus:
    leg, member, phase = course.leg(name), course.member(name), course.phases[name]
    failure = next((each for each in course.failures if each.name == name), None)
    lost = member.lost_since if member is not None else None
    message = "does not answer" if lost is not None else (leg.trouble or leg.message)
    if failure is not None and phase in {ClusterPhase.FAILED, ClusterPhase.LEFT, ClusterPhase.RETURNED}:
        message = failure.message
    return ClusterStatus(
        name=name,
        phase=phase,
        weight=format_share(leg.weight) if leg.weight > NONE and _is_revision(course, leg.hash) else "",
        message=clip(message, _MESSAGE_BYTES),
        since=lost,
    )


def _is_revision(course: Course, revision_hash: str) -> bool:
    """Whether what a cluster's own run brings is the revision of the run over the fleet; on the way back it is not."""
    revision = course.fleet.revision
    return revision is not None and revision.hash == revision_hash


def _condition(course: Course, kind: ConditionType, status: Status, reason: Reason | str, message: str) -> Condition:
    return tell_condition(kind, status, reason, message, generation=course.observed.generation, at=course.now)


def _pausing(course: Course) -> Hold | None:
    return next((hold for hold in course.holds if hold.reason in PAUSING), None)


def _rejected(course: Course) -> bool:
    """Whether what the spec asks for came to nothing, and needs somebody."""
    revision = course.fleet.revision
    return (
        revision is not None
        and revision.outcome in {Outcome.ABORTED, Outcome.KILLED}
        and revision.hash in course.status.rejected
    )


def _phase(course: Course) -> Phase:
    if course.stalled is not None and not course.under_way:
        return Phase.DEGRADED
    if course.under_way:
        return Phase.PAUSED if _pausing(course) or course.stalled is not None else Phase.PROGRESSING
    revision = course.fleet.revision
    if revision is not None and _rejected(course):
        return Phase.KILLED if revision.outcome is Outcome.KILLED else Phase.ABORTED
    first = course.fleet.stable is None and _pausing(course) is None
    if first or course.among(tuple(course.phases), ClusterPhase.RETURNING):
        return Phase.PROGRESSING
    return Phase.PAUSED if _pausing(course) else Phase.HEALTHY


def _message(course: Course) -> str:
    if course.stalled is not None:
        return course.stalled.message
    if course.under_way:
        return f"{_run_message(course)}{joining.tell(course)}"
    revision, hold = course.fleet.revision, course.main_hold
    if revision is not None and _rejected(course):
        returning = course.among(tuple(course.phases), ClusterPhase.RETURNING)
        whose = "1 cluster is on its" if len(returning) == 1 else f"{len(returning)} clusters are on their"
        still = f"; {whose} way back" if returning else ""
        ref = course.observed.ref
        return f"{revision.message}{still}; try again: sluice retry {ref.name} -n {ref.namespace}"
    if hold is not None:
        return hold.message
    stable = course.fleet.stable
    if stable is None:
        return "not yet observed"
    version, fleet = f"{stable.version} " if stable.version else "", course.fleet
    # Not `ready`: a cluster that has just joined may be well, and still on its way from what it had.
    serves = sum(1 for name in course.observed.members if _has(course, name, stable.hash))
    told = f"{version}serves in {serves} of {fleet.total} clusters"
    others = [name for name, leg in course.observed.legs.items() if leg.stable_hash not in {"", stable.hash}]
    if others:
        told += f"; {some(sorted(others), 1)} has another revision"
    return f"{told}{joining.tell(course)}"


def _has(course: Course, name: str, revision_hash: str) -> bool:
    """Whether a revision serves there, and it answers."""
    leg, member = course.leg(name), course.member(name)
    return leg.serves and leg.stable_hash == revision_hash and member is not None and member.lost_since is None


def _run_message(course: Course) -> str:
    at = course.fleet.batch
    if at is None:
        return f"revision {course.fleet.revision.number if course.fleet.revision else 0} begins"
    count = at.clusters
    place = f"batch {at.name} ({at.index} of {at.of}), {count.done} of {count.total} clusters done"
    if course.step and at.stage == "Moving":
        weight = f" at {format_share(course.status.weight)}" if course.status.weight is not None else ""
        place += f"; step {course.step} of {len(course.steps)}{weight} on {count.moving}"
    if count.failed:
        place += f"; {count.failed} failed"
    return f"{place}: {course.main_hold.message}" if course.main_hold is not None else place


def _ready(course: Course, phase: Phase, message: str) -> Condition:
    kind, spec, fleet = ConditionType.READY, course.observed.spec, course.fleet
    if spec is None or (course.stalled is not None and not course.under_way) or fleet.stable is None:
        reason = course.stalled.reason if course.stalled is not None else Reason.IDLE
        return _condition(course, kind, "False", reason, message)
    down = _down(course)
    if down:
        return _condition(course, kind, "False", Reason.CLUSTER_FAILED, f"{down[0]}: {course.leg(down[0]).message}")
    if spec.readiness is Readiness.SERVING:
        return _condition(course, kind, "True", Reason.STABLE_SERVES, message)
    done = phase is Phase.HEALTHY
    return _condition(course, kind, "True" if done else "False", Reason.COMPLETED if done else Reason.STEPPING, message)


def _down(course: Course) -> tuple[str, ...]:
    """Clusters that answer, had a part that served, and where nothing serves well now."""
    return tuple(
        name
        for name, leg in course.observed.legs.items()
        if (member := course.member(name)) is not None
        and member.lost_since is None
        and member.known
        and leg.stable_hash
        and not leg.serves
        and course.phases.get(name) is not ClusterPhase.MOVING
    )


def _reconciles(course: Course) -> bool:
    spec = course.observed.spec
    waits = spec is not None and spec.readiness is Readiness.COMPLETE
    return course.fleet.stable is None or (waits and course.under_way)


def _progressing(course: Course, message: str) -> Condition:
    kind, revision = ConditionType.PROGRESSING, course.fleet.revision
    if course.under_way:
        reason = course.main_hold.reason if course.main_hold is not None else Reason.STEPPING
        return _condition(course, kind, "True", reason, message)
    ended = revision.reason if revision is not None else ""
    return _condition(course, kind, "False", ended or Reason.IDLE, revision.message if revision is not None else "")


def _paused(course: Course) -> Condition:
    hold = _pausing(course)
    if hold is None:
        return _condition(course, ConditionType.PAUSED, "False", Reason.IDLE, "")
    return _condition(course, ConditionType.PAUSED, "True", hold.reason, hold.message)


def _analysis(course: Course) -> Condition:
    """What the hub's own measurements come to."""
    kind, revision = ConditionType.ANALYSIS_PASSED, course.fleet.revision
    if not course.under_way and revision is not None:
        if revision.reason in analysis.CAUSES:
            return _condition(course, kind, "False", revision.reason, revision.message)
        if revision.outcome is not Outcome.COMPLETED:
            return _condition(course, kind, "Unknown", Reason.IDLE, "")
        if course.status.metrics:
            return _condition(course, kind, "True", Reason.MEASUREMENTS_PASS, "")
    found = measuring.verdicts(course)
    bad = next((each for each in found if each[1].outcome not in {Finding.PASSED, Finding.RUNNING}), None)
    if bad is not None:
        whole, verdict = bad
        failed = verdict.outcome is Finding.FAILED
        told = f"{whole.title}: {verdict.message}"
        return _condition(course, kind, "False" if failed else "Unknown", verdict.reason, told)
    if not found:
        return _condition(course, kind, "Unknown", Reason.NO_MEASUREMENT, "nothing was measured yet")
    if any(verdict.outcome is Finding.RUNNING for _, verdict in found):
        return _condition(course, kind, "Unknown", Reason.MEASURING, "no bad measurement so far")
    return _condition(course, kind, "True", Reason.MEASUREMENTS_PASS, "")


def _killed(course: Course) -> Condition:
    kind, revision = ConditionType.KILLED, course.fleet.revision
    if revision is not None and revision.outcome is Outcome.KILLED:
        return _condition(course, kind, "True", revision.reason, revision.message)
    if course.observed.switches:
        return _condition(course, kind, "True", Reason.HELD_BY_SWITCH, engagement(course.observed.switches[0]))
    return _condition(course, kind, "False", Reason.IDLE, "")


def _warn(course: Course, stalled: Hold) -> None:
    """Tell people by an Event, once."""
    known = condition_of(course.observed.status.conditions, ConditionType.STALLED)
    if known is None or (known.reason, known.observed_generation) != (stalled.reason, course.observed.generation):
        course.note(stalled.reason, stalled.message, warning=True)
