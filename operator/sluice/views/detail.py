"""Everything about one Rollout that a person asks for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sluice.api.names import Slot
from sluice.views.approvals import ApprovalLine, approval_lines
from sluice.views.fields import UNKNOWN, Fields
from sluice.views.fleets import FleetDetail, fleet_detail
from sluice.views.hints import next_hint
from sluice.views.moments import age
from sluice.views.rows import RolloutRow, revision_of, rollout_row
from sluice.views.slots import Known, SlotLine, known_revisions, slot_line
from sluice.views.switches import SwitchRow, bearing_on

HISTORY_SHOWN = 5
AUDIT_SHOWN = 8


@dataclass(frozen=True, slots=True)
class MetricLine:
    """One metric's tally."""

    name: str
    scope: str  # "background" or "step-3"
    phase: str
    value: str
    baseline: str
    threshold: str
    passes: str
    failures: str
    measured: str  # how long ago
    message: str


@dataclass(frozen=True, slots=True)
class ConditionLine:
    """A condition."""

    type: str
    status: str
    reason: str
    age: str
    message: str


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """A run that ended."""

    revision: str
    version: str
    slots: str  # "blue → green"
    outcome: str
    reason: str
    ended: str  # how long ago
    message: str


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One audit entry."""

    seq: str
    age: str
    stage: str
    action: str
    actor: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class RolloutDetail:
    """A Rollout with all that explains it. Newest first in `history` and `audit`."""

    row: RolloutRow
    outcome: str  # of the current or last run; "" while under way
    requested: str  # the slot that the spec asks for; "" where it is for Sluice to choose
    confirmation: str
    behind: bool  # the operator has not yet seen the newest spec
    hint: str
    slots: tuple[SlotLine, ...]  # of a Rollout over a fleet none: those are in its clusters
    fleet: FleetDetail | None
    approvals: tuple[ApprovalLine, ...]
    metrics: tuple[MetricLine, ...]
    conditions: tuple[ConditionLine, ...]
    switches: tuple[SwitchRow, ...]
    history: tuple[HistoryLine, ...]
    audit: tuple[AuditLine, ...]


def rollout_detail(
    rollout: Mapping[str, Any],
    switches: Iterable[Mapping[str, Any]] = (),
    *,
    namespace_labels: Mapping[str, str] | None = None,
    known: Mapping[str, Known] | None = None,
    fleet_run: Mapping[str, Any] | None = None,
    now: datetime,
    program: str = "sluice",
) -> RolloutDetail:
    """Read a Rollout.

    Args:
        rollout: the Rollout.
        switches: KillSwitches of its namespace and all ClusterKillSwitches; those that do not cover it are left out.
        namespace_labels: see `bearing_on`.
        known: revisions by hash, for what slots run; those of the status need not be in it.
        fleet_run: the current or last FleetRun, for every cluster of a fleet; None for those worth a look.
        now: for ages and countdowns.
        program: what the reader types to call Sluice, for the hint.
    """
    fields = Fields(rollout)
    status = fields.at("status")
    named = {**(known or {}), **known_revisions(rollout)}
    fleet = fleet_detail(fields, fleet_run, now)
    engaged = bearing_on(rollout, switches, namespace_labels=namespace_labels, now=now)
    return RolloutDetail(
        row=rollout_row(rollout, now),
        outcome=revision_of(status).text("outcome"),
        requested=fields.text("spec", "workload", "active"),
        confirmation=status.text("confirmation"),
        behind=is_behind(fields),
        hint=next_hint(fields, engaged, now=now, program=program),
        slots=() if fleet is not None else tuple(slot_line(fields, slot, named, now) for slot in Slot),
        fleet=fleet,
        approvals=approval_lines(status, now),
        metrics=tuple(_metric_line(metric, now) for metric in status.items("metrics")),
        conditions=tuple(_condition_line(condition, now) for condition in status.items("conditions")),
        switches=engaged,
        history=tuple(_history_line(entry, now) for entry in reversed(status.tail(HISTORY_SHOWN, "history"))),
        audit=tuple(_audit_line(entry, now) for entry in reversed(status.tail(AUDIT_SHOWN, "audit", "entries"))),
    )


def is_behind(rollout: Fields) -> bool:
    """Whether the operator has not yet seen the newest spec."""
    generation, observed = rollout.whole("metadata", "generation"), rollout.whole("status", "observedGeneration")
    return generation is not None and (observed or 0) < generation


def _metric_line(metric: Fields, now: datetime) -> MetricLine:
    dry_run = " (dry run)" if metric.true("dryRun") else ""
    return MetricLine(
        name=(metric.text("name") or UNKNOWN) + dry_run,
        scope=metric.text("scope"),
        phase=metric.text("phase") or UNKNOWN,
        value=metric.number("value"),
        baseline=metric.number("baseline"),
        threshold=metric.text("threshold"),
        passes=metric.count("passes"),
        failures=metric.count("failures"),
        measured=age(metric.moment("measuredAt"), now),
        message=metric.text("message"),
    )


def _condition_line(condition: Fields, now: datetime) -> ConditionLine:
    return ConditionLine(
        type=condition.text("type") or UNKNOWN,
        status=condition.text("status") or UNKNOWN,
        reason=condition.text("reason"),
        age=age(condition.moment("lastTransitionTime"), now),
        message=condition.text("message"),
    )


def _history_line(entry: Fields, now: datetime) -> HistoryLine:
    return HistoryLine(
        revision=entry.count("number") or UNKNOWN,
        version=entry.text("version") or entry.text("hash")[:10],
        slots=f"{entry.text('fromSlot') or UNKNOWN} → {entry.text('toSlot') or UNKNOWN}",
        outcome=entry.text("outcome") or UNKNOWN,
        reason=entry.text("reason"),
        ended=age(entry.moment("endedAt"), now),
        message=entry.text("message"),
    )


def _audit_line(entry: Fields, now: datetime) -> AuditLine:
    return AuditLine(
        seq=entry.count("seq") or UNKNOWN,
        age=age(entry.moment("at"), now),
        stage=entry.text("stage"),
        action=entry.text("action"),
        actor=entry.text("actor"),
        reason=entry.text("reason"),
        message=entry.text("message"),
    )
