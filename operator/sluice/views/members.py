"""Member clusters as people read them: a line each, or one with its conditions and rights. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sluice.decide.rights import RIGHTS
from sluice.views.fields import Fields
from sluice.views.moments import age


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A member in a list. Every field is text; "" is absent."""

    name: str
    ready: str
    reason: str
    version: str
    weight: str
    server: str
    since: str  # for how long Ready has been what it is
    labels: str  # "env=prod,tier=pilot"
    age: str
    message: str


@dataclass(frozen=True, slots=True)
class ConditionRow:
    """One condition."""

    type: str
    status: str
    reason: str
    since: str
    message: str


@dataclass(frozen=True, slots=True)
class RightRow:
    """A resource, and for each verb that Sluice needs on it whether it has it: "yes", "no" or "?"."""

    resource: str
    verbs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class MemberDetail:
    """One member.

    `last_seen` is how long ago it last answered; "" while it does. `prometheus` is a URL, or "". `namespaces` are those
    whose Rollouts may come, as "shop, web, by labels"; "" for all.
    """

    row: MemberRow
    secret: str
    prometheus: str
    namespaces: str
    last_seen: str
    conditions: tuple[ConditionRow, ...]
    rights: tuple[RightRow, ...]


def member_row(member: Mapping[str, Any], now: datetime) -> MemberRow:
    """Read a MemberCluster."""
    fields = Fields(member)
    ready = _condition(fields, "Ready")
    return MemberRow(
        name=fields.text("metadata", "name"),
        ready=ready.text("status") or "Unknown",
        reason=ready.text("reason"),
        version=fields.text("status", "version"),
        weight=str(fields.whole("spec", "weight") or 1),
        server=fields.text("status", "server"),
        since=age(ready.moment("lastTransitionTime"), now),
        labels=",".join(f"{key}={value}" for key, value in sorted(fields.labels().items())),
        age=age(fields.moment("metadata", "creationTimestamp"), now),
        message=ready.text("message"),
    )


def member_detail(member: Mapping[str, Any], now: datetime) -> MemberDetail:
    """Read a MemberCluster, conditions and rights included."""
    fields = Fields(member)
    return MemberDetail(
        row=member_row(member, now),
        secret=fields.text("spec", "kubeconfigSecretRef", "name"),
        prometheus=fields.text("spec", "prometheus", "address"),
        namespaces=_namespaces(fields.at("spec", "allowedNamespaces")),
        last_seen=age(fields.moment("status", "lastSeenAt"), now),
        conditions=tuple(
            ConditionRow(
                each.text("type"),
                each.text("status"),
                each.text("reason"),
                age(each.moment("lastTransitionTime"), now),
                each.text("message"),
            )
            for each in fields.items("status", "conditions")
        ),
        rights=_rights(fields),
    )


def _namespaces(allowed: Fields) -> str:
    names = [each.text() for each in allowed.items("names")]
    return ", ".join([*names, *(["by labels"] if allowed.at("selector") else [])])


def _rights(fields: Fields) -> tuple[RightRow, ...]:
    """Yes and no by the list of those that are missing; "?" where the operator could not ask."""
    known = _condition(fields, "Authorized").text("status")
    missing = {each.text() for each in fields.items("status", "missingRights")}
    asked = known == "True" or bool(missing)
    found: dict[str, list[tuple[str, str]]] = {}
    for right in RIGHTS:
        verb, _, resource = str(right).partition(" ")
        told = "?" if not asked else "no" if str(right) in missing else "yes"
        found.setdefault(resource, []).append((verb, told))
    for other in sorted(missing - {str(right) for right in RIGHTS}):  # of an operator that needs more than we know
        verb, _, resource = other.partition(" ")
        found.setdefault(resource, []).append((verb, "no"))
    return tuple(RightRow(resource, tuple(verbs)) for resource, verbs in found.items())


def _condition(fields: Fields, kind: str) -> Fields:
    return next((each for each in fields.items("status", "conditions") if each.text("type") == kind), Fields(None))
