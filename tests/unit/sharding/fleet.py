"""Several operators over one cluster in memory, and a witness that sees every write of each."""

from __future__ import annotations

import asyncio
from functools import partial

from sluice.adapters.audit.segments import SegmentArchive
from sluice.adapters.kube.register import Register
from sluice.adapters.kube.shards import ShardKeeper
from sluice.adapters.kube.terms import LeaseTimes
from sluice.api.names import FIELD_MANAGER, Kind
from sluice.decide.sharding import ALL, Shards, shard_of
from sluice.engine.engine import Engine
from sluice.engine.fence import Fence, WorkKey
from sluice.ports import Obj
from sluice.sim.cluster import Call, FakeCluster
from sluice.sim.operator import WATCHED, FakeAudit, FakeNotifier
from sluice.sim.store import EventType
from sluice.sim.world import World
from sluice.wiring import Outlets, build_engine

TIMES = LeaseTimes()
HOME, LEASE = "sluice-system", "sluice"
LATENCY_SECONDS = 0.02  # of requests about the Lease
SLOWLY_SECONDS = 0.2  # of all others: what is on its way can be overtaken by what is said in the Lease
# Beyond the duration: requests to the Lease that fail or time out, and the spread of several replicas.
SLACK_SECONDS = TIMES.request + 2 * TIMES.retry + 1.0


class Replica:
    """One operator: engine, keeper, watches. It can crash, and freeze as a process that is stopped does.

    Args:
        world: where it works.
        name: its identity.
        trails_seconds: how late its caches are, each by something up to that.
    """

    def __init__(self, world: World, name: str, trails_seconds: float = 0.0) -> None:
        self.name = name
        self.alive = True
        self._clock = world.clock
        self._thaws_at = 0.0
        self._froze_at = 0.0
        world.cluster.faults.append(self._stall)
        self._bare, self._fenced = self._connect(world.cluster), self._connect(world.cluster)
        self._fenced.latency_seconds = SLOWLY_SECONDS
        self.keeper = ShardKeeper(
            self._bare, HOME, LEASE, name, clock=world.clock, times=TIMES, monotonic=self._monotonic
        )
        self.fence = Fence(self.keeper)
        self._fenced.leadership = self.fence
        self.archive = SegmentArchive(self._fenced, HOME)
        self.engine = build_engine(
            self._fenced,
            metrics=world.metrics,
            outlets=Outlets(FakeNotifier(world.clock), FakeAudit(), self.archive),
            fence=self.fence,
            clock=world.clock,
        )
        self._watches = [
            world.cluster.subscribe(
                kind, partial(_tell, self.engine, kind), delay_seconds=trails_seconds * (number % 3) / 2
            )
            for number, kind in enumerate(WATCHED)
        ]
        self._watches.append(world.cluster.subscribe(Kind.LEASE, self._notice))
        self._working = asyncio.create_task(self.engine.run(), name=f"{name} engine")
        self._keeping = asyncio.create_task(
            self.keeper.run(self._take_up, self._give_up, self.fence.drained), name=f"{name} keeper"
        )

    def _take_up(self, shards: Shards) -> None:
        self.engine.take_up(shards)

    def _give_up(self, shards: Shards) -> None:
        self.engine.give_up(shards)

    def _connect(self, cluster: FakeCluster) -> FakeCluster:
        view = cluster.as_manager(FIELD_MANAGER)
        view.client = self.name
        return view

    def _notice(self, event: EventType, lease: Obj) -> None:
        self.keeper.notice(None if event == "DELETED" else lease)

    def _monotonic(self) -> float:
        """Its own clock; while it is frozen it does not look, so that it finds out only when it goes on."""
        return self._froze_at if self.frozen else self._clock.monotonic()

    @property
    def frozen(self) -> bool:
        """Whether it is stopped now."""
        return self._clock.monotonic() < self._thaws_at

    @property
    def shards(self) -> Shards:
        """What it may write about; nothing while it does not run."""
        return self.keeper.shards if self.alive and not self.frozen else frozenset()

    def freeze(self, seconds: float) -> None:
        """Stop as by SIGSTOP, and go on that much later with whatever it was about to do."""
        if self.frozen or not self.alive:
            return
        self._froze_at = self._clock.monotonic()
        self._thaws_at = self._froze_at + seconds
        for watch in self._watches:
            watch.hold()
        asyncio.get_running_loop().call_at(self._thaws_at, self._thaw)

    def _thaw(self) -> None:
        self._thaws_at = self._clock.monotonic()  # timers may ring a hair early: what it hears now, it hears now
        for watch in self._watches:
            watch.release()

    def _stall(self, call: Call) -> float | None:
        """What it sends or is answered while it is frozen waits."""
        return self._thaws_at - self._clock.monotonic() if call.client == self.name and self.frozen else None

    async def stop(self) -> None:
        """Go in good order."""
        self.keeper.stop()
        await self._keeping
        await self._end()

    async def crash(self) -> None:
        """Go as by SIGKILL."""
        self._bare.severed = self._fenced.severed = True
        await self._end()

    async def _end(self) -> None:
        self.alive = False
        for watch in self._watches:
            watch.close()
        for task in (self._keeping, self._working):
            task.cancel()
        await asyncio.gather(self._keeping, self._working, return_exceptions=True)

    def problem(self) -> str:
        """What ended it, if it ended by itself."""
        ended = [task for task in (self._working, self._keeping) if self.alive and task.done()]
        return "; ".join(f"{task.get_name()}: {task.exception()!r}" for task in ended)


