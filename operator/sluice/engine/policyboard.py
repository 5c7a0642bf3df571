"""The RolloutPolicies, parsed: which Rollouts each covers, and which of them a change of a Rollout concerns."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from sluice.api.common import LabelSelector, ObjectRef
from sluice.api.conditions import ConditionType, Reason
from sluice.api.errorbudget import BudgetStatus
from sluice.api.names import Kind
from sluice.api.policy import RolloutPolicySpec, RolloutPolicyStatus, Turn
from sluice.api.rollout import RolloutStatus
from sluice.api.units import parse_time
from sluice.decide.metadata import labels_of, mapping, metadata_of, sequence
from sluice.decide.policies import budget_questions
from sluice.decide.policyview import PolicyView, Reference
from sluice.engine.store import Obj, Store, key_of
from sluice.errors import InvalidSpec


class Policy(NamedTuple):
    """A policy as it was read last. `spec` is None where it cannot be; then its selectors tell as far as they can."""

    name: str
    selector: LabelSelector
    namespace_selector: LabelSelector
    spec: RolloutPolicySpec | None
    problem: str
    status: RolloutPolicyStatus
    turns: dict[str, Turn]  # by UID
    budget: BudgetStatus | None = None  # what was seen of the budget that the spec has now


class PolicyBoard:
    """Policies by name.

    Args:
        store: the caches.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._policies: dict[str, Policy] = {}
        store.listen(self._changed)

    def _changed(self, kind: Kind, before: Obj | None, after: Obj | None) -> None:
        if kind is not Kind.ROLLOUT_POLICY:
            return
        name = key_of(after or before or {})[1]
        if after is None:
            self._policies.pop(name, None)
        else:
            self._policies[name] = _read(name, after)
        self._policies = dict(sorted(self._policies.items()))

    def __len__(self) -> int:
        """How many there are."""
        return len(self._policies)

    def get(self, name: str) -> Policy | None:
        """One of them."""
        return self._policies.get(name)

    def covering(self, ref: ObjectRef, labels: dict[str, str], *, begins: bool) -> tuple[PolicyView, ...]:
        """The policies that cover a Rollout, by name.

        Args:
            ref: the Rollout.
            labels: its own.
            begins: whether a run of it could begin now: only then is it looked at who has to be stable before.
        """
        home = self._labels_of_namespace(ref.namespace)
        return tuple(
            PolicyView(
                name=policy.name,
                spec=policy.spec,
                problem=policy.problem,
                turn=policy.turns[ref.uid].since if ref.uid in policy.turns else None,
                budget=policy.budget,
                goes_first=_goes_first(policy, labels, home),
                references=tuple(self._references(policy)) if begins else (),
            )
            for policy in self._policies.values()
            if _matches(policy.selector, policy.namespace_selector, labels, home)
        )

    def rollouts_of(self, policy: Policy) -> Iterator[Obj]:
        """The Rollouts that a policy covers."""
        return self._matching(policy.selector, policy.namespace_selector)

    def is_touched(self, before: Obj | None, after: Obj | None) -> bool:
        """Whether a change of a Rollout may mean anything to any policy."""
        return bool(self._policies) and _standing(before) != _standing(after)

    def concerned(self, before: Obj | None, after: Obj | None) -> list[Policy]:
        """The policies whose picture a change of a Rollout may change."""
        sides = [(labels_of(each), self._labels_of_namespace(key_of(each)[0])) for each in (before, after) if each]
        return [
            policy
            for policy in self._policies.values()
            if any(_matches(policy.selector, policy.namespace_selector, labels, home) for labels, home in sides)
        ]

    def followers(self, before: Obj | None, after: Obj | None) -> Iterator[Obj]:
        """The Rollouts that may go on because of how another stands now: those that a policy has come after it."""
        changed = after or before or {}
        labels, home = labels_of(changed), self._labels_of_namespace(key_of(changed)[0])
        for policy in self._policies.values():
            if _goes_first(policy, labels, home):
                yield from filter(is_held, self.rollouts_of(policy))

    def _references(self, policy: Policy) -> Iterator[Reference]:
        first = policy.spec.require_stable if policy.spec is not None else None
        if first is None:
            return
        for rollout in self._matching(first.selector, first.namespace_selector):
            namespace, name = key_of(rollout)
            try:
                status = RolloutStatus.parse(rollout.get("status") or {}, "status")
            except InvalidSpec:
                status = RolloutStatus()
            yield Reference.of(f"{namespace}/{name}", status)

    def _matching(self, selector: LabelSelector, namespace_selector: LabelSelector) -> Iterator[Obj]:
        for rollout in self._store.all(Kind.ROLLOUT):
            home = self._labels_of_namespace(key_of(rollout)[0])
            if _matches(selector, namespace_selector, labels_of(rollout), home):
                yield rollout

    def _labels_of_namespace(self, namespace: str) -> dict[str, str] | None:
        found = self._store.get(Kind.NAMESPACE, "", namespace)
        return labels_of(found) if found is not None else None


