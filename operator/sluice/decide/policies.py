"""What RolloutPolicies hold: the growth of exposure, and the beginning of runs. Pure.

Nothing here holds what takes exposure away: kills, aborts, and runs that go back to what served before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sluice.api.analysis import ResolvedMetric
from sluice.api.conditions import Reason
from sluice.api.errorbudget import BudgetStatus, ErrorBudget
from sluice.api.policy import RequireStable, RolloutPolicySpec
from sluice.api.rollout import Queued
from sluice.api.units import format_duration
from sluice.decide import error_budget
from sluice.decide.error_budget import BudgetOutcome, BudgetVerdict
from sluice.decide.hold import Hold
from sluice.decide.policyview import PolicyView, Reference
from sluice.decide.subject import Subject
from sluice.decide.texts import count_of, some, tell_time
from sluice.decide.windows import closed


@dataclass(frozen=True, slots=True)
class Asked:
    """A revision that a run could bring: what it is told apart by, and what people call it."""

    hash: str
    version: str | None

    def __str__(self) -> str:
        return self.version or self.hash


def keep_from_beginning(subject: Subject, policies: Sequence[PolicyView], asked: Asked, queued: Queued | None) -> bool:
    """Whether a run cannot begin now; what it waits for is said then, and its place in line kept.

    Args:
        subject: the decision in the making.
        policies: that cover it, by name.
        asked: what the run would bring.
        queued: for what the Rollout waits already.
    """
    hold = hold_beginning(policies, asked, subject.now)
    if hold is None:
        asking = await_turn(policies, queued, subject.now)
        if asking is None:
            return False
        hold, queued = asking
        subject.update(queued=queued)
    subject.hold(hold.reason, f"revision {asked} waits: {hold.message}", until=hold.until)
    return True


def hold_growth(policies: Iterable[PolicyView], now: datetime) -> Hold | None:
    """What keeps exposure from growing now."""
    return next((hold for policy in policies if (hold := _shut(policy, now)) is not None), None)


def hold_beginning(policies: Sequence[PolicyView], asked: Asked, now: datetime) -> Hold | None:
    """What keeps a run from beginning now, but for its turn."""
    held = hold_growth(policies, now)
    if held is not None:
        return held
    for policy in policies:
        required = policy.spec.require_stable if policy.spec is not None and not policy.goes_first else None
        hold = _unproven(policy, required, asked, now) if required is not None else None
        if hold is not None:
            return hold
    return None


def await_turn(policies: Sequence[PolicyView], queued: Queued | None, now: datetime) -> tuple[Hold, Queued] | None:
    """Ask for the turns that a run needs, in the order of the policies' names, so that no two wait for one another.

    Args:
        policies: by name.
        queued: for what the Rollout waits already.
        now: the time.

    Returns:
        Why it waits, and what it asks for from now on; None where it has every turn that it needs.
    """
    since = queued.since if queued is not None else None
    for policy in policies:
        if policy.spec is not None and policy.spec.rations and (since is None or policy.turn != since):
            return _turn(policy, policy.spec), Queued(policy=policy.name, since=since or now)
    return None


def _shut(policy: PolicyView, now: datetime) -> Hold | None:
    if policy.spec is None:
        return Hold(Reason.HELD_BY_POLICY, f"{policy} cannot be read, so nothing grows: {policy.problem}")
    found = closed(policy.spec.windows, now)
    if found is not None:
        return Hold(Reason.HELD_BY_POLICY, f"held by {policy}: {found}", until=found.until)
    verdict = budget_of(policy.spec, policy.budget, now)
    if verdict is None or verdict.outcome is BudgetOutcome.LEFT:
        return None
    return Hold(Reason.HELD_BY_POLICY, f"held by {policy}: {verdict.message}")


def budget_of(spec: RolloutPolicySpec, seen: BudgetStatus | None, now: datetime) -> BudgetVerdict | None:
    """What is left of a policy's error budget, by what was seen of it; None where it has none."""
    if spec.error_budget is None:
        return None
    asked = budget_questions(spec.error_budget)
    return error_budget.assess_budget(spec.error_budget, seen or BudgetStatus(), asked, now)


def budget_questions(budget: ErrorBudget) -> tuple[ResolvedMetric, ...]:
    """What is asked of the operator's own Prometheus.

    Raises:
        InvalidSpec: a query that cannot be filled in.
    """
    return error_budget.questions(budget, "spec.errorBudget", (), cluster_scoped=True)


def _unproven(policy: PolicyView, required: RequireStable, asked: Asked, now: datetime) -> Hold | None:
    """What is still to be proven by the Rollouts that go first."""
    first = f"held by {policy}: {asked} has to be stable for {format_duration(required.for_)} first"
    if not policy.references:
        return Hold(Reason.HELD_BY_POLICY, f"{first}, but no Rollout matches its requireStable")
    lacking = [each for each in policy.references if not _has(each, asked)]
    if lacking:
        names = some(lacking, told=lambda each: f"{each.rollout} ({each.version or each.hash or 'nothing yet'})")
        return Hold(Reason.HELD_BY_POLICY, f"{first}; something else is stable in {names}")
    ailing = [each.rollout for each in policy.references if not each.serves]
    if ailing:
        return Hold(Reason.HELD_BY_POLICY, f"{first}; it does not serve well in {some(ailing)}")
    unknown = [each.rollout for each in policy.references if each.since is None]
    if unknown:
        return Hold(Reason.HELD_BY_POLICY, f"{first}; nobody knows since when it is in {some(unknown)}")
    since, last = max((each.since, each.rollout) for each in policy.references if each.since is not None)
    ripe = since + required.for_
    if ripe <= now:
        return None
    return Hold(Reason.HELD_BY_POLICY, f"{first}: in {last} it is at {tell_time(ripe)}", until=ripe)


def _has(reference: Reference, asked: Asked) -> bool:
    """Whether it is the same revision: by the version that people gave it, where they did; else by its content."""
    if asked.version is not None:
        return reference.version == asked.version
    return reference.hash == asked.hash


def _turn(policy: PolicyView, spec: RolloutPolicySpec) -> Hold:
    rules = []
    if spec.max_concurrent is not None:
        rules.append(f"at most {count_of(spec.max_concurrent, 'run')} at a time")
    if spec.min_interval is not None:
        rules.append(f"one run begins every {format_duration(spec.min_interval)}")
    return Hold(Reason.HELD_BY_POLICY, f"waits for its turn by {policy}: {', '.join(rules)}")
