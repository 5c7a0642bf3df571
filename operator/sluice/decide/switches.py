"""Kill switches: which Rollouts one covers, which of several counts, and the weights that a Divert writes. Pure.

`divert` is what the engine's fast path runs on the very event of a switch, before any queue; the planner runs it too,
so that a Divert is carried on after a crash, a failed write or a late-coming route.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sluice.api.common import ObjectRef
from sluice.api.killswitch import Effect, KillSwitchSpec
from sluice.api.names import Kind, Slot
from sluice.api.rollout import RolloutStatus
from sluice.api.units import FULL, BasisPoints, format_time
from sluice.api.workload import SlotServices
from sluice.decide.model import Cause, Shift, SwitchView, TargetView
from sluice.decide.texts import REASON_BYTES, clip


def covers(
    kind: Kind,
    switch_namespace: str,
    spec: KillSwitchSpec,
    *,
    namespace: str,
    namespace_labels: dict[str, str],
    labels: dict[str, str],
) -> bool:
    """Whether a switch covers a Rollout, engaged or not.

    Args:
        kind: KillSwitch covers its own namespace only; ClusterKillSwitch those that its namespaceSelector matches.
        switch_namespace: of the switch.
        spec: of the switch.
        namespace: of the Rollout.
        namespace_labels: labels of the Rollout's namespace.
        labels: of the Rollout.
    """
    if kind is Kind.KILL_SWITCH:
        if namespace != switch_namespace:
            return False
    elif not spec.scope.namespace_selector.matches(namespace_labels):
        return False
    return spec.scope.selector.matches(labels)


def strictest_first(switches: Iterable[SwitchView]) -> tuple[SwitchView, ...]:
    """Order by effect, then by name, so that the same set always reads the same."""
    return tuple(
        sorted(switches, key=lambda switch: (-switch.effect.strictness, switch.kind, switch.namespace, switch.name))
    )


def diverting(switches: Iterable[SwitchView]) -> SwitchView | None:
    """The switch that diverts, if one does."""
    return next((switch for switch in switches if switch.effect is Effect.DIVERT), None)


def run_id(rollout_uid: str, revision: int) -> str:
    """How causes name a run."""
    return f"{rollout_uid}/{revision}"


def owner_id(ref: ObjectRef) -> str:
    """How targets name the Rollout that moves them."""
    return f"{ref.namespace}/{ref.name}/{ref.uid}"


def divert(
    ref: ObjectRef,
    status: RolloutStatus,
    services: SlotServices,
    targets: Sequence[TargetView],
    switch: SwitchView,
    *,
    stable_bears: BasisPoints,
    now: datetime,
) -> tuple[Shift, ...]:
    """The writes that take all traffic from the candidate at once, or as much as stable can take.

    Args:
        ref: the Rollout.
        status: of the Rollout.
        services: the slots' Services.
        targets: what carries the traffic.
        switch: the switch that diverts.
        stable_bears: the share that stable can take, see `sizing.bearable`: 0 where it has no ready endpoint.
        now: the time, aware.

    Returns:
        One shift per target that still gives the candidate more. Empty without a run under way, and where stable
        has no ready endpoint: a candidate that answers is better than a stable that cannot.
    """
    if status.stable is None or status.revision is None or status.revision.outcome is not None or not stable_bears:
        return ()
    cause = Cause(
        run=run_id(ref.uid, status.revision.number),
        action="divert",
        switch=switch.id,
        reason=clip(switch.reason, REASON_BYTES),
        actor=switch.actor,
        at=format_time(now),
    )
    candidate: Slot = status.stable.slot.other
    left = FULL - stable_bears
    return tuple(
        Shift(
            target=target, services=services, slot=candidate, share=left, grows=False, cause=cause, owner=owner_id(ref)
        )
        for target in targets
        if target.shares
        and not target.at(candidate, left)
        and (not left or (not target.all_or_nothing and target.least(candidate) > left))
    )
