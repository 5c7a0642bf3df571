"""How a run can end."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """How a run ended."""

    COMPLETED = "Completed"
    ABORTED = "Aborted"
    KILLED = "Killed"
    SUPERSEDED = "Superseded"
    RETURNED = "Returned"  # the spec went back to the stable revision, or the Rollout was deleted
