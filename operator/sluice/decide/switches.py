"""Kill switches: which Rollouts one covers, which of several counts, and how objects name what moved them. Pure."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sluice.api.common import LabelSelector, ObjectRef
from sluice.api.conditions import Reason
from sluice.api.coverage import Coverage
from sluice.api.killswitch import Effect, KillSwitchSpec, Scope, SwitchState
from sluice.api.names import ACTION_LABEL, PLATFORM_LABEL, Kind
from sluice.api.rollout import Revision, RolloutStatus
from sluice.api.units import JSON, format_time, parse_time
from sluice.decide.hold import Hold
from sluice.decide.metadata import labels_of, mapping, metadata_of, sequence
from sluice.decide.model import SwitchView
from sluice.decide.texts import REASON_BYTES, clip

Grip = tuple[str, str]
"""What a switch that once covered a Rollout holds it by: its UID, and the digest of its scope."""

# Entries in a status. Who is covered by more, and is then relabelled, is held by these.
MOST_KEPT = 8


@dataclass(frozen=True, slots=True)
class Reached:
    """A Rollout as switches see it.

    Attributes:
        namespace: in which it is.
        labels: its own.
        grips: of the switches that covered it when it was last looked at.
        name: its own.
    """

    namespace: str
    labels: dict[str, str]
    grips: Collection[Grip] = ()
    name: str = ""

    @classmethod
    def read(cls, rollout: JSON) -> Reached:
        """From the object as it is stored, whatever it holds."""
        kept = map(mapping, sequence(mapping(rollout.get("status")).get("coveredBy"))[:MOST_KEPT])
        grips = [(str(each.get("uid")), str(each.get("scope"))) for each in kept]
        metadata = metadata_of(rollout)
        return cls(metadata.get("namespace", ""), labels_of(rollout), grips, metadata.get("name", ""))

    @classmethod
    def of(cls, ref: ObjectRef, labels: dict[str, str], status: RolloutStatus) -> Reached:
        """From what a pass observed."""
        return cls(ref.namespace, labels, [(each.uid, each.scope) for each in status.covered_by], ref.name)


def read_switch(kind: Kind, switch: JSON) -> tuple[KillSwitchSpec, SwitchView]:
    """A switch as it is stored.

    Raises:
        InvalidSpec: it means nothing (the CRD refuses such).
    """
    metadata = metadata_of(switch)
    namespace, name = metadata.get("namespace", ""), metadata.get("name", "")
    spec = KillSwitchSpec.parse(switch.get("spec") or {}, f"{kind} {namespace}/{name}: spec")
    scope = scope_digest(spec.scope)
    deleted = mapping(mapping(switch.get("status")).get("deleted"))
    view = SwitchView(
        kind=kind,
        namespace=namespace,
        name=name,
        uid=metadata.get("uid", ""),
        generation=metadata.get("generation", 0),
        effect=spec.effect,
        reason=spec.reason,
        actor=spec.engaged_by or "unattributed",
        scope=scope,
        deleted=frozenset(str(place) for place, by in deleted.items() if by == scope),
        expires_at=_expiry(spec, switch),
        forced_by=(spec.forced_by or "unattributed") if spec.force else "",
        drill=spec.drill,
    )
    return spec, view


def engaged_since(switch: JSON) -> datetime | None:
    """Since when a switch is engaged, by its status; None where that tells of no engagement, or of an earlier one.

    Between the spec that the status answers and the present one is one change at most: with two, it may have been
    released and engaged anew.
    """
    status, generation = mapping(switch.get("status")), metadata_of(switch).get("generation", 0)
    observed = status.get("observedGeneration")
    if status.get("state", SwitchState.ARMED) == SwitchState.ARMED or not isinstance(observed, int):
        return None
    try:
        return parse_time(status.get("engagedAt")) if generation - observed <= 1 else None
    except ValueError:
        return None


def _expiry(spec: KillSwitchSpec, switch: JSON) -> datetime | None:
    """When a Hold lets go by itself; unknown before its status says since when it is engaged."""
    since = engaged_since(switch)
    if not spec.engaged or spec.effect is not Effect.HOLD or spec.expires is None or since is None:
        return None
    try:
        return since + spec.expires
    except OverflowError:
        return None


def engagement(switch: SwitchView) -> str:
    """Which switch is engaged, by whom and why."""
    return f"{switch} is engaged ({'drill' if switch.drill else switch.effect}) by {switch.actor}: {switch.reason}"


def held_by(switches: Sequence[SwitchView]) -> Hold | None:
    """What a switch holds, whatever its effect; the strictest is named."""
    if not switches:
        return None
    switch = switches[0]
    latest = f", at {format_time(switch.expires_at)} at the latest" if switch.expires_at is not None else ""
    return Hold(
        Reason.HELD_BY_SWITCH, f"{engagement(switch)}; goes on when it is released{latest}", until=switch.expires_at
    )


def is_partial(spec: KillSwitchSpec) -> bool:
    """Whether a switch acts in some member clusters alone, on the parts that Rollouts over a fleet have there."""
    return spec.scope.clusters != LabelSelector()


def anywhere(spec: KillSwitchSpec) -> KillSwitchSpec:
    """The switch as it would be in all member clusters."""
    return spec.model_copy(update={"scope": spec.scope.model_copy(update={"clusters": LabelSelector()})})


def covers(
    view: SwitchView,
    spec: KillSwitchSpec,
    rollout: Reached,
    namespace_labels: dict[str, str] | None,
    cluster_labels: dict[str, str] | None = None,
) -> bool:
    """Whether a switch covers a Rollout, engaged or not.

    It does where it matches now. And it does where it has matched since it was engaged, with the scope that it has:
    nobody gets free by another label, nor by being deleted and created anew.

    Args:
        view: the switch. A KillSwitch reaches its own namespace only, a ClusterKillSwitch those it selects.
        spec: of the switch.
        rollout: what may be covered.
        namespace_labels: labels of the Rollout's namespace; None where they are not known, and may be any.
        cluster_labels: of the member cluster that has the Rollout's part; None where it is no part, but the Rollout.
    """
    if view.kind is Kind.KILL_SWITCH and rollout.namespace != view.namespace:
        return False
    if (view.uid, view.scope) in rollout.grips:
        return True
    scope, is_wide = spec.scope, view.kind is not Kind.KILL_SWITCH
    if is_partial(spec) and (cluster_labels is None or not scope.clusters.matches(cluster_labels)):
        return False
    if f"{rollout.namespace}/{rollout.name}" in view.deleted:
        return True
    if is_wide and namespace_labels is not None and not scope.namespace_selector.matches(namespace_labels):
        return False
    return (
        scope.selector.matches(rollout.labels)
        and _is_one_of(rollout.labels.get(PLATFORM_LABEL), scope.platforms)
        and _is_one_of(rollout.labels.get(ACTION_LABEL), scope.actions)
    )


def _is_one_of(value: str | None, named: tuple[str, ...]) -> bool:
    return not named or value in named


def scope_digest(scope: Scope) -> str:
    """Tells scopes apart.

    >>> len(scope_digest(Scope()))
    10
    """
    return hashlib.sha256(json.dumps(scope.dump(), sort_keys=True).encode()).hexdigest()[:10]


def kept(switches: Iterable[SwitchView]) -> tuple[Coverage, ...]:
    """What a Rollout's status keeps of the switches that cover it."""
    return tuple(
        Coverage(
            switch=str(each),
            uid=each.uid,
            scope=each.scope,
            effect=each.effect,
            engaged_by=clip(each.actor, REASON_BYTES),
            reason=clip(each.reason, REASON_BYTES),
        )
        for each in itertools.islice(switches, MOST_KEPT)
    )


