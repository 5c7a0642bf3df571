"""Which member works in which cluster: never two in one, for both would lead the same parts there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from sluice.decide.metadata import created_at, mapping
from sluice.ports import Obj


class Claims:
    """Who has which cluster; a cluster is known by the UID of its Namespace kube-system.

    A member that has a cluster by its status keeps it, so that a kubeconfig which is changed by mistake takes it from
    nobody. Else the first that was made has it, and of those the first by name.

    Args:
        members: every MemberCluster, by name; changes while we look.
        wake: told the name of a member that should look at its claim again.
    """

    def __init__(self, members: Mapping[str, Obj], wake: Callable[[str], None]) -> None:
        self._members = members
        self._wake = wake
        self._found: dict[str, str] = {}
        self._at_work: dict[str, str] = {}

    def take(self, name: str, cluster: str) -> str:
        """Say that a member was found to lead to a cluster.

        Returns:
            Who is in the way: who has that cluster, or still works there. "" where nobody is: it is its own now.
        """
        self._found[name] = cluster
        others = (other for other in self._members if self._cluster_of(other) == cluster)
        first = min(others, key=self._rank, default=name)
        worker = self._at_work.get(cluster, name)
        if first == worker == name:
            self._at_work[cluster] = name
            return ""
        if first == name:
            self._wake(worker)  # it gives way
            return worker
        return first

    def leave(self, name: str) -> None:
        """A member works nowhere any more; who waited for that looks again."""
        for cluster in [cluster for cluster, worker in self._at_work.items() if worker == name]:
            del self._at_work[cluster]
            for other, found in self._found.items():
                if other != name and found == cluster:
                    self._wake(other)

    def forget(self, name: str) -> None:
        """Nobody knows where a member leads to now."""
        self._found.pop(name, None)

    def _cluster_of(self, name: str) -> str:
        return self._found.get(name) or _by_status(self._members[name])

    def _rank(self, name: str) -> tuple[bool, datetime, str]:
        member = self._members[name]
        return self._cluster_of(name) != _by_status(member), created_at(member), name


def _by_status(member: Obj) -> str:
    """The cluster that it has by its status; of one that is refused it says none."""
    return str(mapping(member.get("status")).get("clusterUid") or "")
