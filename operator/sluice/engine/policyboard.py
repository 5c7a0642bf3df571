"""The RolloutPolicies, parsed: which Rollouts each covers, and which of them a change of a Rollout concerns."""

from __future__ import annotations

from typing import NamedTuple

from sluice.api.common import LabelSelector, ObjectRef
from sluice.api.errorbudget import BudgetStatus
from sluice.api.names import Kind
from sluice.api.policy import RolloutPolicySpec, RolloutPolicyStatus, Turn
from sluice.decide.metadata import labels_of, mapping, metadata_of
from sluice.decide.policies import budget_questions
from sluice.decide.policyview import PolicyView, Reference
from sluice.engine.chosen import Chosen, labels_of_namespace, matches
from sluice.engine.standing import Standing, is_touched, reference_to, standing_of
from sluice.engine.store import Key, Obj, Store, key_of
from sluice.errors import InvalidSpec

_Labels = tuple[dict[str, str], dict[str, str] | None]  # a Rollout's, and its namespace's; None: not known yet


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
        # By policy; of those that were asked for.
        self._covered: dict[str, Chosen[Standing]] = {}
        self._first: dict[str, Chosen[Reference]] = {}
        self._standings: dict[Key, Standing] = {}  # for all policies; those that any of them asked for
        store.listen(self._changed)

    def _changed(self, kind: Kind, before: Obj | None, after: Obj | None) -> None:
        key = key_of(after or before or {})
        if kind is Kind.ROLLOUT:
            self._standings.pop(key, None)
            self._take_in(key, after)
        elif kind is Kind.NAMESPACE and (before is None or after is None or labels_of(before) != labels_of(after)):
            for rollout in self._store.of_namespace(Kind.ROLLOUT, key[1]):
                self._take_in(key_of(rollout), rollout)
        elif kind is Kind.ROLLOUT_POLICY:
            self._read_anew(key[1], before, after)

    def _take_in(self, key: Key, rollout: Obj | None) -> None:
        for covered in self._covered.values():
            covered.take_in(key, rollout)
        for first in self._first.values():
            first.take_in(key, rollout)

    def _read_anew(self, name: str, before: Obj | None, after: Obj | None) -> None:
        if after is None or (before or {}).get("spec") != after.get("spec"):
            self._covered.pop(name, None)
            self._first.pop(name, None)
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
        home = labels_of_namespace(self._store, ref.namespace)
        return tuple(
            PolicyView(
                name=policy.name,
                spec=policy.spec,
                problem=policy.problem,
                turn=policy.turns[ref.uid].since if ref.uid in policy.turns else None,
                budget=policy.budget,
                goes_first=_goes_first(policy, labels, home),
                references=self._references(policy) if begins else (),
            )
            for policy in self._policies.values()
            if matches(policy.selector, policy.namespace_selector, labels, home)
        )

    def covered_by(self, policy: Policy) -> Chosen[Standing]:
        """The Rollouts that a policy covers."""
        if policy.name not in self._covered:
            chosen = Chosen(self._store, policy.selector, policy.namespace_selector, self._standing_of)
            self._covered[policy.name] = chosen
        return self._covered[policy.name]

    def is_touched(self, before: Obj | None, after: Obj | None) -> bool:
        """Whether a change of a Rollout may mean anything to any policy."""
        return bool(self._policies) and is_touched(before, after)

    def concerned(self, before: Obj | None, after: Obj | None) -> list[Policy]:
        """The policies whose picture a change of a Rollout may change."""
        sides = self._sides(before, after)
        return [
            policy
            for policy in self._policies.values()
            if any(matches(policy.selector, policy.namespace_selector, labels, home) for labels, home in sides)
        ]

    def followers(self, before: Obj | None, after: Obj | None) -> list[Key]:
        """The Rollouts that may go on because of how another stands now: those that a policy has, or had, follow it."""
        sides = self._sides(before, after)
        return [
            key
            for policy in self._policies.values()
            if any(_may_go_first(policy, labels, home) for labels, home in sides)
            for key, standing in self.covered_by(policy).items()
            if standing.held
        ]

    def _sides(self, before: Obj | None, after: Obj | None) -> list[_Labels]:
        """What policies go by in a Rollout, before a change of it and after: whom it leaves has to know, too."""
        return [
            (labels_of(each), labels_of_namespace(self._store, key_of(each)[0])) for each in (before, after) if each
        ]

    def _references(self, policy: Policy) -> tuple[Reference, ...]:
        required = policy.spec.require_stable if policy.spec is not None else None
        if required is None:
            return ()
        if policy.name not in self._first:
            chosen = Chosen(self._store, required.selector, required.namespace_selector, reference_to)
            self._first[policy.name] = chosen
        return self._first[policy.name].by_name()

    def _standing_of(self, rollout: Obj) -> Standing:
        key = key_of(rollout)
        if key not in self._standings:
            self._standings[key] = standing_of(rollout)
        return self._standings[key]


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


def _goes_first(policy: Policy, labels: dict[str, str], home: dict[str, str] | None) -> bool:
    """Whether a Rollout is surely one of those that have to be stable before others, and so waits for none of them."""
    return home is not None and _may_go_first(policy, labels, home)


def _may_go_first(policy: Policy, labels: dict[str, str], home: dict[str, str] | None) -> bool:
    """Whether others wait for a Rollout; also while its namespace is not known, for then they do as well."""
    first = policy.spec.require_stable if policy.spec is not None else None
    return first is not None and matches(first.selector, first.namespace_selector, labels, home)
