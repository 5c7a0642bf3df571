"""Writing again what somebody else keeps changing: at once at first, then with growing patience. Pure.

Two writers of one object never fight in a tight loop, whoever the other one is: a Git sync, another operator, a webhook
that changes what was just written.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sluice.api.conditions import Reason
from sluice.api.rollout import Drift
from sluice.decide.draft import Draft

QUIET = timedelta(minutes=10)  # after this long without a foreign write, patience starts anew
FIGHT = 3  # so many foreign writes in a row need a person
FIRST_SECONDS = 0.25
MOST = timedelta(seconds=60)
MOST_SERVING = timedelta(seconds=2)  # where requests go astray, or find too few pods, meanwhile
MOST_KEPT = 15
AT_ONCE = 2  # an object that was just made may need a second write


def patience(count: int) -> timedelta:
    """How long to wait after so many repairs in a row before the next one: nothing at first, then doubling.

    >>> [patience(count).total_seconds() for count in (0, 1, 2, 4, 20)]
    [0.0, 0.25, 0.5, 2.0, 60.0]
    """
    if count == 0:
        return timedelta(0)
    return min(MOST, timedelta(seconds=FIRST_SECONDS * 2 ** min(count - 1, 10)))


def is_calm(last_at: datetime | None, now: datetime) -> bool:
    """Whether the last repair is so long ago that the next one is a first one; so it is after a clock went back."""
    return last_at is None or not timedelta(0) <= now - last_at <= QUIET


def may_write(draft: Draft, what: str, content: str) -> bool:
    """Whether it is time to write an object, and takes note of it.

    Args:
        draft: the plan.
        what: the object, such as `Service shop/checkout-blue`.
        content: what it shall say. Only writes of the same are counted: that the spec changes often is no fight.
    """
    key = f"{what}: {content}"
    recent = {name: drift for name, drift in draft.status.repairs.items() if not is_calm(drift.last_at, draft.now)}
    last = recent.get(key, Drift(count=0, last_at=draft.now))
    if last.count > FIGHT:
        message = f"{what} had to be written {last.count} times within minutes, and is changed again: stop that writer"
        draft.stall(Reason.FOREIGN_WRITER, message)
    due = last.last_at + min(patience(max(0, last.count + 1 - AT_ONCE)), MOST_SERVING)
    if draft.now < due:
        draft.wake(due)
        return False
    others = sorted((item for item in recent.items() if item[0] != key), key=lambda item: item[1].last_at)
    draft.update(repairs=dict([*others[-MOST_KEPT:], (key, Drift(count=last.count + 1, last_at=draft.now))]))
    return True
