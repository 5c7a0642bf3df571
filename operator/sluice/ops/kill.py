"""Kill: engage a kill switch, and see it take effect."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from sluice.api.killswitch import Effect, Scope, SwitchState
from sluice.api.names import API_VERSION, Kind
from sluice.api.units import format_duration
from sluice.decide.texts import count_of
from sluice.errors import Conflict, Forbidden, InvalidSpec, NotFound, Rejected
from sluice.ops.explain import explaining, resource
from sluice.ops.outcome import PATIENCE_SECONDS, Ending, Outcome, Target
from sluice.ops.patience import insist, until
from sluice.ports import Cluster, Lane, Obj
from sluice.views.fields import Fields


@dataclass(frozen=True, slots=True)
class Manner:
    """What a switch is to do when it is engaged. None keeps the switch's own.

    Attributes:
        effect: Divert for a new one.
        expires: of a Hold: how long it holds.
        force: also where stable has no ready endpoint, or too few. A Hold becomes a Divert by that.
    """

    effect: Effect | None = None
    expires: timedelta | None = None
    force: bool | None = None

    def dump(self) -> Obj:
        """As fields of a spec."""
        spec: Obj = {}
        if self.effect is not None:
            spec["effect"] = self.effect.value
        if self.expires is not None:
            spec["expires"] = format_duration(self.expires)
        if self.force is not None:
            spec["force"] = self.force
        return spec


async def kill(
    cluster: Cluster,
    target: Target,
    *,
    reason: str,
    manner: Manner | None = None,
    scope: Scope | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Outcome:
    """Engage a KillSwitch or ClusterKillSwitch, creating it where there is none.

    Writes: the switch, in one request if it exists.

    Args:
        cluster: where it is.
        target: the switch.
        reason: why; required by the API server.
        manner: what it is to do; None keeps the switch's own.
        scope: of a new switch; None covers all in reach. A switch that exists with another scope is left alone.
        patience_seconds: how long to wait until it is in effect; 0: not at all.

    Raises:
        Forbidden, Rejected, Unavailable: with a sentence for the person.
    """
    needs = (f"patch (and create, for a new one) on {resource(target.kind)}",)
    order = _Order(cluster, target, reason, manner or Manner(), max(patience_seconds, PATIENCE_SECONDS))
    with explaining("engage", target, *needs):
        written = await (_engage_or_create(order) if scope is None else _create_or_engage(order, scope))
    if isinstance(written, Outcome):
        return written
    warning = _FORCED if Fields(written).true("spec", "force") else ""
    if not patience_seconds:
        told = f"{target} is engaged; its status will tell when it is in effect{warning}"
        return Outcome(Ending.SENT, told, target)
    with explaining("read", target, f"get on {resource(target.kind)}"):
        outcome = await _effective(cluster, target, patience_seconds)
    return replace(outcome, message=outcome.message + warning)


# Where the API server stamps nothing (before 1.36), nobody engages a switch in a name that is left there of an earlier
# time: it is to be taken off. Of one that is engaged, only the name of who had forced it before can be.
_NAMES_LEFT: tuple[Obj, ...] = ({"engagedBy": None, "forcedBy": None}, {"forcedBy": None})
_FORCED = (
    ". Warning: it has force: where stable has no ready endpoint, or too few, requests fail now that the candidate "
    "answered before"
)


@dataclass(frozen=True, slots=True)
class _Order:
    """What is to be engaged, and why. To engage is worth insisting on, even for who does not wait for the effect."""

    cluster: Cluster
    target: Target
    reason: str
    manner: Manner
    insist_seconds: float

    async def engage(self) -> Obj:
        """Patch the switch."""
        # An old releaseReason would make the same words useless for the next release, which needs a new one.
        spec: Obj = {"engaged": True, "drill": None, "reason": self.reason, "releaseReason": None}
        spec |= self.manner.dump()
        if self.manner.effect is Effect.HOLD:
            spec["force"] = None  # of the Divert that it was
        kind, namespace, name = self.target.kind, self.target.namespace, self.target.name
        if self.manner.force and self.manner.effect is None and not await self._rolls_back():
            spec["effect"] = Effect.DIVERT.value

        async def write(names: Obj) -> Obj:
            body = {"spec": spec | names}
            return await insist(
                lambda: self.cluster.patch_merge(kind, namespace, name, body, lane=Lane.KILL), self.insist_seconds
            )

        try:
            return await write({})
        except Rejected as refused:
            for names in _NAMES_LEFT:
                with contextlib.suppress(Rejected):
                    return await write(names)
            raise refused from None

    async def _rolls_back(self) -> bool:
        """Whether it is a Rollback already; not, where the person may engage it, but not read it.

        That no answer comes says neither, and a Rollback must not become a Divert by that.
        """
        try:
            return Fields(await self.read(self.target.kind)).text("spec", "effect") == Effect.ROLLBACK
        except (NotFound, Forbidden):
            return False

    async def read(self, kind: Kind) -> Obj:
        """Read the switch, or what else has its name."""
        namespace, name = self.target.namespace, self.target.name
        return await insist(lambda: self.cluster.get(kind, namespace, name), self.insist_seconds)

    async def create(self, scope: Scope) -> Obj:
        """Create the switch, engaged."""
        kind, namespace = self.target.kind, self.target.namespace
        body: Obj = {
            "apiVersion": API_VERSION,
            "kind": kind.value,
            "metadata": {"name": self.target.name, **({"namespace": namespace} if namespace else {})},
            "spec": {"engaged": True, "reason": self.reason, "effect": Effect.DIVERT.value, **self.manner.dump()},
        }
        if said := _without_empty(scope.dump()):
            body["spec"]["scope"] = said
        return await insist(lambda: self.cluster.create(kind, namespace, body), self.insist_seconds)


def _without_empty(scope: Obj) -> Obj:
    """What is said of a scope; a selector's halves that say nothing are left out."""
    said = {
        name: {key: half for key, half in each.items() if half} if isinstance(each, dict) else each
        for name, each in scope.items()
    }
    return {name: each for name, each in said.items() if each}


