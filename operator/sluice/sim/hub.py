"""The operator of a hub as a process of the world: its engine, and those who look after the members."""

from __future__ import annotations

import asyncio

from sluice.api.names import Kind
from sluice.engine.engine import Engine
from sluice.engine.members import Members
from sluice.engine.store import Store
from sluice.sim.cluster import FakeCluster, Subscription

LISTED_AFTER_SECONDS = 0.2


class Hub:
    """Runs both, as `handlers.process` does. MemberClusters and their Secrets are listed a moment after it leads.

    Attributes:
        members: set before it runs.
    """

    members: Members

    def __init__(self, cluster: FakeCluster, engine: Engine, namespace: str) -> None:
        self._cluster = cluster
        self._engine = engine
        self._namespace = namespace
        self._listed = False
        self._watches: list[Subscription] = []

    @property
    def store(self) -> Store:
        """The caches of its engine."""
        return self._engine.store

    def wake(self, name: str) -> None:
        """Look at a member now."""
        self.members.wake(name)

    def secrets_problem(self) -> str:
        """Why Secrets are not known."""
        return "" if self._listed else "they were not listed yet"

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._engine.run())
            group.create_task(self.members.run())
            group.create_task(self._watch())

    async def _watch(self) -> None:
        await asyncio.sleep(LISTED_AFTER_SECONDS)
        if self._cluster.severed:
            return
        self._listed = True
        self.members.replace_secrets(list(self._cluster.store.all(Kind.SECRET, self._namespace)))
        self.members.replace_members(list(self._cluster.store.all(Kind.MEMBER_CLUSTER)))
        self._watches = [
            self._cluster.subscribe(Kind.SECRET, self.members.take_secret),
            self._cluster.subscribe(Kind.MEMBER_CLUSTER, self.members.take_member),
        ]

    def sever(self) -> None:
        """It died."""
        for watch in self._watches:
            self._cluster.unsubscribe(watch)
