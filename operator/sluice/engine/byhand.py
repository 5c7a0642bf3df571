"""What the kill path does, done once over somebody's own connection: for when no operator runs.

It decides as the operator does, from the same objects, which it lists anew. Whoever does it has no rights but their
own, and is not the operator: each write carries `sluice.dev/hold`, with which the API server lets it pass whole, and
which the operator obeys when it is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sluice.api.killswitch import Effect, KillSwitchSpec
from sluice.api.names import HOLD_ANNOTATION, Kind, Slot
from sluice.api.outcome import Outcome
from sluice.api.units import NONE, format_share, format_time
from sluice.decide.model import Shift, SwitchView, TargetView
from sluice.decide.pointer import pointer
from sluice.engine.index import Index, is_fleet
from sluice.engine.kills import shifts_of
from sluice.engine.measure import Inbox
from sluice.engine.observe import Observer
from sluice.engine.store import Store, key_of
from sluice.engine.switchboard import SwitchBoard, parse_switch
from sluice.errors import NotFound, SluiceError
from sluice.ports import Clock, Cluster, Guard, Lane, Obj, TrafficRouter
from sluice.relay import Relay

_NEEDED = (
    Kind.ROLLOUT,
    Kind.ROLLOUT_RUN,
    Kind.SERVICE,
    Kind.ENDPOINT_SLICE,
    Kind.HTTP_ROUTE,
    Kind.GRPC_ROUTE,
)
_LATER = "; what its last run completed is returned from by the operator, when it is back"
_AT_A_TIME = 16
_OVER_A_FLEET = (
    "is over a fleet: its traffic is in its members, and nothing was written there. In each member, by kubectl: see "
    "docs/runbooks/stop.md"
)
_NO_STABLE = "stable has too few ready endpoints, and would answer with errors. Get its pods up, then repeat this"
Build = Callable[[Store, Cluster], Mapping[Kind, TrafficRouter]]


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a Rollout, or of one of its targets.

    Attributes:
        about: the target, or the Rollout.
        message: in words.
        written: whether a write took traffic from the candidate.
        failed: whether the candidate may still have traffic.
    """

    about: str
    message: str
    written: bool = False
    failed: bool = False


async def divert_by_hand(
    cluster: Cluster, kind: Kind, namespace: str, name: str, *, clock: Clock, build: Build
) -> AsyncIterator[Told]:
    """Take from candidates the traffic that an engaged switch takes from them, and tell of each when it is known.

    Args:
        cluster: where the switch is, as the person who kills.
        kind: of the switch.
        namespace: of the switch; "" for a ClusterKillSwitch.
        name: of the switch.
        clock: the time.
        build: the routers over a store and a cluster.

    Raises:
        Forbidden, NotFound, Unavailable: the switch, or what it may cover, cannot be read. Nothing was written; it may
            be tried again.
    """
    parsed = parse_switch(kind, await cluster.get(kind, namespace, name))
    about = f"{kind} {namespace + '/' if namespace else ''}{name}"
    if parsed is None or not parsed[0].engaged:
        yield Told(about, "is not engaged any more: somebody released it just now", failed=True)
        return
    spec, view = parsed
    if not view.effect.diverts:
        yield Told(about, "holds, which takes no traffic away; and where no operator runs, nothing grows")
        return
    hand = _Hand(cluster, clock, spec, view, build)
    await hand.look(namespace)
    for done in asyncio.as_completed([hand.divert(rollout) for rollout in hand.covered()]):
        for told in await done:
            yield told


class _Holding(Relay):
    """Puts the hold into each JSON Patch."""

    def __init__(self, cluster: Cluster, hold: str) -> None:
        super().__init__(cluster)
        self._hold: Obj = {"op": "add", "path": pointer("metadata", "annotations", HOLD_ANNOTATION), "value": hold}

    async def patch_json(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        operations: Sequence[Obj],
        *,
        lane: Lane = Lane.NORMAL,
        guard: Guard | None = None,
    ) -> Obj:
        """Apply a JSON Patch that makes annotations, if there are none, before it ends."""
        return await super().patch_json(kind, namespace, name, [*operations, self._hold], lane=lane, guard=guard)


