"""All that is in a Rollout's way at one moment, each asked by the operator's own checks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from sluice.api.names import Kind, Slot
from sluice.decide import policies
from sluice.decide.model import Observed
from sluice.decide.policies import Asked
from sluice.decide.revision import Desired, desired_of
from sluice.decide.switches import engagement
from sluice.engine.index import Index
from sluice.engine.measure import Inbox
from sluice.engine.observe import Observer
from sluice.engine.store import Store
from sluice.engine.switchboard import SwitchBoard
from sluice.ports import Obj
from sluice.sim.operator import WATCHED
from sluice.sim.rehearsal.world import Rehearsal
from sluice.views.plans import HoldLine
from sluice.wiring import routers_over


class Watcher:
    """Looks at a world as the operator does.

    Args:
        world: as it is now; what changes later is not seen.
    """

    def __init__(self, world: Rehearsal) -> None:
        store = Store()
        index = Index(store)
        self._now = world.clock.now()
        board = SwitchBoard(store, world.clock.now)
        routers = routers_over(store, world.cluster)
        self._observer = Observer(store, index, board, routers, Inbox())
        for kind in WATCHED:
            for obj in world.cluster.store.all(kind):
                store.apply(kind, None, obj)

    def observe(self, rollout: Obj) -> Observed:
        """All that one decision rests on."""
        return self._observer.observe(rollout)

    def desired(self, rollout: Obj) -> Desired | None:
        """The revision that its spec asks for; None where that means nothing."""
        seen = self.observe(rollout)
        return desired_of(seen.spec, seen.asked, seen.status.stable) if seen.spec is not None else None

    def holds(self, rollout: Obj) -> list[HoldLine]:
        """What is in the way of more exposure, whether a run has begun or not."""
        return list(_holds(self.observe(rollout), self._now))


def _holds(seen: Observed, now: datetime) -> Iterator[HoldLine]:
    for switch in seen.switches:
        yield HoldLine(str(switch.kind), str(switch), engagement(switch), "release")
    yield from _by_policy(seen, now)
    if seen.rival:
        yield HoldLine(str(Kind.ROLLOUT), seen.rival, f"Rollout {seen.rival} has one of its routes or Services", "")
    for target in seen.targets:
        if target.problem:
            yield HoldLine(str(target.ref.kind), str(target.ref), target.problem, "")
    if seen.spec is not None and not seen.spec.workload.managed:
        yield from _by_slot(seen)


def _by_policy(seen: Observed, now: datetime) -> Iterator[HoldLine]:
    desired = desired_of(seen.spec, seen.asked, seen.status.stable) if seen.spec is not None else None
    for policy in seen.policies:
        if seen.status.under_way is not None or desired is None:
            hold = policies.hold_growth((policy,), now)
        else:
            hold = policies.hold_beginning((policy,), Asked(desired.hash, desired.version), now)
        if hold is not None:
            until = hold.until.isoformat() if hold.until is not None else ""
            yield HoldLine(str(Kind.ROLLOUT_POLICY), str(policy), hold.message, until)


def _by_slot(seen: Observed) -> Iterator[HoldLine]:
    candidate = seen.status.stable.slot.other if seen.status.stable is not None else None
    for slot in Slot:
        view = seen.slots.get(slot)
        if view is None:
            continue
        name = f"{Kind.SERVICE} {seen.ref.namespace}/{view.service}"
        if not view.exists:
            yield HoldLine(str(Kind.SERVICE), name, f"{name} ({slot}) does not exist", "")
        elif not view.ready_endpoints and slot in (candidate, None):
            yield HoldLine(str(Kind.SERVICE), name, f"{name} ({slot}) has no ready endpoint", "")
