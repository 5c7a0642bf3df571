"""Carrying a plan out, in its order; each effect idempotent, each failure told to the caller.

Writes: the Rollout's finalizer and status, RolloutRuns, RolloutAction statuses, and the targets' shares.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from sluice.api.action import ActionPhase, RolloutActionStatus
from sluice.api.conditions import Reason
from sluice.api.names import (
    API_VERSION,
    FINALIZER,
    ROLLOUT_LABEL,
    ROLLOUT_UID_LABEL,
    Kind,
)
from sluice.api.rollout import RolloutStatus
from sluice.api.run import RolloutRunSpec, RolloutRunStatus
from sluice.api.units import JSON
from sluice.decide.model import Answer, FinalizerChange, Observed, Plan, Shift
from sluice.decide.report import with_stalled
from sluice.decide.revision import run_name
from sluice.engine.store import Obj, Store
from sluice.engine.switchboard import SwitchBoard
from sluice.errors import Conflict, Forbidden, NotFound, NotLeader, Permanent
from sluice.ports import AuditSink, Clock, Cluster, Guard, Lane, Notifier, TrafficRouter

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ports:
    """What executing needs of the world."""

    cluster: Cluster
    routers: Mapping[Kind, TrafficRouter]
    notifier: Notifier
    audit: AuditSink
    clock: Clock


class Executor:
    """Carries plans out.

    Args:
        ports: the world.
        store: takes in the answers to writes.
        board: asked before every write that grows exposure.
        persisted: told as soon as a status holds what was observed, whatever fails after that.
    """

    def __init__(self, ports: Ports, store: Store, board: SwitchBoard, persisted: Callable[[Observed], None]) -> None:
        self._ports = ports
        self._store = store
        self._board = board
        self._persisted = persisted

    async def carry_out(self, rollout: Obj, observed: Observed, plan: Plan) -> bool:
        """Do what the plan says.

        Kills first. Then what announces the rest: the RolloutRun, the finalizer, the status. Then everything else at
        once, so that no record that can't be written keeps a share from being taken away.

        Returns:
            Whether anything was written, so that the Rollout is worth another look at once.

        Raises:
            SluiceError: the first failure. A kill that failed keeps nothing from being announced; what announces keeps
                what follows it from being done; of the rest each is tried. What was not done is planned anew.
        """
        killing = await self._first_failure(self.shift(shift, Lane.KILL) for shift in plan.urgent)
        if isinstance(killing, NotLeader):
            raise killing
        version = await self._prepare(rollout, observed, plan)
        changed = await self._write_status(rollout, observed, plan.status, version)
        self._persisted(observed)
        self._tell(rollout, observed, plan)
        failure = await self._first_failure(
            itertools.chain(
                (self._grow_or_take(observed, shift) for shift in plan.shifts),
                (self._write_run(observed, name, status) for name, status in plan.run_statuses),
                (self._answer(observed, answer) for answer in plan.answers),
                (self._delete_run(observed, name) for name in plan.delete_runs),
            )
        )
        failure = killing or failure
        if failure is not None:
            raise failure
        if plan.finalizer is FinalizerChange.REMOVE:
            await self._change_finalizer(rollout, observed, "", present=False)
        return changed or bool(plan.urgent or plan.shifts)

    async def _prepare(self, rollout: Obj, observed: Observed, plan: Plan) -> str:
        """What has to be there before the status speaks of it. Returns the Rollout's resourceVersion after that.

        Where that is refused, no plan is announced, so it is said in the status as it is.
        """
        version = observed.resource_version
        try:
            if plan.create_run is not None:
                await self._create_run(observed, plan.create_run)
            if plan.finalizer is FinalizerChange.ADD:
                version = await self._change_finalizer(rollout, observed, version, present=True)
        except Permanent as error:
            now = self._ports.clock.now()
            status = with_stalled(observed.status, reason_of(error), str(error), observed.generation, now)
            await self._write_status(rollout, observed, status, version)
            raise
        return version

    async def shift(self, shift: Shift, lane: Lane = Lane.NORMAL, guard: Guard | None = None) -> None:
        """Write one share, take the answer into the caches, and log it."""
        await self.write(shift, lane, guard)
        log_share(shift)

    async def write(self, shift: Shift, lane: Lane, guard: Guard | None = None) -> None:
        """Write one share, and take the answer into the caches."""
        kind = shift.target.ref.kind
        stored = await self._ports.routers[kind].shift(shift, lane=lane, guard=guard)
        self._store.apply(kind, "MODIFIED", stored)

    async def _grow_or_take(self, observed: Observed, shift: Shift) -> None:
        """A share that grows is dropped where a kill switch engaged since the plan was made (I4)."""

        def not_covered() -> None:
            if self._board.covering(observed.ref.namespace, observed.labels):
                raise Conflict(f"a kill switch engaged before {shift.target.ref} was written")

        await self.shift(shift, guard=not_covered if shift.grows else None)

    @staticmethod
    async def _first_failure(writes: Iterable[Awaitable[None]]) -> BaseException | None:
        """All at once, each to its end. Returns the first failure, NotLeader before any other."""
        results = await asyncio.gather(*writes, return_exceptions=True)
        failures = [result for result in results if result is not None]
        return next((failure for failure in failures if isinstance(failure, NotLeader)), next(iter(failures), None))

    async def _create_run(self, observed: Observed, spec: RolloutRunSpec) -> None:
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
        stored = await self._ports.cluster.create(Kind.ROLLOUT_RUN, observed.ref.namespace, body)
        self._store.apply(Kind.ROLLOUT_RUN, "MODIFIED", stored)

    async def _change_finalizer(self, rollout: Obj, observed: Observed, version: str, *, present: bool) -> str:
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
        self._store.apply(Kind.ROLLOUT, "MODIFIED", stored)
        return str(stored["metadata"]["resourceVersion"])

    async def _write_status(self, rollout: Obj, observed: Observed, status: RolloutStatus, version: str) -> bool:
        """Write the status if it says anything new. What only counts time is not worth a write."""
        if _telling(status) == _telling(observed.status):
            return False
        new, old = status.dump(), rollout.get("status") or {}
        body: JSON = {
            "metadata": {"resourceVersion": version},
            "status": {**{field: None for field in old if field not in new}, **_replaced(old, new)},
        }
        stored = await self._ports.cluster.patch_merge(
            Kind.ROLLOUT, observed.ref.namespace, observed.ref.name, body, subresource="status"
        )
        self._store.apply(Kind.ROLLOUT, "MODIFIED", stored)
        return True

    async def _write_run(self, observed: Observed, name: str, status: RolloutRunStatus) -> None:
        try:
            stored = await self._ports.cluster.patch_merge(
                Kind.ROLLOUT_RUN, observed.ref.namespace, name, {"status": status.dump()}, subresource="status"
            )
        except NotFound:
            log.warning("a RolloutRun is gone, its record is lost", extra={"run": f"{observed.ref.namespace}/{name}"})
            return
        self._store.apply(Kind.ROLLOUT_RUN, "MODIFIED", stored)

    async def _answer(self, observed: Observed, answer: Answer) -> None:
        status = RolloutActionStatus(
            phase=ActionPhase.DONE if answer.done else ActionPhase.REJECTED,
            message=answer.message[:1024],
            at=self._ports.clock.now(),
        )
        try:
            stored = await self._ports.cluster.patch_merge(
                Kind.ROLLOUT_ACTION,
                observed.ref.namespace,
                answer.name,
                {"status": status.dump()},
                subresource="status",
            )
        except NotFound:
            return  # nobody waits for the answer any more
        self._store.apply(Kind.ROLLOUT_ACTION, "MODIFIED", stored)

    async def _delete_run(self, observed: Observed, name: str) -> None:
        run = self._store.get(Kind.ROLLOUT_RUN, observed.ref.namespace, name)
        if run is not None:
            await self._ports.cluster.delete(Kind.ROLLOUT_RUN, observed.ref.namespace, name, uid=run["metadata"]["uid"])

    def _tell(self, rollout: Obj, observed: Observed, plan: Plan) -> None:
        for note in plan.notes:
            self._ports.notifier.note(rollout, note)
        known = observed.status.audit.seq
        for entry in plan.status.audit.entries:
            if entry.seq > known:
                self._ports.audit.record(observed.ref, entry)


def log_share(shift: Shift) -> None:
    """Log that a share was written."""
    log.info(
        "share written",
        extra={
            "target": str(shift.target.ref),
            "slot": shift.slot.value,
            "share_basis_points": shift.share,
            "cause": shift.cause.action,
        },
    )


def reason_of(error: Permanent) -> Reason:
    """The reason under which people are told of a write that was refused."""
    return Reason.FORBIDDEN if isinstance(error, Forbidden) else Reason.WRITE_REFUSED


def _telling(status: RolloutStatus) -> RolloutStatus:
    """The status without what changes merely because time passes."""
    step = status.step
    if step is None:
        return status
    return status.model_copy(update={"step": step.model_copy(update={"counted_seconds": 0.0, "counted_until": None})})


def _replaced(old: JSON, new: JSON) -> JSON:
    """A merge patch merges maps: fields that are gone from a map in the status must be named as null."""
    patch: JSON = {}
    for field, value in new.items():
        before = old.get(field)
        if isinstance(value, dict) and isinstance(before, dict):
            patch[field] = {**{key: None for key in before if key not in value}, **_replaced(before, value)}
        else:
            patch[field] = value
    return patch
