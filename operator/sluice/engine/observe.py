"""From the caches to what one decision needs. No I/O.

Parsed specs and statuses are kept by resourceVersion, because most passes see objects that did not change.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sluice.api.action import RolloutActionSpec
from sluice.api.analysis import AnalysisTemplateSpec, TemplateRef
from sluice.api.common import ObjectRef
from sluice.api.conditions import Reason
from sluice.api.names import FINALIZER, OWNER_ANNOTATION, Kind, Slot
from sluice.api.rollout import Outcome, RolloutSpec, RolloutStatus, Traffic
from sluice.api.run import RolloutRunSpec, RolloutRunStatus
from sluice.api.units import NONE, parse_time
from sluice.api.workload import SlotServices
from sluice.decide import templates
from sluice.decide.model import ActionView, Observed, RunView, SlotView, TargetRef, TargetView, Templates
from sluice.decide.revision import desired_of, run_name
from sluice.decide.switches import owner_id
from sluice.engine.index import Index
from sluice.engine.measure import Inbox
from sluice.engine.store import Obj, Store
from sluice.engine.switchboard import SwitchBoard, labels_of
from sluice.errors import InvalidSpec
from sluice.ports import TrafficRouter

log = logging.getLogger(__name__)
_EPOCH = "1970-01-01T00:00:00Z"
# Not the same as no templates: a run that starts without having looked would run without its analysis.
_NOT_LOOKED_UP = Templates(
    problem_reason=Reason.TEMPLATE_MISSING, problem="the analysis templates were not looked up; try again in a moment"
)


class Observer:
    """Builds `Observed`."""

    def __init__(
        self, store: Store, index: Index, board: SwitchBoard, routers: Mapping[Kind, TrafficRouter], inbox: Inbox
    ) -> None:
        self._store = store
        self._index = index
        self._board = board
        self._routers = routers
        self._inbox = inbox
        self._parsed: dict[str, tuple[str, RolloutSpec | None, str, RolloutStatus]] = {}
        self._runs: dict[str, tuple[str, RunView]] = {}

    def observe(self, rollout: Obj) -> Observed:
        """Everything that one decision about the Rollout needs."""
        metadata = rollout["metadata"]
        ref = ObjectRef(namespace=metadata["namespace"], name=metadata["name"], uid=metadata["uid"])
        spec, problem, status = self.parse(rollout)
        runs = self._runs_of(ref)
        services, traffic = self.moves(ref, spec, status, runs)
        home = self._store.get(Kind.NAMESPACE, "", ref.namespace) or {}
        actions = self._actions(ref)
        return Observed(
            ref=ref,
            generation=metadata.get("generation", 0),
            resource_version=metadata.get("resourceVersion", ""),
            deleting="deletionTimestamp" in metadata,
            has_finalizer=FINALIZER in metadata.get("finalizers", ()),
            namespace_terminating=(home.get("status") or {}).get("phase") == "Terminating",
            labels=labels_of(rollout),
            requester=requester_of(rollout),
            spec=spec,
            spec_problem=problem,
            status=status,
            runs=runs,
            services=services,
            targets=self.targets(ref.namespace, services, traffic),
            preview=self._preview(ref.namespace, services, traffic),
            slots=self._slots(ref.namespace, services),
            templates=self._templates(ref, spec, status, asked=bool(actions)),
            switches=self._board.covering(ref.namespace, labels_of(rollout)),
            actions=actions,
            measurements=self._inbox.measurements(ref.uid, status.run),
            baselines=self._inbox.baselines(ref.uid, status.run),
            rival=self._rival(ref, rollout, traffic),
            taken_number=self._taken_number(ref, status, runs),
        )

    def parse(self, rollout: Obj) -> tuple[RolloutSpec | None, str, RolloutStatus]:
        """Spec (or None and why), and status; an unreadable status counts as lost."""
        metadata = rollout["metadata"]
        known = self._parsed.get(metadata["uid"])
        if known is not None and known[0] == metadata.get("resourceVersion"):
            return known[1:]
        where = f"Rollout {metadata['namespace']}/{metadata['name']}"
        spec: RolloutSpec | None = None
        problem = ""
        try:
            spec = RolloutSpec.parse(rollout.get("spec") or {}, f"{where}: spec")
        except InvalidSpec as error:
            problem = str(error)
        try:
            status = RolloutStatus.parse(rollout.get("status") or {}, f"{where}: status")
        except InvalidSpec as error:
            log.error("status cannot be read and is taken as lost", extra={"rollout": where, "problem": str(error)})
            status = RolloutStatus()
        self._parsed[metadata["uid"]] = (metadata.get("resourceVersion", ""), spec, problem, status)
        return spec, problem, status

    def forget_run(self, uid: str) -> None:
        """Drop what is kept of a RolloutRun that is gone."""
        self._runs.pop(uid, None)

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
        run = next((run.spec for run in runs if run.name == status.run), None)
        outcome = status.revision.outcome if status.revision is not None else Outcome.COMPLETED
        returning = outcome is not Outcome.COMPLETED and status.confirmation is None
        if run is not None and (outcome is None or (returning and self._left_behind(ref, run))):
            return run.services, run.traffic
        if spec is None:
            last = runs[-1].spec if runs else None
            return (last.services, last.traffic) if last else (None, Traffic())
        return spec.workload.services, spec.traffic

    def _left_behind(self, ref: ObjectRef, run: RolloutRunSpec) -> bool:
        """Whether a target still gives the candidate of a run that ended what that run gave it."""
        views = self.targets(ref.namespace, run.services, run.traffic)
        return any(view.share(run.to_slot) > NONE and view.owner == owner_id(ref) for view in views)

    def moves_of(self, rollout: Obj) -> tuple[RolloutStatus, SlotServices | None, tuple[TargetView, ...]]:
        """What the kill path needs of a Rollout, and no more."""
        metadata = rollout["metadata"]
        ref = ObjectRef(namespace=metadata["namespace"], name=metadata["name"], uid=metadata["uid"])
        spec, _, status = self.parse(rollout)
        services, traffic = self.moves(ref, spec, status, self._runs_of(ref))
        if self._rival(ref, rollout, traffic):
            return status, services, ()  # another Rollout's
        return status, services, self.targets(ref.namespace, services, traffic)

    def targets(self, namespace: str, services: SlotServices | None, traffic: Traffic) -> tuple[TargetView, ...]:
        """The targets as the caches know them."""
        if services is None:
            return ()
        refs = [TargetRef(Kind(route.kind), namespace, route.name) for route in traffic.routes]
        if traffic.service is not None:
            refs.append(TargetRef(Kind.SERVICE, namespace, traffic.service.active))
        return tuple(self._routers[ref.kind].observe(ref, services) for ref in refs)

    def ready_endpoints(self, namespace: str, service: str) -> int:
        """How many endpoints of a Service are ready."""
        return sum(
            1
            for slice_ in self._store.endpoint_slices(namespace, service)
            for endpoint in slice_.get("endpoints") or ()
            if (endpoint.get("conditions") or {}).get("ready") is not False
        )

    def _preview(self, namespace: str, services: SlotServices | None, traffic: Traffic) -> TargetView | None:
        if services is None or traffic.service is None or traffic.service.preview is None:
            return None
        return self._routers[Kind.SERVICE].observe(
            TargetRef(Kind.SERVICE, namespace, traffic.service.preview), services
        )

    def _slots(self, namespace: str, services: SlotServices | None) -> dict[Slot, SlotView]:
        def view(slot: Slot) -> SlotView:
            service = services.of(slot) if services else "?"
            exists = self._store.get(Kind.SERVICE, namespace, service) is not None
            return SlotView(service, exists, self.ready_endpoints(namespace, service) if exists else 0)

        return {slot: view(slot) for slot in Slot}

    def _runs_of(self, ref: ObjectRef) -> tuple[RunView, ...]:
        found = [view for run in self._index.runs(ref.namespace, ref.name) if (view := self._run(run)) is not None]
        return tuple(sorted(found, key=lambda run: run.spec.revision))

    def _run(self, run: Obj) -> RunView | None:
        metadata = run["metadata"]
        known = self._runs.get(metadata["uid"])
        if known is not None and known[0] == metadata["resourceVersion"]:
            return known[1]
        where = f"RolloutRun {metadata['namespace']}/{metadata['name']}"
        try:
            view = RunView(
                name=metadata["name"],
                uid=metadata["uid"],
                spec=RolloutRunSpec.parse(run.get("spec") or {}, f"{where}: spec"),
                status=RolloutRunStatus.parse(run.get("status") or {}, f"{where}: status"),
                resource_version=metadata["resourceVersion"],
            )
        except InvalidSpec as problem:
            log.error("a RolloutRun cannot be read", extra={"run": where, "problem": str(problem)})
            return None
        self._runs[metadata["uid"]] = (metadata["resourceVersion"], view)
        return view

    def _taken_number(self, ref: ObjectRef, status: RolloutStatus, runs: tuple[RunView, ...]) -> int:
        """The number below the first whose name is free: a RolloutRun that can't be read has its name all the same."""
        number = max(
            (run.spec.revision for run in runs), default=status.revision.number if status.revision is not None else 0
        )
        while self._store.get(Kind.ROLLOUT_RUN, ref.namespace, run_name(ref.name, number + 1)) is not None:
            number += 1
        return number

    def _actions(self, ref: ObjectRef) -> tuple[ActionView, ...]:
        found = []
        for action in self._index.actions(ref.namespace, ref.name):
            if (action.get("status") or {}).get("phase"):
                continue
            metadata = action["metadata"]
            try:
                spec = RolloutActionSpec.parse(action.get("spec") or {}, f"RolloutAction {metadata['name']}: spec")
            except InvalidSpec as problem:
                log.error("a RolloutAction cannot be read", extra={"action": metadata["name"], "problem": str(problem)})
                continue
            found.append(ActionView(metadata["name"], metadata["uid"], created_at(action), spec))
        return tuple(sorted(found, key=lambda action: (action.created_at, action.name)))

    def _templates(self, ref: ObjectRef, spec: RolloutSpec | None, status: RolloutStatus, *, asked: bool) -> Templates:
        """Templates matter only where a run could start: another slot is asked for, or (`asked`) a person may retry."""
        under_way = status.revision is not None and status.revision.outcome is None
        settled = status.stable is not None and spec is not None and desired_of(spec).slot is status.stable.slot
        if spec is None or ((under_way or settled) and not asked):
            return _NOT_LOOKED_UP

        def lookup(of: TemplateRef) -> AnalysisTemplateSpec | None:
            kind = Kind.CLUSTER_ANALYSIS_TEMPLATE if of.cluster_scope else Kind.ANALYSIS_TEMPLATE
            found = self._store.get(kind, "" if of.cluster_scope else ref.namespace, of.name)
            return AnalysisTemplateSpec.parse(found.get("spec") or {}, f"{kind} {of.name}: spec") if found else None

        return templates.resolve_all(spec, lookup)

    def _rival(self, ref: ObjectRef, rollout: Obj, traffic: Traffic) -> str:
        """The Rollout that has one of the targets already: by its stamp on the target, else the older one."""
        names = [(Kind(route.kind), route.name) for route in traffic.routes]
        if traffic.service is not None:
            names += [(Kind.SERVICE, name) for name in (traffic.service.active, traffic.service.preview) if name]
        for kind, name in names:
            stamp = _annotation(self._store.get(kind, ref.namespace, name), OWNER_ANNOTATION)
            for namespace, other in self._index.movers(kind, ref.namespace, name):
                if other == ref.name:
                    continue
                found = self._store.get(Kind.ROLLOUT, namespace, other)
                if found is not None and _comes_first(found, rollout, stamp):
                    return f"{namespace}/{other}"
        return ""


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


def _annotation(obj: Obj | None, name: str) -> str:
    return str((((obj or {}).get("metadata") or {}).get("annotations") or {}).get(name) or "")


def created_at(obj: Obj) -> datetime:
    """When the API server created the object."""
    return parse_time(obj["metadata"].get("creationTimestamp") or _EPOCH)


def requester_of(rollout: Obj) -> str:
    """Who last wrote the spec, as far as the API server tells: the field manager, which anyone can choose."""
    newest: Mapping[str, Any] = {}
    for entry in rollout["metadata"].get("managedFields") or ():
        owns_spec = "f:spec" in (entry.get("fieldsV1") or {})
        if owns_spec and not entry.get("subresource") and str(entry.get("time", "")) >= str(newest.get("time", "")):
            newest = entry
    return f"unattributed (field manager {newest['manager']})"[:253] if newest.get("manager") else "unattributed"
