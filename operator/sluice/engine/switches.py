"""What a kill switch says of itself: state, whom it covers, and how far a Divert is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from sluice.api.conditions import Condition, ConditionType, Reason, merge_conditions
from sluice.api.killswitch import Affected, Diverted, Effect, KillSwitchSpec, KillSwitchStatus, SwitchState
from sluice.api.names import Kind
from sluice.api.outcome import Outcome
from sluice.api.units import NONE, format_time
from sluice.decide.drills import DrillPlan, DrillSeen, plan_drill
from sluice.decide.model import Acceptance, SwitchView, TargetView
from sluice.decide.moments import earliest
from sluice.decide.switches import engaged_since
from sluice.decide.texts import count_of, some
from sluice.decide.watching import WatchPlan, is_news, unseen
from sluice.engine.drills import Drills
from sluice.engine.index import is_fleet
from sluice.engine.observe import Moves, Observer
from sluice.engine.sites import Sites
from sluice.engine.store import Obj, Store, key_of
from sluice.engine.switchboard import SwitchBoard, parse_switch
from sluice.engine.tripping import Tripwires
from sluice.engine.writes import Ports, merge_patch
from sluice.errors import InvalidSpec, NotFound
from sluice.ports import Lane

_WOULD = {Effect.HOLD: "hold", Effect.DIVERT: "divert", Effect.ROLLBACK: "roll back"}
_MOST_NAMED = 32
_SHOWN = 5
_MESSAGE_CHARACTERS = 1024


class SwitchReporter:
    """Writes the statuses of kill switches, and has those engaged that trip by themselves."""

    def __init__(
        self, store: Store, board: SwitchBoard, observer: Observer, ports: Ports, *, tripwires: Tripwires
    ) -> None:
        self._store = store
        self._board = board
        self._observer = observer
        self._ports = ports
        self._tripwires = tripwires
        self._drills = Drills(ports, store)
        self._sites: Sites | None = None

    def reach(self, sites: Sites) -> None:
        """Report of members, too."""
        self._sites = sites

    async def report(self, kind: Kind, namespace: str, name: str) -> datetime | None:
        """Bring one switch's status up to date, if it is not; engage it, if it trips.

        Returns:
            When to look again, where it will expire, or measures.

        Raises:
            SluiceError: a write failed. It was not engaged.
        """
        switch = self._store.get(kind, namespace, name)
        parsed = parse_switch(kind, switch) if switch is not None else None
        if switch is None or parsed is None:
            return None
        try:
            old = KillSwitchStatus.parse(switch.get("status") or {}, f"{kind} {name}: status")
        except InvalidSpec:
            old = KillSwitchStatus()
        watched = self._tripwires.look(switch, *parsed, old)
        new, drill = self._assess(switch, parsed, old, watched)
        expires_at = parsed[1].expires_at if new.state is not SwitchState.EXPIRED else None
        stored = await self._write(parsed[1], switch, old, new) if is_news(old, new) else switch
        if watched.engage and stored is not None:
            await self._tripwires.engage(stored, parsed[1], watched.engage)
        if drill.release and stored is not None:
            await self._drills.finish(stored, parsed[1], drill)
        return earliest(expires_at, watched.wake_at, drill.wake_at)

    async def _write(self, view: SwitchView, switch: Obj, old: KillSwitchStatus, new: KillSwitchStatus) -> Obj | None:
        """Returns the switch as stored, or None where it is gone."""
        patch = merge_patch(switch.get("status") or {}, new.dump())
        if new.engaged_at is None:
            patch["deleted"] = None  # the map as a whole; while it is engaged, what others note stays beside this
        lane = Lane.KILL if new.tripped_by != old.tripped_by else Lane.NORMAL
        try:
            stored = await self._ports.cluster.patch_merge(
                view.kind, view.namespace, view.name, {"status": patch}, subresource="status", lane=lane
            )
        except NotFound:
            return None
        self._store.apply(view.kind, "MODIFIED", stored)
        return stored

    def _assess(
        self, switch: Obj, parsed: tuple[KillSwitchSpec, SwitchView], old: KillSwitchStatus, watched: WatchPlan
    ) -> tuple[KillSwitchStatus, DrillPlan]:
        spec, view = parsed
        now = self._ports.clock.now()
        rollouts = list(self._board.rollouts_of(spec, view))
        reach = self._reach(rollouts, spec, view)
        state = SwitchState.ARMED
        if not view.acts(now):
            state = SwitchState.EXPIRED
        elif spec.engaged:
            state = SwitchState.ENGAGING if reach.is_pending and spec.effect.diverts else SwitchState.ENGAGED
        generation = switch["metadata"].get("generation", 0)
        engaged_at = (engaged_since(switch) or now) if spec.engaged else None
        effective_at = (old.effective_at or now) if state is SwitchState.ENGAGED else None
        message = _message(spec, view, state, len(rollouts), reach) + (unseen(watched) if not spec.engaged else "")
        drill = self._drill(switch, spec, old, rollouts, reach)
        status = KillSwitchStatus(
            observed_generation=generation,
            state=state,
            message=message,
            affected=Affected(rollouts=len(rollouts), clusters=len(reach.clusters), routes=reach.routes),
            diverted=Diverted(
                routes=reach.diverted, pending=reach.pending, unconfirmed=tuple(sorted(reach.unconfirmed))[:_MOST_NAMED]
            ),
            deleted=old.deleted if spec.engaged else {},
            engaged_at=engaged_at,
            effective_at=effective_at,
            last_drill=drill.last,
            watch=watched.watch,
            tripped_by=watched.tripped_by,
            conditions=merge_conditions(
                old.conditions, [_effective(state, message, generation, now), *watched.conditions], now
            ),
        )
        return status, drill

    def _drill(
        self, switch: Obj, spec: KillSwitchSpec, old: KillSwitchStatus, rollouts: list[Obj], reach: _Reach
    ) -> DrillPlan:
        began_at, changed_at = self._drills.moments(switch)
        fleets = sum(map(is_fleet, rollouts))
        seen = DrillSeen(
            spec,
            generation=switch["metadata"].get("generation", 0),
            known=old.last_drill,
            began_at=began_at,
            changed_at=changed_at,
            rollouts=len(rollouts) - fleets,
            fleets=fleets,
            exposed=reach.exposed,
            pending=reach.pending,
            diverted=reach.diverted,
        )
        return plan_drill(seen, self._ports.clock.now())

    def _reach(self, rollouts: list[Obj], spec: KillSwitchSpec, view: SwitchView) -> _Reach:
        """The routes in reach, and of those what is confirmed. Of one that is not engaged, members alone."""
        reach = _Reach()
        for rollout in rollouts:
            if view.drill if is_fleet(rollout) else not spec.engaged:
                continue
            for cluster, seen in self._everywhere(rollout, spec, view):
                if cluster:
                    reach.clusters.add(cluster)
                if not spec.engaged:
                    continue
                if seen is not None and _is_unanswered(seen):
                    reach.unanswered.add(_place(rollout, cluster))
                if seen is not None and not cluster and view.effect is Effect.ROLLBACK and _is_to_return(seen):
                    reach.unreturned.add(_place(rollout, cluster))
                if seen is None or (_add(reach, seen, view) and cluster):
                    reach.unconfirmed.add(cluster)
        return reach

    def _everywhere(self, rollout: Obj, switch: KillSwitchSpec, view: SwitchView) -> Iterator[tuple[str, Moves | None]]:
        """What it moves here (""), or in each member that the switch means; None of one that was not seen yet.

        That may have a part.
        """
        if self._sites is None or not is_fleet(rollout):
            yield "", self._observer.moves_of(rollout)
            return
        spec, _, _ = self._observer.parse(rollout)
        places = self._sites.workplaces()
        for name, member in self._sites.views().items():
            place = places.get(name)
            if place is not None and place.ready:
                seen = place.moves(*key_of(rollout))
                if seen is not None and _is_meant(switch, view, member.labels, seen):
                    yield name, seen
            elif (
                spec is not None
                and spec.fleet is not None
                and spec.fleet.selector.matches(member.labels)
                and switch.scope.clusters.matches(member.labels)
            ):
                yield name, None


@dataclass(slots=True)
class _Reach:
    """What a switch covers: members by name, routes by number.

    And Rollouts: whose stable has no ready endpoint, whose routes cannot be read, who is to return and has not begun.
    """

    clusters: set[str] = field(default_factory=set)
    unconfirmed: set[str] = field(default_factory=set)
    routes: int = 0
    diverted: int = 0
    pending: int = 0
    exposed: int = 0
    unanswered: set[str] = field(default_factory=set)
    unread: set[str] = field(default_factory=set)
    unreturned: set[str] = field(default_factory=set)

    @property
    def is_pending(self) -> bool:
        """Whether anything is not confirmed."""
        return bool(self.pending or self.unconfirmed or self.unreturned)


def _add(reach: _Reach, seen: Moves, view: SwitchView) -> bool:
    """Count the routes of one Rollout in one cluster. Returns whether one of them is not confirmed."""
    before = reach.pending
    reach.routes += len(seen.targets)
    if seen.status.stable is None:
        return False
    candidate = seen.status.stable.slot.other
    returns = view.effect is Effect.ROLLBACK and _is_returned_to(seen)
    for target in seen.targets:
        unread = target.found and not target.shares and _has_candidate(seen)
        if unread:
            reach.unread.add(str(target.ref))
        exposed = target.share(candidate) > NONE or returns or unread
        ours = _is_ours(target, view)
        if exposed or (ours and target.acceptance is not Acceptance.ACCEPTED):
            reach.pending += 1
            reach.exposed += exposed
        elif ours:
            reach.diverted += 1
    return reach.pending > before


def _is_returned_to(seen: Moves) -> bool:
    """Whether a return that a switch makes is under way."""
    run = seen.status.under_way
    return run is not None and bool(run.switch)


def _is_to_return(seen: Moves) -> bool:
    """Whether the newest run brought in what a Rollback returns from; the return's own run is not returned from."""
    revision = seen.status.revision
    return revision is not None and revision.outcome is Outcome.COMPLETED and not revision.switch


