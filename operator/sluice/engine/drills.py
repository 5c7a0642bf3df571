"""Drills of kill switches: the moments that only the events tell, and the release at the end.

How a drill ended is written into the switch's status before it is released, so that whoever comes after a crash in
between releases it.
"""

from __future__ import annotations

import logging
from datetime import datetime

from sluice.api.conditions import Reason
from sluice.api.drill import DrillOutcome, LastDrill
from sluice.api.names import Kind
from sluice.decide.drills import DrillPlan
from sluice.decide.metadata import mapping, metadata_of
from sluice.decide.model import Note, SwitchView
from sluice.engine.levers import Levers
from sluice.engine.store import Obj, Store
from sluice.engine.switchboard import SWITCH_KINDS
from sluice.engine.writes import Ports
from sluice.ports import Lane

log = logging.getLogger(__name__)
_CARRY_TRAFFIC = frozenset({Kind.HTTP_ROUTE, Kind.GRPC_ROUTE, Kind.SERVICE})


class Drills:
    """Times drills, and releases their switches.

    Args:
        ports: the cluster.
        store: its caches.
    """

    def __init__(self, ports: Ports, store: Store) -> None:
        self._ports = ports
        self._levers = Levers(ports, store)
        self._began: dict[str, tuple[int, datetime]] = {}  # by the switch's UID: its generation, and when it was seen
        self._changed_at: datetime | None = None
        store.listen(self._changed)

    def moments(self, switch: Obj) -> tuple[datetime, datetime | None]:
        """When a drill was seen to begin, and when a route was last seen to change since then."""
        generation, began_at = self._began.get(switch["metadata"]["uid"], (0, self._ports.clock.now()))
        if generation != switch["metadata"].get("generation", 0):
            began_at = self._ports.clock.now()
        changed_at = self._changed_at
        return began_at, changed_at if changed_at is not None and changed_at >= began_at else None

    async def finish(self, switch: Obj, view: SwitchView, plan: DrillPlan) -> None:
        """Release a switch whose drill is over, unless anything of it changed since it was looked at.

        Raises:
            Conflict: it did; it is to be looked at again.
            SluiceError: it is not released; whoever looks at it next tries again.
        """
        stored = await self._levers.pull(
            switch,
            view,
            {"engaged": False, "drill": None, "releaseReason": plan.release},
            what="release the switch after its drill",
            by_hand=f"release it by hand: sluice release {view.name}",
            lane=Lane.NORMAL,
        )
        if plan.last is not None:
            log.warning("drill is over", extra={"switch": str(view), "outcome": str(plan.last.outcome)})
            self._ports.notifier.note(stored, _note(plan.last))

    def _changed(self, kind: Kind, before: Obj | None, after: Obj | None) -> None:
        if kind in SWITCH_KINDS:
            self._note_switch(before, after)
        elif self._began and kind in _CARRY_TRAFFIC and after is not None:
            self._changed_at = self._ports.clock.now()

    def _note_switch(self, before: Obj | None, after: Obj | None) -> None:
        metadata, spec = metadata_of(after or before or {}), mapping((after or {}).get("spec"))
        uid, generation = metadata.get("uid", ""), metadata.get("generation", 0)
        if not (spec.get("engaged") and spec.get("drill")):
            self._began.pop(uid, None)
        elif self._began.get(uid, (None,))[0] != generation:
            self._began[uid] = (generation, self._ports.clock.now())


def _note(drill: LastDrill) -> Note:
    warning = drill.outcome is not DrillOutcome.PASSED
    return Note(warning=warning, reason=Reason.DRILLED, message=f"drill {drill.outcome}: {drill.message}")
