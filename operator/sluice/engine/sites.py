"""The member clusters as whoever leads a fleet sees them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from sluice.decide.fleet.model import MemberView
from sluice.engine.courier import Order
from sluice.engine.store import Obj


class Workplace(Protocol):
    """A member at work: what is known of a Rollout there, and where orders for it are given."""

    @property
    def ready(self) -> bool:
        """Whether what is not known is not there."""
        ...

    def part(self, namespace: str, name: str) -> Obj | None:
        """A Rollout's part there, or None."""
        ...

    def trouble(self, namespace: str, name: str) -> str:
        """Why the newest order for it is not carried out; "" where nothing is in its way."""
        ...

    def give(self, namespace: str, name: str, order: Order) -> None:
        """Order something."""
        ...


class Sites(Protocol):
    """All members."""

    @property
    def listed(self) -> bool:
        """Whether every MemberCluster is known, so that one that is not known is not there."""
        ...

    def views(self) -> dict[str, MemberView]:
        """Every MemberCluster, by name."""
        ...

    def workplaces(self) -> Mapping[str, Workplace]:
        """Those members that are connected, by name."""
        ...
