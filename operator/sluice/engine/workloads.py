"""What runs in the slots, and who else sends it traffic: Deployments, pods, Services and budgets. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sluice.api.common import ObjectRef
from sluice.api.conditions import Reason
from sluice.api.names import APPLIED_ANNOTATION, REVISION_ANNOTATION, Kind, Slot
from sluice.api.rollout import RolloutSpec, RolloutStatus, Traffic
from sluice.api.workload import RoleMetadata, ServicePort, SlotServices, Workload
from sluice.decide.metadata import annotation_of, labels_of, owner_of, writer_of
from sluice.decide.model import SlotView
from sluice.decide.pods import AskedTemplate, BudgetView, DeploymentView, ServiceView
from sluice.decide.rendering import pod_labels, revision_in, selector_of
from sluice.decide.revision import image_version, template_hash
from sluice.engine import pods
from sluice.engine.index import Index
from sluice.engine.store import Obj, Store
from sluice.errors import InvalidSpec

Labels = dict[str, str]


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose slots are looked at. `spec` is None where it cannot be read; `services` and `traffic` count now."""

    ref: ObjectRef
    spec: RolloutSpec | None
    status: RolloutStatus
    services: SlotServices | None
    traffic: Traffic

    @property
    def workload(self) -> Workload | None:
        """What the spec runs, where it is Sluice that runs it."""
        return self.spec.workload if self.spec is not None and self.spec.workload.managed else None

    @property
    def kept(self) -> bool:
        """Whether Sluice runs pods for it, or did until now."""
        return self.workload is not None or bool(self.status.slots)

    @property
    def declared(self) -> frozenset[str]:
        """The Services that it speaks of: its slots', and those that Sluice points to them."""
        names = {self.services.blue, self.services.green} if self.services is not None else set()
        for traffic in (self.traffic, *((self.spec.traffic,) if self.spec is not None else ())):
            switch = traffic.service
            names |= {
                name for name in (traffic.stable_service, *((switch.active, switch.preview) if switch else ())) if name
            }
        return frozenset(names)

    def role_of(self, slot: Slot) -> RoleMetadata:
        """The metadata that the slot's pods get for what they are: stable, or else the candidate."""
        if self.workload is None:
            return RoleMetadata()
        is_stable = self.status.stable is not None and self.status.stable.slot is slot
        return self.workload.stable_metadata if is_stable else self.workload.candidate_metadata


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The part of `Observed` that is seen here."""

    slots: dict[Slot, SlotView]
    asked: AskedTemplate | None = None
    source: DeploymentView | None = None
    source_selected_by: tuple[str, ...] = ()
    budgets: tuple[BudgetView, ...] = field(default=())


class WorkloadObserver:
    """Sees the slots and what is around them, in the caches."""

    def __init__(self, store: Store, index: Index) -> None:
        self._store = store
        self._index = index

    def observe(self, subject: Subject) -> Surroundings:
        """See the slots of a Rollout. Where Sluice does not run the pods, only their Services' endpoints matter."""
        if not subject.kept:
            return Surroundings({slot: self._bare(subject, slot) for slot in Slot})
        asked, source = self._asked(subject), self._source(subject)
        slots, covering = {}, dict[str, set[Slot]]()
        for slot in Slot:
            deployment = self._deployment(subject.ref, slot)
            there = _labels_there(subject, slot, deployment)
            slots[slot] = self._slot(subject, slot, deployment, [*there, *_labels_to_come(subject, slot, asked)])
            for name in self._selecting(Kind.POD_DISRUPTION_BUDGET, subject.ref, there):
                covering.setdefault(name, set()).add(slot)
        return Surroundings(
            slots,
            asked,
            source,
            tuple(sorted(self._selecting(Kind.SERVICE, subject.ref, [_labels_in(source.template)] if source else []))),
            tuple(self._budget(subject.ref, name, frozenset(of)) for name, of in sorted(covering.items())),
        )

    def ready_endpoints(self, namespace: str, service: str) -> int:
        """How many endpoints of a Service are ready. One that several slices name (dual stack) counts once."""
        unnamed, pods_ready = 0, set[tuple[str, str]]()
        for slice_ in self._store.endpoint_slices(namespace, service):
            for endpoint in slice_.get("endpoints") or ():
                if (endpoint.get("conditions") or {}).get("ready") is False:
                    continue
                target = endpoint.get("targetRef") or {}
                if target.get("name"):
                    pods_ready.add((str(target.get("kind")), str(target["name"])))
                else:
                    unnamed += 1
        return unnamed + len(pods_ready)

    def sources(self, ref: ObjectRef, spec: RolloutSpec | None) -> tuple[Obj, ...]:
        """The Deployment that `workloadRef` names, where there is one."""
        named = spec.workload.workload_ref if spec is not None else None
        found = self._store.get(Kind.DEPLOYMENT, ref.namespace, named.name) if named is not None else None
        return (found,) if found is not None else ()

    # ------------------------------------------------------------------ slots

    def _bare(self, subject: Subject, slot: Slot) -> SlotView:
        namespace = subject.ref.namespace
        name = subject.services.of(slot) if subject.services is not None else "?"
        exists = self._store.get(Kind.SERVICE, namespace, name) is not None
        return SlotView(name, exists, self.ready_endpoints(namespace, name) if exists else 0)

    def _slot(
        self, subject: Subject, slot: Slot, deployment: DeploymentView | None, pods_labels: list[Labels]
    ) -> SlotView:
        bare = self._bare(subject, slot)
        exposed_by = self._selecting(Kind.SERVICE, subject.ref, pods_labels) - subject.declared
        return SlotView(
            bare.service,
            bare.exists,
            bare.ready_endpoints,
            kept=_service_view(self._store.get(Kind.SERVICE, subject.ref.namespace, bare.service), subject.ref, slot),
            deployment=deployment,
            exposed_by=tuple(sorted(exposed_by)),
        )

    def _deployment(self, ref: ObjectRef, slot: Slot) -> DeploymentView | None:
        found = self._store.get(Kind.DEPLOYMENT, ref.namespace, SlotServices.named_after(ref.name).of(slot))
        if found is None:
            return None
        return deployment_view(found, pods.members_of(self._index.pods(ref.namespace, ref.name), slot))

    def _selecting(self, kind: Kind, ref: ObjectRef, pods_labels: list[Labels]) -> set[str]:
        return {name for labels in pods_labels for name in self._index.selecting(kind, ref.namespace, labels)}

    def _budget(self, ref: ObjectRef, name: str, slots: frozenset[Slot]) -> BudgetView:
        budget = self._store.get(Kind.POD_DISRUPTION_BUDGET, ref.namespace, name) or {}
        return BudgetView(name, int((budget.get("status") or {}).get("disruptionsAllowed") or 0), slots)

    # ------------------------------------------------------------------ what is asked for

    def _asked(self, subject: Subject) -> AskedTemplate | None:
        workload = subject.workload
        if workload is None:
            return None
        template, where = workload.template or {}, "spec.workload.template"
        if workload.workload_ref is not None:
            name = workload.workload_ref.name
            where = f"Deployment {subject.ref.namespace}/{name}"
            found = self._store.get(Kind.DEPLOYMENT, subject.ref.namespace, name)
            if found is None:
                problem = f"{where} does not exist. Create it, or correct spec.workload.workloadRef"
                return AskedTemplate(problem_reason=Reason.SOURCE_MISSING, problem=problem)
            template = (found.get("spec") or {}).get("template") or {}
        if not _is_pod_template(template):
            problem = f"{where} is no pod template: it needs metadata and spec, with containers in it. Correct it"
            return AskedTemplate(problem_reason=Reason.INVALID_SPEC, problem=problem)
        return AskedTemplate(template, template_hash(template), workload.version or image_version(template))

    def _source(self, subject: Subject) -> DeploymentView | None:
        workload = subject.workload
        if workload is None or workload.workload_ref is None:
            return None
        found = self._store.get(Kind.DEPLOYMENT, subject.ref.namespace, workload.workload_ref.name)
        return deployment_view(found) if found is not None else None


