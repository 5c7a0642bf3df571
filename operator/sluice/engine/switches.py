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
from sluice.decide.model import Acceptance, SwitchView, TargetView
from sluice.decide.switches import engaged_since
from sluice.decide.texts import count_of, some
from sluice.engine.index import is_fleet
from sluice.engine.observe import Moves, Observer
from sluice.engine.sites import Sites
from sluice.engine.store import Obj, Store, key_of
from sluice.engine.switchboard import SwitchBoard, parse_switch
from sluice.engine.writes import Ports
from sluice.errors import InvalidSpec, NotFound

_MOST_NAMED = 32
_SHOWN = 5
_MESSAGE_CHARACTERS = 1024


class SwitchReporter:
    """Writes the statuses of kill switches."""

    def __init__(self, store: Store, board: SwitchBoard, observer: Observer, ports: Ports) -> None:
        self._store = store
        self._board = board
        self._observer = observer
        self._ports = ports
        self._sites: Sites | None = None

    def reach(self, sites: Sites) -> None:
        """Report of members, too."""
        self._sites = sites

    async def report(self, kind: Kind, namespace: str, name: str) -> datetime | None:
        """Bring one switch's status up to date, if it is not.

        Returns:
            When to look again, where it will expire.
        """
        switch = self._store.get(kind, namespace, name)
        parsed = parse_switch(kind, switch) if switch is not None else None
        if switch is None or parsed is None:
            return None
        try:
            old = KillSwitchStatus.parse(switch.get("status") or {}, f"{kind} {name}: status")
        except InvalidSpec:
            old = KillSwitchStatus()
        new = self._assess(switch, parsed, old)
        expires_at = parsed[1].expires_at if new.state is not SwitchState.EXPIRED else None
        if new == old:
            return expires_at
        dumped = new.dump()
        gone = {field: None for field in switch.get("status") or {} if field not in dumped}
        try:
            stored = await self._ports.cluster.patch_merge(
                kind, namespace, name, {"status": {**gone, **dumped}}, subresource="status"
            )
        except NotFound:
            return None
        self._store.apply(kind, "MODIFIED", stored)
        return expires_at

    def _assess(
        self, switch: Obj, parsed: tuple[KillSwitchSpec, SwitchView], old: KillSwitchStatus
    ) -> KillSwitchStatus:
        spec, view = parsed
        now = self._ports.clock.now()
        rollouts = list(self._board.rollouts_of(spec, view))
        reach = self._reach(rollouts, spec, view)
        state = SwitchState.ARMED
        if not view.acts(now):
            state = SwitchState.EXPIRED
        elif spec.engaged:
            state = SwitchState.ENGAGING if reach.is_pending and spec.effect is Effect.DIVERT else SwitchState.ENGAGED
        generation = switch["metadata"].get("generation", 0)
        engaged_at = (engaged_since(switch) or now) if spec.engaged else None
        effective_at = (old.effective_at or now) if state is SwitchState.ENGAGED else None
        message = _message(spec, view, state, len(rollouts), reach)
        return KillSwitchStatus(
            observed_generation=generation,
            state=state,
            message=message,
            affected=Affected(rollouts=len(rollouts), clusters=len(reach.clusters), routes=reach.routes),
            diverted=Diverted(
                routes=reach.diverted, pending=reach.pending, unconfirmed=tuple(sorted(reach.unconfirmed))[:_MOST_NAMED]
            ),
            engaged_at=engaged_at,
            effective_at=effective_at,
            conditions=merge_conditions(old.conditions, [_effective(state, message, generation, now)], now),
        )

    def _reach(self, rollouts: list[Obj], spec: KillSwitchSpec, view: SwitchView) -> _Reach:
        """The routes in reach, and of those what is confirmed. Of one that is not engaged, members alone."""
        reach = _Reach()
        for rollout in rollouts:
            for cluster, seen in self._everywhere(rollout, spec, view):
                if cluster:
                    reach.clusters.add(cluster)
                if not spec.engaged:
                    continue
                if seen is not None and _is_unanswered(seen):
                    reach.unanswered.add(_place(rollout, cluster))
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
    """What a switch covers: members by name, routes by number; and Rollouts whose stable has no ready endpoint."""

    clusters: set[str] = field(default_factory=set)
    unconfirmed: set[str] = field(default_factory=set)
    routes: int = 0
    diverted: int = 0
    pending: int = 0
    unanswered: set[str] = field(default_factory=set)

    @property
    def is_pending(self) -> bool:
        """Whether anything is not confirmed."""
        return bool(self.pending or self.unconfirmed)


def _add(reach: _Reach, seen: Moves, view: SwitchView) -> bool:
    """Count the routes of one Rollout in one cluster. Returns whether one of them is not confirmed."""
    before = reach.pending
    reach.routes += len(seen.targets)
    if seen.status.stable is None:
        return False
    candidate = seen.status.stable.slot.other
    for target in seen.targets:
        exposed = target.share(candidate) > NONE
        ours = _is_ours(target, view)
        if exposed or (ours and target.acceptance is not Acceptance.ACCEPTED):
            reach.pending += 1
        elif ours:
            reach.diverted += 1
    return reach.pending > before


def _is_meant(switch: KillSwitchSpec, view: SwitchView, labels: dict[str, str], seen: Moves) -> bool:
    """Whether a switch acts in a member with these labels, or has since it was engaged."""
    gripped = any((each.uid, each.scope) == (view.uid, view.scope) for each in seen.status.covered_by)
    return switch.scope.clusters.matches(labels) or gripped


def _is_unanswered(seen: Moves) -> bool:
    """Whether there is a candidate, or was one that came to nothing, and nothing that its traffic could return to."""
    revision = seen.status.revision
    return bool(seen.targets and revision and revision.outcome is not Outcome.COMPLETED and not seen.stable_bears)


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
        return f"armed; would {spec.effect.lower()} {covered}"
    if state is SwitchState.EXPIRED:
        again = "to hold again, set a longer expires, or release it and engage it anew"
        return f"expired at {_moment(view)}; {again}; it was held by {view.actor}: {spec.reason}"[:_MESSAGE_CHARACTERS]
    waiting = f"; until {_moment(view)}" if view.expires_at is not None else ""
    if state is SwitchState.ENGAGING:
        are = "is" if reach.pending == 1 else "are"
        waiting = f"; {count_of(reach.pending, 'route')} {are} not confirmed at 0 yet"
        if reach.unconfirmed:
            waiting = f"; not confirmed in {some(sorted(reach.unconfirmed), _SHOWN)}"
    forced = f", forced by {view.forced_by}" if view.forced_by else ""
    if spec.effect is Effect.DIVERT and reach.unanswered:
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
