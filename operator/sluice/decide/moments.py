"""The first and the last of moments that need not be. Pure."""

from __future__ import annotations

from datetime import datetime


def earliest(*moments: datetime | None) -> datetime | None:
    """The first of those that are any; None where there are none."""
    return min((moment for moment in moments if moment is not None), default=None)


def latest(*moments: datetime | None) -> datetime | None:
    """The last of those that are any; None where there are none."""
    return max((moment for moment in moments if moment is not None), default=None)
