"""What a kill switch says of itself: state, whom it covers, and how far a Divert is."""

from __future__ import annotations

from datetime import datetime

from sluice.api.conditions import Condition, ConditionType, Reason, merge_conditions
from sluice.api.killswitch import Affected, Diverted, Effect, KillSwitchSpec, KillSwitchStatus, SwitchState
from sluice.api.names import Kind
from sluice.api.units import NONE
from sluice.decide.model import Acceptance, SwitchView, TargetView
from sluice.engine.observe import Observer
from sluice.engine.store import Obj, Store, key_of
from sluice.engine.switchboard import SwitchBoard, parse_switch
from sluice.engine.writes import Ports
from sluice.errors import InvalidSpec, NotFound


class SwitchReporter:
    """Writes the statuses of kill switches."""

    def __init__(self, store: Store, board: SwitchBoard, observer: Observer, ports: Ports) -> None:
        self._store = store
        self._board = board
        self._observer = observer
        self._ports = ports

    async def report(self, kind: Kind, namespace: str, name: str) -> None:
        """Bring one switch's status up to date, if it is not."""
        switch = self._store.get(kind, namespace, name)
        parsed = parse_switch(kind, switch) if switch is not None else None
        if switch is None or parsed is None:
            return
        try:
            old = KillSwitchStatus.parse(switch.get("status") or {}, f"{kind} {name}: status")
        except InvalidSpec:
            old = KillSwitchStatus()
        new = self._assess(kind, switch, parsed, old)
        if new == old:
            return
        dumped = new.dump()
        gone = {field: None for field in switch.get("status") or {} if field not in dumped}
        try:
            stored = await self._ports.cluster.patch_merge(
                kind, namespace, name, {"status": {**gone, **dumped}}, subresource="status"
            )
        except NotFound:
            return
        self._store.apply(kind, "MODIFIED", stored)

    def _assess(
        self, kind: Kind, switch: Obj, parsed: tuple[KillSwitchSpec, SwitchView], old: KillSwitchStatus
    ) -> KillSwitchStatus:
        spec, view = parsed
        now = self._ports.clock.now()
        rollouts = list(self._board.rollouts_of(kind, key_of(switch)[0], spec))
        routes, diverted, pending = self._count(rollouts, view) if spec.engaged else (0, 0, 0)
        state = SwitchState.ARMED
        if spec.engaged:
            state = SwitchState.ENGAGING if pending and spec.effect is Effect.DIVERT else SwitchState.ENGAGED
        generation = switch["metadata"].get("generation", 0)
        again = old.state is not SwitchState.ARMED and spec.engaged
        engaged_at = (old.engaged_at if again and old.engaged_at else now) if spec.engaged else None
        effective_at = (old.effective_at or now) if state is SwitchState.ENGAGED else None
        message = _message(spec, state, len(rollouts), pending)
        return KillSwitchStatus(
            observed_generation=generation,
            state=state,
            message=message,
            affected=Affected(rollouts=len(rollouts), routes=routes),
            diverted=Diverted(routes=diverted, pending=pending),
            engaged_at=engaged_at,
            effective_at=effective_at,
            conditions=merge_conditions(old.conditions, [_effective(state, message, generation, now)], now),
        )

    def _count(self, rollouts: list[Obj], view: SwitchView) -> tuple[int, int, int]:
        """Routes in reach, those that this engagement diverted and that are confirmed, and those not yet."""
        routes = diverted = pending = 0
        for rollout in rollouts:
            seen = self._observer.moves_of(rollout)
            routes += len(seen.targets)
            if seen.status.stable is None:
                continue
            candidate = seen.status.stable.slot.other
            for target in seen.targets:
                exposed = target.share(candidate) > NONE
                ours = _stamped(target, view)
                if exposed or (ours and target.acceptance is not Acceptance.ACCEPTED):
                    pending += 1
                elif ours:
                    diverted += 1
        return routes, diverted, pending


def _stamped(target: TargetView, view: SwitchView) -> bool:
    return target.cause is not None and target.cause.switch.rpartition("/")[0] == view.id.rpartition("/")[0]


def _message(spec: KillSwitchSpec, state: SwitchState, rollouts: int, pending: int) -> str:
    covered = _count_of(rollouts, "Rollout")
    if state is SwitchState.ARMED:
        return f"armed; would {spec.effect.lower()} {covered}"
    waiting = ""
    if state is SwitchState.ENGAGING:
        waiting = f"; {_count_of(pending, 'route')} {'is' if pending == 1 else 'are'} not confirmed at 0 yet"
    return f"{spec.effect} of {covered} by {spec.engaged_by or 'unattributed'}: {spec.reason}{waiting}"[:1024]


def _count_of(number: int, noun: str) -> str:
    """A number and what it counts.

    >>> _count_of(1, "route"), _count_of(0, "route")
    ('1 route', '0 routes')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _effective(state: SwitchState, message: str, generation: int, now: datetime) -> Condition:
    return Condition(
        type=ConditionType.EFFECTIVE,
        status="True" if state is SwitchState.ENGAGED else "False",
        reason=str(
            {SwitchState.ARMED: Reason.IDLE, SwitchState.ENGAGING: Reason.NOT_CONFIRMED}.get(state, Reason.CONFIRMED)
        ),
        message=message,
        observed_generation=generation,
        last_transition_time=now,
    )
