"""Armed kill switches that measure: the questions that they ask, and how they engage themselves.

Tallies are kept here between measurements, and written into the status when they say something new: a switch is armed
for months. What was not written is measured anew by whoever holds the switch next. That it trips is written before it
is engaged, so that whoever comes after a crash in between engages it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from sluice.api.autotrip import Watch
from sluice.api.common import ObjectRef
from sluice.api.conditions import Reason
from sluice.api.killswitch import KillSwitchSpec, KillSwitchStatus
from sluice.api.names import Kind
from sluice.decide.metadata import mapping, sequence
from sluice.decide.model import Note, SwitchView
from sluice.decide.sharding import Shards, shard_of
from sluice.decide.tripwires import resolve_auto_trip
from sluice.decide.watching import WatchPlan, WatchSeen, current, plan_watch, run_of
from sluice.engine.levers import Levers
from sluice.engine.measure import Inbox, Measurer, WholeSubject
from sluice.engine.store import Obj, Store, key_of
from sluice.engine.switchboard import SWITCH_KINDS
from sluice.engine.templates import template_lookup
from sluice.engine.writes import Ports
from sluice.errors import InvalidSpec
from sluice.ports import Lane, MetricProvider

log = logging.getLogger(__name__)
Wake = Callable[[Kind, str, str], None]
TEMPLATE_KINDS = frozenset({Kind.ANALYSIS_TEMPLATE, Kind.CLUSTER_ANALYSIS_TEMPLATE})


class Tripwires:
    """Measures what armed switches ask for, and engages those that trip.

    Args:
        ports: the cluster.
        store: its caches, where templates are.
        metrics: whom to ask.
        wake: has a switch looked at again when an answer is there.
    """

    def __init__(self, ports: Ports, store: Store, metrics: MetricProvider, wake: Wake) -> None:
        self._ports = ports
        self._store = store
        self._wake = wake
        self._levers = Levers(ports, store)
        self._watches: dict[str, Watch] = {}
        self._measurer = Measurer(metrics, Inbox(), ports.clock, self._answered)
        store.listen(self._changed)

    def look(self, switch: Obj, spec: KillSwitchSpec, view: SwitchView, known: KillSwitchStatus) -> WatchPlan:
        """Take in what was measured, decide, and ask what is due."""
        ref = ObjectRef(namespace=view.namespace, name=view.name, uid=view.uid)
        seen = self._seen(ref, switch, spec, known)
        plan = plan_watch(seen, self._ports.clock.now())
        self._measurer.inbox.drop(ref.uid, run_of(plan.watch), seen.measurements)
        if plan.watch is None:
            self._watches.pop(ref.uid, None)
        else:
            self._watches[ref.uid] = plan.watch
        for measure in plan.measures:
            self._measurer.ask(WholeSubject(ref, run_of(plan.watch)), measure)
        return plan

    async def engage(self, switch: Obj, view: SwitchView, reason: str) -> None:
        """Engage a switch, unless anything of it changed since it was looked at. By force goes a person alone.

        Raises:
            Conflict: it did; it is to be looked at again.
            SluiceError: it is not engaged; whoever looks at it next tries again.
        """
        stored = await self._levers.pull(
            switch,
            view,
            # A name that is left of an earlier time would be refused where the API server stamps nothing.
            {"engaged": True, "engagedBy": None, "reason": reason, "force": False},
            what=f"engage the switch, though it {reason}",
            by_hand=f"engage it by hand: sluice kill {view.name}",
            lane=Lane.KILL,
        )
        log.warning("kill switch tripped", extra={"switch": str(view), "why": reason})
        self._ports.notifier.note(stored, Note(warning=True, reason=Reason.TRIPPED, message=f"engaged: {reason}"))

    def give_up(self, shards: Shards) -> None:
        """Drop what is known of switches that another process measures from now on, or measured until now."""
        for kind in SWITCH_KINDS:
            for switch in self._store.all(kind):
                if shard_of(kind, *key_of(switch)) in shards:
                    self._forget(switch["metadata"]["uid"])

    async def stop(self) -> None:
        """Give up all questions."""
        await self._measurer.stop()

    # ------------------------------------------------------------------ inside

    def _seen(self, ref: ObjectRef, switch: Obj, spec: KillSwitchSpec, known: KillSwitchStatus) -> WatchSeen:
        generation = switch["metadata"].get("generation", 0)
        seen = WatchSeen(ref, generation, spec, known)
        if spec.auto_trip is None or spec.engaged:
            return seen
        try:
            lookup = template_lookup(self._store, ref.namespace)
            wires = resolve_auto_trip(spec.auto_trip, lookup, namespace=ref.namespace)
        except InvalidSpec as problem:
            return replace(seen, problem=(problem.reason, str(problem)))
        mine = self._watches.get(ref.uid)
        if mine is not None and run_of(mine) == run_of(known.watch):
            seen = replace(seen, known=known.model_copy(update={"watch": mine}))
        seen = replace(seen, wires=wires)
        watch = current(seen)
        return replace(seen, measurements=self._measurer.inbox.measurements(ref.uid, run_of(watch)))

    def _changed(self, kind: Kind, before: Obj | None, after: Obj | None) -> None:
        """A template may be one that switches measure by: they are looked at again."""
        obj = after or before or {}
        if kind in SWITCH_KINDS and after is None:
            self._forget(mapping(obj.get("metadata")).get("uid", ""))
        if kind not in TEMPLATE_KINDS:
            return
        namespace, name = key_of(obj)
        for of in SWITCH_KINDS:
            found = self._store.of_namespace(of, namespace) if namespace else self._store.all(of)
            for switch in found:
                if name in _named(switch):
                    self._wake(of, *key_of(switch))

    def _forget(self, uid: str) -> None:
        self._watches.pop(uid, None)
        self._measurer.inbox.forget(uid)

    def _answered(self, ref: ObjectRef) -> None:
        kind = Kind.KILL_SWITCH if ref.namespace else Kind.CLUSTER_KILL_SWITCH
        self._wake(kind, ref.namespace, ref.name)


def _named(switch: Obj) -> set[str]:
    """The templates that a switch names, whatever it holds."""
    named = sequence(mapping(mapping(switch.get("spec")).get("autoTrip")).get("templates"))
    return {str(mapping(each).get("name")) for each in named}
