"""The kill path: from the event of an engaged Divert or Rollback to the weight writes, before any queue (I4).

It decides with the same pure function as the planner (`decide.returning.divert`) and leaves everything else, status,
audit, retries, to the ordinary passes that follow. A write that fails here is planned again there. While kill writes
are under way, passes wait (see `Precedence`): those for the same Rollouts would write the same weights again. They also
wait for kills of other replicas, as far as the caches show: one API server has to carry them all.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime

from sluice.api.common import ObjectRef
from sluice.api.killswitch import KillSwitchSpec
from sluice.api.names import Kind
from sluice.decide.model import Shift, SwitchView
from sluice.decide.returning import divert
from sluice.decide.sharding import ALL, Shards, shard_of
from sluice.decide.switches import Reached
from sluice.engine.execute import Executor, log_share
from sluice.engine.fence import Fence
from sluice.engine.observe import Moves, Observer
from sluice.engine.precedence import Precedence
from sluice.engine.store import Obj, key_of
from sluice.engine.switchboard import SWITCH_KINDS, SwitchBoard, parse_switch
from sluice.errors import SluiceError
from sluice.ports import Lane

log = logging.getLogger(__name__)
Wake = Callable[[Kind, str, str], None]
YIELD_EVERY = 4
_LOOK_SECONDS = 0.02


class KillPath:
    """Diverts at once what a switch covers, of what this process holds; every replica does so for its own."""

    def __init__(
        self,
        observer: Observer,
        executor: Executor,
        board: SwitchBoard,
        *,
        fence: Fence,
        precedence: Precedence,
        wake: Wake,
        timed: Callable[[float], None],
    ) -> None:
        self._observer = observer
        self._executor = executor
        self._board = board
        self._fence = fence
        self._clock = precedence.clock
        self._wake = wake
        self._timed = timed
        self._precedence = precedence

    def owes(self, rollout: Obj) -> bool:
        """Whether a switch diverts it that could be obeyed now, and is not yet."""
        covering = self._board.covering(Reached.read(rollout))
        return any(self._shifts(rollout, view) for view in covering if view.effect.diverts)

    def trip(self, kind: Kind, before: Obj | None, after: Obj | None, shards: Shards = ALL) -> None:
        """Take in a change of a switch, in the very event. Does nothing unless it diverts.

        Args:
            kind: of the switch.
            before: None where it is new, or new to this process.
            after: None where it is gone.
            shards: in which to look for what is to be diverted.
        """
        if kind not in SWITCH_KINDS or after is None:
            return
        parsed = parse_switch(kind, after)
        if parsed is None or not parsed[0].engaged or not parsed[0].effect.diverts:
            return
        if before is not None and before.get("spec") == after.get("spec"):
            return
        task = asyncio.create_task(self._divert_all(*parsed, shards), name=f"kill {parsed[1]}")
        self._precedence.take(task)

    async def _divert_all(self, spec: KillSwitchSpec, view: SwitchView, shards: Shards) -> None:
        began = self._clock.monotonic()
        writes: list[asyncio.Task[Shift | None]] = []
        others: list[Obj] = []
        count = 0
        for rollout in self._board.rollouts_of(spec, view):
            if not self._is_ours(rollout):
                others.append(rollout)
            elif shard_of(Kind.ROLLOUT, *key_of(rollout)) in shards:
                count += 1
                writes += [asyncio.create_task(self._write(rollout, shift)) for shift in self._shifts(rollout, view)]
                if count % YIELD_EVERY == 0:
                    await asyncio.sleep(0)  # the first are on their way while the last are looked for
        written = [shift for shift in await asyncio.gather(*writes) if shift is not None]
        seconds = round(self._clock.monotonic() - began, 4)
        if written:
            self._timed(seconds)
        for shift in written:
            log_share(shift)
        if count:
            told = {"switch": str(view), "targets": len(written), "seconds": seconds}
            log.warning("kill switch diverted", extra=told)
        await self._see_diverted(others, view)

    async def _see_diverted(self, others: list[Obj], view: SwitchView) -> None:
        """Wait until the caches show that what other replicas hold is diverted; no longer than passes wait for our own.

        What they write counts as what we write: it lets passes go on waiting.
        """
        for rollout in others:
            await asyncio.sleep(0)
            if not self._shifts(self._board.newest(rollout), view):
                continue
            while self._shifts(self._board.newest(rollout), view):
                if self._precedence.is_over:
                    return
                await asyncio.sleep(_LOOK_SECONDS)
            self._precedence.wrote()

    def _is_ours(self, rollout: Obj) -> bool:
        return self._fence.holds((Kind.ROLLOUT, *key_of(rollout)))

    def _shifts(self, rollout: Obj, view: SwitchView) -> tuple[Shift, ...]:
        try:
            seen = self._observer.moves_of(rollout)
            if seen.status.under_way is None:
                return ()  # what an ended run has left is on its way back by the passes, which tell of it
            return shifts_of(rollout, seen, view, now=self._clock.now())
        except Exception:
            # The edge: a defect that one Rollout brings out must not spare the candidates of all others.
            log.exception("a kill could not be decided; this is a defect of Sluice", extra={"rollout": key_of(rollout)})
            return ()

    async def _write(self, rollout: Obj, shift: Shift) -> Shift | None:
        """Write one shift. Returns it, or None where that failed."""
        try:
            with self._fence.acting((Kind.ROLLOUT, *key_of(rollout))):
                await self._executor.write(shift, Lane.KILL)
            self._precedence.wrote()
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


def shifts_of(rollout: Obj, seen: Moves, view: SwitchView, *, now: datetime) -> tuple[Shift, ...]:
    """The writes by which a switch diverts a Rollout, by what it was seen to move; none where none is due."""
    metadata = rollout["metadata"]
    ref = ObjectRef(namespace=metadata["namespace"], name=metadata["name"], uid=metadata["uid"])
    if seen.services is None or seen.returns:
        return ()
    return divert(ref, seen.status, seen.services, seen.targets, view, bears=seen.stable_bears, now=now)
