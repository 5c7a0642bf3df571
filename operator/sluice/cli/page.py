"""The page that `sluice status` shows: fetched, laid out, followed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sluice.api.conditions import ConditionType
from sluice.api.names import Kind
from sluice.cli import fleet_page
from sluice.cli.exits import NOT_FOUND, Failure
from sluice.cli.mirror import Mirror
from sluice.cli.output import encode, name_of, plain
from sluice.cli.session import Session
from sluice.cli.table import Column, bold, by_meaning, render
from sluice.cli.watch import Lines, follow
from sluice.errors import Forbidden, NotFound
from sluice.ops.explain import explaining, resource
from sluice.ops.outcome import Target, rollout
from sluice.views.detail import RolloutDetail, rollout_detail
from sluice.views.fields import Fields
from sluice.views.fleets import is_fleet
from sluice.views.slots import Known, SlotLine, known_revisions, revisions_of_run

if TYPE_CHECKING:
    from sluice.ports import Obj


class Page:
    """One Rollout, and the switches that cover it.

    Args:
        session: the cluster.
        name: of the Rollout.
        output: the form, as `-o` takes it.
        program: what the reader types to call Sluice.
        every: whether every cluster of the fleet is shown, by the FleetRun.

    Attributes:
        notes: what could not be read, for stderr.
    """

    def __init__(self, session: Session, name: str, output: str | None, program: str, *, every: bool = False) -> None:
        self.notes: list[str] = []
        self._session = session
        self._target = rollout(session.namespace, name)
        self._output = output
        self._program = program
        self._every = every
        self._rollout = Mirror()
        self._fleet_runs = Mirror()
        self._switches = {Kind.KILL_SWITCH: Mirror(), Kind.CLUSTER_KILL_SWITCH: Mirror()}
        self._namespace_labels: dict[str, str] | None = None
        self._known: dict[str, Known] = {}

    async def fetch(self) -> None:
        """Read everything once.

        Raises:
            NotFound, Forbidden, Unavailable: with a sentence for the person.
            Failure: it is to show every cluster, and goes over no fleet.
        """
        switches = [self._fetch_switches(kind) for kind in tuple(self._switches)]
        await asyncio.gather(self._fetch_rollout(), self._fetch_namespace(), *switches)

    async def _fetch_rollout(self) -> None:
        with explaining("get", self._target, f"get on {resource(Kind.ROLLOUT)}"):
            found = await self._session.cluster.get(Kind.ROLLOUT, self._target.namespace, self._target.name)
        self._rollout.on_list([found])
        if self._every:
            await self._fetch_fleet_run(Fields(found))
        await self._fetch_run(Fields(found).text("status", "run"))

    async def _fetch_run(self, name: str) -> None:
        """It knows the version that served before the first run; who may not read it sees that one's hash."""
        if not name:
            return
        try:
            run = await self._session.cluster.get(Kind.ROLLOUT_RUN, self._target.namespace, name)
        except (Forbidden, NotFound):
            return
        self._known = revisions_of_run(run)

    async def _fetch_fleet_run(self, found: Fields) -> None:
        if not is_fleet(found):
            raise Failure(f"{self._target} has no spec.fleet, and so no clusters to show: leave out --clusters")
        name = found.text("status", "fleet", "run")
        if not name:
            self.notes.append("no run over the fleet has begun yet, so no cluster has a place in one")
            return
        target = Target(Kind.FLEET_RUN, self._target.namespace, name)
        with explaining("get", target, f"get on {resource(Kind.FLEET_RUN)}"):
            self._fleet_runs.on_list([await self._session.cluster.get(target.kind, target.namespace, name)])

    async def _fetch_switches(self, kind: Kind) -> None:
        namespace = self._target.namespace if kind is Kind.KILL_SWITCH else ""
        try:
            self._switches[kind].on_list(list(await self._session.cluster.list(kind, namespace)))
        except (Forbidden, NotFound) as error:
            del self._switches[kind]
            self.notes.append(f"{kind}es are not shown: {error}")

    async def _fetch_namespace(self) -> None:
        """Its labels decide which ClusterKillSwitches cover it; who may not read them is shown those that might."""
        try:
            found = await self._session.cluster.get(Kind.NAMESPACE, "", self._target.namespace)
        except (Forbidden, NotFound):
            return
        self._namespace_labels = Fields(found).labels()

    def _found(self) -> Obj | None:
        return self._rollout.objects.get((self._target.namespace, self._target.name))

    def _fleet_run(self, found: Obj) -> Obj | None:
        name = Fields(found).text("status", "fleet", "run")
        return self._fleet_runs.objects.get((self._target.namespace, name))

    def detail(self) -> RolloutDetail:
        """What is known now."""
        found = self._found() or {}
        self._known |= known_revisions(found)  # what the status forgets while we look is still in a slot
        return rollout_detail(
            found,
            [switch for mirror in self._switches.values() for switch in mirror.objects.values()],
            namespace_labels=self._namespace_labels,
            known=self._known,
            fleet_run=self._fleet_run(found),
            now=self._session.clock.now(),
            program=self._program,
        )

    def text(self) -> str:
        """All of it, as asked for, with a newline at the end."""
        if self._output in {"json", "yaml"}:
            return encode(plain(self.detail()), self._output)
        if self._output == "name":
            return name_of(Kind.ROLLOUT, self._target.name) + "\n"
        return lay_out(self.detail(), wide=self._output == "wide", program=self._program) + "\n"

    async def follow(self) -> None:
        """Show changes until interrupted, or until the Rollout is deleted.

        Raises:
            Failure: it was deleted.
        """
        feeds = [self._session.feed(Kind.ROLLOUT, self._target.namespace, self._target.name, self._rollout)]
        for kind, mirror in self._switches.items():
            namespace = self._target.namespace if kind is Kind.KILL_SWITCH else ""
            feeds.append(self._session.feed(kind, namespace, "", mirror))
        if self._every:  # which one it is changes with each run
            feeds.append(self._session.feed(Kind.FLEET_RUN, self._target.namespace, "", self._fleet_runs))
        as_data = self._output in {"json", "yaml"}
        await follow(
            feeds,
            [self._rollout, self._fleet_runs, *self._switches.values()],
            page=None if as_data else lambda: self.text().rstrip("\n"),
            lines=self._changes(),
            ended=lambda: self._found() is None,
        )
        raise Failure(f"{self._target} was deleted", NOT_FOUND)

    def _changes(self) -> Callable[[], Sequence[str]]:
        """What is new since the last call: a document of the whole; or a line, and one for each cluster."""
        printed: Lines[str] = Lines()

        def changes() -> Sequence[str]:
            found = self._found()
            if found is None:
                return ()
            if self._output in {"json", "yaml"}:
                head = "---\n" if self._output == "yaml" else ""
                versions = [
                    Fields(each).text("metadata", "resourceVersion") for each in (found, self._fleet_run(found))
                ]
                return (head + self.text().rstrip("\n"),) if printed.fresh("", versions) else ()
            detail = self.detail()
            told = [("", one_line(detail)), *(fleet_page.lines(detail) if self._every else ())]
            return [line for key, line in told if printed.fresh(key, line)]

        return changes


