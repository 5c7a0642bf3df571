"""RolloutPolicies as decisions about a Rollout see them. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sluice.api.errorbudget import BudgetStatus
from sluice.api.policy import RolloutPolicySpec
from sluice.api.rollout import Phase, RolloutStatus


@dataclass(frozen=True, slots=True)
class Reference:
    """A Rollout that goes before others: what is stable there, and since when; None where nobody knows."""

    rollout: str  # namespace/name
    hash: str = ""
    version: str | None = None
    serves: bool = False
    since: datetime | None = None

    @classmethod
    def of(cls, rollout: str, status: RolloutStatus) -> Reference:
        """From what it says of itself."""
        stable = status.fleet.stable if status.fleet is not None else status.stable
        if stable is None:
            return cls(rollout)
        serves = status.phase not in {None, Phase.DEGRADED}
        return cls(rollout, stable.hash, stable.version, serves, stable.since)


@dataclass(frozen=True, slots=True)
class PolicyView:
    """A RolloutPolicy that covers a Rollout.

    Attributes:
        name: its name.
        spec: None where it cannot be read; then `problem` says why.
        turn: what asking it gave this Rollout its turn for, by when that began; None where it gave none.
        budget: what was seen of its error budget.
        goes_first: whether the Rollout is one of those that have to be stable before others.
        references: those; looked up only where a run could begin.
    """

    name: str
    spec: RolloutPolicySpec | None
    problem: str = ""
    turn: datetime | None = None
    budget: BudgetStatus | None = None
    goes_first: bool = False
    references: tuple[Reference, ...] = ()

    def __str__(self) -> str:
        return f"RolloutPolicy {self.name}"