def deployment_view(deployment: Obj, members: tuple[Obj, ...] = ()) -> DeploymentView:
    """A Deployment, with those of its pods that are not being deleted."""
    metadata, spec = deployment["metadata"], deployment.get("spec") or {}
    status, template = deployment.get("status") or {}, spec.get("template") or {}
    present, updated = status.get("replicas") or 0, status.get("updatedReplicas") or 0
    seen = (status.get("observedGeneration") or 0) >= metadata.get("generation", 0)
    return DeploymentView(
        name=metadata["name"],
        uid=metadata.get("uid", ""),
        resource_version=metadata.get("resourceVersion", ""),
        generation=metadata.get("generation", 0),
        replicas=spec.get("replicas", 1),
        pods=present,
        available=status.get("availableReplicas") or 0,
        rolled=seen and present == updated,
        deleting="deletionTimestamp" in metadata,
        template=template,
        hash=annotation_of(deployment, REVISION_ANNOTATION),
        applied=annotation_of(deployment, APPLIED_ANNOTATION),
        owner=owner_of(deployment),
        writer=writer_of(deployment),
        faults=(*pods.faults_of(members, revision_in(template)), *pods.refusal_of(deployment)),
        waits=pods.waits_of(members, revision_in(template)),
        members=tuple(map(pods.view_of, members)),
        former=pods.ready_of_others(members, revision_in(template)),
    )


