"""Leads Rollouts over fleets: from what members tell to a plan, and from the plan to their orders.

The status that lets members go further is written before they are told; what they are told follows from it alone, so a
restart loses nothing and repeats nothing.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sluice.api.common import ObjectRef
from sluice.api.fleet import FleetRunSpec, FleetRunStatus
from sluice.api.names import (
    API_VERSION,
    FINALIZER,
    HUB_ANNOTATION,
    LEADER_ANNOTATION,
    ORDER_ANNOTATION,
    ROLLOUT_LABEL,
    ROLLOUT_UID_LABEL,
    Kind,
)
from sluice.api.rollout import RolloutStatus
from sluice.api.units import JSON
from sluice.decide.fleet import parts
from sluice.decide.fleet.model import Directive, FleetObserved, FleetPlan, FleetRunView, LegView
from sluice.decide.fleet.planner import plan_fleet
from sluice.decide.metadata import labels_of, mapping, requester_of
from sluice.decide.model import FinalizerChange
from sluice.decide.revision import run_name
from sluice.decide.switches import Reached, owner_id
from sluice.engine.courier import Order
from sluice.engine.deletions import Deletions
from sluice.engine.index import Index
from sluice.engine.legs import leg_of
from sluice.engine.measure import FleetSubject, Measurer
from sluice.engine.observe import Observer
from sluice.engine.records import Records
from sluice.engine.seal import Sealer
from sluice.engine.sites import Sites, hub_of
from sluice.engine.standing import is_under_way
from sluice.engine.store import Obj, Store
from sluice.engine.switchboard import SwitchBoard
from sluice.engine.telling import Teller
from sluice.engine.writes import Ports, Writer
from sluice.errors import InvalidSpec, NotFound, Unavailable


@dataclass(frozen=True, slots=True)
class _Read:
    """A part, and what it tells."""

    part: Obj | None
    leg: LegView


class Director:
    """Pursues Rollouts over fleets, one pass at a time each.

    Args:
        ports: the hub.
        store: the hub's caches.
        index: over them.
        board: the kill switches that are engaged.
        observer: parses Rollouts.
        sites: the members.
        measurer: asks for what the hub measures itself.
    """

    def __init__(
        self,
        ports: Ports,
        store: Store,
        index: Index,
        *,
        board: SwitchBoard,
        observer: Observer,
        sites: Sites,
        measurer: Measurer,
    ) -> None:
        self._ports = ports
        self._store = store
        self._index = index
        self._board = board
        self._observer = observer
        self._sites = sites
        self._measurer = measurer
        self._records = Records(store, index)
        self._writer = Writer(ports, store)
        self._sealer = Sealer(ports)
        self._teller = Teller(ports)
        self._deletions = Deletions(ports, store)
        self._runs: dict[str, tuple[str, FleetRunView]] = {}
        self._legs: dict[str, dict[str, _Read]] = {}
        self._owed: dict[str, tuple[tuple[str, FleetRunStatus], ...]] = {}

    async def pursue(self, rollout: Obj, decided: Callable[[RolloutStatus], None]) -> tuple[bool, datetime | None]:
        """One pass.

        Returns:
            Whether the status changed, so that it is worth another look at once; and when to look again.

        Raises:
            SluiceError: what announces was not written, so nobody was told anything.
        """
        if not self._sites.listed:  # whoever is not known would be taken for gone
            raise Unavailable("the MemberClusters are not listed yet, so nobody knows who belongs to a fleet")
        await self._settle(rollout)
        observed = self._observe(rollout, hub_of(self._store))
        plan = plan_fleet(observed, self._ports.clock.now())
        decided(plan.status)
        version = observed.resource_version
        if plan.create_run is not None:
            await self._create_run(observed, plan.create_run)
        if plan.finalizer is FinalizerChange.ADD:
            version = await self._writer.change_finalizer(rollout, observed, version, present=True)
        for name, status in plan.closed:
            await self._write_run(observed.ref.namespace, name, status)
        kept = await self._sealer.seal(rollout, observed, plan.status)
        with self._teller.telling(observed, plan.status.audit):
            changed = await self._writer.write_status(rollout, observed, kept, version)
        for note in plan.notes:
            self._ports.notifier.note(rollout, note)
        self._direct(observed, plan.directives)
        self._owed[observed.ref.uid] = plan.run_statuses
        self._measure(observed, plan)
        writes = itertools.chain(
            (self._write_run(observed.ref.namespace, name, status) for name, status in plan.run_statuses),
            (self._writer.answer(observed, answer) for answer in plan.answers),
            (self._delete_run(observed, name) for name in plan.delete_runs),
        )
        failures = [each for each in await asyncio.gather(*writes, return_exceptions=True) if each is not None]
        if failures:
            raise failures[0]
        del self._owed[observed.ref.uid]
        if plan.finalizer is FinalizerChange.REMOVE:
            await self._deletions.note(observed.ref, (*observed.switches, *observed.partial))
            await self._sealer.seal_all(rollout, observed, kept.audit)
            await self._writer.change_finalizer(rollout, observed, "", present=False)
        return changed, plan.wake_at

    def forget(self, uid: str) -> None:
        """Drop what is known and still to be written of a Rollout that is gone, or that another process may move."""
        self._teller.forget(uid)
        self._owed.pop(uid, None)
        self._legs.pop(uid, None)

    async def _settle(self, rollout: Obj) -> None:
        """Write what the last pass could not: the record is never behind the status by more than one pass."""
        metadata = rollout["metadata"]
        for name, status in self._owed.get(metadata["uid"], ()):
            await self._write_run(metadata["namespace"], name, status)

    # ------------------------------------------------------------------ observing

    def _observe(self, rollout: Obj, hub: str) -> FleetObserved:
        metadata = rollout["metadata"]
        ref = ObjectRef(namespace=metadata["namespace"], name=metadata["name"], uid=metadata["uid"])
        spec, problem, status = self._observer.parse(rollout)
        runs, unreadable = self._fleet_runs(ref)
        labels = labels_of(rollout)
        reached = Reached.of(ref, labels, status)
        return FleetObserved(
            ref=ref,
            generation=metadata.get("generation", 0),
            resource_version=metadata.get("resourceVersion", ""),
            deleting="deletionTimestamp" in metadata,
            has_finalizer=FINALIZER in metadata.get("finalizers", ()),
            labels=labels,
            requester=requester_of(rollout),
            hub=hub,
            given=mapping(rollout.get("spec")),
            spec=spec,
            spec_problem=problem,
            status=status,
            runs=tuple(sorted(runs.values(), key=lambda run: run.spec.revision)),
            home=labels_of(self._store.get(Kind.NAMESPACE, "", ref.namespace)),
            unreadable=unreadable,
            members=self._sites.views(),
            legs=self._read_legs(ref),
            switches=self._board.covering(reached),
            policies=self._observer.policies.covering(ref, labels, begins=not is_under_way(rollout)),
            partial=self._board.partial(reached),
            actions=self._records.actions(ref),
            measurements=self._measurer.inbox.measurements(
                ref.uid, status.fleet.run if status.fleet is not None else None
            ),
            resolve=partial(self._observer.resolve, ref),
        )

    def _read_legs(self, ref: ObjectRef) -> dict[str, LegView]:
        """What each member tells. Most tell what they told before; of thousands only the others are read anew."""
        before, read = self._legs.get(ref.uid, {}), dict[str, _Read]()
        for name, place in self._sites.workplaces().items():
            part, trouble = place.part(ref.namespace, ref.name), place.trouble(ref.namespace, ref.name)
            known = before.get(name)
            if known is not None and known.part is part and known.leg.trouble == trouble:
                read[name] = known
            elif part is not None:
                read[name] = _Read(part, leg_of(part, trouble))
            elif trouble:
                read[name] = _Read(None, LegView(trouble=trouble))
        self._legs[ref.uid] = read
        return {name: each.leg for name, each in read.items()}

    def _fleet_runs(self, ref: ObjectRef) -> tuple[dict[str, FleetRunView], dict[str, str]]:
        """Those that can be read, and why the others cannot."""
        runs, problems = dict[str, FleetRunView](), dict[str, str]()
        for run in self._index.fleet_runs(ref.namespace, ref.name):
            name = run["metadata"]["name"]
            try:
                runs[name] = self._fleet_run(run)
            except InvalidSpec as problem:
                problems[name] = str(problem)
        return runs, problems

    def _fleet_run(self, run: Obj) -> FleetRunView:
        metadata = run["metadata"]
        known = self._runs.get(metadata["uid"])
        if known is not None and known[0] == metadata["resourceVersion"]:
            return known[1]
        where = f"FleetRun {metadata['namespace']}/{metadata['name']}"
        spec = FleetRunSpec.parse(run.get("spec") or {}, f"{where}: spec")
        status = FleetRunStatus.parse(run.get("status") or {}, f"{where}: status")
        view = FleetRunView(metadata["name"], metadata["uid"], spec, status)
        self._runs[metadata["uid"]] = (metadata["resourceVersion"], view)
        return view

    # ------------------------------------------------------------------ measuring

    def _measure(self, observed: FleetObserved, plan: FleetPlan) -> None:
        """Forget the answers that the status holds now, and ask anew."""
        run = plan.status.fleet.run if plan.status.fleet is not None else None
        self._measurer.inbox.drop(observed.ref.uid, run, observed.measurements)
        if run is not None:
            for measure in plan.measures:
                self._measurer.ask(FleetSubject(observed.ref, run), measure)

    # ------------------------------------------------------------------ telling members

    def _direct(self, observed: FleetObserved, directives: dict[str, Directive]) -> None:
        places, made = self._sites.workplaces(), dict[int, Order]()
        for name, directive in directives.items():
            place = places.get(name)
            if place is None or not place.ready:
                continue
            order = made.get(id(directive))
            if order is None:
                order = made[id(directive)] = self._order(observed, directive)
            place.give(observed.ref.namespace, observed.ref.name, order)

    def _order(self, observed: FleetObserved, directive: Directive) -> Order:
        if directive.spec is None:
            return Order("", None)
        labels = dict(observed.labels)
        digest = parts.digest({"labels": labels, "spec": directive.spec})
        annotations = {
            HUB_ANNOTATION: observed.hub,
            LEADER_ANNOTATION: owner_id(observed.ref),
            ORDER_ANNOTATION: digest,
        }
        body = {"metadata": {"labels": labels, "annotations": annotations}, "spec": directive.spec}

        def uncovered() -> bool:
            return not self._board.covering(Reached.of(observed.ref, labels, observed.status))

        return Order(digest, body, uncovered if directive.grows else _always)

    # ------------------------------------------------------------------ writing in the hub

    async def _create_run(self, observed: FleetObserved, spec: FleetRunSpec) -> None:
        name, namespace = run_name(observed.ref.name, spec.revision), observed.ref.namespace
        body: JSON = {
            "apiVersion": API_VERSION,
            "kind": Kind.FLEET_RUN.value,
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": {ROLLOUT_LABEL: observed.ref.name, ROLLOUT_UID_LABEL: observed.ref.uid},
            },
            "spec": spec.dump(),
        }
        stored = await self._ports.cluster.create(Kind.FLEET_RUN, namespace, body)
        self._store.apply(Kind.FLEET_RUN, "MODIFIED", stored)

    async def _write_run(self, namespace: str, name: str, status: FleetRunStatus) -> None:
        body = {"status": status.dump()}
        try:
            stored = await self._ports.cluster.patch_merge(Kind.FLEET_RUN, namespace, name, body, subresource="status")
        except NotFound:
            return  # the next pass says that it is gone
        self._store.apply(Kind.FLEET_RUN, "MODIFIED", stored)

    async def _delete_run(self, observed: FleetObserved, name: str) -> None:
        run = next((run for run in observed.runs if run.name == name), None)
        if run is not None:
            await self._ports.cluster.delete(Kind.FLEET_RUN, observed.ref.namespace, name, uid=run.uid)
            self._runs.pop(run.uid, None)


def _always() -> bool:
    return True
