"""The way back to stable: how much of the traffic it can take, and the shares that follow from it. Pure.

There is one way back: the planner's, for whatever ends a run or puts a foreign write back, and the kill path's, which
runs `divert` on the very event of a switch, before any queue. The planner carries a Divert on after a crash, a failed
write or a late-coming route.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from sluice.api.common import ObjectRef
from sluice.api.names import Slot
from sluice.api.outcome import Outcome
from sluice.api.rollout import RolloutStatus
from sluice.api.run import RolloutRunSpec
from sluice.api.units import FULL, NONE, BasisPoints, format_share, format_time
from sluice.api.workload import SlotServices, Workload
from sluice.decide.model import Cause, Shift, SwitchView, TargetView
from sluice.decide.sizing import bearable
from sluice.decide.switches import owner_id, run_id
from sluice.decide.texts import REASON_BYTES, clip
from sluice.decide.untold import moments, stamp

DRILL = "drill"


def stable_bears(workload: Workload | None, run: RolloutRunSpec | None, *, stable: int, candidate: int) -> BasisPoints:
    """The share that stable can take now: all, or a part where a run with `dynamicStable` has made it small.

    Args:
        workload: what the spec runs; None where it is not Sluice that runs it.
        run: the run that is to be left.
        stable: ready endpoints of the stable slot. Without any it takes nothing.
        candidate: ready endpoints of the candidate.
    """
    if not stable:
        return NONE
    if workload is None or run is None or not run.dynamic_stable:
        return FULL
    return bearable(workload.replicas, stable, candidate)


def shares_back(
    targets: Iterable[TargetView], candidate: Slot, share: BasisPoints, bears: BasisPoints
) -> list[tuple[TargetView, BasisPoints]]:
    """The candidate's new share for each target that can give some of it back.

    Args:
        targets: what carries the traffic. Those that have the share already need nothing.
        candidate: the slot that gives it back.
        share: what it shall have in the end.
        bears: the share that stable can take now. A selector knows nothing between all and none, and no rule is given
            more than it has.
    """
    left = FULL - bears
    if left <= share:
        return [(target, share) for target in targets if target.shares and not target.at(candidate, share)]
    return [(target, left) for target in targets if not target.all_or_nothing and target.least(candidate) > left]


def why_diverted(switch: SwitchView, bears: BasisPoints) -> str:
    """What a Divert says it was for; where it had to be forced also that, by whom, and over what.

    Args:
        switch: the switch that diverts.
        bears: the share that stable can take, see `stable_bears`.
    """
    if not switch.forced_by or bears == FULL:
        return clip(switch.reason, REASON_BYTES)
    over = "had no ready endpoint" if bears == NONE else f"could take {format_share(bears)} only"
    forced = f" (forced by {clip(switch.forced_by, REASON_BYTES // 4)}: stable {over})"
    return clip(switch.reason, REASON_BYTES - len(forced.encode())) + forced


def divert(
    ref: ObjectRef,
    status: RolloutStatus,
    services: SlotServices,
    targets: Sequence[TargetView],
    switch: SwitchView,
    *,
    bears: BasisPoints,
    now: datetime,
) -> tuple[Shift, ...]:
    """The writes that take all traffic from the candidate at once, or as much as stable can take.

    Args:
        ref: the Rollout.
        status: of the Rollout.
        services: the slots' Services.
        targets: what carries the traffic.
        switch: the switch that diverts.
        bears: the share that stable can take, see `stable_bears`. A switch with force doesn't ask.
        now: the time, aware.

    Returns:
        One shift per target that still gives the candidate more, also that of a run which came to nothing. Empty where
        there is no candidate, and where stable has no ready endpoint (a candidate that answers is better than a stable
        that cannot), unless by force.
    """
    revision = status.revision
    if status.stable is None or revision is None or revision.outcome is Outcome.COMPLETED:
        return ()
    share = FULL if switch.forced_by else bears
    if not share:
        return ()
    cause = Cause(
        run=run_id(ref.uid, revision.number),
        action=DRILL if switch.drill else "divert",
        switch=switch.id,
        reason=why_diverted(switch, bears),
        actor=switch.actor,
        at=format_time(now),
    )
    candidate, owner = status.stable.slot.other, owner_id(ref)
    told_to = status.drift.last_at if status.drift is not None else None

    def cause_of(target: TargetView, left: BasisPoints) -> Cause:
        if target.owner != owner or target.cause is None or target.cause.run != cause.run:
            return cause
        taken = target.cause.action == cause.action and target.written_at(candidate, left)
        put_back = moments(target.cause, cause.run, told_to, now) + ([now] if taken else [])
        return replace(cause, repairs=stamp(put_back))

    return tuple(
        Shift(
            target=target,
            services=services,
            slot=candidate,
            share=left,
            grows=False,
            cause=cause_of(target, left),
            owner=owner,
        )
        for target, left in shares_back(targets, candidate, NONE, share)
    )
