"""The kill path: from the event of an engaged Divert to the weight writes, before any queue (I4).

It decides with the same pure function as the planner (`decide.returning.divert`) and leaves everything else, status,
audit, retries, to the ordinary passes that follow. A write that fails here is planned again there. While kill writes
are under way, passes wait: they would write the same weights again, and compute where every millisecond counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from sluice.api.common import ObjectRef
from sluice.api.killswitch import Effect, KillSwitchSpec
from sluice.api.names import Kind
from sluice.decide.metadata import labels_of
from sluice.decide.model import Shift, SwitchView
from sluice.decide.returning import divert
from sluice.engine.execute import Executor, log_share
from sluice.engine.observe import Observer
from sluice.engine.store import Obj, key_of
from sluice.engine.switchboard import SWITCH_KINDS, SwitchBoard, parse_switch
from sluice.errors import NotLeader, SluiceError
from sluice.ports import Clock, Lane, Leadership

log = logging.getLogger(__name__)
Wake = Callable[[Kind, str, str], None]
YIELD_EVERY = 4
PASSES_WAIT_SECONDS = 2.0


class KillPath:
    """Diverts at once what a switch covers."""

    def __init__(
        self,
        observer: Observer,
        executor: Executor,
        board: SwitchBoard,
        *,
        leadership: Leadership,
        clock: Clock,
        wake: Wake,
        timed: Callable[[float], None],
    ) -> None:
        self._observer = observer
        self._executor = executor
        self._board = board
        self._leadership = leadership
        self._clock = clock
        self._wake = wake
        self._timed = timed
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended = asyncio.Event()
        self._passes_wait_until = 0.0

    async def give_way(self) -> None:
        """Return once no kill write is under way, or two seconds after the last trip: one may hang."""
        left_seconds = self._passes_wait_until - self._clock.monotonic()
        if self._tasks and left_seconds > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_seconds):
                    await self._ended.wait()

    def owes(self, rollout: Obj) -> bool:
        """Whether a switch diverts it that could be obeyed now, and is not yet."""
        covering = self._board.covering(key_of(rollout)[0], labels_of(rollout))
        return any(self._shifts(rollout, view) for view in covering if view.effect is Effect.DIVERT)

    def trip(self, kind: Kind, before: Obj | None, after: Obj | None) -> None:
        """Take in a change of a switch, in the very event. Does nothing unless it diverts and this process leads."""
        if kind not in SWITCH_KINDS or after is None:
            return
        parsed = parse_switch(kind, after)
        if parsed is None or not parsed[0].engaged or parsed[0].effect is not Effect.DIVERT:
            return
        if before is not None and before.get("spec") == after.get("spec"):
            return
        try:
            self._leadership.check()
        except NotLeader:
            return
        task = asyncio.create_task(self._divert_all(kind, after, *parsed), name=f"kill {parsed[1]}")
        self._tasks.add(task)
        self._ended.clear()
        self._passes_wait_until = self._clock.monotonic() + PASSES_WAIT_SECONDS
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not self._tasks:
            self._ended.set()

    async def drain(self) -> None:
        """Wait until all writes that are under way have ended."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _divert_all(self, kind: Kind, switch: Obj, spec: KillSwitchSpec, view: SwitchView) -> None:
        began = self._clock.monotonic()
        writes: list[asyncio.Task[Shift | None]] = []
        for count, rollout in enumerate(self._board.rollouts_of(kind, key_of(switch)[0], spec), 1):
            writes += [asyncio.create_task(self._write(rollout, shift)) for shift in self._shifts(rollout, view)]
            if count % YIELD_EVERY == 0:
                await asyncio.sleep(0)  # the first are on their way while the last are looked for
        written = [shift for shift in await asyncio.gather(*writes) if shift is not None]
        seconds = round(self._clock.monotonic() - began, 4)
        if written:
            self._timed(seconds)
        for shift in written:
            log_share(shift)
        log.warning("kill switch diverted", extra={"switch": str(view), "targets": len(written), "seconds": seconds})

    def _shifts(self, rollout: Obj, view: SwitchView) -> tuple[Shift, ...]:
        try:
            return self._decide(rollout, view)
        except Exception:
            # The edge: a defect that one Rollout brings out must not spare the candidates of all others.
            log.exception("a kill could not be decided; this is a defect of Sluice", extra={"rollout": key_of(rollout)})
            return ()

    def _decide(self, rollout: Obj, view: SwitchView) -> tuple[Shift, ...]:
        metadata = rollout["metadata"]
        ref = ObjectRef(namespace=metadata["namespace"], name=metadata["name"], uid=metadata["uid"])
        seen = self._observer.moves_of(rollout)
        if seen.services is None:
            return ()
        now = self._clock.now()
        return divert(ref, seen.status, seen.services, seen.targets, view, bears=seen.stable_bears, now=now)

    async def _write(self, rollout: Obj, shift: Shift) -> Shift | None:
        """Write one shift. Returns it, or None where that failed."""
        try:
            await self._executor.write(shift, Lane.KILL)
        except SluiceError as error:
            log.warning(
                "a kill write failed and is planned again", extra={"target": str(shift.target.ref), "error": str(error)}
            )
            return None
        except Exception:
            log.exception("a kill write ended in a defect of Sluice", extra={"target": str(shift.target.ref)})
            return None
        finally:
            self._wake(Kind.ROLLOUT, *key_of(rollout))
        return shift