async def _engage_or_create(order: _Order) -> Obj | Outcome:
    try:
        return await order.engage()
    except NotFound:
        if await _is_rollout(order):
            return Outcome(Ending.REJECTED, _meant_a_rollout(order.target), order.target)
    try:
        return await order.create(Scope())
    except Conflict:  # somebody was quicker
        return await order.engage()


async def _create_or_engage(order: _Order, scope: Scope) -> Obj | Outcome:
    target = order.target
    try:
        return await order.create(scope)
    except Conflict:
        there = Fields(await order.read(target.kind)).at("spec", "scope").value
    if not _same_scope(there, scope):
        return Outcome(
            Ending.REJECTED,
            f"{target} exists with another scope and was not engaged: engage it as it is, without a selector, "
            f"or give a new switch another name",
            target,
        )
    return await order.engage()


async def _is_rollout(order: _Order) -> bool:
    if order.target.kind is not Kind.KILL_SWITCH:
        return False
    try:
        await order.read(Kind.ROLLOUT)
    except (NotFound, Forbidden):
        return False
    return True


def _meant_a_rollout(target: Target) -> str:
    name, namespace = target.name, target.namespace
    return (
        f"{target} does not exist, but a Rollout of that name does, and nothing was stopped. "
        f"To stop that Rollout: sluice abort {name} -n {namespace}. "
        f"To stop all in {namespace}: sluice kill -n {namespace} --reason '...'. "
        f"To stop some by their labels: add -l key=value"
    )


def _same_scope(there: object, scope: Scope) -> bool:
    try:
        return Scope.parse(there or {}, "scope") == scope
    except InvalidSpec:
        return False


async def _effective(cluster: Cluster, target: Target, patience_seconds: float) -> Outcome:
    last: Mapping[str, Any] = {}

    async def probe() -> Outcome | None:
        nonlocal last
        last = await cluster.get(target.kind, target.namespace, target.name)
        if not seen(last) or Fields(last).text("status", "state") != SwitchState.ENGAGED:
            return None
        return Outcome(Ending.DONE, f"{target} is engaged{_told(last)}", target)

    return await until(probe, patience_seconds) or Outcome(Ending.PENDING, _pending(target, last), target)


def seen(switch: Mapping[str, Any]) -> bool:
    """Whether the operator's status answers the switch's present spec."""
    fields = Fields(switch)
    observed, generation = fields.whole("status", "observedGeneration"), fields.whole("metadata", "generation")
    return observed is not None and observed >= (generation or 0)


def _told(switch: Mapping[str, Any]) -> str:
    message = Fields(switch).text("status", "message")
    return f": {message}" if message else ""


def _pending(target: Target, switch: Mapping[str, Any]) -> str:
    follow = f"Follow it: sluice get switches {'-n ' + target.namespace + ' ' if target.namespace else ''}--watch"
    if not seen(switch):
        return f"{target} is engaged, but the operator has not answered yet: is it running? {follow}"
    pending = Fields(switch).whole("status", "diverted", "pending")
    routes = f", {count_of(pending, 'route')} pending" if pending else ""
    return f"{target} is engaged, but not yet in effect everywhere{routes}{_told(switch)}. {follow}"
