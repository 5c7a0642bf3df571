"""Release: let an engaged kill switch go."""

from __future__ import annotations

from sluice.api.killswitch import SwitchState
from sluice.ops.explain import explaining, resource
from sluice.ops.kill import seen
from sluice.ops.outcome import PATIENCE_SECONDS, Ending, Outcome, Target
from sluice.ops.patience import insist, until
from sluice.ports import Cluster
from sluice.views.fields import Fields
from sluice.views.switches import is_engaged


async def release(
    cluster: Cluster, target: Target, *, reason: str, patience_seconds: float = PATIENCE_SECONDS
) -> Outcome:
    """Release a KillSwitch or ClusterKillSwitch. Writes: the switch.

    Args:
        cluster: where it is.
        target: the switch.
        reason: why it may go on; the API server wants one that differs from the last release's.
        patience_seconds: how long to wait for the operator to see it; 0: not at all.

    Raises:
        NotFound, Forbidden, Rejected, Unavailable: with a sentence for the person.
    """
    needs = (f"the verbs release and patch on {resource(target.kind)}",)
    with explaining("release", target, *needs):
        if not is_engaged(await cluster.get(target.kind, target.namespace, target.name)):
            return Outcome(Ending.DONE, f"{target} is not engaged: nothing to release", target)
        # Names stay where the API server stamps them. Where it does not (before 1.36), they would be in the way of who
        # engages it next.
        names = {"engagedBy": None, "forcedBy": None}
        body = {"spec": {"engaged": False, "drill": None, "releaseReason": reason, **names}}
        await insist(lambda: cluster.patch_merge(target.kind, target.namespace, target.name, body), patience_seconds)
    if not patience_seconds:
        return Outcome(Ending.SENT, f"{target} is released; its status will tell when the operator has seen it", target)
    with explaining("read", target, f"get on {resource(target.kind)}"):
        return await _let_go(cluster, target, patience_seconds)


async def _let_go(cluster: Cluster, target: Target, patience_seconds: float) -> Outcome:
    async def probe() -> Outcome | None:
        switch = await cluster.get(target.kind, target.namespace, target.name)
        if is_engaged(switch):
            return Outcome(Ending.REJECTED, f"{target} was engaged again by somebody else", target)
        if not seen(switch) or Fields(switch).text("status", "state") != SwitchState.ARMED:
            return None
        return Outcome(Ending.DONE, f"{target} is released. {_RETRY}", target)

    late = f"{target} is released, but the operator has not answered yet: is it running? {_RETRY}"
    return await until(probe, patience_seconds) or Outcome(Ending.PENDING, late, target)


_RETRY = "Held Rollouts go on by themselves; killed ones stay on stable until: sluice retry NAME"
