"""A member's own Prometheus."""

from __future__ import annotations

from sluice.decide.model import Reading
from sluice.ports import MetricProvider


class AtAddress:
    """Implements `ports.MetricProvider`: queries that name no address go to this one."""

    def __init__(self, provider: MetricProvider, address: str) -> None:
        self._provider = provider
        self._address = address

    async def query(self, query: str, *, address: str | None, namespace: str, secret: str | None) -> Reading:
        """Ask one instant query."""
        return await self._provider.query(query, address=address or self._address, namespace=namespace, secret=secret)
