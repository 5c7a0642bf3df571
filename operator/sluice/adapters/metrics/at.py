"""A member's own Prometheus."""

from __future__ import annotations

from sluice.decide.model import Reading
from sluice.ports import MetricProvider


class AtAddress:
    """Implements `ports.MetricProvider`: queries that name no address go to this one.

    Whoever registers a member chooses it, and no namespace, so the allow-list for namespaces does not hold it back. A
    Secret that a namespaced metric names is another matter: it goes to no address that is not on the list.
    """

    def __init__(self, provider: MetricProvider, address: str) -> None:
        self._provider = provider
        self._address = address

    async def query(self, query: str, *, address: str | None, namespace: str, secret: str | None) -> Reading:
        """Ask one instant query."""
        if address is not None:
            return await self._provider.query(query, address=address, namespace=namespace, secret=secret)
        holder = namespace if secret is not None else ""
        return await self._provider.query(query, address=self._address, namespace=holder, secret=secret)
