"""What a verb is aimed at, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sluice.api.names import Kind

PATIENCE_SECONDS = 30.0


def plural_of(kind: Kind) -> str:
    """What several objects of a kind are called.

    >>> plural_of(Kind.ROLLOUT), plural_of(Kind.KILL_SWITCH), plural_of(Kind.ROLLOUT_POLICY)
    ('Rollouts', 'KillSwitches', 'RolloutPolicies')
    """
    if kind.endswith("y"):
        return f"{kind.removesuffix('y')}ies"
    return f"{kind}es" if kind.endswith("h") else f"{kind}s"


@dataclass(frozen=True, slots=True)
class Target:
    """The object that a verb is aimed at; without a name, all of a kind."""

    kind: Kind
    namespace: str  # "" for cluster-scoped kinds, and for all namespaces
    name: str

    def __str__(self) -> str:
        if not self.name:
            plural = plural_of(self.kind)
            return f"{plural} in {self.namespace}" if self.namespace else plural
        return f"{self.kind} {self.namespace + '/' if self.namespace else ''}{self.name}"


def rollout(namespace: str, name: str) -> Target:
    """A Rollout as target."""
    return Target(Kind.ROLLOUT, namespace, name)


class Ending(StrEnum):
    """How a verb ended."""

    DONE = "Done"
    REJECTED = "Rejected"  # nothing changed, and the message says why
    PENDING = "Pending"  # it was written, and not yet confirmed when patience ran out
    SENT = "Sent"  # it was written, and nobody waited


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a verb ended, in a sentence, and the object that carries it: the RolloutAction, or the kill switch."""

    ending: Ending
    message: str
    carrier: Target
