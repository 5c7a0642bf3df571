"""What policies look at in a Rollout, whatever it holds."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sluice.api.conditions import ConditionType, Reason
from sluice.api.rollout import Queued, RolloutStatus
from sluice.api.units import parse_time
from sluice.decide.metadata import labels_of, mapping, sequence
from sluice.decide.policyview import Reference
from sluice.engine.store import Obj, key_of
from sluice.errors import InvalidSpec


class Standing(NamedTuple):
    """How a Rollout stands with the policies that cover it.

    Attributes:
        name: with its namespace.
        uid: its own.
        under_way: whether a run of it is, here or over a fleet.
        began_at: when its newest run began, under way or not.
        queued: since when it waits for a turn, and whose.
        held: whether it says that a policy holds it.
    """

    name: str
    uid: str
    under_way: bool
    began_at: datetime | None
    queued: Queued | None
    held: bool


def standing_of(rollout: Obj) -> Standing:
    """By what it says of itself."""
    return Standing(
        "/".join(key_of(rollout)),
        str(rollout["metadata"]["uid"]),
        is_under_way(rollout),
        _began_of(rollout),
        _queued(rollout),
        is_held(rollout),
    )


def reference_to(rollout: Obj) -> Reference:
    """What others look at that wait for it; a status that cannot be read counts as lost."""
    try:
        status = RolloutStatus.parse(rollout.get("status") or {}, "status")
    except InvalidSpec:
        status = RolloutStatus()
    return Reference.of("/".join(key_of(rollout)), status)


def is_held(rollout: Obj) -> bool:
    """Whether a Rollout says that a policy holds it."""
    conditions = map(mapping, sequence(mapping(rollout.get("status")).get("conditions")))
    told = ((each.get("type"), each.get("reason")) for each in conditions)
    return (ConditionType.PAUSED, Reason.HELD_BY_POLICY) in told


def is_under_way(rollout: Obj) -> bool:
    """Whether a run of it is under way, here or over a fleet."""
    return any(revision and not revision.get("outcome") for revision in _revisions(rollout))


def is_touched(before: Obj | None, after: Obj | None) -> bool:
    """Whether a change of a Rollout may mean anything to a policy."""
    return _seen(before) != _seen(after)


def _seen(rollout: Obj | None) -> tuple[object, ...] | None:
    if rollout is None:
        return None
    status = mapping(rollout.get("status"))
    fleet = mapping(status.get("fleet"))
    return (
        labels_of(rollout),
        status.get("queued"),
        status.get("phase"),
        is_under_way(rollout),
        status.get("stable"),
        fleet.get("stable"),
    )


def _began_of(rollout: Obj) -> datetime | None:
    times = [str(revision["startedAt"]) for revision in _revisions(rollout) if revision.get("startedAt")]
    try:
        return max(map(parse_time, times), default=None)
    except ValueError:
        return None


def _queued(rollout: Obj) -> Queued | None:
    given = mapping(rollout.get("status")).get("queued")
    try:
        return Queued.parse(given, "status.queued") if given else None
    except InvalidSpec:
        return None


def _revisions(rollout: Obj) -> list[Obj]:
    status = mapping(rollout.get("status"))
    return [mapping(each.get("revision")) for each in (status, mapping(status.get("fleet")))]
