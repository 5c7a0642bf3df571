"""Approve: a person of the group that is asked for agrees that the run goes past where it waits."""

from __future__ import annotations

from sluice.api.action import Verb
from sluice.api.names import Kind
from sluice.ops.action import act
from sluice.ops.explain import explaining, resource
from sluice.ops.outcome import PATIENCE_SECONDS, Ending, Outcome, Target
from sluice.ports import Cluster
from sluice.views.approvals import Asked, asked_of
from sluice.views.fields import Fields


async def approve(
    cluster: Cluster,
    target: Target,
    *,
    point: str | None = None,
    revision: int | None = None,
    reason: str = "",
    patience_seconds: float = PATIENCE_SECONDS,
) -> Outcome:
    """Approve the point that waits; `point` tells which, where there are several. See `action.act`.

    Raises:
        NotFound, Forbidden, Rejected, Unavailable: with a sentence for the person.
    """
    with explaining("approve", target, f"get on {resource(Kind.ROLLOUT)}"):
        asked = asked_of(Fields(await cluster.get(Kind.ROLLOUT, target.namespace, target.name)).at("status"))
    chosen = tuple(each for each in asked if each.missing and point in {None, each.point})
    if len(chosen) != 1:
        return Outcome(Ending.REJECTED, f"{target}: {_unclear(chosen, asked, point)}", target)
    [meant] = chosen
    return await act(
        cluster,
        target,
        Verb.APPROVE,
        revision=revision if revision is not None else meant.revision,
        reason=reason,
        patience_seconds=patience_seconds,
        aim={"point": meant.point},
    )


def _unclear(chosen: tuple[Asked, ...], asked: tuple[Asked, ...], point: str | None) -> str:
    if chosen:
        return f"more than one point waits for approval; choose by --point: {', '.join(each.point for each in chosen)}"
    waiting = [each.point for each in asked if each.missing]
    if point is not None and waiting:
        return f"{point} does not wait for approval; what does: {', '.join(waiting)}"
    return "nothing waits for approval now"
