"""What a Rollout over a fleet says of its batches and clusters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sluice.api.fleet import BatchStage, ClusterPhase
from sluice.decide.fleet.record import decode
from sluice.views.fields import UNKNOWN, Fields, clean
from sluice.views.moments import age

_NAME_MAX = 253


@dataclass(frozen=True, slots=True)
class BatchLine:
    """The batch that the run is in. All text; each of its clusters counts in one of the last four."""

    name: str
    place: str  # "2/3"
    stage: str  # Paused, Moving, Soaking or Closing
    since: str  # for how long it is in the stage
    total: str
    waiting: str
    moving: str
    done: str
    failed: str


@dataclass(frozen=True, slots=True)
class ClusterLine:
    """A cluster of the current or last run."""

    name: str
    batch: str  # "" where only the Rollout was read
    phase: str
    weight: str  # the candidate's share there
    since: str  # for how long it does not answer; "" where it does
    message: str


@dataclass(frozen=True, slots=True)
class FleetDetail:
    """A Rollout's fleet. `clusters` are those worth a look, or every one where the FleetRun was read."""

    ready: str  # clusters where something serves
    total: str
    stable: str  # the version
    run: str  # name of the FleetRun; "" before the first
    batch: BatchLine | None
    clusters: tuple[ClusterLine, ...]
    not_shown: int


def is_fleet(rollout: Fields) -> bool:
    """Whether it goes over a fleet."""
    return bool(rollout.at("spec", "fleet"))


def fleet_detail(rollout: Fields, run: Mapping[str, Any] | None, now: datetime) -> FleetDetail | None:
    """Read what a Rollout says of its fleet; None where it goes over none.

    Args:
        rollout: the Rollout.
        run: its current or last FleetRun, for every cluster; None for those worth a look.
        now: for ages.
    """
    if not is_fleet(rollout):
        return None
    fleet = rollout.at("status", "fleet")
    notable = {line.name: line for line in _notable(fleet, now)}
    every = tuple(_every(Fields(run), notable)) if run is not None else ()
    return FleetDetail(
        ready=fleet.count("ready"),
        total=fleet.count("total"),
        stable=fleet.text("stable", "version") or fleet.text("stable", "hash")[:10],
        run=fleet.text("run"),
        batch=_batch(fleet.at("batch"), now),
        clusters=every or tuple(notable.values()),
        not_shown=0 if every else fleet.whole("notShown") or 0,
    )


def batch_of(status: Fields) -> str:
    """Where the run is, such as "wave-1 2/3, 1 of 4 done", with the stage where that is not Moving; "" at rest."""
    at = status.at("fleet", "batch")
    if not at:
        return ""
    stage = at.text("stage") or UNKNOWN
    said = "" if stage == BatchStage.MOVING else f" {stage.lower()}"
    done, total = (at.count("clusters", field) or "0" for field in ("done", "total"))
    return f"{at.text('name') or UNKNOWN} {_place(at)}{said}, {done} of {total} done"


def clusters_of(status: Fields) -> str:
    """Clusters that serve, of those of the fleet; "" where it goes over none."""
    fleet = status.at("fleet")
    return f"{fleet.count('ready') or '0'}/{fleet.count('total') or '0'}" if fleet else ""


def lost_cluster(status: Fields) -> str:
    """A cluster that does not answer; "" where all do."""
    found = (each.text("name") for each in status.items("fleet", "clusters") if each.at("since"))
    return next(found, "")


def _place(at: Fields) -> str:
    return f"{at.count('index') or UNKNOWN}/{at.count('of') or UNKNOWN}"


def _batch(at: Fields, now: datetime) -> BatchLine | None:
    if not at:
        return None
    counts = at.at("clusters")
    return BatchLine(
        name=at.text("name") or UNKNOWN,
        place=_place(at),
        stage=at.text("stage") or UNKNOWN,
        since=age(at.moment("startedAt"), now),
        total=counts.count("total"),
        waiting=counts.count("waiting"),
        moving=counts.count("moving"),
        done=counts.count("done"),
        failed=counts.count("failed"),
    )


def _notable(fleet: Fields, now: datetime) -> Iterator[ClusterLine]:
    for each in fleet.items("clusters"):
        yield ClusterLine(
            name=each.text("name") or UNKNOWN,
            batch="",
            phase=each.text("phase") or UNKNOWN,
            weight=each.text("weight"),
            since=age(each.moment("since"), now),
            message=each.text("message"),
        )


def _every(run: Fields, notable: Mapping[str, ClusterLine]) -> Iterator[ClusterLine]:
    """Every cluster by the record. What the Rollout says of one is newer, unless the record is of another run."""
    why = {each.text("name"): each.text("message") for each in run.items("status", "failures")}
    records = {each.text("name"): each.at("clusters").value for each in run.items("status", "batches")}
    for batch in run.items("spec", "batches"):
        batch_name, names = batch.text("name"), _names(batch.at("clusters").value)
        phases = _phases(records.get(batch_name), len(names))
        for name, phase in zip(names, phases, strict=True):
            known = notable.get(name)
            yield ClusterLine(
                name=name,
                batch=batch_name,
                phase=known.phase if known is not None else phase,
                weight=known.weight if known is not None else "",
                since=known.since if known is not None else "",
                message=(known.message if known is not None else "") or why.get(name, ""),
            )


def _names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        return ()
    return tuple(clean(name, _NAME_MAX) if isinstance(name, str) else UNKNOWN for name in value)


def _phases(letters: object, count: int) -> tuple[str, ...]:
    if letters is None:
        return (ClusterPhase.WAITING.value,) * count
    try:
        return tuple(phase.value for phase in decode(letters if isinstance(letters, str) else "", count))
    except ValueError:
        return (UNKNOWN,) * count