def _has_candidate(seen: Moves) -> bool:
    """Whether there is a candidate, or was one that came to nothing and may have traffic still."""
    revision = seen.status.revision
    return revision is not None and revision.outcome is not Outcome.COMPLETED


def _is_meant(switch: KillSwitchSpec, view: SwitchView, labels: dict[str, str], seen: Moves) -> bool:
    """Whether a switch acts in a member with these labels, or has since it was engaged."""
    gripped = any((each.uid, each.scope) == (view.uid, view.scope) for each in seen.status.covered_by)
    return switch.scope.clusters.matches(labels) or gripped


def _is_unanswered(seen: Moves) -> bool:
    """Whether there is a candidate, or was one that came to nothing, and nothing that its traffic could return to."""
    return bool(seen.targets and _has_candidate(seen) and not seen.stable_bears)


def _place(rollout: Obj, cluster: str) -> str:
    namespace, name = key_of(rollout)
    return f"{namespace}/{name}" + (f" in {cluster}" if cluster else "")


def _is_ours(target: TargetView, view: SwitchView) -> bool:
    return target.cause is not None and target.cause.switch.rpartition("/")[0] == view.id.rpartition("/")[0]


def _message(spec: KillSwitchSpec, view: SwitchView, state: SwitchState, rollouts: int, reach: _Reach) -> str:
    covered = count_of(rollouts, "Rollout")
    if reach.clusters:
        covered += f" in {count_of(len(reach.clusters), 'cluster')}"
    if state is SwitchState.ARMED:
        return f"armed; would {_WOULD[spec.effect]} {covered}"
    if state is SwitchState.EXPIRED:
        again = "to hold again, set a longer expires, or release it and engage it anew"
        return f"expired at {_moment(view)}; {again}; it was held by {view.actor}: {spec.reason}"[:_MESSAGE_CHARACTERS]
    waiting = f"; until {_moment(view)}" if view.expires_at is not None else ""
    if state is SwitchState.ENGAGING:
        are = "is" if reach.pending == 1 else "are"
        waiting = f"; {count_of(reach.pending, 'route')} {are} not confirmed at 0 yet" if reach.pending else ""
        if reach.unconfirmed:
            waiting = f"; not confirmed in {some(sorted(reach.unconfirmed), _SHOWN)}"
        if reach.unread:
            waiting += f"; what it gives the candidate cannot be read from {some(sorted(reach.unread), _SHOWN)}"
        if reach.unreturned:
            waiting += f"; not returned from yet in {some(sorted(reach.unreturned), _SHOWN)}: each says why"
    if spec.drill:
        return f"drill over {covered} by {view.actor}: {spec.reason}{waiting}"[:_MESSAGE_CHARACTERS]
    forced = f", forced by {view.forced_by}" if view.forced_by else ""
    if spec.effect.diverts and reach.unanswered:
        waiting += f"; stable has no ready endpoint in {some(sorted(reach.unanswered), _SHOWN)}"
    return f"{spec.effect} of {covered} by {view.actor}{forced}: {spec.reason}{waiting}"[:_MESSAGE_CHARACTERS]


def _moment(view: SwitchView) -> str:
    return format_time(view.expires_at) if view.expires_at is not None else ""


def _effective(state: SwitchState, message: str, generation: int, now: datetime) -> Condition:
    return Condition(
        type=ConditionType.EFFECTIVE,
        status="True" if state is SwitchState.ENGAGED else "False",
        reason=str(
            {
                SwitchState.ARMED: Reason.IDLE,
                SwitchState.EXPIRED: Reason.IDLE,
                SwitchState.ENGAGING: Reason.NOT_CONFIRMED,
            }.get(state, Reason.CONFIRMED)
        ),
        message=message,
        observed_generation=generation,
        last_transition_time=now,
    )