def _service_view(service: Obj | None, ref: ObjectRef, slot: Slot) -> ServiceView | None:
    """A slot's Service, whoever made it: `owner` tells."""
    if service is None:
        return None
    spec = service.get("spec") or {}
    return ServiceView(
        uid=service["metadata"].get("uid", ""),
        owner=owner_of(service),
        selector=spec.get("selector") or {},
        ports=tuple(_ports(spec.get("ports") or ())),
        applied=annotation_of(service, APPLIED_ANNOTATION),
        labelled=selector_of(ref.name, slot).items() <= labels_of(service).items(),
        external=spec.get("type") == "ExternalName",
    )


def _ports(ports: Any) -> Iterator[ServicePort]:
    for port in ports:
        try:
            known = ServicePort.parse(port, "Service: spec.ports")
        except InvalidSpec:
            continue  # seen as missing, it is put right
        yield known if known.target_port is not None else known.model_copy(update={"target_port": known.port})


def _labels_there(subject: Subject, slot: Slot, deployment: DeploymentView | None) -> list[Labels]:
    if deployment is None:
        return []
    return [{**_labels_in(deployment.template), **subject.role_of(slot).labels}]


def _labels_to_come(subject: Subject, slot: Slot, asked: AskedTemplate | None) -> list[Labels]:
    if asked is None or asked.problem:
        return []
    return [{**pod_labels(subject.ref.name, slot, asked.hash, asked.template), **subject.role_of(slot).labels}]


def _labels_in(template: dict[str, Any]) -> Labels:
    return (template.get("metadata") or {}).get("labels") or {}


def _is_pod_template(template: dict[str, Any]) -> bool:
    """Whether it has the outline of one. What is in it is for the API server to judge, which is asked by a dry run."""
    metadata, spec = template.get("metadata") or {}, template.get("spec")
    containers = spec.get("containers") if isinstance(spec, dict) else None
    return (
        isinstance(metadata, dict)
        and all(isinstance(metadata.get(field) or {}, dict) for field in ("labels", "annotations"))
        and isinstance(containers, list)
        and bool(containers)
        and all(
            isinstance(container, dict) and isinstance(container.get("ports") or [], list) for container in containers
        )
    )
