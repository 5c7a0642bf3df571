"""A cluster whose ordinary writes wait while kills are being written there."""

from __future__ import annotations

from sluice.engine.precedence import Precedence
from sluice.ports import Cluster, Lane
from sluice.relay import Relay


class Yielding(Relay):
    """Implements `ports.Cluster` over another.

    A pass waits for kills before it begins. But one that was held up in its midst, by a server that did not answer,
    goes on in the moment in which it answers again: then kills are due first.

    Args:
        cluster: the other.
        precedence: of kills.
    """

    def __init__(self, cluster: Cluster, precedence: Precedence) -> None:
        super().__init__(cluster)
        self._precedence = precedence

    async def await_turn(self, lane: Lane) -> None:
        """Ordinary writes wait until no kill is being written."""
        if lane is not Lane.KILL:
            await self._precedence.give_way()