class _Hand:
    """Diverts Rollouts that a switch covers, once."""

    def __init__(self, cluster: Cluster, clock: Clock, spec: KillSwitchSpec, view: SwitchView, build: Build) -> None:
        self._cluster = cluster
        self._spec = spec
        self._view = view
        self._now = clock.now()
        # The time makes it another text each time: a write under a hold that says the same as before is put back.
        hold = f"{view.actor}: {spec.reason} ({format_time(self._now)})"
        self._store = Store()
        index = Index(self._store)
        self._board = SwitchBoard(self._store, clock.now)
        self._routers = build(self._store, _Holding(cluster, hold))
        self._observer = Observer(self._store, index, self._board, self._routers, Inbox())
        self._turn = asyncio.Semaphore(_AT_A_TIME)

    async def look(self, namespace: str) -> None:
        """List what decisions rest on, in a namespace or ("") in all."""
        wanted = [(kind, namespace) for kind in _NEEDED]
        if not namespace:
            wanted.append((Kind.NAMESPACE, ""))  # whose labels a ClusterKillSwitch may ask for
        for kind, listed in await asyncio.gather(*(self._list(*each) for each in wanted)):
            for obj in listed:
                self._store.apply(kind, None, obj)

    async def _list(self, kind: Kind, namespace: str) -> tuple[Kind, Sequence[Obj]]:
        try:
            return kind, await self._cluster.list(kind, namespace)
        except NotFound:  # it is not served, so that nobody has any
            return kind, ()

    def covered(self) -> Iterator[Obj]:
        """The Rollouts."""
        return self._board.rollouts_of(self._spec, self._view)

    async def divert(self, rollout: Obj) -> list[Told]:
        """Take what can be taken from one."""
        about = "Rollout {}/{}".format(*key_of(rollout))
        if is_fleet(rollout):
            return [Told(about, _OVER_A_FLEET, failed=True)]
        seen = self._observer.moves_of(rollout)
        revision, stable = seen.status.revision, seen.status.stable
        if seen.services is None or stable is None or revision is None or revision.outcome is Outcome.COMPLETED:
            later = _LATER if self._view.effect is Effect.ROLLBACK else ""
            return [Told(about, f"has no candidate{later}")]
        shifts = shifts_of(rollout, seen, self._view, now=self._now)
        moved = {shift.target.ref for shift in shifts}
        others = [_left(target, stable.slot.other) for target in seen.targets if target.ref not in moved]
        if not seen.targets:
            others = [Told(about, "has no route or Service of its own: nothing was written", failed=True)]
        return [*await asyncio.gather(*map(self._write, shifts)), *others]

    async def _write(self, shift: Shift) -> Told:
        ref, share = shift.target.ref, format_share(shift.share)
        try:
            async with self._turn:
                await self._routers[ref.kind].shift(shift, lane=Lane.KILL)
        except SluiceError as error:
            return Told(str(ref), f"was not written: {error}", failed=True)
        was = format_share(shift.target.share(shift.slot))
        if shift.share == NONE:
            return Told(str(ref), f"{shift.slot} at {share}, was {was}", written=True)
        rest = (
            f"{shift.slot} at {share}, was {was}: stable can bear no more now. Repeat this when it has more pods ready"
        )
        return Told(str(ref), rest, written=True, failed=True)


def _left(target: TargetView, candidate: Slot) -> Told:
    """Why a target needs no write, or gets none."""
    if not target.found:
        return Told(str(target.ref), target.problem, failed=True)
    if not target.shares:
        unread = f"nobody can tell whether {candidate} has traffic, and nothing was written: {target.problem}"
        return Told(str(target.ref), unread, failed=True)
    if target.share(candidate) == NONE:
        return Told(str(target.ref), f"{candidate} has no traffic")
    share = format_share(target.share(candidate))
    return Told(str(target.ref), f"{candidate} keeps {share}: {_NO_STABLE}", failed=True)
