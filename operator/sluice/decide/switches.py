"""Kill switches: which Rollouts one covers, which of several counts, and how objects name what moved them. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from sluice.api.common import ObjectRef
from sluice.api.killswitch import Effect, KillSwitchSpec
from sluice.api.names import Kind
from sluice.decide.model import SwitchView


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
