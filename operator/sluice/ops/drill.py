"""Drill: rehearse a kill, and wait for its evidence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sluice.api.drill import DrillOutcome
from sluice.ops.explain import explaining, resource
from sluice.ops.outcome import PATIENCE_SECONDS, Ending, Outcome, Target
from sluice.ops.patience import insist, until
from sluice.ports import Cluster, Lane
from sluice.views.drills import drill_lines
from sluice.views.fields import Fields
from sluice.views.switches import is_engaged


async def drill(
    cluster: Cluster, target: Target, *, reason: str, patience_seconds: float = PATIENCE_SECONDS
) -> Outcome:
    """Drill a KillSwitch or ClusterKillSwitch that exists. Writes: the switch.

    Args:
        cluster: where it is.
        target: the switch.
        reason: why; it stands on every Rollout that is held meanwhile.
        patience_seconds: how long to wait for the outcome; 0: not at all.

    Returns:
        Done where it passed, with the times of its parts.

    Raises:
        NotFound, Forbidden, Rejected, Unavailable: with a sentence for the person.
    """
    # A name that is left of an earlier time would be refused where the API server stamps nothing (before 1.36).
    spec = {"engaged": True, "engagedBy": None, "drill": True, "reason": reason, "releaseReason": None}
    needs = (f"patch on {resource(target.kind)}",)
    with explaining("drill", target, *needs):
        there = await cluster.get(target.kind, target.namespace, target.name)
        if is_engaged(there):
            return Outcome(Ending.REJECTED, f"{target} is engaged: release it before drilling it", target)
        seen = {"metadata": {"resourceVersion": there["metadata"]["resourceVersion"]}, "spec": spec}
        begun = await insist(
            lambda: cluster.patch_merge(target.kind, target.namespace, target.name, seen, lane=Lane.KILL),
            patience_seconds,
        )
    if not patience_seconds:
        return Outcome(Ending.SENT, f"{target} is being drilled; status.lastDrill will tell how it went", target)
    with explaining("read", target, f"get on {resource(target.kind)}"):
        return await _over(cluster, target, Fields(begun).whole("metadata", "generation") or 0, patience_seconds)


async def _over(cluster: Cluster, target: Target, generation: int, patience_seconds: float) -> Outcome:
    async def probe() -> Outcome | None:
        switch = await cluster.get(target.kind, target.namespace, target.name)
        return _told(target, switch, generation)

    late = (
        f"{target} is being drilled, and has not released itself yet: is the operator running? Until it is released it "
        f"covers as an engaged switch does: sluice release {target.name}"
    )
    return await until(probe, patience_seconds) or Outcome(Ending.PENDING, late, target)


def _told(target: Target, switch: Mapping[str, Any], generation: int) -> Outcome | None:
    """What came of the drill that began with this generation; None where it is not over, or not released."""
    fields = Fields(switch)
    last, outcome = fields.at("status", "lastDrill"), fields.text("status", "lastDrill", "outcome")
    if (last.whole("generation") or 0) < generation or not outcome:
        return None
    if fields.true("spec", "engaged") and outcome != DrillOutcome.INTERRUPTED:
        return None  # it releases itself in a moment
    if not fields.true("spec", "engaged") and fields.text("status", "state") != "Armed":
        return None
    ending = Ending.DONE if outcome == DrillOutcome.PASSED else Ending.REJECTED
    lines = drill_lines(switch)
    return Outcome(ending, f"{target}: " + ("\n" if ending is Ending.DONE else "; ").join(lines), target)
