"""What RolloutPolicies cost an operator whose Rollouts wait, in a small hub and in a large one.

    python bench/policies.py [--rollouts 10000] [--times 200]

All Rollouts but one wait, by `requireStable`, until that has served a version. Measured are one pass of one of them (a
look at the caches, and the decision), and one look at the policy after one of them has changed. Both hubs take turns.
The last line is one JSON object; the exit code is 1 where a pass in the large hub costs more than thrice one in the
small one, or a look at the policy takes longer than 30 of the large hub's passes: a kill may wait so long for either.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from itertools import count

from figures import conclude, show
from sluice.adapters.audit.segments import SegmentArchive
from sluice.api.conditions import Reason
from sluice.api.names import Kind
from sluice.decide.planner import plan
from sluice.engine.index import Index
from sluice.engine.measure import Inbox
from sluice.engine.observe import Observer
from sluice.engine.policies import PolicyKeeper
from sluice.engine.store import Store
from sluice.engine.switchboard import SwitchBoard
from sluice.engine.writes import Ports
from sluice.ports import Obj
from sluice.sim import manifests
from sluice.sim.clock import run
from sluice.sim.operator import WATCHED
from sluice.sim.stage import NAMESPACE, SYSTEM
from sluice.sim.world import World
from sluice.wiring import routers_over

SMALL = 10
RATIO_MAX = 3.0
PASSES_PER_LOOK_MAX = 30.0
POLICY, RING = "house-first", "ring"
Objects = list[tuple[Kind, Obj]]


async def played(world: World) -> None:
    """Let one Rollout go first, and another wait for it."""
    await world.start()
    for app in ("first", "waits"):
        world.app(app)
        await world.adopt(app, manifests.canary({"setWeight": 50}))
        await world.cluster.patch_merge(Kind.ROLLOUT, NAMESPACE, app, {"metadata": {"labels": {RING: app}}})
    required = {"for": "1h", "selector": {"matchLabels": {RING: "first"}}}
    await world.apply(Kind.ROLLOUT_POLICY, manifests.policy(POLICY, requireStable=required))
    await world.release_version("waits", "2.0")
    await world.until_phase("waits", "Paused")


class Hub:
    """Caches in which so many Rollouts wait, all alike."""

    def __init__(self, waiting: int) -> None:
        world = World()
        run(played(world))
        self._now: datetime = world.clock.now()
        self._store = Store()
        index, board = Index(self._store), SwitchBoard(self._store, world.clock.now)
        routers = routers_over(self._store, world.cluster)
        self._observer = Observer(self._store, index, board, routers, Inbox())
        archive = SegmentArchive(world.cluster, SYSTEM)
        ports = Ports(world.cluster, routers, world.notifier, world.audit, archive, world.clock)
        self._keeper = PolicyKeeper(self._store, self._observer.policies, ports, world.metrics, lambda *_: None)
        for kind in WATCHED:
            for obj in world.cluster.store.all(kind):
                self._store.apply(kind, None, obj)
        found = self._store.get(Kind.ROLLOUT, NAMESPACE, "waits")
        assert found is not None
        self._waits = found
        for number in range(waiting - 1):
            self._store.apply(Kind.ROLLOUT, None, _copy(found, f"waits-{number}"))
        self._versions: Iterator[int] = count(int(found["metadata"]["resourceVersion"]) + 1)
        made = plan(self._observer.observe(found), self._now)
        assert Reason.HELD_BY_POLICY in {each.reason for each in made.status.conditions}, made.status.message
        asyncio.run(self._keeper.tend(POLICY))

    def pass_seconds(self) -> float:
        """One look and one decision."""
        began = time.perf_counter()
        plan(self._observer.observe(self._waits), self._now)
        return time.perf_counter() - began

    def look_seconds(self) -> float:
        """One look at the policy, after one of the Rollouts has changed."""
        changed = _copy(self._waits, "waits-0")
        changed["metadata"]["resourceVersion"] = str(next(self._versions))
        began = time.perf_counter()
        self._store.apply(Kind.ROLLOUT, "MODIFIED", changed)
        asyncio.run(self._keeper.tend(POLICY))
        return time.perf_counter() - began


def _copy(rollout: Obj, name: str) -> Obj:
    """Another one, over a route of its own."""
    traffic = {"routes": [{"kind": "HTTPRoute", "name": name}]}
    metadata = {**rollout["metadata"], "name": name, "uid": f"uid-of-{name}"}
    return {**rollout, "metadata": metadata, "spec": {**rollout["spec"], "traffic": traffic}}


def _rounded(of: dict[int, float]) -> dict[str, float]:
    return {str(waiting): round(ms, 3) for waiting, ms in of.items()}


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--rollouts", type=int, default=10_000)
    parser.add_argument("--times", type=int, default=200)
    options = parser.parse_args()
    hubs = {waiting: Hub(waiting) for waiting in (SMALL, options.rollouts)}
    passes: dict[int, list[float]] = {waiting: [] for waiting in hubs}
    looks: dict[int, list[float]] = {waiting: [] for waiting in hubs}
    for _ in range(options.times):
        for waiting, hub in hubs.items():
            passes[waiting].append(hub.pass_seconds())
            looks[waiting].append(hub.look_seconds())
    pass_ms, look_ms = (
        {waiting: statistics.median(each) * 1000 for waiting, each in taken.items()} for taken in (passes, looks)
    )
    rows = [(f"{waiting:,}", f"{pass_ms[waiting]:.2f}", f"{look_ms[waiting]:.2f}") for waiting in hubs]
    show("milliseconds, median", ("Rollouts that wait", "one pass of one of them", "one look at the policy"), rows)
    ratio = pass_ms[options.rollouts] / pass_ms[SMALL]
    in_passes = look_ms[options.rollouts] / pass_ms[options.rollouts]
    broken = []
    if ratio > RATIO_MAX:
        broken.append(f"a pass took {ratio:.1f} times as long as in the small hub, {RATIO_MAX:g} at most")
    if in_passes > PASSES_PER_LOOK_MAX:
        broken.append(f"a look at the policy took as long as {in_passes:.0f} passes, {PASSES_PER_LOOK_MAX:g} at most")
    told = {
        name: {str(each): round(ms, 3) for each, ms in of.items()}
        for name, of in (("pass_ms", pass_ms), ("look_ms", look_ms))
    }
    return conclude({**told, "ratio": round(ratio, 2), "passes_per_look": round(in_passes, 1)}, broken)


if __name__ == "__main__":
    sys.exit(main())