def strictest_first(switches: Iterable[SwitchView]) -> tuple[SwitchView, ...]:
    """Order by effect, forced ones first, then by name, so that the same set always reads the same. Drills are last."""
    return tuple(
        sorted(
            switches,
            key=lambda switch: (
                switch.drill,
                -switch.effect.strictness,
                not switch.forced_by,
                switch.kind,
                switch.namespace,
                switch.name,
            ),
        )
    )


def diverting(switches: Iterable[SwitchView]) -> SwitchView | None:
    """The switch that diverts for good, if one does: first one with force, and else the strictest."""
    return min(
        (switch for switch in switches if switch.effect.diverts and not switch.drill),
        key=lambda each: not each.forced_by,
        default=None,
    )


def drilling(switches: Iterable[SwitchView]) -> SwitchView | None:
    """The switch that drills, if one does."""
    return next((switch for switch in switches if switch.drill), None)


def rolling_back(switches: Sequence[SwitchView]) -> SwitchView | None:
    """The switch that rolls back, if the strictest does."""
    return switches[0] if switches and switches[0].effect is Effect.ROLLBACK else None


def leads_back(run: Revision | None, *, led: bool) -> bool:
    """Whether the run under way leads back: a switch's own does, and that of a part in no run of its fleet.

    Args:
        run: its revision; None where none is under way.
        led: whether it is of a part.
    """
    return run is not None and (bool(run.switch) or (led and run.fleet_run is None))


def stopping(switches: Sequence[SwitchView], run: Revision | None, *, led: bool) -> Sequence[SwitchView]:
    """Those of the switches that stop what is under way: none, where that leads back and the strictest rolls back.

    Args:
        switches: engaged and covering, strictest first.
        run: the revision of the run under way, if one is.
        led: whether it is of a part.
    """
    return () if leads_back(run, led=led) and rolling_back(switches) is not None else switches


def title_of(switch: str) -> str:
    """The switch that a cause names, for people.

    >>> title_of("KillSwitch/shop/stop/uid-1/3"), title_of("ClusterKillSwitch//stop/uid-2/1")
    ('KillSwitch shop/stop', 'ClusterKillSwitch stop')
    """
    kind, namespace, name, *_ = [*switch.split("/"), "", "", ""]
    return f"{kind} {namespace + '/' if namespace else ''}{name}"


def run_id(rollout_uid: str, revision: int) -> str:
    """How causes name a run."""
    return f"{rollout_uid}/{revision}"


def owner_id(ref: ObjectRef) -> str:
    """How targets name the Rollout that moves them."""
    return f"{ref.namespace}/{ref.name}/{ref.uid}"
