"""From what is observed of a fleet to a plan: the stages in their order. Pure.

As in `decide.planner`, the order is the policy: what stops first, then what goes on. Whatever lets a cluster go further
is in the status before the cluster is told.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sluice.api.conditions import Reason
from sluice.api.fleet import ClusterPhase
from sluice.api.outcome import Outcome
from sluice.api.rollout import Waiting
from sluice.decide import oncall
from sluice.decide.draft import SYSTEM
from sluice.decide.fleet import failing, measuring, people
from sluice.decide.fleet.advance import advance
from sluice.decide.fleet.course import Course
from sluice.decide.fleet.directing import direct
from sluice.decide.fleet.following import follow
from sluice.decide.fleet.model import Directive, FleetObserved, FleetPlan
from sluice.decide.fleet.record import phases_of
from sluice.decide.fleet.report import report
from sluice.decide.fleet.rollback import obey_switch
from sluice.decide.fleet.soundness import insist_sound, tell_unread
from sluice.decide.fleet.stock import take_stock
from sluice.decide.model import FinalizerChange
from sluice.decide.switches import kept
from sluice.decide.texts import some

_HAS_IT = frozenset({ClusterPhase.DONE, ClusterPhase.COMPLETED})
RUN_LOST_AFTER = timedelta(seconds=10)


def plan_fleet(observed: FleetObserved, now: datetime) -> FleetPlan:
    """Decide what to do about one Rollout over a fleet.

    Args:
        observed: everything the decision depends on.
        now: the time, aware.

    Returns:
        The next status, and what each member is to have once that is written.
    """
    course = Course(observed=observed, now=now, status=observed.status)
    course.update(covered_by=kept(observed.switches), queued=None)
    if observed.deleting:
        return _let_go(course)
    if not observed.has_finalizer:
        course.finalizer = FinalizerChange.ADD
    spec = observed.spec
    if spec is None:
        course.stall(Reason.INVALID_SPEC, observed.spec_problem)
    if not _record_is_there(course) or not insist_sound(course):
        why = course.stalled or course.main_hold
        people.refuse_all(course, why.message if why is not None else "its record is gone")
        report(course)
        return course.finish()
    obey_switch(course)
    failing.obey_switches(course)
    take_stock(course)
    measuring.absorb(course)
    oncall.let_go(course)
    people.obey(course)
    _end_as_recorded(course)
    failing.judge(course)
    if spec is not None:
        follow(course, spec)
    if not failing.halted(course):
        advance(course)
    tell_unread(course)
    direct(course)
    measuring.ask(course)
    report(course)
    return course.finish(_surplus(course))


def _record_is_there(course: Course) -> bool:
    """Without its FleetRun nobody knows what the run would do next. A cache that is behind gets a moment."""
    if not course.under_way or course.run_spec is not None:
        return True
    problem = course.observed.unreadable.get(course.fleet.run or "")
    if problem:
        course.stall(Reason.RUN_LOST, f"{problem}; all waits until somebody mends that, or deletes the FleetRun")
        return False
    waiting = course.status.waiting
    if waiting is None or waiting.reason != Reason.RUN_LOST:
        waiting = Waiting(reason=Reason.RUN_LOST, since=course.now)
        course.update(waiting=waiting)
    name = f"FleetRun {course.observed.ref.namespace}/{course.fleet.run}"
    if course.now - waiting.since < RUN_LOST_AFTER:
        course.hold(Reason.RUN_LOST, f"waits for {name}, which is not there", until=waiting.since + RUN_LOST_AFTER)
        return False
    course.end_run(
        Outcome.ABORTED, Reason.RUN_LOST, f"{name} is gone; clusters return to what is stable there; retry starts anew"
    )
    return True


def _end_as_recorded(course: Course) -> None:
    """A record that was closed just before a crash: the run ends as that tells."""
    run = course.run
    if run is not None and course.under_way and run.status.outcome is not None:
        known = {reason.value: reason for reason in Reason}
        reason, message = known.get(run.status.reason, Reason.SUPERSEDED), run.status.message
        killers = (each.actor for each in course.observed.switches if message.startswith(failing.killed_by(each)))
        course.end_run(run.status.outcome, reason, message, actor=next(killers, SYSTEM))


def _let_go(course: Course) -> FleetPlan:
    """Take every part back; each returns its traffic to stable first. Then the Rollout may go."""
    people.refuse_all(course, "the Rollout is being deleted; its traffic returns to stable by that")
    left = sorted(course.observed.legs)
    course.directives = {name: Directive(None) for name in left if course.member(name) is not None}
    unseen = sorted(
        name for name, member in course.observed.members.items() if not member.known and _may_have_part(course, name)
    )
    if not left and not unseen:
        course.finalizer = FinalizerChange.REMOVE if course.observed.has_finalizer else FinalizerChange.NONE
        return course.finish()
    waits = [*left, *(name for name in unseen if name not in left)]
    course.hold(Reason.DELETED, f"is being deleted; waits for {some(waits)}")
    report(course)
    return course.finish()


def _may_have_part(course: Course, name: str) -> bool:
    """Whether a cluster that is not known may have one: it belongs to the fleet, or took part in a run."""
    spec, member = course.observed.spec, course.member(name)
    if spec is None or spec.fleet is None or member is None or spec.fleet.selector.matches(member.labels):
        return True
    return any(name in batch.clusters for run in course.observed.runs for batch in run.spec.batches)


def _surplus(course: Course) -> tuple[str, ...]:
    """Finished FleetRuns beyond the limit; never the current one, nor one whose revision some cluster still has."""
    spec, fleet = course.observed.spec, course.fleet
    if spec is None:
        return ()
    limit = spec.revision_history_limit
    if any(not member.known and member.lost_since is None for member in course.observed.members.values()):
        limit *= 2  # what these need is not known yet; if it goes on, there has to be an end all the same
    needed = {leg.stable_hash for leg in course.observed.legs.values()}
    needed |= {each.hash for each in (fleet.stable, fleet.revision) if each is not None}
    finished = [
        run
        for run in course.observed.runs
        if run.status.outcome is not None and run.name != fleet.run and run.spec.hash not in needed
    ]
    if len(finished) > limit:
        kept = _of_strangers(course)
        finished = [run for run in finished if run.name not in kept]
    return tuple(run.name for run in finished[: max(0, len(finished) - limit)])


def _of_strangers(course: Course) -> set[str]:
    """The FleetRuns that tell what serves in clusters that are not known: they get it again when they are back.

    That is the newest that such a cluster was done in; where there is none, the first that it took part in tells what
    was stable before. So there is at most one for each, however long it is away.
    """
    strangers = {name for name, member in course.observed.members.items() if not member.known}
    found, settled, unread = dict[str, str](), set[str](), set[str]()
    for run in reversed(course.observed.runs) if strangers else ():
        records = {record.name: record for record in run.status.batches}
        for batch in run.spec.batches:
            here = strangers.intersection(batch.clusters) - settled
            try:
                phases = phases_of(batch, records.get(batch.name)) if here else {}
            except ValueError:
                unread.add(run.name)
                continue
            found |= dict.fromkeys(here, run.name)
            settled |= {name for name in here if phases[name] in _HAS_IT}
    return unread.union(found.values())