def _tell(engine: Engine, kind: Kind, event: EventType, obj: Obj) -> None:
    engine.store.apply(kind, event, obj)


class Crew(World):
    """A world with any number of replicas.

    Attributes:
        replicas: all that were ever started, by name; `alive` tells which are.
        broken: what no history may bring about, in plain words.
    """

    replicas: dict[str, Replica]
    broken: list[str]

    @property
    def living(self) -> list[Replica]:
        """Those that run, frozen or not."""
        return [replica for replica in self.replicas.values() if replica.alive]

    def master_of(self, app: str) -> Replica | None:
        """Who may write about an app's Rollout now."""
        shard = shard_of(Kind.ROLLOUT, self.namespace, app)
        return next((replica for replica in self.living if shard in replica.shards), None)

    def even(self) -> bool:
        """Whether all shards are held, and evenly."""
        sizes = [len(replica.shards) for replica in self.living]
        return sum(sizes) == len(ALL) and max(sizes) - min(sizes) <= 1

    async def rest(self) -> float:
        """Wait until all shards are held, evenly. Returns the virtual seconds that it took."""
        began = self.clock.monotonic()
        async with asyncio.timeout(5 * TIMES.duration):
            while not self.even():  # noqa: ASYNC110 - it is a question, not an event
                await asyncio.sleep(0.05)
        return self.clock.monotonic() - began

    def register(self) -> Register:
        """The Lease as it is stored."""
        lease = self.cluster.store.peek(Kind.LEASE, HOME, LEASE)
        return Register.parse(lease or {})

    def check_write(self, call: Call, key: WorkKey) -> None:
        """At the moment at which a write took effect: was the shard its writer's by the Lease?"""
        line = self.register().lines.get(call.client)
        if line is None or shard_of(*key) not in line.shards:
            self.broken.append(f"{call.client} wrote {call.kind} {call.name}, whose shard is not its own")

    def verdict(self) -> None:
        """Raises AssertionError with what was seen that may not be."""
        problems = [problem for replica in self.replicas.values() if (problem := replica.problem())]
        assert not self.broken + problems, "\n".join((self.broken + problems)[:10])


class Fleet(Crew):
    """Replicas over one cluster, and the witness.

    Attributes:
        writes: every write about a Rollout: when, by whom, which Rollout.
    """

    def __init__(self, *apps: str) -> None:
        super().__init__()
        self.replicas, self.broken = {}, []
        self.writes: list[tuple[float, str, str]] = []
        self.apps = apps
        self._vacant_since: dict[int, float] = {}
        for app in apps:
            self.app(app)
        self.cluster.faults.append(self._witness)
        self.cluster.on_change.append(lambda change: self._disjoint() if change.kind is Kind.LEASE else None)

    async def begin(self, *names: str) -> None:
        """Start controllers and replicas, and wait until they have come to rest."""
        self.start_controllers()
        self.cluster.latency_seconds = LATENCY_SECONDS
        for name in names:
            self.hire(name)
        self._watching = asyncio.create_task(self._watch_vacancies(), name="witness")
        await self.rest()

    def hire(self, name: str, trails_seconds: float = 0.0) -> Replica:
        """Start a replica."""
        self.replicas[name] = Replica(self, name, trails_seconds)
        return self.replicas[name]

    # ------------------------------------------------------------------------------------------ the witness

    def _witness(self, call: Call) -> None:
        if call.phase != "after" or not call.client or not call.writes or call.kind in (Kind.LEASE, Kind.EVENT):
            return
        if call.kind in (Kind.KILL_SWITCH, Kind.CLUSTER_KILL_SWITCH, Kind.ROLLOUT_POLICY):
            key: WorkKey = (call.kind, call.namespace, call.name)
        else:
            app = next(app for app in self.apps if call.name == app or call.name.startswith(f"{app}-"))
            key = (Kind.ROLLOUT, call.namespace, app)
            self.writes.append((self.clock.monotonic(), call.client, app))
        self.check_write(call, key)

    def _disjoint(self) -> None:
        lines = self.register().lines.values()
        if sum(len(line.shards) for line in lines) > len(frozenset[int]().union(*(line.shards for line in lines))):
            self.broken.append("a shard is in two lines of the Lease")

    async def _watch_vacancies(self) -> None:
        """A shard that nobody holds is taken within the duration, give or take what the API server delays."""
        while True:
            now, held = self.clock.monotonic(), [shard for each in self.living for shard in each.shards]
            if len(held) > len(set(held)):
                self.broken.append(f"at {now:.2f} s a shard has two masters")
            for shard in ALL:
                if shard in held:
                    self._vacant_since.pop(shard, None)
                elif now - self._vacant_since.setdefault(shard, now) > TIMES.duration + SLACK_SECONDS:
                    self.broken.append(
                        f"at {now:.2f} s shard {shard} has no master since {self._vacant_since[shard]:.2f}"
                    )
            await asyncio.sleep(0.05)