def _read(name: str, policy: Obj) -> Policy:
    where = f"RolloutPolicy {name}"
    given = mapping(policy.get("spec"))
    try:
        status = RolloutPolicyStatus.parse(policy.get("status") or {}, f"{where}: status")
    except InvalidSpec:
        status = RolloutPolicyStatus()
    turns = {turn.uid: turn for turn in status.turns}
    try:
        spec = RolloutPolicySpec.parse(given, f"{where}: spec")
        if spec.error_budget is not None:
            budget_questions(spec.error_budget)
    except InvalidSpec as problem:
        return Policy(
            name, _selector(given, "selector"), _selector(given, "namespaceSelector"), None, str(problem), status, {}
        )
    fresh = status.observed_generation == metadata_of(policy).get("generation", 0)  # else it is of another budget
    budget = status.budget if fresh else None
    return Policy(name, spec.selector, spec.namespace_selector, spec, "", status, turns, budget)


def _selector(given: Obj, field: str) -> LabelSelector:
    """A selector of a spec that means nothing as a whole; where it means nothing itself, it matches everything."""
    try:
        return LabelSelector.parse(given.get(field) or {}, field)
    except InvalidSpec:
        return LabelSelector()


def _matches(
    selector: LabelSelector, namespace_selector: LabelSelector, labels: dict[str, str], home: dict[str, str] | None
) -> bool:
    """Whether both match. A namespace that is not known yet may have any labels: better held than let go."""
    return selector.matches(labels) and (home is None or namespace_selector.matches(home))


def _goes_first(policy: Policy, labels: dict[str, str], home: dict[str, str] | None) -> bool:
    """Whether a Rollout is one of those that have to be stable before others."""
    first = policy.spec.require_stable if policy.spec is not None else None
    return first is not None and home is not None and _matches(first.selector, first.namespace_selector, labels, home)


def _standing(rollout: Obj | None) -> tuple[object, ...] | None:
    """What policies look at in a Rollout."""
    if rollout is None:
        return None
    status = mapping(rollout.get("status"))
    fleet = mapping(status.get("fleet"))
    return (
        labels_of(rollout),
        status.get("queued"),
        status.get("phase"),
        is_under_way(rollout),
        status.get("stable"),
        fleet.get("stable"),
    )


def is_held(rollout: Obj) -> bool:
    """Whether a Rollout says that a policy holds it."""
    conditions = map(mapping, sequence(mapping(rollout.get("status")).get("conditions")))
    told = ((each.get("type"), each.get("reason")) for each in conditions)
    return (ConditionType.PAUSED, Reason.HELD_BY_POLICY) in told


def is_under_way(rollout: Obj) -> bool:
    """Whether a run of it is under way, here or over a fleet."""
    return any(revision and not revision.get("outcome") for revision in _revisions(rollout))


def began_of(rollout: Obj) -> datetime | None:
    """When its newest run began, under way or not."""
    times = [str(revision["startedAt"]) for revision in _revisions(rollout) if revision.get("startedAt")]
    try:
        return max(map(parse_time, times), default=None)
    except ValueError:
        return None


def _revisions(rollout: Obj) -> list[Obj]:
    status = mapping(rollout.get("status"))
    return [mapping(each.get("revision")) for each in (status, mapping(status.get("fleet")))]
