"""What a decision in the making has, be it about one Rollout or about a fleet, that both go through in the same way."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol

from sluice.api.conditions import Reason
from sluice.api.rollout import RolloutStatus


class Subject(Protocol):
    """The draft of a plan, or the course of a fleet."""

    now: datetime
    status: RolloutStatus

    def update(self, **changes: Any) -> None:
        """Change fields of the next status."""

    def hold(self, reason: Reason, message: str, *, counts: bool = False, until: datetime | None = None) -> None:
        """Name something that the run waits for."""

    def note(self, reason: Reason, message: str, *, warning: bool = False) -> None:
        """Tell people by a Kubernetes Event."""
