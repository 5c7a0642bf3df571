"""The engine: from changes in the caches to passes over keys. Rollouts share nothing but the queue.

Every replica feeds its caches; only the leader runs passes. A pass that fails is tried again with growing patience and
says so in the Rollout's status where a person can mend it; it never holds up another key.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from sluice.api.common import ObjectRef
from sluice.api.names import Kind
from sluice.decide.metadata import labels_of
from sluice.decide.model import Observed, Plan
from sluice.decide.planner import plan
from sluice.decide.switches import diverting
from sluice.engine.concerns import Concerns
from sluice.engine.director import Director
from sluice.engine.execute import Executor
from sluice.engine.index import Index, is_fleet
from sluice.engine.kills import KillPath
from sluice.engine.measure import Inbox, Measurer, Subject
from sluice.engine.observe import Moves, Observer
from sluice.engine.queue import LONGEST_RETRY_SECONDS, WorkQueue
from sluice.engine.sites import Sites
from sluice.engine.store import Obj, Store, key_of
from sluice.engine.switchboard import SWITCH_KINDS, SwitchBoard
from sluice.engine.switches import SwitchReporter
from sluice.engine.telemetry import Telemetry
from sluice.engine.writes import Ports, reason_of
from sluice.errors import Conflict, NotLeader, Permanent, SluiceError, Unavailable
from sluice.ports import Leadership, MetricProvider

log = logging.getLogger(__name__)
WorkKey = tuple[Kind, str, str]
WORKERS = 16
REFUSED_RETRY_SECONDS = 30.0
KILL_RETRY_SECONDS = 2.0
SWITCH_DEBOUNCE_SECONDS = 0.2
FLEET_DEBOUNCE_SECONDS = 0.05
WATCHED = (
    Kind.NAMESPACE,
    Kind.KILL_SWITCH,
    Kind.CLUSTER_KILL_SWITCH,
    Kind.ANALYSIS_TEMPLATE,
    Kind.CLUSTER_ANALYSIS_TEMPLATE,
    Kind.SERVICE,
    Kind.ENDPOINT_SLICE,
    Kind.HTTP_ROUTE,
    Kind.GRPC_ROUTE,
    Kind.DEPLOYMENT,
    Kind.POD,
    Kind.POD_DISRUPTION_BUDGET,
    Kind.ROLLOUT_RUN,
    Kind.FLEET_RUN,
    Kind.ROLLOUT_ACTION,
    Kind.ROLLOUT,
)


class Engine:
    """Runs passes while this process leads. Construct it through `wiring.build_engine`.

    What is `mirrored` into its caches is another cluster's: read, and never written.
    """

    def __init__(
        self,
        ports: Ports,
        store: Store,
        *,
        metrics: MetricProvider,
        leadership: Leadership,
        telemetry: Telemetry,
        mirrored: frozenset[Kind] = frozenset(),
    ) -> None:
        self.store = store
        self.queue: WorkQueue[WorkKey] = WorkQueue()
        self._ports = ports
        self._telemetry = telemetry
        self._leadership = leadership
        self._mirrored = mirrored
        index = Index(store)
        self._concerns = Concerns(store, index)
        self._index = index
        self._director: Director | None = None
        self._board = SwitchBoard(store)
        self._inbox = Inbox()
        self._observer = Observer(store, index, self._board, ports.routers, self._inbox, abroad=bool(mirrored))
        self._executor = Executor(ports, store, self._board, self._persisted)
        self._measurer = Measurer(metrics, self._inbox, ports.clock, self._answered)
        self._kills = KillPath(
            self._observer,
            self._executor,
            self._board,
            leadership=leadership,
            clock=ports.clock,
            wake=self._wake_urgent,
            timed=telemetry.killed,
        )
        self._reporter = SwitchReporter(store, self._board, self._observer, ports)
        self._refused: dict[WorkKey, tuple[str, str]] = {}
        self._leading = False
        store.listen(self._changed)

    def lead(self, sites: Sites) -> None:
        """Lead Rollouts over fleets, too."""
        self._director = Director(
            self._ports, self.store, self._index, board=self._board, observer=self._observer, sites=sites
        )
        self._reporter.reach(sites)

    def look_at_fleets(self, namespace: str, name: str) -> None:
        """Something of a Rollout changed in a member, or ("", "") something of a member."""
        if not self._leading:
            return
        if name:
            rollout = self.store.get(Kind.ROLLOUT, namespace, name)
            fleets = [rollout] if rollout is not None and is_fleet(rollout) else []
        else:
            fleets = [rollout for rollout in self.store.all(Kind.ROLLOUT) if is_fleet(rollout)]
        for rollout in fleets:
            self.queue.add_after((Kind.ROLLOUT, *key_of(rollout)), FLEET_DEBOUNCE_SECONDS)
        if fleets:
            self._report_switches()

    def moves_of(self, rollout: Obj) -> Moves:
        """What a Rollout moves in this cluster."""
        return self._observer.moves_of(rollout)

    async def give_way(self) -> None:
        """Return once no kill is being written."""
        await self._kills.give_way()

    def owes_divert(self, rollout: Obj) -> bool:
        """Whether a switch diverts a Rollout that could be obeyed now, and is not yet."""
        return self._kills.owes(rollout)

    def rush(self) -> None:
        """Look at everything, and first of all divert what engaged switches say."""
        if not self._leading:
            return
        for kind in (*SWITCH_KINDS, Kind.ROLLOUT):
            for obj in self.store.all(kind):
                self._add(kind, obj, urgent=kind in SWITCH_KINDS)
                self._kills.trip(kind, None, obj)

    async def run(self) -> None:
        """Lead: pass over everything once, then over what changes, until cancelled or no longer leader.

        Raises:
            NotLeader: the Lease was lost; the caches stay warm, and `run` may be called again.
        """
        self._leading = True
        self.rush()
        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(WORKERS):
                    workers.create_task(self._work())
        except* NotLeader:
            raise NotLeader("the Lease is no longer ours") from None
        finally:
            self._leading = False
            self.queue.clear()
            await self._measurer.stop()

    @property
    def backlog(self) -> int:
        """How many keys wait."""
        return len(self.queue)

    # ------------------------------------------------------------------ changes

    def _changed(self, kind: Kind, before: Obj | None, after: Obj | None) -> None:
        if not self._leading:
            return
        obj = after or before or {}
        if kind in SWITCH_KINDS:
            self._kills.trip(kind, before, after)
            self._add(kind, obj, urgent=True)
            if before is None or after is None or before.get("spec") != after.get("spec"):
                self._wake_reach(kind, key_of(obj)[0])
        elif kind is Kind.ROLLOUT:
            if after is None:
                self._observer.forget(obj["metadata"]["uid"])
            self._add(kind, obj)
        else:
            if kind is Kind.ROLLOUT_RUN and after is None:
                self._observer.forget_run(obj["metadata"]["uid"])
            for rollout in self._concerns.rollouts(kind, before, after):
                self.queue.add((Kind.ROLLOUT, *rollout))

    def _wake_reach(self, kind: Kind, namespace: str) -> None:
        found = (
            self.store.of_namespace(Kind.ROLLOUT, namespace)
            if kind is Kind.KILL_SWITCH
            else self.store.all(Kind.ROLLOUT)
        )
        for rollout in found:
            self._add(Kind.ROLLOUT, rollout, urgent=True)

    def _add(self, kind: Kind, obj: Obj, *, urgent: bool = False) -> None:
        if kind in self._mirrored:
            return
        self.queue.add((kind, *key_of(obj)), urgent=urgent)

    def _wake_urgent(self, kind: Kind, namespace: str, name: str) -> None:
        self.queue.add((kind, namespace, name), urgent=True)

    def _answered(self, ref: ObjectRef) -> None:
        self.queue.add((Kind.ROLLOUT, ref.namespace, ref.name))

    # ------------------------------------------------------------------ passes

    async def _work(self) -> None:
        while True:
            key = await self.queue.get()
            try:
                await self._kills.give_way()
                self._leadership.check()
                await self._pass(key)
            finally:
                self.queue.done(key)
            await asyncio.sleep(0)  # other tasks (kills) between two passes that did no I/O

    async def _pass(self, key: WorkKey) -> None:
        """One pass, with every failure turned into a later one."""
        with self._telemetry.reconcile(key):
            try:
                if key[0] is Kind.ROLLOUT:
                    await self._reconcile(key)
                else:
                    await self._reporter.report(*key)
            except NotLeader:
                raise
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

    def _patience(self, key: WorkKey) -> float:
        """How long the back-off of a key may get: a kill is not left waiting when the API server is back."""
        rollout = self.store.get(*key) if key[0] is Kind.ROLLOUT else None
        if rollout is not None and diverting(self._board.covering(key[1], labels_of(rollout))):
            return KILL_RETRY_SECONDS
        return LONGEST_RETRY_SECONDS

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
            self._report_switches()

    def _report_switches(self) -> None:
        for kind, place in self._board.engaged:
            if kind not in self._mirrored:
                self.queue.add_after((kind, *place), SWITCH_DEBOUNCE_SECONDS)

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
        subject = Subject(
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
