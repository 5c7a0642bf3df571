"""From the caches to what one decision needs. No I/O.

Parsed specs and statuses are kept by resourceVersion, because most passes see objects that did not change.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sluice.api.common import ObjectRef
from sluice.api.conditions import Reason
from sluice.api.fleet import FixedAnalysis
from sluice.api.names import FINALIZER, OWNER_ANNOTATION, Kind
from sluice.api.outcome import Outcome
from sluice.api.rollout import RolloutSpec, RolloutStatus, Traffic
from sluice.api.run import RolloutRunSpec
from sluice.api.units import NONE, BasisPoints
from sluice.api.workload import SlotServices
from sluice.decide import templates
from sluice.decide.metadata import created_at, labels_of, owner_of, requester_of
from sluice.decide.model import Marked, Observed, RunView, TargetRef, TargetView, Templates
from sluice.decide.pods import AskedTemplate
from sluice.decide.returning import stable_bears
from sluice.decide.revision import desired_of
from sluice.decide.switches import Reached, leads_back, owner_id, rolling_back
from sluice.engine.index import Index, is_fleet, places_in, places_of
from sluice.engine.measure import Inbox
from sluice.engine.policyboard import PolicyBoard
from sluice.engine.records import Records
from sluice.engine.store import Obj, Store
from sluice.engine.switchboard import SwitchBoard
from sluice.engine.templates import template_lookup
from sluice.engine.workloads import Subject, WorkloadObserver
from sluice.errors import InvalidSpec
from sluice.ports import TrafficRouter

log = logging.getLogger(__name__)
# Not the same as no templates: a run that starts without having looked would run without its analysis.
_NOT_LOOKED_UP = Templates(
    problem_reason=Reason.TEMPLATE_MISSING, problem="the analysis templates were not looked up; try again in a moment"
)


@dataclass(frozen=True, slots=True)
class Moves:
    """What the kill path needs of a Rollout, and no more.

    `stable_bears` is the share that the stable slot can take: nothing where none of its endpoints is ready.
    `returns`: what is under way is the return that the strictest switch makes, which no other stops.
    """

    status: RolloutStatus
    services: SlotServices | None
    targets: tuple[TargetView, ...]
    stable_bears: BasisPoints
    returns: bool = False


class _Parsed(NamedTuple):
    """A Rollout as it was read last; `given` is its spec as it stands."""

    version: str
    given: dict[str, Any]
    spec: RolloutSpec | None
    problem: str
    status: RolloutStatus


class Observer:
    """Builds `Observed`.

    Attributes:
        policies: the RolloutPolicies that are in the caches.

    Where it is `abroad`, others may lead Rollouts that are not in the caches: another hub, or an operator of that
    cluster. What bears the mark of one that is not known is then taken for theirs; at home it was left behind.
    """

    def __init__(
        self,
        store: Store,
        index: Index,
        board: SwitchBoard,
        routers: Mapping[Kind, TrafficRouter],
        inbox: Inbox,
        *,
        abroad: bool = False,
    ) -> None:
        self._abroad = abroad
        self._store = store
        self._index = index
        self._board = board
        self._routers = routers
        self._inbox = inbox
        self._records = Records(store, index)
        self._workloads = WorkloadObserver(store, index)
        self.policies = PolicyBoard(store)
        self._parsed: dict[str, _Parsed] = {}

    def observe(self, rollout: Obj) -> Observed:
        """Everything that one decision about the Rollout needs."""
        metadata = rollout["metadata"]
        ref = ObjectRef(namespace=metadata["namespace"], name=metadata["name"], uid=metadata["uid"])
        spec, problem, status = self.parse(rollout)
        runs = self._records.runs(ref)
        services, traffic = self.moves(ref, spec, status, runs)
        home = self._store.get(Kind.NAMESPACE, "", ref.namespace) or {}
        actions = self._records.actions(ref)
        around = self._workloads.observe(Subject(ref, spec, status, services, traffic))
        begins = bool(actions) or _may_begin(spec, status, around.asked)
        return Observed(
            ref=ref,
            generation=metadata.get("generation", 0),
            resource_version=metadata.get("resourceVersion", ""),
            deleting="deletionTimestamp" in metadata,
            has_finalizer=FINALIZER in metadata.get("finalizers", ()),
            namespace_terminating=(home.get("status") or {}).get("phase") == "Terminating",
            labels=labels_of(rollout),
            requester=requester_of(rollout, self._workloads.source_of(ref, spec)),
            spec=spec,
            spec_problem=problem,
            status=status,
            runs=runs,
            services=services,
            targets=self.targets(ref.namespace, services, traffic),
            preview=self._preview(ref.namespace, services, traffic),
            slots=around.slots,
            templates=self._templates(ref, spec) if begins else _NOT_LOOKED_UP,
            policies=self.policies.covering(ref, labels_of(rollout), begins=begins),
            switches=self._board.covering(Reached.of(ref, labels_of(rollout), status)),
            actions=actions,
            measurements=self._inbox.measurements(ref.uid, status.run),
            baselines=self._inbox.baselines(ref.uid, status.run),
            followers=self._followers(ref.namespace, services, traffic),
            asked=around.asked,
            source=around.source,
            source_selected_by=around.source_selected_by,
            budgets=around.budgets,
            dropped=self._dropped(ref, rollout, spec, services, traffic),
            led=self._abroad,
            rival=self._rival(ref, rollout, traffic),
            taken_number=self._records.taken_number(ref, status, runs),
        )

    def parse(self, rollout: Obj) -> tuple[RolloutSpec | None, str, RolloutStatus]:
        """Spec (or None and why), and status; an unreadable status counts as lost."""
        metadata = rollout["metadata"]
        version, given = metadata.get("resourceVersion", ""), rollout.get("spec") or {}
        known = self._parsed.get(metadata["uid"])
        if known is not None and known.version == version:
            return known.spec, known.problem, known.status
        where = f"Rollout {metadata['namespace']}/{metadata['name']}"
        spec: RolloutSpec | None = None
        problem = ""
        if known is not None and known.given == given:  # nearly always: it is our own status that changed
            spec, problem = known.spec, known.problem
        else:
            try:
                spec = RolloutSpec.parse(given, f"{where}: spec")
            except InvalidSpec as error:
                problem = str(error)
        try:
            status = RolloutStatus.parse(rollout.get("status") or {}, f"{where}: status")
        except InvalidSpec as error:
            log.error("status cannot be read and is taken as lost", extra={"rollout": where, "problem": str(error)})
            status = RolloutStatus()
        self._parsed[metadata["uid"]] = _Parsed(version, given, spec, problem, status)
        return spec, problem, status

    def forget_run(self, uid: str) -> None:
        """Drop what is kept of a RolloutRun that is gone."""
        self._records.forget_run(uid)

    def forget(self, uid: str) -> None:
        """Drop what is kept of a Rollout that is gone."""
        self._parsed.pop(uid, None)
        self._inbox.forget(uid)

    def moves(
        self, ref: ObjectRef, spec: RolloutSpec | None, status: RolloutStatus, runs: tuple[RunView, ...]
    ) -> tuple[SlotServices | None, Traffic]:
        """The Services and traffic that count now.

        Those of the run under way, or of the one that just ended until what it moved is returned; else those of the
        spec, which may name others by now.
        """
        run = _run_of(status, runs)
        outcome = status.revision.outcome if status.revision is not None else Outcome.COMPLETED
        returning = outcome is not Outcome.COMPLETED and status.confirmation is None
        if run is not None and (outcome is None or (returning and self._left_behind(ref, run))):
            return run.services, run.traffic
        if spec is not None:
            return spec.workload.services_of(ref.name), spec.traffic
        if runs:
            return runs[-1].spec.services, runs[-1].spec.traffic
        return SlotServices.named_after(ref.name) if status.slots else None, Traffic()

    def _left_behind(self, ref: ObjectRef, run: RolloutRunSpec) -> bool:
        """Whether a target still gives the candidate of a run that ended what that run gave it."""
        views = self.targets(ref.namespace, run.services, run.traffic)
        return any(view.share(run.to_slot) > NONE and view.owner == owner_id(ref) for view in views)

    def moves_of(self, rollout: Obj) -> Moves:
        """What the kill path needs of a Rollout."""
        metadata = rollout["metadata"]
        ref = ObjectRef(namespace=metadata["namespace"], name=metadata["name"], uid=metadata["uid"])
        spec, _, status = self.parse(rollout)
        if is_fleet(rollout):
            return Moves(status, None, (), NONE)  # the engines of its members divert its traffic
        runs = self._records.runs(ref)
        services, traffic = self.moves(ref, spec, status, runs)
        targets = self.targets(ref.namespace, services, traffic)
        if self._rival(ref, rollout, traffic):
            targets = ()  # another Rollout's
        return Moves(
            status,
            services,
            targets,
            self._stable_bears(ref, spec, status, services, _run_of(status, runs)),
            returns=self._returns(Reached.of(ref, labels_of(rollout), status), status),
        )

    def _returns(self, reached: Reached, status: RolloutStatus) -> bool:
        if not leads_back(status.under_way, led=self._abroad):
            return False
        return rolling_back(self._board.covering(reached)) is not None

    def _stable_bears(
        self,
        ref: ObjectRef,
        spec: RolloutSpec | None,
        status: RolloutStatus,
        services: SlotServices | None,
        run: RolloutRunSpec | None,
    ) -> BasisPoints:
        if services is None or status.stable is None:
            return NONE
        stable = status.stable.slot
        stable_ready, candidate_ready = (
            self._workloads.ready_endpoints(ref.namespace, services.of(slot)) for slot in (stable, stable.other)
        )
        workload = spec.workload if spec is not None and spec.workload.managed else None
        return stable_bears(workload, run, stable=stable_ready, candidate=candidate_ready)

    def targets(self, namespace: str, services: SlotServices | None, traffic: Traffic) -> tuple[TargetView, ...]:
        """The targets as the caches know them."""
        if services is None:
            return ()
        refs = [TargetRef(Kind(route.kind), namespace, route.name) for route in traffic.routes]
        if traffic.service is not None:
            refs.append(TargetRef(Kind.SERVICE, namespace, traffic.service.active))
        return tuple(self._routers[ref.kind].observe(ref, services) for ref in refs)

    def _preview(self, namespace: str, services: SlotServices | None, traffic: Traffic) -> TargetView | None:
        if services is None or traffic.service is None or traffic.service.preview is None:
            return None
        return self._routers[Kind.SERVICE].observe(
            TargetRef(Kind.SERVICE, namespace, traffic.service.preview), services
        )

    def _followers(self, namespace: str, services: SlotServices | None, traffic: Traffic) -> tuple[TargetView, ...]:
        if services is None or traffic.stable_service is None:
            return ()
        ref = TargetRef(Kind.SERVICE, namespace, traffic.stable_service)
        return (self._routers[Kind.SERVICE].observe(ref, services),)

    def _templates(self, ref: ObjectRef, spec: RolloutSpec | None) -> Templates:
        if spec is None:
            return _NOT_LOOKED_UP
        if spec.pace is not None and spec.pace.analysis is not None:
            return _fixed(spec.pace.analysis)
        return self.resolve(ref, spec)

    def resolve(self, ref: ObjectRef, spec: RolloutSpec) -> Templates:
        """The metrics of a spec's analyses, as the templates are now."""
        return templates.resolve_all(spec, template_lookup(self._store, ref.namespace))

    def _dropped(
        self, ref: ObjectRef, rollout: Obj, spec: RolloutSpec | None, services: SlotServices | None, traffic: Traffic
    ) -> tuple[Marked, ...]:
        """What carries the Rollout's stamp without being named; nothing where nobody knows what is."""
        moved, read = places_of(rollout)
        left = self._index.stamped(ref.namespace, ref.name) - moved - read
        if not left or spec is None or services is None:
            return ()
        left -= places_in(ref.namespace, traffic.dump(), services.dump())
        found = ((kind, name, self._store.get(kind, namespace, name)) for kind, namespace, name in sorted(left))
        return tuple(
            Marked(kind, name, obj["metadata"]["uid"])
            for kind, name, obj in found
            if obj is not None and owner_of(obj) == owner_id(ref)
        )

    def _rival(self, ref: ObjectRef, rollout: Obj, traffic: Traffic) -> str:
        """The Rollout that has one of the targets already: by its stamp on the target, else the older one.

        A Service that is another's slot is its, too: pointed elsewhere, that slot would serve this one's pods.
        """
        names = [(Kind(route.kind), route.name) for route in traffic.routes]
        if traffic.service is not None:
            names += [(Kind.SERVICE, name) for name in (traffic.service.active, traffic.service.preview) if name]
        if traffic.stable_service is not None:
            names.append((Kind.SERVICE, traffic.stable_service))
        for kind, name in names:
            stamp = owner_of(self._store.get(kind, ref.namespace, name))
            if self._abroad and stamp and stamp != owner_id(ref) and not self._is_known(stamp):
                whose = stamp.rpartition("/")[0]
                return f"{whose} (by the mark {OWNER_ANNOTATION} on {kind} {name}; take that off if it is gone)"
            for namespace, other in sorted(self._index.claimants(kind, ref.namespace, name)):
                if other == ref.name:
                    continue
                found = self._store.get(Kind.ROLLOUT, namespace, other)
                if found is not None and _comes_first(found, rollout, stamp):
                    return f"{namespace}/{other}"
        return ""

    def _is_known(self, stamp: str) -> bool:
        """Whether a mark is of a Rollout that is in the caches."""
        namespace, _, rest = stamp.partition("/")
        name, _, uid = rest.rpartition("/")
        found = self._store.get(Kind.ROLLOUT, namespace, name)
        return found is not None and found["metadata"]["uid"] == uid


