"""Single writes, each idempotent: what is sent, and what an answer or a refusal of it means.

Every answer is taken into the caches, so that the next pass does not decide from what was there before.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from sluice.api.action import ActionPhase, RolloutActionStatus
from sluice.api.common import ObjectRef
from sluice.api.conditions import Reason
from sluice.api.names import API_VERSION, FINALIZER, ROLLOUT_LABEL, ROLLOUT_UID_LABEL, Kind
from sluice.api.rollout import RolloutStatus
from sluice.api.run import RolloutRunSpec, RolloutRunStatus
from sluice.api.units import JSON
from sluice.decide.metadata import annotations_of
from sluice.decide.model import Answer, Apply, Observed, Patch, Release, Removal, Shift
from sluice.decide.release import release
from sluice.decide.revision import run_name
from sluice.engine.store import Obj, Store
from sluice.errors import Forbidden, NotFound, Permanent, Rejected
from sluice.ports import AuditArchive, AuditSigner, AuditSink, Clock, Cluster, Guard, Lane, Notifier, TrafficRouter

log = logging.getLogger(__name__)
# No object has it: an apply that names it makes a new object, or is a Conflict where there is one by now.
_NONE_HAS = "1"


class TemplateRefused(Permanent):
    """The API server would not take the Deployment of a new revision."""


@dataclass(frozen=True, slots=True)
class Ports:
    """What executing needs of the world. `signer` is None without a key. `name` is the member's; "" in the hub."""

    cluster: Cluster
    routers: Mapping[Kind, TrafficRouter]
    notifier: Notifier
    audit: AuditSink
    archive: AuditArchive
    clock: Clock
    signer: AuditSigner | None = None
    name: str = ""


class About(Protocol):
    """What was observed of the Rollout that a write is about."""

    @property
    def ref(self) -> ObjectRef:
        """Who it is."""
        ...

    @property
    def status(self) -> RolloutStatus:
        """As it was read."""
        ...