def one_line(detail: RolloutDetail) -> str:
    """What a pipe is told of a change."""
    row = detail.row
    facts = [f"{row.namespace}/{row.name}", row.phase or "-", f"revision {row.revision or '-'}"]
    facts += [f"step {row.step}"] if row.step else []
    facts += [f"weight {row.weight}"] if row.weight else []
    facts += [f"batch {row.batch}"] if row.batch else []
    return "   ".join([*facts, row.message])


def lay_out(detail: RolloutDetail, *, wide: bool, program: str) -> str:
    """The page as text, without a newline at the end."""
    parts = [
        _head(detail),
        *fleet_page.lay_out(detail, program),
        _slots(detail, wide=wide),
        _approvals(detail),
        _metrics(detail, wide=wide),
        _switches(detail),
    ]
    parts += [_conditions(detail, wide=wide), _history(detail), _audit(detail)]
    return "\n\n".join(part for part in parts if part)


def _head(detail: RolloutDetail) -> str:
    row = detail.row
    step = f"step {row.step}" if row.step else ""
    astray = any((each.type, each.status) == (ConditionType.TRAFFIC_CONFIRMED, "False") for each in detail.conditions)
    known = "not confirmed" if detail.confirmation and astray else detail.confirmation
    weight = f"weight {row.weight}{f' ({known})' if known else ''}" if row.weight else ""
    revision = f"revision {row.revision}" if row.revision else ""
    outcome = f"{detail.outcome.lower()}" if detail.outcome else ""
    pods = f"pods {row.pods or '-'} (replicas {row.replicas})" if row.replicas else ""
    shown = [step, weight, pods] if detail.fleet is None else fleet_page.facts(detail)
    facts = [by_meaning(row.phase) or "-", row.strategy, " ".join((revision, outcome)).strip(), *shown]
    lines = [bold(f"Rollout {row.namespace}/{row.name}"), "   ".join(fact for fact in facts if fact)]
    if row.message:
        lines.append(row.message)
    if detail.behind:
        lines.append("The operator has not yet seen the newest change of the spec.")
    if detail.hint:
        lines.append(f"{bold('Next:')} {detail.hint}")
    return "\n".join(lines)


