"""Whether a route's controllers took its current generation, as its status tells."""

from __future__ import annotations

from typing import Any

from sluice.decide.metadata import mapping, sequence
from sluice.decide.model import Acceptance
from sluice.ports import Obj

_MESSAGE_CHARACTERS = 300
_NEEDED = ("Accepted", "ResolvedRefs")
_FORBIDDEN = "PartiallyInvalid"  # some rules are dropped or as they were before: the weights may be among them


def assess_acceptance(route: Obj) -> tuple[Acceptance, str]:
    """The acceptance by every parent of the spec, and the words of one that refuses. Pure.

    A condition about another generation says nothing. Two controllers may report on one parent (one of them long gone):
    it is accepted when one of them took it and none refuses.
    """
    generation = mapping(route.get("metadata")).get("generation")
    namespace = str(mapping(route.get("metadata")).get("namespace") or "")
    parents = [mapping(parent) for parent in sequence(mapping(route.get("spec")).get("parentRefs"))]
    if not parents:
        return Acceptance.REFUSED, "the route has no parentRefs, so no gateway serves it"
    reports = [mapping(report) for report in sequence(mapping(route.get("status")).get("parents"))]
    verdicts = []
    for parent in parents:
        wanted = _identity(parent, namespace)
        own = [report for report in reports if _identity(mapping(report.get("parentRef")), namespace) == wanted]
        verdicts.append(_of_parent([_of_report(report, generation) for report in own]))
    for verdict, message in verdicts:
        if verdict is Acceptance.REFUSED:
            return verdict, message
    if all(verdict is Acceptance.ACCEPTED for verdict, _ in verdicts):
        return Acceptance.ACCEPTED, ""
    return Acceptance.PENDING, ""


def _identity(parent: dict[str, Any], namespace: str) -> tuple[Any, ...]:
    """A parentRef with the API's defaults filled in."""
    return (
        parent.get("group", "gateway.networking.k8s.io"),
        parent.get("kind", "Gateway"),
        parent.get("namespace") or namespace,
        parent.get("name"),
        parent.get("sectionName") or "",
        parent.get("port") or 0,
    )


def _of_parent(verdicts: list[tuple[Acceptance, str]]) -> tuple[Acceptance, str]:
    for wanted in (Acceptance.REFUSED, Acceptance.ACCEPTED):
        for verdict, message in verdicts:
            if verdict is wanted:
                return verdict, message
    return Acceptance.PENDING, ""


def _of_report(report: dict[str, Any], generation: object) -> tuple[Acceptance, str]:
    current = {
        condition.get("type"): condition
        for condition in map(mapping, sequence(report.get("conditions")))
        if condition.get("observedGeneration") == generation
    }
    for kind, bad in (*((needed, "False") for needed in _NEEDED), (_FORBIDDEN, "True")):
        condition = current.get(kind, {})
        if condition.get("status") == bad:
            parent = mapping(report.get("parentRef")).get("name")
            words = " ".join(str(condition.get("message") or condition.get("reason") or "").split())
            controller = str(report.get("controllerName") or "its controller")[:128]
            return Acceptance.REFUSED, f"{controller} for {parent}: {kind} is {bad}: {words}"[:_MESSAGE_CHARACTERS]
    if all(current.get(kind, {}).get("status") == "True" for kind in _NEEDED):
        return Acceptance.ACCEPTED, ""
    return Acceptance.PENDING, ""