def _may_begin(spec: RolloutSpec | None, status: RolloutStatus, asked: AskedTemplate | None) -> bool:
    """Whether a run could begin: none is under way, and something else than what is stable is asked for."""
    desired = desired_of(spec, asked, status.stable) if spec is not None else None
    settled = desired is None or (status.stable is not None and desired.slot is status.stable.slot)
    return status.under_way is None and not settled


def _fixed(analysis: dict[str, Any]) -> Templates:
    """What the hub looked up."""
    try:
        fixed = FixedAnalysis.parse(analysis, "spec.pace.analysis")
    except InvalidSpec as error:
        return Templates(problem_reason=Reason.TEMPLATE_INVALID, problem=str(error))
    return Templates(background=fixed.background, inline=tuple(each.metrics for each in fixed.inline))


def _run_of(status: RolloutStatus, runs: tuple[RunView, ...]) -> RolloutRunSpec | None:
    """The run that the status speaks of, under way or the last."""
    return next((run.spec for run in runs if run.name == status.run), None)


def _comes_first(other: Obj, mine: Obj, stamp: str) -> bool:
    uids = [str(obj["metadata"]["uid"]) for obj in (other, mine)]
    stamped = stamp.rpartition("/")[2]
    if stamped in uids:
        return stamped == uids[0]
    return _age_of_claim(other) < _age_of_claim(mine)


def _age_of_claim(rollout: Obj) -> tuple[bool, datetime, str]:
    """Who adopted already comes first, then who is older; the uid decides between two of the same second."""
    adopted = bool((rollout.get("status") or {}).get("stable"))
    return not adopted, created_at(rollout), str(rollout["metadata"]["uid"])
