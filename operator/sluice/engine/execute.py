"""Carrying a plan out, in its order; each failure told to the caller."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Iterable

from sluice.api.outcome import Outcome
from sluice.api.rollout import RolloutStatus
from sluice.decide.alarms import is_news
from sluice.decide.model import FinalizerChange, Note, Observed, Plan, Shift
from sluice.decide.report import with_stalled
from sluice.decide.switches import Reached, stopping
from sluice.engine.deletions import Deletions
from sluice.engine.seal import Sealer
from sluice.engine.store import Obj, Store
from sluice.engine.switchboard import SwitchBoard
from sluice.engine.telling import Teller
from sluice.engine.writes import Ports, Writer, reason_of
from sluice.errors import Conflict, NotLeader, Permanent
from sluice.ports import Guard, Lane

log = logging.getLogger(__name__)


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
        self._writer = Writer(ports, store)
        self._sealer = Sealer(ports)
        self._teller = Teller(ports)
        self._deletions = Deletions(ports, store)
        self._board = board
        self._persisted = persisted

    async def carry_out(self, rollout: Obj, observed: Observed, plan: Plan) -> bool:
        """Do what the plan says.

        Kills first. Then what announces the rest: the RolloutRun (once the API server said that it would take what the
        run is to make), the finalizer, the status (once what leaves it is sealed). Then everything else at once, so
        that no record that can't be written keeps a share from being taken away. What can't be made good again comes
        last, once all of that is done.

        Returns:
            Whether a status or a share was written, so that the Rollout is worth another look at once. Of all else the
            caches tell.

        Raises:
            SluiceError: the first failure. A kill that failed keeps nothing from being announced; what announces keeps
                what follows it from being done; of the rest each is tried, but nothing is let go of or removed after a
                failure. What was not done is planned anew.
        """
        killing = await self._first_failure(self.shift(shift, Lane.KILL) for shift in plan.urgent)
        if isinstance(killing, NotLeader):
            raise killing
        version = await self._prepare(rollout, observed, plan)
        status = await self._sealer.seal(rollout, observed, plan.status)
        if _completes(observed, status):
            self._insist_on_leave(observed, "its run was completed")
        with self._teller.telling(observed, plan.status.audit):
            changed = await self._writer.write_status(rollout, observed, status, version)
        self._persisted(observed)
        for note in plan.notes:
            self._ports.notifier.note(rollout, note)
        failure = await self._first_failure(self._rest(observed, plan))
        failure = killing or failure or await self._first_failure(self._farewells(observed, plan))
        if failure is not None:
            raise failure
        if plan.finalizer is FinalizerChange.REMOVE:
            await self._deletions.note(observed.ref, observed.switches)
            await self._sealer.seal_all(rollout, observed, status.audit)
            await self._writer.change_finalizer(rollout, observed, "", present=False)
        return changed or bool(plan.urgent or plan.shifts)

    def forget(self, uid: str) -> None:
        """Drop what is known of a Rollout that is gone, or that another process may move."""
        self._teller.forget(uid)

    async def _prepare(self, rollout: Obj, observed: Observed, plan: Plan) -> str:
        """What has to be there before the status speaks of it. Returns the Rollout's resourceVersion after that.

        Where that is refused, no plan is announced, so it is said in the status as it is.
        """
        version = observed.resource_version
        try:
            if plan.trial is not None:
                await self._writer.try_out(observed, plan.trial)
            if plan.create_run is not None:
                await self._writer.create_run(observed, plan.create_run)
            if plan.finalizer is FinalizerChange.ADD:
                version = await self._writer.change_finalizer(rollout, observed, version, present=True)
        except Permanent as error:
            now, reason = self._ports.clock.now(), reason_of(error)
            status = with_stalled(observed.status, reason, str(error), observed.generation, now)
            await self._writer.write_status(rollout, observed, status, version)
            if is_news(observed.status, reason, observed.generation):
                self._ports.notifier.note(rollout, Note(True, reason, str(error)))
            raise
        return version

    def _rest(self, observed: Observed, plan: Plan) -> Iterable[Awaitable[None]]:
        write = self._writer
        return itertools.chain(
            (self._grow_or_take(observed, shift) for shift in plan.shifts),
            (write.apply(observed, apply) for apply in plan.applies),
            (write.patch(observed, patch) for patch in plan.patches),
            (write.write_run(observed, name, status) for name, status in plan.run_statuses),
            (write.answer(observed, answer) for answer in plan.answers),
            (write.delete_run(observed, name) for name in plan.delete_runs),
        )

    def _farewells(self, observed: Observed, plan: Plan) -> Iterable[Awaitable[None]]:
        return itertools.chain(
            (self._writer.release(observed, let_go) for let_go in plan.releases),
            (self._writer.remove(observed, removal) for removal in plan.removals),
        )

    async def shift(self, shift: Shift, lane: Lane = Lane.NORMAL, guard: Guard | None = None) -> None:
        """Write one share, take the answer into the caches, and log it."""
        await self.write(shift, lane, guard)
        log_share(shift)

    async def write(self, shift: Shift, lane: Lane, guard: Guard | None = None) -> None:
        """Write one share, and take the answer into the caches."""
        await self._writer.shift(shift, lane, guard)

    def _insist_on_leave(self, observed: Observed, before: str) -> None:
        """Refuse where a switch stops what is under way by now."""
        covering = self._board.covering(Reached.of(observed.ref, observed.labels, observed.status))
        if stopping(covering, observed.status.under_way, led=observed.led):
            raise Conflict(f"a kill switch engaged before {before}")

    async def _grow_or_take(self, observed: Observed, shift: Shift) -> None:
        """A share that grows is dropped where a kill switch engaged since the plan was made (I4)."""

        def not_covered() -> None:
            self._insist_on_leave(observed, f"{shift.target.ref} was written")

        await self.shift(shift, guard=not_covered if shift.grows else None)

    @staticmethod
    async def _first_failure(writes: Iterable[Awaitable[None]]) -> BaseException | None:
        """All at once, each to its end. Returns the first failure, NotLeader before any other."""
        results = await asyncio.gather(*writes, return_exceptions=True)
        failures = [result for result in results if result is not None]
        return next((failure for failure in failures if isinstance(failure, NotLeader)), next(iter(failures), None))


def _completes(observed: Observed, status: RolloutStatus) -> bool:
    revision = status.revision
    ended = observed.status.under_way is not None and status.under_way is None
    # What completes under a switch that was seen (a Rollback's own return) has its leave.
    seen = stopping(observed.switches, observed.status.under_way, led=observed.led)
    return ended and revision is not None and revision.outcome is Outcome.COMPLETED and not seen


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