class Writer:
    """Sends writes, each about one Rollout.

    Args:
        ports: the world.
        store: takes in the answers.
    """

    def __init__(self, ports: Ports, store: Store) -> None:
        self._ports = ports
        self._store = store

    # ------------------------------------------------------------------ Sluice's own objects

    async def create_run(self, observed: Observed, spec: RolloutRunSpec) -> None:
        """Make a RolloutRun."""
        body: JSON = {
            "apiVersion": API_VERSION,
            "kind": Kind.ROLLOUT_RUN.value,
            "metadata": {
                "name": run_name(observed.ref.name, spec.revision),
                "namespace": observed.ref.namespace,
                "labels": {ROLLOUT_LABEL: observed.ref.name, ROLLOUT_UID_LABEL: observed.ref.uid},
            },
            "spec": spec.dump(),
        }
        self._take(Kind.ROLLOUT_RUN, await self._ports.cluster.create(Kind.ROLLOUT_RUN, observed.ref.namespace, body))

    async def change_finalizer(self, rollout: Obj, observed: About, version: str, *, present: bool) -> str:
        """Add or remove the finalizer, guarded by the version just read. Returns the new version."""
        current = self._store.get(Kind.ROLLOUT, observed.ref.namespace, observed.ref.name) if not version else rollout
        if current is None:
            return ""
        finalizers = list(current["metadata"].get("finalizers") or ())
        wanted = [name for name in finalizers if name != FINALIZER] + ([FINALIZER] if present else [])
        if wanted == finalizers:
            return version
        body: JSON = {
            "metadata": {"resourceVersion": version or current["metadata"]["resourceVersion"], "finalizers": wanted}
        }
        stored = await self._ports.cluster.patch_merge(Kind.ROLLOUT, observed.ref.namespace, observed.ref.name, body)
        if "deletionTimestamp" in stored["metadata"] and not wanted:
            return ""  # gone with this write; the watch tells
        self._take(Kind.ROLLOUT, stored)
        return str(stored["metadata"]["resourceVersion"])

    async def write_status(self, rollout: Obj, observed: About, status: RolloutStatus, version: str) -> bool:
        """Write the status if it says anything new. What only counts time is not worth a write."""
        if _telling(status) == _telling(observed.status):
            return False
        body: JSON = {
            "metadata": {"resourceVersion": version},
            "status": merge_patch(rollout.get("status") or {}, status.dump()),
        }
        stored = await self._ports.cluster.patch_merge(
            Kind.ROLLOUT, observed.ref.namespace, observed.ref.name, body, subresource="status"
        )
        self._take(Kind.ROLLOUT, stored)
        return True

    async def write_run(self, observed: Observed, name: str, status: RolloutRunStatus) -> None:
        """Write a RolloutRun's status. One that is gone costs the record, no more."""
        try:
            stored = await self._ports.cluster.patch_merge(
                Kind.ROLLOUT_RUN, observed.ref.namespace, name, {"status": status.dump()}, subresource="status"
            )
        except NotFound:
            log.warning("a RolloutRun is gone, its record is lost", extra={"run": f"{observed.ref.namespace}/{name}"})
            return
        self._take(Kind.ROLLOUT_RUN, stored)

    async def delete_run(self, observed: Observed, name: str) -> None:
        """Delete a RolloutRun."""
        run = self._store.get(Kind.ROLLOUT_RUN, observed.ref.namespace, name)
        if run is not None:
            await self._ports.cluster.delete(Kind.ROLLOUT_RUN, observed.ref.namespace, name, uid=run["metadata"]["uid"])

    async def answer(self, observed: About, answer: Answer) -> None:
        """Answer a RolloutAction."""
        status = RolloutActionStatus(
            phase=ActionPhase.DONE if answer.done else ActionPhase.REJECTED,
            message=answer.message[:1024],
            at=self._ports.clock.now(),
        )
        body = {"status": status.dump()}
        try:
            stored = await self._ports.cluster.patch_merge(
                Kind.ROLLOUT_ACTION, observed.ref.namespace, answer.name, body, subresource="status"
            )
        except NotFound:
            return  # nobody waits for the answer any more
        self._take(Kind.ROLLOUT_ACTION, stored)

    # ------------------------------------------------------------------ what runs, and what carries the traffic

    async def shift(self, shift: Shift, lane: Lane, guard: Guard | None = None) -> None:
        """Write one share."""
        kind = shift.target.ref.kind
        self._take(kind, await self._ports.routers[kind].shift(shift, lane=lane, guard=guard))

    async def try_out(self, observed: Observed, trial: Apply) -> None:
        """Ask the API server whether it would take an object.

        Raises:
            TemplateRefused: it would not, whoever asked.
        """
        try:
            await self._ports.cluster.apply(
                trial.kind, observed.ref.namespace, trial.name, _body_of(trial), dry_run=True
            )
        except (Rejected, Forbidden) as error:
            raise TemplateRefused(
                f"{error}. Correct the pod template, or what refuses it; nothing has begun"
            ) from error

    async def apply(self, observed: Observed, apply: Apply) -> None:
        """Apply an object; to one of its name that was not seen before, nothing is done (Conflict)."""
        namespace = observed.ref.namespace
        self._take(apply.kind, await self._ports.cluster.apply(apply.kind, namespace, apply.name, _body_of(apply)))
        log.info("object applied", extra={"applied": f"{apply.kind} {namespace}/{apply.name}"})

    async def patch(self, observed: Observed, patch: Patch) -> None:
        """Patch an object. One that is gone meanwhile needs no patch; the watch tells of it."""
        try:
            stored = await self._ports.cluster.patch_json(
                patch.kind, observed.ref.namespace, patch.name, patch.operations
            )
        except NotFound:
            return
        self._take(patch.kind, stored)

    async def release(self, observed: Observed, let_go: Release) -> None:
        """Take Sluice's marks off an object. One that is gone, or another by now, is let go of already."""
        known = self._store.get(let_go.kind, observed.ref.namespace, let_go.name)
        if known is None or known["metadata"].get("uid") != let_go.uid:
            return
        marks = {key: value for key, value in annotations_of(known).items() if key in let_go.annotations}
        if marks:
            await self.patch(observed, release(let_go.kind, let_go.name, let_go.uid, marks))

    async def remove(self, observed: Observed, removal: Removal) -> None:
        """Delete an object."""
        namespace = observed.ref.namespace
        await self._ports.cluster.delete(removal.kind, namespace, removal.name, uid=removal.uid)
        log.info("object removed", extra={"removed": f"{removal.kind} {namespace}/{removal.name}"})

    def _take(self, kind: Kind, stored: Obj) -> None:
        self._store.apply(kind, "MODIFIED", stored)


def reason_of(error: Permanent) -> Reason:
    """The reason under which people are told of a write that was refused."""
    if isinstance(error, TemplateRefused):
        return Reason.TEMPLATE_REFUSED
    return Reason.FORBIDDEN if isinstance(error, Forbidden) else Reason.WRITE_REFUSED


def _body_of(apply: Apply) -> JSON:
    """What to send: with what tells the object that was seen, or that none was."""
    rests_on = {"uid": apply.uid} if apply.uid else {"resourceVersion": _NONE_HAS}
    return {**apply.body, "metadata": {**(apply.body.get("metadata") or {}), **rests_on}}


def _telling(status: RolloutStatus) -> RolloutStatus:
    """The status without what changes merely because time passes."""
    step = status.step
    if step is None:
        return status
    return status.model_copy(update={"step": step.model_copy(update={"counted_seconds": 0.0, "counted_until": None})})


def merge_patch(old: JSON, new: JSON) -> JSON:
    """What makes one status of another. A merge patch merges maps: in each of them, what is gone is named as null."""
    patch: JSON = {field: None for field in old if field not in new}
    for field, value in new.items():
        before = old.get(field)
        if isinstance(value, dict) and isinstance(before, dict):
            patch[field] = merge_patch(before, value)
        else:
            patch[field] = value
    return patch
