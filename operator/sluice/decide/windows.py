"""When a policy's windows are open, and until when. Pure.

A window opens at each moment of its cron schedule, in its time zone. At the changes of daylight saving time a schedule
is read as Debian's cron reads it (cron(8)): what falls into the hour that is skipped comes right after it, and what
falls into the hour that is there twice comes once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from cronsim import CronSim

from sluice.api.policy import Window, WindowKind
from sluice.decide.moments import earliest
from sluice.decide.texts import tell_time

# A window that opens again before it closes is followed this far; one that goes on is as good as always open.
_MOST_OPENINGS = 400
_BEYOND = timedelta(hours=3)


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a window is open, and when that changes; None: not as far as one looks ahead."""

    is_open: bool
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Closed:
    """Why exposure may not grow, and when it may again, as far as that is known."""

    why: str
    until: datetime | None

    def __str__(self) -> str:
        return f"{self.why} {tell_time(self.until)}" if self.until is not None else self.why


def standing(window: Window, now: datetime) -> Standing:
    """Whether a window is open.

    >>> nightly = Window(kind=WindowKind.DENY, schedule="0 22 * * *", duration="8h")
    >>> standing(nightly, datetime(2026, 3, 1, 23, tzinfo=UTC)).until
    datetime.datetime(2026, 3, 2, 6, 0, tzinfo=datetime.timezone.utc)
    """
    opened = next(_openings(window, now, back=True), None)
    if opened is None or opened + window.duration <= now:
        return Standing(False, next(_openings(window, now), None))
    closes = opened + window.duration
    for again in islice(_openings(window, now), _MOST_OPENINGS):
        if again > closes:
            return Standing(True, closes)
        closes = again + window.duration
    return Standing(True, None)


def _openings(window: Window, now: datetime, *, back: bool = False) -> Iterator[datetime]:
    """The moments at which it opens after now; or back from now, which counts too."""
    local = now.astimezone(ZoneInfo(window.time_zone)).replace(microsecond=0)
    # Local times tell the two passes of an hour that is there twice apart by no order: begin beyond it.
    start = local + _BEYOND if back else local - _BEYOND
    for local_time in CronSim(window.schedule, start, reverse=back):
        moment = local_time.astimezone(UTC)
        if (moment <= now) is back:
            yield moment


def closed(windows: Sequence[Window], now: datetime) -> Closed | None:
    """Why exposure may not grow now by these windows; None where it may.

    A freeze outweighs what is allowed; and where anything is allowed at some times, it is not at others.
    """
    freezes = [(each, standing(each, now)) for each in windows if each.kind is WindowKind.DENY]
    frozen = [(each, at) for each, at in freezes if at.is_open]
    if frozen:
        window, at = max(frozen, key=lambda each: _late(each[1].until))
        return Closed(f"the freeze{_named(window)} lasts{' until' if at.until else ''}", at.until)
    allowing = [(each, standing(each, now)) for each in windows if each.kind is WindowKind.ALLOW]
    if not allowing or any(at.is_open for _, at in allowing):
        return None
    window, at = min(allowing, key=lambda each: _late(each[1].until))
    return Closed(f"no window is open; the next is{_named(window)}{', at' if at.until else ''}", at.until)


def changes_at(windows: Sequence[Window], now: datetime) -> datetime | None:
    """When to look at the windows again: the first time at which one of them opens or closes."""
    return earliest(*(standing(each, now).until for each in windows))


def _late(at: datetime | None) -> datetime:
    return at or datetime.max.replace(tzinfo=UTC)


def _named(window: Window) -> str:
    return f" {window.name}" if window.name else f" {window.schedule!r} ({window.time_zone})"
