"""The real engine in a world in memory: what it writes, in which order, and what it is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from sluice.api.names import FIELD_MANAGER, Kind
from sluice.ports import Lane
from sluice.sim import manifests
from sluice.sim.clock import run
from sluice.sim.cluster import Call
from sluice.sim.world import World

APP, BYSTANDER = "checkout", "payments"
CANARY = manifests.canary(*manifests.step_weights(10, 50, pause="1m"))
OPEN = manifests.canary({"setWeight": 10}, {"pause": {}})

Refusal = Callable[[Call], BaseException | None]


class Scene:
    """A world whose operator's writes are kept, and refused where a test says so."""

    def __init__(self) -> None:
        self.world = World()
        self.writes: list[Call] = []
        self.refuse: Refusal | None = None
        self.world.cluster.faults.append(self._fault)

    def _fault(self, call: Call) -> float | None:
        if call.manager != FIELD_MANAGER or not call.writes or call.phase == "after":
            return None
        self.writes.append(call)
        refusal = self.refuse(call) if self.refuse else None
        if refusal is not None:
            raise refusal
        return None

    async def start(self, strategy: Any = CANARY, *apps: str, **fields: Any) -> None:
        """Adopt the apps over blue."""
        names = apps or (APP,)
        for name in names:
            self.world.app(name)
        await self.world.start()
        for name in names:
            await self.world.adopt(name, strategy, **fields)
        self.writes.clear()

    async def install(self, strategy: Any = CANARY, **workload: Any) -> None:
        """Have an app whose pods Sluice runs, four of them, in its first version; see `World.workload_app`."""
        self.world.workload_app(APP, **{"image": "checkout:1.0", "replicas": 4, **workload})
        await self.world.start()
        await self.world.install(APP, strategy)
        await rest(60)
        self.writes.clear()

    async def until_share(self, green: int, app: str = APP) -> None:
        """Wait until green has that share, accepted, in basis points."""

        def there() -> bool:
            return self.world.green_share(app) == green and self.world.status(app).confirmation == "Accepted"

        await self.world.until(there, timeout_seconds=600)

    def told(self) -> list[str]:
        """The writes of Rollout, runs and route, in order: what, and where it matters on which lane."""
        names = []
        for call in self.writes:
            lane = "!" if call.lane is Lane.KILL else ""
            names.append(f"{call.verb} {call.kind}{'/' + call.subresource if call.subresource else ''}{lane}")
        return names

    def stalled(self, app: str = APP) -> str:
        """The reason and message of the Stalled condition, or ""."""
        found = [each for each in self.world.status(app).conditions if each.type == "Stalled"]
        return f"{found[0].reason}: {found[0].message}" if found else ""


def play(story: Callable[[Scene], Awaitable[None]]) -> None:
    """Run a story in virtual time."""

    async def main() -> None:
        scene = Scene()
        await story(scene)
        failure = scene.world.operator.failure()
        assert failure is None, failure

    run(main())


def on_route(call: Call) -> bool:
    """Whether a call writes the app's route."""
    return call.kind is Kind.HTTP_ROUTE and call.name == APP


async def rest(seconds: float = 60.0) -> None:
    """Let virtual time pass."""
    await asyncio.sleep(seconds)
