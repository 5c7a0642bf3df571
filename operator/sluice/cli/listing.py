"""The Rollouts or kill switches that `sluice get` shows: fetched, filtered, sorted, laid out."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sluice.api.common import LabelSelector
from sluice.api.names import Kind
from sluice.cli.get import Query
from sluice.cli.mirror import Feed, Mirror, key_of
from sluice.cli.selector import parse_selector
from sluice.cli.session import Session
from sluice.cli.table import Column, by_meaning, render
from sluice.errors import Forbidden, NotFound
from sluice.ops.explain import explaining, resource
from sluice.ops.outcome import Target
from sluice.views.fields import Fields
from sluice.views.rows import RolloutRow, rollout_row
from sluice.views.switches import SwitchRow, switch_row

if TYPE_CHECKING:
    from sluice.ports import Obj

_KINDS = {"rollouts": (Kind.ROLLOUT,), "switches": (Kind.KILL_SWITCH, Kind.CLUSTER_KILL_SWITCH)}


class Listing:
    """What a query finds.

    Attributes:
        notes: what could not be read, for stderr.
    """

    def __init__(self, session: Session, query: Query) -> None:
        self.session = session
        self.query = query
        self.notes: list[str] = []
        self._selector = parse_selector(query.selector) if query.selector else LabelSelector()
        self._mirrors = {kind: Mirror() for kind in _KINDS[query.resource]}

    @property
    def title(self) -> str:
        """What it lists."""
        return "Rollouts" if self.query.resource == "rollouts" else "kill switches"

    @property
    def namespace(self) -> str:
        """Where it looks; "" is everywhere."""
        return "" if self.query.all_namespaces else self.session.namespace

    async def fetch(self) -> None:
        """Read everything once.

        Raises:
            NotFound, Forbidden, Unavailable: with a sentence for the person.
        """
        if self.query.name:
            await self._fetch_named(self.query.name)
            return
        first, *others = self._mirrors
        await asyncio.gather(self._fetch_all(first), *(self._fetch_beside(kind) for kind in others))

    async def _fetch_named(self, name: str) -> None:
        *others, last = self._mirrors
        for kind in others:
            try:
                self._mirrors[kind].on_list([await self.session.cluster.get(kind, self.session.namespace, name)])
            except NotFound:
                continue
            return
        namespace = "" if last is Kind.CLUSTER_KILL_SWITCH else self.session.namespace
        target = Target(next(iter(self._mirrors)), self.session.namespace, name)
        with explaining("get", target, f"get on {resource(last)}"):
            self._mirrors[last].on_list([await self.session.cluster.get(last, namespace, name)])

    async def _fetch_all(self, kind: Kind) -> None:
        namespace = "" if kind is Kind.CLUSTER_KILL_SWITCH else self.namespace
        with explaining("list", Target(kind, namespace, ""), f"list on {resource(kind)}"):
            self._mirrors[kind].on_list(list(await self.session.cluster.list(kind, namespace)))

    async def _fetch_beside(self, kind: Kind) -> None:
        """Read what is shown beside the rest, where it may be read."""
        try:
            await self._fetch_all(kind)
        except (Forbidden, NotFound) as error:
            self.notes.append(str(error))

    def feeds(self) -> tuple[list[Feed], list[Mirror]]:
        """What keeps it up to date, and the mirrors that change."""
        feeds = [
            self.session.feed(
                kind, "" if kind is Kind.CLUSTER_KILL_SWITCH else self.namespace, self.query.name or "", mirror
            )
            for kind, mirror in self._mirrors.items()
        ]
        return feeds, list(self._mirrors.values())

    def objects(self) -> list[Obj]:
        """What is there now and matches, in order of namespace and name."""
        found = [obj for mirror in self._mirrors.values() for obj in mirror.objects.values()]
        return sorted((obj for obj in found if self._selector.matches(Fields(obj).labels())), key=key_of)

    def key(self, obj: Obj) -> tuple[str, str, str]:
        """Tells objects apart."""
        return (self.kind_and_name(obj)[0], *key_of(obj))

    def kind_and_name(self, obj: Obj) -> tuple[str, str]:
        """Kind and name."""
        return Fields(obj).text("kind") or Kind.ROLLOUT.value, Fields(obj).text("metadata", "name")

    def essence(self, obj: Obj) -> object:
        """What has to differ for a line to be printed anew: not ages and countdowns, which always do."""
        if self.query.output in {"json", "yaml"}:
            return Fields(obj).text("metadata", "resourceVersion")
        now = self.session.clock.now()
        if self.query.resource == "rollouts":
            return dataclasses.replace(rollout_row(obj, now), age="", next="")
        return dataclasses.replace(switch_row(obj, now), age="", engaged="")

    def table(self, objects: Sequence[Obj]) -> str:
        """The objects as a table; just the header where there are none."""
        now, wide = self.session.clock.now(), self.query.output == "wide"
        if self.query.resource == "rollouts":
            rows = [rollout_row(obj, now) for obj in objects]
            return _rollouts(rows, wide=wide, with_namespace=self.query.all_namespaces)
        return _switches([switch_row(obj, now) for obj in objects], wide=wide)


def _rollouts(rows: Sequence[RolloutRow], *, wide: bool, with_namespace: bool) -> str:
    columns = [Column("NAME"), Column("PHASE", by_meaning)]
    columns += [Column(title) for title in ("STEP", "WEIGHT", "VERSION", "PODS", "NEXT", "AGE")]
    cells = [[row.name, row.phase, row.step, row.weight, _versions(row), row.pods, row.next, row.age] for row in rows]
    if any(row.clusters for row in rows):
        columns[2:2] = [Column("CLUSTERS"), Column("BATCH")]
        cells = [[*line[:2], row.clusters, row.batch, *line[2:]] for line, row in zip(cells, rows, strict=True)]
    if wide:
        columns += [Column(title) for title in ("REPLICAS", "STRATEGY", "REVISION", "MESSAGE")]
        more = [[row.replicas, row.strategy, row.revision, row.message] for row in rows]
        cells = [[*line, *rest] for line, rest in zip(cells, more, strict=True)]
    if with_namespace:
        columns = [Column("NAMESPACE"), *columns]
        cells = [[row.namespace, *line] for line, row in zip(cells, rows, strict=True)]
    return render(columns, cells)


def _versions(row: RolloutRow) -> str:
    """From what to what, while a run is under way: `kubectl get rollouts` names only what is stable."""
    return f"{row.stable} → {row.version}" if row.stable and row.stable != row.version else row.version


def _switches(rows: Sequence[SwitchRow], *, wide: bool) -> str:
    columns = [Column("NAMESPACE"), Column("NAME"), Column("STATE", by_meaning)]
    columns += [Column(title) for title in ("EFFECT", "SCOPE", "ROLLOUTS", "DIVERTED", "SINCE", "BY", "REASON")]
    cells = [
        [
            row.namespace or "(cluster)",
            row.name,
            row.state,
            row.effect,
            row.scope,
            row.rollouts,
            row.diverted,
            row.engaged,
            row.by,
            row.reason,
        ]
        for row in rows
    ]
    if any(row.watch for row in rows):
        columns[3:3] = [Column("WATCHES", by_meaning)]
        cells = [[*line[:3], row.watch, *line[3:]] for line, row in zip(cells, rows, strict=True)]
    if wide:
        columns += [Column("AGE"), Column("MESSAGE")]
        cells = [[*line, row.age, row.message] for line, row in zip(cells, rows, strict=True)]
    return render(columns, cells)
