"""Ages and countdowns as people read them. Pure: `now` is an argument."""

from __future__ import annotations

from datetime import datetime, timedelta

from sluice.api.units import format_duration

_DAY_SECONDS = 86_400


def age(since: datetime | None, now: datetime) -> str:
    """How long ago, roughly: the older, the coarser. "" where unknown.

    >>> from datetime import UTC
    >>> start = datetime(2026, 1, 1, tzinfo=UTC)
    >>> [age(start, start + timedelta(seconds=s)) for s in (42, 300, 9_000, 200_000, 10_000_000)]
    ['42s', '5m', '2h30m', '2d7h', '115d']
    """
    return _rough(now - since) if since is not None else ""


def countdown(until: datetime | None, now: datetime) -> str:
    """How long until, in two units: "in 4m12s", or "any moment" where it is due. "" where unknown.

    >>> from datetime import UTC
    >>> start = datetime(2026, 1, 1, tzinfo=UTC)
    >>> countdown(start + timedelta(seconds=252), start), countdown(start, start)
    ('in 4m12s', 'any moment')
    """
    if until is None:
        return ""
    left = until - now
    return f"in {_rough(left, minutes_with_seconds=60)}" if left > timedelta(0) else "any moment"


def _rough(span: timedelta, *, minutes_with_seconds: int = 5) -> str:
    seconds = max(0, round(span.total_seconds()))
    minutes = seconds // 60
    if minutes < minutes_with_seconds:
        return format_duration(timedelta(seconds=seconds))
    if seconds < _DAY_SECONDS:
        return format_duration(timedelta(minutes=minutes))
    days, rest = divmod(seconds, _DAY_SECONDS)
    hours = rest // 3600
    return f"{days}d{hours}h" if hours and days < 10 else f"{days}d"