def _section(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> str:
    return render(columns, rows) if rows else ""


def _slots(detail: RolloutDetail, *, wide: bool) -> str:
    pods = any(slot.asked for slot in detail.slots)
    columns = ["SLOT", "ROLE", "SHARE", "REVISION", "VERSION", *(["PODS", "IDLE"] if pods else []), "SERVICE"]
    columns += ["HASH", *(["RESTARTED", "REPAIRS"] if pods else [])] if wide else []
    return _section([Column(title) for title in columns], [_slot(slot, pods=pods, wide=wide) for slot in detail.slots])


def _slot(slot: SlotLine, *, pods: bool, wide: bool) -> list[str]:
    cells = [slot.slot, slot.role, slot.share, slot.revision, slot.version or slot.hash]
    if pods:
        cells += [f"{slot.ready}/{slot.asked}" if slot.asked else "", slot.idle]
    cells.append(slot.service)
    if wide:
        cells += [slot.hash, *([slot.restarted, slot.repairs] if pods else [])]
    return cells


def _approvals(detail: RolloutDetail) -> str:
    columns = [Column(title) for title in ("APPROVAL", "GROUP", "APPROVED", "BY")]
    return _section(columns, [[one.point, one.group, one.count, one.approved] for one in detail.approvals])


def _metrics(detail: RolloutDetail, *, wide: bool) -> str:
    scoped = wide or detail.fleet is not None  # of a fleet, a batch and the whole may have metrics of one name
    columns = [Column("METRIC"), Column("PHASE", by_meaning)]
    columns += [Column(title) for title in ("VALUE", "BASELINE", "THRESHOLD", "MEASURED")]
    columns += [Column("SCOPE")] if scoped else []
    columns += [Column("PASSES"), Column("FAILURES")] if wide else []
    columns.append(Column("MESSAGE"))
    return _section(
        columns,
        [
            [
                metric.name,
                metric.phase,
                metric.value,
                metric.baseline,
                metric.threshold,
                metric.measured,
                *([metric.scope] if scoped else []),
                *([metric.passes, metric.failures] if wide else []),
                metric.message,
            ]
            for metric in detail.metrics
        ],
    )


def _switches(detail: RolloutDetail) -> str:
    columns = [Column("KILL SWITCH"), Column("STATE", by_meaning)]
    columns += [Column(title) for title in ("EFFECT", "SINCE", "BY", "REASON")]
    return _section(
        columns, [[row.title, row.state, row.effect, row.engaged, row.by, row.reason] for row in detail.switches]
    )


def _conditions(detail: RolloutDetail, *, wide: bool) -> str:
    """Without `wide`, a message that the head of the page tells already is left out."""
    columns = [Column(title) for title in ("CONDITION", "STATUS", "REASON", "SINCE", "MESSAGE")]
    told = "" if wide else detail.row.message
    return _section(
        columns,
        [
            [one.type, one.status, one.reason, one.age, "" if one.message in told else one.message]
            for one in detail.conditions
        ],
    )


def _history(detail: RolloutDetail) -> str:
    columns = [Column("RUN"), Column("OUTCOME", by_meaning)]
    columns += [Column(title) for title in ("VERSION", "SLOTS", "ENDED", "REASON", "MESSAGE")]
    return _section(
        columns,
        [
            [one.revision, one.outcome, one.version, one.slots, one.ended, one.reason, one.message]
            for one in detail.history
        ],
    )


def _audit(detail: RolloutDetail) -> str:
    columns = [Column(title) for title in ("AUDIT", "AGO", "STAGE", "ACTION", "ACTOR", "REASON", "MESSAGE")]
    return _section(
        columns,
        [[one.seq, one.age, one.stage, one.action, one.actor, one.reason, one.message] for one in detail.audit],
    )
