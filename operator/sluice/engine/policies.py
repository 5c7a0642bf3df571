"""Keeps the statuses of RolloutPolicies: what each says of itself, and whose turn it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

from sluice.api.common import ObjectRef
from sluice.api.errorbudget import BudgetStatus
from sluice.api.names import Kind
from sluice.decide.metadata import labels_of, mapping, sequence
from sluice.decide.moments import earliest
from sluice.decide.policing import Picture, police
from sluice.decide.turns import Applicant
from sluice.engine.budgets import BudgetMeter
from sluice.engine.fence import WorkKey
from sluice.engine.policyboard import Policy, PolicyBoard
from sluice.engine.standing import is_held
from sluice.engine.store import Obj, Store, key_of
from sluice.engine.writes import Ports, merge_patch
from sluice.errors import NotFound
from sluice.ports import MetricProvider


class PolicyKeeper:
    """Gives turns: for each policy one process does, the one whose its shard is.

    Args:
        store: the caches.
        board: the policies.
        ports: the hub.
        metrics: whom to ask about error budgets.
        wake: has a policy looked at again.
    """

    def __init__(
        self,
        store: Store,
        board: PolicyBoard,
        ports: Ports,
        metrics: MetricProvider,
        wake: Callable[[Kind, str, str], None],
    ) -> None:
        self._meter = BudgetMeter(metrics, ports.clock, wake)
        self._store = store
        self._board = board
        self._ports = ports

    def touched(self, kind: Kind, before: Obj | None, after: Obj | None) -> Iterator[WorkKey]:
        """The policies, and the Rollouts that these hold, to look at since an object changed."""
        if kind is Kind.ROLLOUT:
            yield from self._concerned(before, after)
        elif kind is Kind.ROLLOUT_POLICY:
            if before is not None and after is None:
                self._meter.forget(before["metadata"]["uid"])
            yield from self._policed(before, after)
        elif kind is Kind.NAMESPACE and (before is None or after is None or labels_of(before) != labels_of(after)):
            yield from self._rehomed()

    def _concerned(self, before: Obj | None, after: Obj | None) -> Iterator[WorkKey]:
        """A Rollout changed: it may be another's turn now, or what another waited for."""
        if not self._board.is_touched(before, after):
            return
        for policy in self._board.concerned(before, after):
            yield Kind.ROLLOUT_POLICY, "", policy.name
        for key in self._board.followers(before, after):
            yield Kind.ROLLOUT, *key

    def _policed(self, before: Obj | None, after: Obj | None) -> Iterator[WorkKey]:
        """A policy changed: all Rollouts where it says something else, else whose turn it is."""
        if before is None or after is None or before.get("spec") != after.get("spec"):
            for rollout in self._store.all(Kind.ROLLOUT):
                yield Kind.ROLLOUT, *key_of(rollout)
            return
        if _state(before) != _state(after):
            yield from self._held()
        told = {str(turn) for turn in _turns(before)}
        for turn in _turns(after):
            if str(turn) not in told:
                namespace, _, name = str(mapping(turn).get("rollout")).partition("/")
                yield Kind.ROLLOUT, namespace, name

    def _rehomed(self) -> Iterator[WorkKey]:
        """Policies may cover others since a namespace changed, and others go first; it may make room elsewhere."""
        for policy in self._store.all(Kind.ROLLOUT_POLICY):
            yield Kind.ROLLOUT_POLICY, *key_of(policy)
        if len(self._board):
            yield from self._held()

    def _held(self) -> Iterator[WorkKey]:
        for rollout in filter(is_held, self._store.all(Kind.ROLLOUT)):
            yield Kind.ROLLOUT, *key_of(rollout)

    async def tend(self, name: str) -> datetime | None:
        """Bring one policy's status up to date, if it is not.

        Returns:
            When to look again by the clock; None: when something changes.

        Raises:
            Conflict: somebody wrote it since it was read; look again.
        """
        stored, policy = self._store.get(Kind.ROLLOUT_POLICY, "", name), self._board.get(name)
        if stored is None or policy is None:
            return None
        old = policy.status
        budget, ask_at = self._look_at_budget(stored, policy)
        new, look_at = police(
            policy.spec,
            policy.problem,
            old,
            replace(self._picture(policy), budget=budget),
            generation=stored["metadata"].get("generation", 0),
            now=self._ports.clock.now(),
        )
        look_at = earliest(look_at, ask_at)
        if new == old:
            return look_at
        # Turns must not be given twice: who writes has seen all that were given before.
        body = {
            "metadata": {"resourceVersion": stored["metadata"]["resourceVersion"]},
            "status": merge_patch(mapping(stored.get("status")), new.dump()),
        }
        try:
            written = await self._ports.cluster.patch_merge(Kind.ROLLOUT_POLICY, "", name, body, subresource="status")
        except NotFound:
            return None
        self._store.apply(Kind.ROLLOUT_POLICY, "MODIFIED", written)
        return look_at

    async def stop(self) -> None:
        """Give up all questions."""
        await self._meter.stop()

    def _look_at_budget(self, stored: Obj, policy: Policy) -> tuple[BudgetStatus | None, datetime | None]:
        budget = policy.spec.error_budget if policy.spec is not None else None
        if budget is None:
            return None, None
        ref = ObjectRef(namespace="", name=policy.name, uid=stored["metadata"]["uid"])
        return self._meter.look(ref, budget, policy.budget or BudgetStatus())

    def _picture(self, policy: Policy) -> Picture:
        covered = self._board.covered_by(policy)
        under_way = {each.uid: each.name for each in covered.values() if each.under_way}
        applicants = {
            each.uid: Applicant(each.name, each.uid, each.queued.since, asks=each.queued.policy == policy.name)
            for each in covered.values()
            if each.queued is not None and not each.under_way
        }
        began = (each.began_at for each in covered.values() if each.began_at is not None)
        return Picture(len(covered), under_way, applicants, max(began, default=None))


def _state(policy: Obj) -> object:
    return mapping(policy.get("status")).get("state")


def _turns(policy: Obj) -> list[Any]:
    return sequence(mapping(policy.get("status")).get("turns"))
