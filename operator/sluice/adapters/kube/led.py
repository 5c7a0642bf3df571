"""A member cluster as the engine sees it: where a MemberRollout stands for a Rollout.

The kinds differ so that the hub can be a member of its own: what it leads, and what is led in it, do not meet.
"""

from __future__ import annotations

from sluice.api.names import Kind
from sluice.relay import Relay

STANDS_FOR = {Kind.ROLLOUT: Kind.MEMBER_ROLLOUT, Kind.ROLLOUT_RUN: Kind.MEMBER_ROLLOUT_RUN}


def there(kind: Kind) -> Kind:
    """The kind in a member that stands for a kind in the hub."""
    return STANDS_FOR.get(kind, kind)


class LedCluster(Relay):
    """Implements `ports.Cluster` over another, in which kinds have the names that they have in a member."""

    def there(self, kind: Kind) -> Kind:
        """The kind in a member."""
        return there(kind)
