"""A keeper of audit events in memory."""

from __future__ import annotations

from collections.abc import Sequence

from sluice.decide.exported import Event
from sluice.errors import Rejected, Unavailable


class FakeReceiver:
    """The AuditReceiver port: keeps events in a list.

    Attributes:
        events: those that it kept, in order.
        away: whether it can take none.
        refused: the ids of events that it will not take.
        at_once: how many it takes at once.
    """

    def __init__(self, at_once: int = 1) -> None:
        self.events: list[Event] = []
        self.away = False
        self.refused: set[str] = set()
        self.at_once = at_once

    async def send(self, events: Sequence[Event]) -> None:
        """Keep them."""
        if self.away:
            raise Unavailable("the receiver is away")
        for event in events:
            if event["id"] in self.refused:
                raise Rejected(f"the receiver refuses {event['id']}")
        self.events += events

    async def close(self) -> None:
        """Nothing is open."""
