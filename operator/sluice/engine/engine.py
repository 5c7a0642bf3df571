"""The engine: from changes in the caches to passes over keys. Rollouts share nothing but the queue.

Every replica feeds its caches, and runs the passes of the shards that are its own. A pass that fails is tried again
with growing patience and says so in the Rollout's status where a person can mend it; it never holds up another key.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import replace

from sluice.api.common import ObjectRef
from sluice.api.names import Kind
from sluice.decide.model import Observed, Plan
from sluice.decide.planner import plan
from sluice.decide.sharding import ALL, Shards, shard_of
from sluice.decide.switches import Reached, diverting
from sluice.engine.concerns import Concerns
from sluice.engine.director import Director
from sluice.engine.execute import Executor
from sluice.engine.fence import Fence, WorkKey
from sluice.engine.index import Index, is_fleet
from sluice.engine.kills import KillPath
from sluice.engine.measure import Inbox, Measurer, SlotSubject
from sluice.engine.observe import Moves, Observer
from sluice.engine.policies import PolicyKeeper
from sluice.engine.precedence import Precedence
from sluice.engine.queue import LONGEST_RETRY_SECONDS, WorkQueue
from sluice.engine.sites import Sites
from sluice.engine.store import Obj, Store, key_of
from sluice.engine.switchboard import SWITCH_KINDS, SwitchBoard, expires
from sluice.engine.switches import SwitchReporter
from sluice.engine.telemetry import Telemetry
from sluice.engine.tripping import Tripwires
from sluice.engine.writes import Ports, reason_of
from sluice.errors import Conflict, NotLeader, Permanent, SluiceError, Unavailable
from sluice.ports import MetricProvider

log = logging.getLogger(__name__)
WORKERS = 16
REFUSED_RETRY_SECONDS = 30.0
KILL_RETRY_SECONDS = 2.0
SWITCH_DEBOUNCE_SECONDS = 0.2
FLEET_DEBOUNCE_SECONDS = 0.05
POLICY_DEBOUNCE_SECONDS = 0.05
# Where the effect of a switch shows, on Rollouts of all replicas.
_SHOWS_DIVERTS = frozenset({Kind.ROLLOUT, Kind.HTTP_ROUTE, Kind.GRPC_ROUTE, Kind.SERVICE})


class Engine:
    """Runs the passes of what this process holds. Construct it through `wiring.build_engine`.

    What is `mirrored` into its caches is another cluster's: read, and never written.

    Attributes:
        store: its caches.
        queue: what waits for a pass.
        precedence: of kills; engines of one process have one.
    """

    def __init__(
        self,
        ports: Ports,
        store: Store,
        *,
        metrics: MetricProvider,
        fence: Fence,
        telemetry: Telemetry,
        mirrored: frozenset[Kind] = frozenset(),
        precedence: Precedence | None = None,
    ) -> None:
        self.store = store
        self.precedence = precedence or Precedence(ports.clock)
        self.queue: WorkQueue[WorkKey] = WorkQueue()
        self._ports = ports
        self._telemetry = telemetry
        self._fence = fence
        self._mirrored = mirrored
        index = Index(store)
        self._concerns = Concerns(store, index)
        self._index = index
        self._director: Director | None = None
        self._board = SwitchBoard(store, ports.clock.now, ports.name)
        self._inbox = Inbox()
        self._observer = Observer(store, index, self._board, ports.routers, self._inbox, abroad=bool(mirrored))
        self._policies = PolicyKeeper(store, self._observer.policies, ports, metrics, self._wake_urgent)
        self._executor = Executor(ports, store, self._board, self._persisted)
        self._measurer = Measurer(metrics, self._inbox, ports.clock, self._answered)
        self._kills = KillPath(
            self._observer,
            self._executor,
            self._board,
            fence=fence,
            precedence=self.precedence,
            wake=self._wake_urgent,
            timed=telemetry.killed,
        )
        self._tripwires = Tripwires(ports, store, metrics, self._wake_urgent)
        self._reporter = SwitchReporter(store, self._board, self._observer, ports, tripwires=self._tripwires)
        self._refused: dict[WorkKey, tuple[str, str]] = {}
        self._running = False
        store.listen(self._changed)

    def lead(self, sites: Sites) -> None:
        """Lead Rollouts over fleets, too."""
        self._director = Director(
            self._ports,
            self.store,
            self._index,
            board=self._board,
            observer=self._observer,
            sites=sites,
            measurer=self._measurer,
        )
        self._reporter.reach(sites)

    def look_at_fleets(self, namespace: str, name: str) -> None:
        """Something of a Rollout changed in a member, or ("", "") something of a member."""
        if not self._running:
            return
        if name:
            rollout = self.store.get(Kind.ROLLOUT, namespace, name)
            fleets = [rollout] if rollout is not None and is_fleet(rollout) else []
        else:
            fleets = [rollout for rollout in self.store.all(Kind.ROLLOUT) if is_fleet(rollout)]
        for key in ((Kind.ROLLOUT, *key_of(rollout)) for rollout in fleets):
            if self._is_ours(key):
                self.queue.add_after(key, FLEET_DEBOUNCE_SECONDS)
        if fleets:
            self._report_soon()

    def moves_of(self, rollout: Obj) -> Moves:
        """What a Rollout moves in this cluster."""
        return self._observer.moves_of(rollout)

    def owes_divert(self, rollout: Obj) -> bool:
        """Whether a switch diverts a Rollout that could be obeyed now, and is not yet."""
        return self._kills.owes(rollout)

    async def run(self) -> None:
        """Pass over everything that is held once, then over what changes, until cancelled."""
        self._running = True
        self.take_up(ALL)
        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(WORKERS):
                    workers.create_task(self._work())
        finally:
            self._running = False
            self.queue.clear()
            await self._measurer.stop()
            await self._tripwires.stop()
            await self._policies.stop()

    def take_up(self, shards: Shards) -> None:
        """Pass over everything in shards that are held from now on: first what switches divert, as at a start."""
        if self._running:
            self._forget(shards)
            self.rush(shards)

    def rush(self, shards: Shards = ALL) -> None:
        """Look at everything in these shards that is held, and first of all divert what engaged switches say."""
        if not self._running:
            return
        self.divert(shards)
        for kind in SWITCH_KINDS:
            for switch in self.store.all(kind):
                self._add(kind, switch, urgent=True)
        for policy in self.store.all(Kind.ROLLOUT_POLICY):
            self._add(Kind.ROLLOUT_POLICY, policy)
        for rollout in self.store.all(Kind.ROLLOUT):
            if shard_of(Kind.ROLLOUT, *key_of(rollout)) in shards:
                self._add(Kind.ROLLOUT, rollout)

    def divert(self, shards: Shards = ALL) -> None:
        """Divert in these shards what engaged switches say, by the shortest way."""
        if not self._running:
            return
        for kind in SWITCH_KINDS:
            for switch in self.store.all(kind):
                self._kills.trip(kind, None, switch, shards)

    def give_up(self, shards: Shards) -> None:
        """Leave what is in these shards to another process. What is under way is refused at its next write."""
        self.queue.discard(lambda key: shard_of(*key) in shards)
        self._forget(shards)

    def _forget(self, shards: Shards) -> None:
        """Drop what was remembered of Rollouts that another process may have moved on since."""
        for rollout in self.store.all(Kind.ROLLOUT):
            if shard_of(Kind.ROLLOUT, *key_of(rollout)) in shards:
                self._forget_rollout(rollout["metadata"]["uid"])
        self._tripwires.give_up(shards)
        self._refused = {key: problem for key, problem in self._refused.items() if shard_of(*key) not in shards}

    def _forget_rollout(self, uid: str) -> None:
        self._observer.forget(uid)
        self._executor.forget(uid)
        if self._director is not None:
            self._director.forget(uid)

    @property
    def backlog(self) -> int:
        """How many keys wait."""
        return len(self.queue)

    # ------------------------------------------------------------------ changes

    def _changed(self, kind: Kind, before: Obj | None, after: Obj | None) -> None:
        if not self._running:
            return
        obj = after or before or {}
        if self._board.engaged and kind in _SHOWS_DIVERTS:
            self._tell_of_others(kind, before, after)
        if kind in SWITCH_KINDS:
            self._kills.trip(kind, before, after)
            self._add(kind, obj, urgent=True)
            if before is None or after is None or before.get("spec") != after.get("spec") or expires(before, after):
                self._wake_reach(kind, key_of(obj)[0])
        elif kind is Kind.ROLLOUT:
            if after is None:
                self._forget_rollout(obj["metadata"]["uid"])
            self._add(kind, obj)
        elif kind is Kind.ROLLOUT_POLICY:
            self._add(kind, obj)
        else:
            if kind is Kind.ROLLOUT_RUN and after is None:
                self._observer.forget_run(obj["metadata"]["uid"])
            for rollout in self._concerns.rollouts(kind, before, after):
                self._want((Kind.ROLLOUT, *rollout))
        self._wake_policed(self._policies.touched(kind, before, after))

    def _wake_policed(self, keys: Iterable[WorkKey]) -> None:
        for key in filter(self._is_ours, keys):
            self.queue.add_after(key, POLICY_DEBOUNCE_SECONDS if key[0] is Kind.ROLLOUT_POLICY else 0.0)

    def _tell_of_others(self, kind: Kind, before: Obj | None, after: Obj | None) -> None:
        """A switch that is ours to report covers Rollouts of other replicas: how far they are is seen in the caches."""
        own = kind is Kind.ROLLOUT
        found = [key_of(after or before or {})] if own else self._concerns.rollouts(kind, before, after)
        if any(not self._fence.holds((Kind.ROLLOUT, *each)) for each in found):
            self._report_soon()

    def _report_soon(self) -> None:
        for kind, place in self._board.engaged:
            if self._is_ours((kind, *place)):
                self.queue.add_after((kind, *place), SWITCH_DEBOUNCE_SECONDS)

    def _wake_reach(self, kind: Kind, namespace: str) -> None:
        local = kind is Kind.KILL_SWITCH
        found = self.store.of_namespace(Kind.ROLLOUT, namespace) if local else self.store.all(Kind.ROLLOUT)
        for rollout in found:
            self._add(Kind.ROLLOUT, rollout, urgent=True)

    def _add(self, kind: Kind, obj: Obj, *, urgent: bool = False) -> None:
        self._want((kind, *key_of(obj)), urgent=urgent)

    def _want(self, key: WorkKey, *, urgent: bool = False) -> None:
        """Have a key worked on, if it is this process's; when it becomes so, `take_up` finds it."""
        if self._is_ours(key):
            self.queue.add(key, urgent=urgent)

    def _is_ours(self, key: WorkKey) -> bool:
        return key[0] not in self._mirrored and self._fence.holds(key)

    def _wake_urgent(self, kind: Kind, namespace: str, name: str) -> None:
        self._want((kind, namespace, name), urgent=True)

    def _answered(self, ref: ObjectRef) -> None:
        self._want((Kind.ROLLOUT, ref.namespace, ref.name))

    # ------------------------------------------------------------------ passes

    async def _work(self) -> None:
        while True:
            key = await self.queue.get()
            try:
                await self.precedence.give_way()
                if self._fence.holds(key):
                    await self._pass(key)
            finally:
                self.queue.done(key)
            await asyncio.sleep(0)  # other tasks (kills) between two passes that did no I/O

    async def _pass(self, key: WorkKey) -> None:
        """One pass, with every failure turned into a later one."""
        with self._telemetry.reconcile(key):
            try:
                with self._fence.acting(key):
                    await self._act(key)
            except NotLeader:
                self.queue.retry(key)  # for where it was only unsure: what is another's is dropped then
            except Conflict:
                self._telemetry.failed("conflict")
                self.queue.retry(key)
            except Unavailable as error:
                log.warning("no answer; trying again", extra={"error": str(error)})
                self._telemetry.failed("unavailable")
                self.queue.retry(key, error.retry_after_seconds, at_most_seconds=self._patience(key))
            except Permanent as error:
                log.warning("a write was refused", extra={"error": str(error)})
                self._telemetry.failed("refused")
                self._note_refusal(key, error)
            except SluiceError as error:
                log.warning("a pass failed", extra={"error": str(error)})
                self._telemetry.failed("other")
                self.queue.retry(key)
            except Exception:
                # The edge: a defect that one object brings out must not stop the passes of all others.
                log.exception("a pass ended in an unforeseen error; this is a defect of Sluice")
                self._telemetry.failed("defect")
                self.queue.retry(key, 1.0)
            else:
                self.queue.succeeded(key)

    async def _act(self, key: WorkKey) -> None:
        if key[0] is Kind.ROLLOUT:
            await self._reconcile(key)
            return
        if key[0] is Kind.ROLLOUT_POLICY:
            self.queue.forget_timer(key)
            look_at = await self._policies.tend(key[2])
        else:
            look_at = await self._reporter.report(*key)
        if look_at is not None:
            self.queue.add_after(key, (look_at - self._ports.clock.now()).total_seconds())

    def _patience(self, key: WorkKey) -> float:
        """How long the back-off of a key may get: a kill is not left waiting when the API server is back."""
        if key[0] in SWITCH_KINDS:
            return KILL_RETRY_SECONDS
        rollout = self.store.get(*key) if key[0] is Kind.ROLLOUT else None
        killed = rollout is not None and diverting(self._board.covering(Reached.read(rollout))) is not None
        return KILL_RETRY_SECONDS if killed else LONGEST_RETRY_SECONDS

    def _note_refusal(self, key: WorkKey, error: Permanent) -> None:
        """Say in the next pass what was refused; try the write again now and then, or when something changes."""
        problem = (str(reason_of(error)), str(error))
        if self._refused.get(key) == problem:
            self.queue.retry(key, REFUSED_RETRY_SECONDS)
            return
        self._refused[key] = problem
        self.queue.retry(key)

    async def _reconcile(self, key: WorkKey) -> None:
        rollout = self.store.get(*key)
        if rollout is None:
            self._refused.pop(key, None)
            return
        self.queue.forget_timer(key)
        if is_fleet(rollout):
            await self._reconcile_fleet(key, rollout)
            return
        observed = replace(self._observer.observe(rollout), write_problem=self._refused.get(key))
        made = plan(observed, self._ports.clock.now())
        self._telemetry.decided(made.status)
        changed = await self._executor.carry_out(rollout, observed, made)
        self._measure(observed, made)
        if made.wake_at is not None:
            self.queue.add_after(key, (made.wake_at - self._ports.clock.now()).total_seconds())
        self._refused.pop(key, None)
        if changed:
            self.queue.add(key)
            self._report_soon()

    async def _reconcile_fleet(self, key: WorkKey, rollout: Obj) -> None:
        if self._director is None:
            return
        changed, wake_at = await self._director.pursue(rollout, self._telemetry.decided)
        self._refused.pop(key, None)
        if wake_at is not None:
            self.queue.add_after(key, (wake_at - self._ports.clock.now()).total_seconds())
        if changed:
            self.queue.add(key)

    def _persisted(self, observed: Observed) -> None:
        self._inbox.drop(observed.ref.uid, observed.status.run, observed.measurements)

    def _measure(self, observed: Observed, made: Plan) -> None:
        revision, stable = made.status.revision, made.status.stable
        if not made.measures or revision is None or stable is None or made.status.run is None:
            return
        run = made.create_run or next((each.spec for each in observed.runs if each.name == made.status.run), None)
        if run is None:
            return
        subject = SlotSubject(
            ref=observed.ref,
            run=made.status.run,
            version=run.version or "",
            stable_version=run.stable_version or "",
            services=run.services,
            stable=stable.slot,
            cluster=self._ports.name,
        )
        for measure in made.measures:
            self._measurer.ask(subject, measure)
