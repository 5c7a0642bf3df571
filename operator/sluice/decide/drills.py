"""Drills: what one does to a run, and how it goes on from its beginning to its release. Pure.

A drill takes the candidate's traffic to stable as a Divert does, by the same writes, but it ends no run: the run is
held where it is, with the share that it had still in its status. Once the switch has let go, that share is given back
as any growth is, past every gate.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sluice.api.conditions import Reason
from sluice.api.drill import DrillOutcome, DrillPart, LastDrill, PartTime
from sluice.api.killswitch import KillSwitchSpec
from sluice.api.units import format_duration, format_share, format_time
from sluice.decide.draft import Draft
from sluice.decide.model import Cause
from sluice.decide.returning import DRILL
from sluice.decide.switches import drilling, run_id, title_of
from sluice.decide.texts import REASON_BYTES, clip, count_of
from sluice.decide.traffic import stopped_by

LONGEST = timedelta(seconds=20)
DRILL_OVER = "drill-over"


# --------------------------------------------------------------------------------------------- of a run


def recall(draft: Draft) -> None:
    """Tell of a drill that wrote before any pass saw it: a pass that comes later may find it over, or the run ended."""
    stamp = _stamp(draft)
    if stamp is not None and draft.status.drilled is None:
        by = f"drill of {title_of(stamp.switch)} by {stamp.actor}: {stamp.reason}"
        draft.record("Intended", DRILL, Reason.DRILLED, by, actor=stamp.actor, cause=stamp.switch)


def rehearse(draft: Draft) -> None:
    """Have the run give its traffic away while a drill covers it, and seek it again afterwards."""
    if not draft.under_way:
        return
    switch, drilled = drilling(stopped_by(draft)), draft.status.drilled
    if switch is not None and drilled is None and draft.exposed:
        message = (
            f"drill of {switch} by {switch.actor}: {clip(switch.reason, REASON_BYTES)}; the run is held, not ended"
        )
        draft.update(drilled=switch.id, confirmation=None, drift=None)
        draft.record("Intended", DRILL, Reason.DRILLED, message, actor=switch.actor, cause=switch.id)
        draft.note(Reason.DRILLED, message)
    elif switch is None and drilled is not None:
        _end(draft, drilled)
    elif switch is None and (stamp := _stamp(draft)) is not None:
        _end(draft, stamp.switch)


def _end(draft: Draft, drilled: str) -> None:
    """Seek again what the drill of this engagement took: it was Sluice's own write, and nobody else's."""
    draft.update(drilled=None, confirmation=None, drift=None)
    message = f"the drill of {title_of(drilled)} is over; {draft.candidate} goes back to {format_share(draft.intended)}"
    told = draft.status.audit.seq
    draft.record("Intended", DRILL_OVER, Reason.DRILLED, message, cause=drilled)
    if draft.status.audit.seq != told:
        draft.note(Reason.DRILLED, message)


def _stamp(draft: Draft) -> Cause | None:
    """What a drill wrote onto a route of the run under way that does not have its share back."""
    if not draft.under_way:
        return None
    run = run_id(draft.observed.ref.uid, draft.number)
    left = (target for target in draft.observed.targets if not target.at(draft.candidate, draft.intended))
    causes = (target.cause for target in left if target.cause is not None)
    return next((cause for cause in causes if (cause.run, cause.action) == (run, DRILL)), None)


# --------------------------------------------------------------------------------------------- of a switch


@dataclass(frozen=True, slots=True)
class DrillSeen:
    """What is known of a switch, for its drill.

    Attributes:
        spec: of the switch.
        generation: of the switch.
        known: what its status says of a drill.
        began_at: when the operator saw it engaged.
        changed_at: when a route was last seen to change; None where none was since then.
        rollouts: that it covers, but for those over fleets.
        fleets: Rollouts over fleets that it covers: a drill moves nothing of theirs.
        exposed: routes that still give a candidate traffic.
        pending: routes that do, or are not accepted yet.
        diverted: routes that it has at 0, accepted.
    """

    spec: KillSwitchSpec
    generation: int
    known: LastDrill | None
    began_at: datetime
    changed_at: datetime | None = None
    rollouts: int = 0
    fleets: int = 0
    exposed: int = 0
    pending: int = 0
    diverted: int = 0


@dataclass(frozen=True, slots=True)
class DrillPlan:
    """What a drill comes to.

    Attributes:
        last: for the status.
        release: why the switch is to be released; "" where it is not.
        wake_at: when to look again at the latest.
    """

    last: LastDrill | None
    release: str = ""
    wake_at: datetime | None = None


def plan_drill(seen: DrillSeen, now: datetime) -> DrillPlan:
    """Decide about the drill of a switch: that it goes on, has ended, or was ended."""
    if not (seen.spec.engaged and seen.spec.drill):
        return DrillPlan(_left(seen, now))
    known = seen.known
    if known is None or known.generation != seen.generation:
        known = _begun(seen)
    if known.outcome is None:
        known = _measured(known, seen, now)
    if known.outcome is None:
        return DrillPlan(known, wake_at=known.started_at + LONGEST)
    ended_at = known.ended_at or now
    return DrillPlan(known, release=f"drill {known.outcome} at {format_time(ended_at)}")


def _begun(seen: DrillSeen) -> LastDrill:
    return LastDrill(
        started_at=seen.began_at,
        generation=seen.generation,
        by=clip(seen.spec.engaged_by or "unattributed", REASON_BYTES),
        reason=clip(seen.spec.reason, REASON_BYTES),
        message="under way",
    )


def _measured(drill: LastDrill, seen: DrillSeen, now: datetime) -> LastDrill:
    parts = list(drill.parts)
    at = max(seen.changed_at or now, drill.started_at)
    for part, missing in ((DrillPart.WRITTEN, seen.exposed), (DrillPart.ACCEPTED, seen.pending)):
        if not missing and drill.seconds(part) is None:
            parts.append(PartTime(name=part, seconds=_seconds(drill, at)))
    drill = drill.model_copy(update={"parts": tuple(parts), "rollouts": seen.rollouts, "routes": seen.diverted})
    beside = f"; {count_of(seen.fleets, 'Rollout')} over a fleet had nothing moved" if seen.fleets else ""
    if not seen.pending and seen.diverted:
        message = (
            f"{count_of(seen.diverted, 'route')} gave everything to stable, and the controllers accepted it{beside}"
        )
        return _ended(drill, DrillOutcome.PASSED, message, now)
    if not seen.pending:
        message = f"no candidate had traffic, so nothing was rehearsed: drill while a run is under way{beside}"
        return _ended(drill.model_copy(update={"parts": ()}), DrillOutcome.NOTHING_EXPOSED, message, now)
    if now - drill.started_at >= LONGEST:
        message = (
            f"{count_of(seen.pending, 'route')} not confirmed at 0 within {format_duration(LONGEST)}, as a kill would "
            f"not be: see why in the Rollouts' conditions Stalled and TrafficConfirmed{beside}"
        )
        return _ended(drill, DrillOutcome.TIMED_OUT, message, now)
    return drill


def _left(seen: DrillSeen, now: datetime) -> LastDrill | None:
    """What stays of a drill once the switch is no drill's any more."""
    known = seen.known
    if known is None:
        return None
    if known.outcome is None:
        how = "engaged for real" if seen.spec.engaged else "released"
        known = _ended(known, DrillOutcome.INTERRUPTED, f"the switch was {how} before the drill was over", now)
    if seen.spec.engaged or known.seconds(DrillPart.RELEASED) is not None or seen.generation > known.generation + 1:
        return known
    released = PartTime(name=DrillPart.RELEASED, seconds=_seconds(known, now))
    return known.model_copy(update={"parts": (*known.parts, released)})


def _ended(drill: LastDrill, outcome: DrillOutcome, message: str, now: datetime) -> LastDrill:
    return drill.model_copy(update={"outcome": outcome, "message": message, "ended_at": now})


def _seconds(drill: LastDrill, at: datetime) -> float:
    return round(max(0.0, (at - drill.started_at).total_seconds()), 4)
