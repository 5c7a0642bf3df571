"""The two slots of a Rollout: who is in them, what share they have, and, where Sluice runs them, their pods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sluice.api.names import Slot
from sluice.api.outcome import Outcome
from sluice.api.units import FULL, format_share, parse_share
from sluice.views.fields import UNKNOWN, Fields
from sluice.views.moments import age
from sluice.views.rows import is_managed, running

_REJECTED = frozenset({Outcome.ABORTED, Outcome.KILLED})


@dataclass(frozen=True, slots=True)
class SlotLine:
    """One of the two slots. What is told of pods is "" where others run them, or where there never were any."""

    slot: str
    role: str  # "stable", "candidate", "rejected" (aborted or killed, kept for a look), "old" or "idle" (never used)
    service: str
    revision: str  # the number of the run that brought it in; "" where none did
    version: str
    hash: str
    share: str  # intended, of the traffic
    ready: str  # pods that count as ready
    asked: str  # pods asked for
    idle: str  # how long it has surely had no traffic
    restarted: str  # how long ago its pods were asked to be replaced
    repairs: str  # how often somebody else's write to its Deployment was put back


@dataclass(frozen=True, slots=True)
class Known:
    """What people call a revision."""

    number: str
    version: str


def known_revisions(rollout: Mapping[str, Any]) -> dict[str, Known]:
    """The revisions that a Rollout's status speaks of, by hash."""
    status = Fields(rollout).at("status")
    mentioned = [*status.items("history"), status.at("revision"), status.at("stable")]
    return {one.text("hash"): _known(one, "number", "version") for one in mentioned if one.text("hash")}


def revisions_of_run(run: Mapping[str, Any]) -> dict[str, Known]:
    """The two revisions that a RolloutRun speaks of, by hash: the status forgets what served before the first run."""
    spec = Fields(run).at("spec")
    found = {
        spec.text("stableHash"): Known("", spec.text("stableVersion")),
        spec.text("hash"): _known(spec, "revision", "version"),
    }
    return {revision_hash: known for revision_hash, known in found.items() if revision_hash}


def _known(fields: Fields, number: str, version: str) -> Known:
    return Known("" if fields.whole(number) == 0 else fields.count(number), fields.text(version))


def slot_line(rollout: Fields, slot: Slot, known: Mapping[str, Known], now: datetime) -> SlotLine:
    """Read a slot.

    Args:
        rollout: the Rollout.
        slot: which.
        known: revisions by hash, for what the slot runs.
        now: for ages.
    """
    status = rollout.at("status")
    role, revision_hash = _role(status, slot)
    found = known.get(revision_hash, Known("", ""))
    pods = status.at("slots", slot.value)
    return SlotLine(
        slot=slot.value,
        role=role,
        service=_service(rollout, slot),
        revision=found.number,
        version=found.version,
        hash=revision_hash[:10],
        share=_share(status, slot, role),
        ready=pods.count("ready") or ("0" if pods else ""),
        asked=pods.count("replicas"),
        idle=age(pods.moment("idleSince"), now),
        restarted=age(pods.moment("restartedAt"), now),
        repairs=pods.count("repairs"),
    )


def _role(status: Fields, slot: Slot) -> tuple[str, str]:
    """The slot's role, and the hash of the revision in it; "" where that is not known."""
    under_way, pods = running(status), status.at("slots", slot.value)
    if status.text("stable", "slot") == slot:
        return "stable", status.text("stable", "hash")
    candidate = status.text("revision", "hash")
    if status.text("revision", "slot") == slot and (under_way or status.text("revision", "outcome") in _REJECTED):
        return "candidate" if under_way else "rejected", candidate
    return ("old", pods.text("hash")) if pods else ("idle", "")


def _service(rollout: Fields, slot: Slot) -> str:
    if is_managed(rollout):
        return f"{rollout.text('metadata', 'name')}-{slot}"
    return rollout.text("spec", "workload", "services", slot.value)


def _share(status: Fields, slot: Slot, role: str) -> str:
    """The intended share of a slot: `weight` is that of the slot that the current or last run went to."""
    of_run, weight = status.text("revision", "slot"), status.share("weight")
    if not of_run or not weight:
        return format_share(FULL) if role == "stable" else ""
    if slot == of_run or weight == UNKNOWN:
        return weight
    return format_share(FULL - parse_share(weight))
