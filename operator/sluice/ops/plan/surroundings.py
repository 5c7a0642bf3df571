"""Copies of what the operator's decisions rest on, made by whoever asks, with their own rights. Reads only."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from sluice.api.names import Kind
from sluice.errors import Forbidden, NotFound
from sluice.ops.outcome import plural_of
from sluice.ports import Cluster, Obj

_EVERYWHERE = (
    Kind.ROLLOUT,
    Kind.CLUSTER_KILL_SWITCH,
    Kind.ROLLOUT_POLICY,
    Kind.CLUSTER_ANALYSIS_TEMPLATE,
    Kind.NAMESPACE,
    Kind.MEMBER_CLUSTER,
)
_AT_HOME = (
    Kind.ROLLOUT_RUN,
    Kind.ROLLOUT_ACTION,
    Kind.KILL_SWITCH,
    Kind.ANALYSIS_TEMPLATE,
    Kind.SERVICE,
    Kind.ENDPOINT_SLICE,
    Kind.HTTP_ROUTE,
    Kind.GRPC_ROUTE,
    Kind.DEPLOYMENT,
    Kind.POD,
    Kind.POD_DISRUPTION_BUDGET,
)
_AT_A_TIME = 8
_ONE_BY_ONE = 10  # namespaces; of more, what is in all is listed at once, where that is allowed
# Without these the operator would seem to see what is not so: a Service that is missing, a run that never was.
VITAL = frozenset({Kind.ROLLOUT_RUN, Kind.SERVICE, Kind.ENDPOINT_SLICE, Kind.HTTP_ROUTE, Kind.GRPC_ROUTE})
VITAL_FOR_PODS = frozenset({Kind.DEPLOYMENT, Kind.POD, Kind.POD_DISRUPTION_BUDGET})
VITAL_FOR_TEMPLATES = frozenset({Kind.ANALYSIS_TEMPLATE, Kind.CLUSTER_ANALYSIS_TEMPLATE})
_SO = {
    Kind.CLUSTER_KILL_SWITCH: "whether a ClusterKillSwitch covers any of them is not known",
    Kind.KILL_SWITCH: "whether a KillSwitch covers any of them is not known",
    Kind.ROLLOUT_POLICY: "whether a RolloutPolicy holds any of them is not known",
    Kind.NAMESPACE: "which switches and policies select by labels of namespaces is not known but for the name",
    Kind.ROLLOUT: "what Rollouts of other namespaces do, and so whose turn it is, is not known",
    Kind.ROLLOUT_ACTION: "what people have just asked by actions is not known",
    Kind.CLUSTER_ANALYSIS_TEMPLATE: "what cluster-scoped analysis templates there are is not known",
    Kind.MEMBER_CLUSTER: "what member clusters there are is not known",
}


@dataclass(slots=True)
class Copies:
    """Objects as the API server has them, and what could not be had.

    Attributes:
        objects: each with its kind.
        unread: kinds that could not be listed, with the namespace ("" for all).
        notes: what is not known for that, in words.
    """

    objects: list[tuple[Kind, Obj]] = field(default_factory=list)
    unread: set[tuple[Kind, str]] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    def of(self, kind: Kind) -> Iterator[Obj]:
        """All copies of a kind."""
        return (obj for each, obj in self.objects if each is kind)


async def copy_wide(cluster: Cluster, namespaces: Iterable[str]) -> Copies:
    """Copy what is there once for the whole cluster; what needs more rights than there are, by these namespaces.

    Raises:
        Unavailable: the API server gave no answer.
    """
    copies, homes = Copies(), sorted(set(namespaces))
    await _copy(cluster, copies, [(kind, "") for kind in _EVERYWHERE])
    if (Kind.ROLLOUT, "") in copies.unread:
        await _copy(cluster, copies, [(Kind.ROLLOUT, home) for home in homes])
    if (Kind.NAMESPACE, "") in copies.unread:
        await asyncio.gather(*(_copy_namespace(cluster, copies, home) for home in homes))
    return copies


async def copy_homes(cluster: Cluster, copies: Copies, namespaces: Iterable[str]) -> None:
    """Copy what is in these namespaces, too.

    Raises:
        Unavailable: the API server gave no answer.
    """
    homes = sorted(set(namespaces))
    if len(homes) <= _ONE_BY_ONE:
        await _copy(cluster, copies, [(kind, home) for home in homes for kind in _AT_HOME])
        return
    wide = Copies()
    await _copy(cluster, wide, [(kind, "") for kind in _AT_HOME])
    copies.objects += [(kind, obj) for kind, obj in wide.objects if obj["metadata"].get("namespace") in homes]
    await _copy(cluster, copies, [(kind, home) for kind, _ in sorted(wide.unread) for home in homes])


async def _copy(cluster: Cluster, copies: Copies, places: Sequence[tuple[Kind, str]]) -> None:
    turn = asyncio.Semaphore(_AT_A_TIME)

    async def one(kind: Kind, namespace: str) -> tuple[Kind, str, Sequence[Obj], bool]:
        async with turn:
            try:
                return kind, namespace, await cluster.list(kind, namespace), True
            except NotFound:  # it is not served, so that nobody has any
                return kind, namespace, (), True
            except Forbidden:
                return kind, namespace, (), False

    for kind, namespace, listed, allowed in await asyncio.gather(*(one(*place) for place in places)):
        if not allowed:
            copies.unread.add((kind, namespace))
            where = f" in namespace {namespace}" if namespace else ""
            so = _SO.get(kind, f"what there is of kind {kind} is not known")
            copies.notes.append(f"{so}: no right to list {plural_of(kind)}{where}")
        copies.objects += [(kind, obj) for obj in listed]


async def _copy_namespace(cluster: Cluster, copies: Copies, name: str) -> None:
    try:
        found = await cluster.get(Kind.NAMESPACE, "", name)
    except (Forbidden, NotFound):
        found = {"metadata": {"name": name, "uid": f"unknown-{name}", "labels": {"kubernetes.io/metadata.name": name}}}
    copies.objects.append((Kind.NAMESPACE, found))
