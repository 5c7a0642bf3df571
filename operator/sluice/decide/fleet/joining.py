"""Clusters that come to a fleet outside of a run: what keeps them from getting what is stable in it. Pure.

Such a cluster may serve something else already. Its own engine goes from there to what is stable, by itself, and knows
no RolloutPolicy: they are the hub's. So these are asked before it gets a part at all.
"""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property

from sluice.api.conditions import Reason
from sluice.api.fleet import BatchRecord, ClusterPhase, RunBatch
from sluice.decide import policies
from sluice.decide.fleet.course import Course
from sluice.decide.fleet.record import phases_of
from sluice.decide.hold import Hold
from sluice.decide.texts import some

# Whoever is in one of these has had a part; of one that left, failed or is to return nobody knows.
_TOOK_PART = frozenset({ClusterPhase.DONE, ClusterPhase.COMPLETED, ClusterPhase.RETURNED})
# An error budget does not say until when it is used up.
_LOOKS = timedelta(seconds=30)


class Gate:
    """Keeps newcomers out; looked at only where there are some.

    Args:
        course: the decision in the making.
    """

    def __init__(self, course: Course) -> None:
        self._course = course

    def keeps_out(self, name: str) -> bool:
        """Whether a cluster may have no part yet; if so, it is told of, and looked at again when it may have one."""
        course, hold = self._course, self._hold if self._is_newcomer(name) else None
        if hold is None:
            return False
        if not (course.under_way and course.phases.get(name) is ClusterPhase.WAITING):
            course.kept_out.append(name)
        if hold.reason is Reason.HELD_BY_POLICY:
            course.wakes.append(hold.until or course.now + _LOOKS)
        return True

    def _is_newcomer(self, name: str) -> bool:
        """Whether it has no part, and had none in any run that is known; one that lost its part gets it back."""
        leg, member = self._course.leg(name), self._course.member(name)
        if leg.order or leg.stable_hash or member is None or not member.known:
            return False
        return name not in self._veterans

    @cached_property
    def _hold(self) -> Hold | None:
        return in_the_way(self._course)

    @cached_property
    def _veterans(self) -> frozenset[str]:
        course = self._course
        found = {name for name, phase in course.phases.items() if phase in _TOOK_PART}
        for run in course.observed.runs:
            kept = {record.name: record for record in run.status.batches}
            for batch in run.spec.batches:
                found |= _took_part(batch, kept.get(batch.name))
        return frozenset(found)


def in_the_way(course: Course) -> Hold | None:
    """What keeps newcomers out: approval is asked for runs, so only a run takes them in where a policy wants that."""
    for policy in course.observed.policies:
        if policy.spec is not None and policy.spec.approval is not None:
            return Hold(Reason.WAITS_FOR_APPROVAL, f"with the next run, for {policy} wants approval")
    held = policies.hold_growth(course.observed.policies, course.now)
    return Hold(held.reason, f"when exposure may grow: {held.message}", until=held.until) if held is not None else None


def tell(course: Course) -> str:
    """Who waits, and for what, for the end of a message; "" where nobody does."""
    hold = in_the_way(course) if course.kept_out else None
    if hold is None:
        return ""
    joins = "joins" if len(course.kept_out) == 1 else "join"
    return f"; {some(course.kept_out)} {joins} {hold.message}"


def _took_part(batch: RunBatch, record: BatchRecord | None) -> set[str]:
    try:
        return {name for name, phase in phases_of(batch, record).items() if phase in _TOOK_PART}
    except ValueError:  # a record that makes no sense tells of nobody
        return set()
