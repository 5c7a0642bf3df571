"""The member clusters as whoever leads a fleet sees them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from sluice.api.names import Kind
from sluice.decide.fleet.model import MemberView
from sluice.engine.courier import Order
from sluice.engine.observe import Moves
from sluice.engine.store import Obj, Store
from sluice.errors import Unavailable

_HOME_OF_THE_CLUSTER = "kube-system"


class Workplace(Protocol):
    """A member at work: what is known of a Rollout there, and where orders for it are given."""

    @property
    def ready(self) -> bool:
        """Whether what is not known is not there."""
        ...

    def part(self, namespace: str, name: str) -> Obj | None:
        """A Rollout's part there, or None."""
        ...

    def moves(self, namespace: str, name: str) -> Moves | None:
        """What a Rollout's part moves there; None where it has none."""
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


def hub_of(store: Store) -> str:
    """Who we are to members: the cluster, by the one object that each has, and none loses.

    Raises:
        Unavailable: the hub's caches do not have it yet.
    """
    home = store.get(Kind.NAMESPACE, "", _HOME_OF_THE_CLUSTER)
    if home is None:
        raise Unavailable(f"Namespace {_HOME_OF_THE_CLUSTER} is not known yet, by whose UID members know their hub")
    return str(home["metadata"]["uid"])
