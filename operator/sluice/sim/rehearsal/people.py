"""The people of a rehearsal: each does at once what a run waits for them to do, and is told of."""

from __future__ import annotations

import asyncio
from collections import Counter

from sluice.api.action import Verb
from sluice.api.conditions import ConditionType, Reason
from sluice.api.names import Kind
from sluice.api.rollout import RolloutStatus
from sluice.ports import Obj
from sluice.sim import manifests
from sluice.sim.rehearsal.verdicts import status_of
from sluice.sim.rehearsal.world import Rehearsal

_TRIES = 5  # a promotion waits for the first measurement at the present share
_AGAIN_AFTER_SECONDS = 30.0
_ANSWER_SECONDS = 1.0
_SWITCHES = (Kind.KILL_SWITCH, Kind.CLUSTER_KILL_SWITCH)
_VERBS = {
    Reason.AWAITS_PROMOTION: (Verb.PROMOTE, "a person promotes it (sluice promote)"),
    Reason.PAUSED_BY_ACTION: (Verb.RESUME, "a person resumes it (sluice resume)"),
    Reason.HELD_BY_ACTION: (Verb.RESUME, "a person ends the hold (sluice resume)"),
}


class People:
    """Plays whoever one Rollout waits for.

    Args:
        world: where they act.
        namespace: of the Rollout.
        name: of the Rollout.
    """

    def __init__(self, world: Rehearsal, namespace: str, name: str) -> None:
        self._world = world
        self._key = (namespace, name)
        self._tries: Counter[tuple[object, ...]] = Counter()

    def needed(self, status: RolloutStatus) -> str:
        """What a person has to do now; "" where nobody can, or has to, do anything."""
        reason = _waits_by(status)
        if reason == Reason.WAITS_FOR_APPROVAL:
            asked = [each for each in status.approvals if len(each.approvals) < each.quorum]
            return ", ".join(
                f"{each.quorum - len(each.approvals)} of group {each.group} approve"
                f"{'' if each.quorum - len(each.approvals) > 1 else 's'} it (sluice approve)"
                for each in asked
            )
        if reason == Reason.HELD_BY_SWITCH:
            return f"somebody releases {status.covered_by[0].switch} (sluice release)" if status.covered_by else ""
        return _VERBS[Reason(reason)][1] if reason in _VERBS else ""

    async def act(self, status: RolloutStatus) -> bool:
        """Do it, or do it again after it was refused. Returns False where there is nothing to do, or it is no use."""
        if not self.needed(status):
            return False
        reason, number = _waits_by(status), status.revision.number if status.revision is not None else None
        at: tuple[object, ...] = (
            reason,
            number,
            status.step.index if status.step else 0,
            tuple(each.point for each in status.approvals),
        )
        if reason == Reason.HELD_BY_SWITCH:
            at = (reason, status.covered_by[0].uid)
        if self._tries[at] == _TRIES:
            return False
        if self._tries[at]:
            await asyncio.sleep(_AGAIN_AFTER_SECONDS)
            if _waits_by(self._now()) != reason:
                return True
        self._tries[at] += 1
        if reason == Reason.WAITS_FOR_APPROVAL:
            await self._approve(status, number)
        elif reason == Reason.HELD_BY_SWITCH:
            await self._release(status.covered_by[0].uid)
        else:
            await self._tell(_VERBS[Reason(reason)][0], "somebody", number)
        await asyncio.sleep(_ANSWER_SECONDS)
        return True

    def _now(self) -> RolloutStatus:
        return status_of(self._world.rollout(*self._key))

    async def _approve(self, status: RolloutStatus, number: int | None) -> None:
        for tally in status.approvals:
            for index in range(len(tally.approvals), tally.quorum):
                actor = f"somebody {index + 1} of {tally.group}"
                await self._tell(Verb.APPROVE, actor, number, point=tally.point, actorGroups=[tally.group])

    async def _tell(self, verb: Verb, actor: str, number: int | None, **fields: object) -> None:
        namespace, name = self._key
        body = manifests.action(namespace, name, str(verb), revision=number, actor=actor, reason="rehearsed", **fields)
        await self._world.people.create(Kind.ROLLOUT_ACTION, namespace, body)

    async def _release(self, uid: str) -> None:
        for kind in _SWITCHES:
            for switch in self._world.cluster.store.all(kind):
                if switch["metadata"]["uid"] == uid:
                    await self._let_go(kind, switch)

    async def _let_go(self, kind: Kind, switch: Obj) -> None:
        meta = switch["metadata"]
        body = {"spec": {"engaged": False, "releaseReason": "rehearsed"}}
        await self._world.people.patch_merge(kind, meta.get("namespace", ""), meta["name"], body)


def _waits_by(status: RolloutStatus) -> str:
    paused = (each for each in status.conditions if each.type == ConditionType.PAUSED and each.status == "True")
    return next((each.reason for each in paused), "")
