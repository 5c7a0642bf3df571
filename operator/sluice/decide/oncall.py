"""What somebody on call does to a run without ending it: hold it, for a time or until Resume, or lengthen a wait.

Neither lets anything through, so both are only ever in the way of growth. Pure.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TypeVar

from sluice.api.conditions import Reason
from sluice.api.fleet import BatchStatus
from sluice.api.rollout import HeldBy, StepStatus
from sluice.api.units import format_duration
from sluice.decide.hold import Hold
from sluice.decide.model import ActionView
from sluice.decide.refusal import Refused
from sluice.decide.subject import Subject
from sluice.decide.texts import REASON_BYTES, clip

LONGEST = timedelta(days=365)
Wait = TypeVar("Wait", StepStatus, BatchStatus)


def in_the_way(held: HeldBy | None, resume: str) -> Hold | None:
    """A person's Hold, as a gate.

    Args:
        held: what the status says of it.
        resume: what a person types to end it.
    """
    if held is None:
        return None
    why = f": {held.reason}" if held.reason else ""
    end = f"at {_clock(held.until)} by itself, or " if held.until is not None else ""
    return Hold(Reason.HELD_BY_ACTION, f"held by {held.actor}{why}; goes on {end}with: {resume}", until=held.until)


def let_go(subject: Subject) -> None:
    """End a Hold whose time is up."""
    held = subject.status.held_by
    if held is None or held.until is None or subject.now < held.until:
        return
    subject.update(held_by=None)
    subject.note(Reason.HOLD_ENDED, f"the hold by {held.actor} is over, as asked for")


def hold(subject: Subject, action: ActionView, actor: str) -> str:
    """Hold the run.

    Raises:
        Refused: somebody holds it already.
    """
    held, duration = subject.status.held_by, action.spec.duration
    if held is not None:
        longer = f"; sluice extend makes it longer than {_clock(held.until)}" if held.until is not None else ""
        raise Refused(f"already held by {held.actor}{longer}")
    until = _until(subject.now, subject.now, duration) if duration is not None else None
    reason = clip(action.spec.reason, REASON_BYTES)
    subject.update(held_by=HeldBy(actor=actor, reason=reason, at=subject.now, until=until))
    return f"held until {_clock(until)}" if until is not None else "held until it is resumed"


def extend_hold(subject: Subject, by: timedelta) -> str:
    """Lengthen the Hold that there is.

    Raises:
        Refused: it has no end, or would last longer than anything may.
    """
    held = subject.status.held_by
    if held is None or held.until is None:
        raise Refused("it is held until somebody resumes it: there is nothing to lengthen")
    until = _until(subject.now, held.until, by)
    subject.update(held_by=held.model_copy(update={"until": until}))
    return f"the hold by {held.actor} lasts {format_duration(by)} longer, until {_clock(until)}"


def extended(wait: Wait, by: timedelta) -> Wait:
    """A timed wait, that much longer.

    Raises:
        Refused: it would last longer than anything may.
    """
    seconds = wait.extended_seconds + by.total_seconds()
    if seconds > LONGEST.total_seconds():
        raise Refused(_too_long())
    return wait.model_copy(update={"extended_seconds": seconds})


def told_longer(seconds: float) -> str:
    """What a sentence about a wait adds where somebody lengthened it.

    >>> told_longer(5400.0), told_longer(0.0)
    (', and 1h30m more', '')
    """
    return f", and {format_duration(timedelta(seconds=seconds))} more" if seconds else ""


def _until(now: datetime, start: datetime, duration: timedelta) -> datetime:
    if start + duration > now + LONGEST:
        raise Refused(_too_long())
    return start + duration


def _too_long() -> str:
    return f"nothing is held or waited for longer than {format_duration(LONGEST)}; to stop the run: sluice abort"


def _clock(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at is not None else ""
