"""What people are asked to approve, as a Rollout's status tells. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sluice.views.fields import Fields
from sluice.views.moments import countdown
from sluice.views.rows import running


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for at a point of a run, and who approved so far."""

    point: str
    revision: int
    group: str
    quorum: int
    approvals: tuple[tuple[str, datetime | None], ...]  # who, and until when it counts

    @property
    def missing(self) -> int:
        """How many more have to approve."""
        return max(0, self.quorum - len(self.approvals))


@dataclass(frozen=True, slots=True)
class ApprovalLine:
    """The same for people to read."""

    point: str
    group: str
    count: str  # "1 of 2"
    approved: str  # "bob (expires in 3h)"


def asked_of(status: Fields) -> tuple[Asked, ...]:
    """What is asked for where a run waits; nothing where none is under way."""
    if not running(status):
        return ()
    return tuple(
        Asked(
            point=each.text("point"),
            revision=each.whole("revision") or 0,
            group=each.text("group"),
            quorum=each.whole("quorum") or 0,
            approvals=tuple((one.text("actor"), one.moment("expiresAt")) for one in each.items("approvals")),
        )
        for each in status.items("approvals")
    )


def approval_lines(status: Fields, now: datetime) -> tuple[ApprovalLine, ...]:
    """A line for each point."""
    return tuple(
        ApprovalLine(
            point=each.point,
            group=each.group,
            count=f"{len(each.approvals)} of {each.quorum}",
            approved=", ".join(f"{who} (expires {countdown(until, now) or 'now'})" for who, until in each.approvals),
        )
        for each in asked_of(status)
    )
