"""Clusters and their data planes, started together and ended together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

from testbed.cluster import Cluster
from testbed.dataplane import DataPlane


class Testbed:
    """``with Testbed(clusters=2, data_plane=True) as tb: tb.hub, tb.members, tb.data_plane``.

    Args:
        clusters: how many; the first is ``hub``, the others ``member-1``, ``member-2``, ...
        data_plane: whether the hub gets a data plane.
        member_data_planes: whether every member gets one too.
        member_controllers: whether members have a controller manager; those with a data plane always do.
        users: user name to groups, on every cluster.
    """

    __test__ = False

    def __init__(
        self,
        clusters: int = 1,
        data_plane: bool = True,
        *,
        member_data_planes: bool = False,
        member_controllers: bool = False,
        users: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._count = clusters
        self._with_data_plane = data_plane
        self._member_data_planes = member_data_planes
        self._member_controllers = member_controllers or member_data_planes
        self._users = users
        self.clusters: list[Cluster] = []
        self._data_planes: dict[str, DataPlane] = {}

    @property
    def hub(self) -> Cluster:
        """The first cluster."""
        return self.clusters[0]

    @property
    def members(self) -> list[Cluster]:
        """The other clusters."""
        return self.clusters[1:]

    @property
    def data_plane(self) -> DataPlane:
        """The hub's."""
        return self.data_plane_of(self.hub)

    def data_plane_of(self, cluster: Cluster) -> DataPlane:
        """The data plane of one cluster; a ``KeyError`` where it was not asked for."""
        return self._data_planes[cluster.name]

    def __enter__(self) -> Testbed:
        try:
            with ThreadPoolExecutor() as pool:
                started = [pool.submit(self._start, number) for number in range(self._count)]
                self.clusters = [cluster.result() for cluster in started]
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End everything that was started."""
        for data_plane in self._data_planes.values():
            data_plane.stop()
        for cluster in self.clusters:
            cluster.stop()

    def _start(self, number: int) -> Cluster:
        name = f"member-{number}" if number else "hub"
        cluster = Cluster.start(name, controllers=not number or self._member_controllers, users=self._users)
        if self._member_data_planes if number else self._with_data_plane:
            self._data_planes[name] = DataPlane.start(cluster)
        return cluster
