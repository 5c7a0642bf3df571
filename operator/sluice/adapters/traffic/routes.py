"""HTTPRoutes and GRPCRoutes: shares are the weights of the two slots' Services in every rule that names both."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sluice.adapters.traffic.acceptance import assess_acceptance
from sluice.adapters.traffic.annotations import hold_of, stamp
from sluice.adapters.traffic.cause import parse_cause
from sluice.adapters.traffic.shifting import Shifter
from sluice.api.conditions import Reason
from sluice.api.names import CAUSE_ANNOTATION, WEIGHTS_ANNOTATION, Slot
from sluice.api.units import FULL, BasisPoints
from sluice.api.workload import SlotServices
from sluice.decide.metadata import annotation_of, annotations_of, mapping, owner_of, sequence, writer_of
from sluice.decide.model import Shift, TargetRef, TargetView
from sluice.errors import Rejected
from sluice.ports import Cluster, Guard, Lane, Obj, Reader

_TOTALS = (100, 1000, 10_000)
_NAMES_SHOWN = 5
# Weights that are all 0 are a share of neither slot: every request gets an error. The view says so (`dark`); its share
# reads as half, so that nobody takes the candidate for unexposed.
_NEITHER: BasisPoints = FULL // 2
_PIN = re.compile(r"([a-z0-9-]{1,63})=([0-9]{1,7})(?:,|$)")
_PINS_CHARACTERS = 200  # more than two Services take


@dataclass(frozen=True, slots=True)
class _Backend:
    """A backendRef: its path in the document, and its content."""

    path: str
    content: dict[str, Any]

    @property
    def weight(self) -> int:
        """As the data plane reads it: 1 where it is left out."""
        weight = self.content.get("weight", 1)
        return weight if isinstance(weight, int) and weight >= 0 else 0


@dataclass(frozen=True, slots=True)
class _Rule:
    """A rule that names both slots' Services; `others` are the names of further backends, `elsewhere` their weight."""

    index: int
    backends: dict[Slot, list[_Backend]]
    others: tuple[str, ...]
    elsewhere: int

    def weight(self, slot: Slot) -> int:
        """The weight of all of a slot's backends."""
        return sum(backend.weight for backend in self.backends[slot])

    @property
    def aside(self) -> bool:
        """Whether neither slot has any weight, for all goes to further backends: before a cut-over to the slots."""
        return self.elsewhere > 0 and not any(self.weight(slot) for slot in Slot)

    @property
    def dark(self) -> bool:
        """Whether nothing has any weight."""
        return self.elsewhere == 0 and not any(self.weight(slot) for slot in Slot)


class RouteRouter:
    """Implements `ports.TrafficRouter` for Gateway API routes of the core kinds.

    Args:
        reader: the caches.
        cluster: where the routes are.
    """

    def __init__(self, reader: Reader, cluster: Cluster) -> None:
        self._reader = reader
        self._shifter = Shifter(reader, cluster, shift_operations)

    def observe(self, ref: TargetRef, services: SlotServices) -> TargetView:
        """What the cache knows of the route."""
        route = self._reader.get(ref.kind, ref.namespace, ref.name)
        if route is None:
            return TargetView(
                ref=ref,
                found=False,
                problem_reason=Reason.ROUTE_MISSING,
                problem=f"{ref} does not exist. Create it, or correct the Rollout's spec.traffic",
            )
        return view_of(ref, route, services)

    async def shift(self, shift: Shift, *, lane: Lane = Lane.NORMAL, guard: Guard | None = None) -> Obj:
        """Write the share into every rule that names both Services, in one patch."""
        return await self._shifter.write(shift, lane=lane, guard=guard)


def view_of(ref: TargetRef, route: Obj, services: SlotServices) -> TargetView:
    """A route as the core sees it. Pure.

    A rule that has further backends is a problem, but it has shares as well: a kill must still find what to take away.
    """
    metadata = mapping(route.get("metadata"))
    rules = _rules_of(route, services)
    problem = _problem_of(ref, rules, services)
    acceptance, message = assess_acceptance(route)
    return TargetView(
        ref=ref,
        found=True,
        uid=str(metadata.get("uid") or ""),
        generation=metadata.get("generation") or 0,
        resource_version=str(metadata.get("resourceVersion") or ""),
        shares=tuple(_green_share(rule) for rule in rules),
        written=_written_share(route, services),
        acceptance=acceptance,
        acceptance_message=message,
        problem_reason=Reason.ROUTE_UNSUITABLE if problem else "",
        problem=problem,
        owner=owner_of(route),
        cause=parse_cause(annotations_of(route).get(CAUSE_ANNOTATION)),
        writer=writer_of(route),
        hold=hold_of(route),
        dark=any(rule.dark for rule in rules),
    )


def shift_operations(route: Obj, shift: Shift) -> list[Obj]:
    """The JSON Patch for a shift: first what it rests on, then what it writes. Pure.

    A reduction rests on the identity of the route and of the backends alone: a controller that writes status, or a
    person who changes something else, does not hold it up. It is written even where a third backend has been added.

    Raises:
        Rejected: no rule names both Services; or the shift grows, and the route has another problem.
    """
    rules = _rules_of(route, shift.services)
    problem = _problem_of(shift.target.ref, rules, shift.services)
    if problem and (shift.grows or not rules):
        raise Rejected(problem)
    weights = weights_for(shift.slot, shift.share)
    pins = {WEIGHTS_ANNOTATION: ",".join(f"{shift.services.of(slot)}={weights[slot]}" for slot in Slot)}
    return [*_tests(route, rules, shift), *_writes(rules, weights), *stamp(route, shift, pins)]


def weights_for(slot: Slot, share: BasisPoints) -> dict[Slot, int]:
    """The weights of both slots, with the smallest total that is exact. Pure.

    >>> weights_for(Slot.GREEN, 2500) == {Slot.GREEN: 25, Slot.BLUE: 75}
    True
    >>> weights_for(Slot.GREEN, 5) == {Slot.GREEN: 5, Slot.BLUE: 9995}
    True
    """
    total = next(total for total in _TOTALS if share * total % FULL == 0)
    own = share * total // FULL
    return {slot: own, slot.other: total - own}


def _rules_of(route: Obj, services: SlotServices) -> list[_Rule]:
    found = []
    namespace = mapping(route.get("metadata")).get("namespace")
    for index, rule in enumerate(sequence(mapping(route.get("spec")).get("rules"))):
        slots: dict[Slot, list[_Backend]] = {slot: [] for slot in Slot}
        others, elsewhere = [], 0
        for position, content in enumerate(map(mapping, sequence(mapping(rule).get("backendRefs")))):
            slot = _slot_of(content, services, namespace)
            if slot is None:
                others.append(f"{content.get('kind', 'Service')} {content.get('name')}"[:128])
                elsewhere += _Backend("", content).weight
            else:
                slots[slot].append(_Backend(f"/spec/rules/{index}/backendRefs/{position}", content))
        if all(slots.values()):
            found.append(_Rule(index, slots, tuple(others), elsewhere))
    return found


def _slot_of(backend: dict[str, Any], services: SlotServices, namespace: object) -> Slot | None:
    if backend.get("kind", "Service") != "Service" or backend.get("group", "") != "":
        return None
    if backend.get("namespace", namespace) != namespace:
        return None
    return next((slot for slot in Slot if services.of(slot) == backend.get("name")), None)


def _problem_of(ref: TargetRef, rules: list[_Rule], services: SlotServices) -> str:
    if not rules:
        return (
            f"no rule of {ref} names both Service {services.blue} and Service {services.green} of its namespace "
            "among its backendRefs. Name both, with weights 100 and 0"
        )
    for rule in rules:
        if rule.others:
            names = ", ".join(rule.others[:_NAMES_SHOWN])
            return (
                f"rule {rule.index + 1} of {ref} also sends traffic to {names}, so the slots' shares would not be "
                f"shares of the whole. Give {names} a rule of its own"
            )
        if any(len(backends) > 1 for backends in rule.backends.values()):
            return f"rule {rule.index + 1} of {ref} names a slot's Service twice. Name each of the two once"
    return ""


def _green_share(rule: _Rule) -> BasisPoints:
    weights = {slot: rule.weight(slot) for slot in Slot}
    if not any(weights.values()):
        return 0 if rule.aside else _NEITHER
    return _share_of(weights)


def _written_share(route: Obj, services: SlotServices) -> BasisPoints | None:
    """Green's, by the weights that the route itself says were written last."""
    pins = dict(_PIN.findall(annotation_of(route, WEIGHTS_ANNOTATION)[:_PINS_CHARACTERS]))
    weights = {slot: int(pins.get(services.of(slot), 0)) for slot in Slot}
    return _share_of(weights) if any(weights.values()) else None


def _share_of(weights: Mapping[Slot, int]) -> BasisPoints:
    """Green's, of weights that are not both 0; rounded, but never to nothing or to all unless it is just that."""
    blue, green = weights[Slot.BLUE], weights[Slot.GREEN]
    if green == 0 or blue == 0:
        return FULL if green else 0
    return min(max(round(FULL * green / (blue + green)), 1), FULL - 1)


def _tests(route: Obj, rules: list[_Rule], shift: Shift) -> Iterator[Obj]:
    metadata = route["metadata"]
    yield _test("/metadata/uid", metadata["uid"])
    if shift.grows:
        yield _test("/metadata/resourceVersion", metadata["resourceVersion"])
    for rule in rules:
        for backend in (backend for backends in rule.backends.values() for backend in backends):
            yield _test(f"{backend.path}/name", backend.content["name"])
            if shift.grows and "weight" in backend.content:
                yield _test(f"{backend.path}/weight", backend.content["weight"])


def _writes(rules: list[_Rule], weights: dict[Slot, int]) -> Iterator[Obj]:
    for rule in rules:
        for slot, backends in rule.backends.items():
            for position, backend in enumerate(backends):
                # A second backend of one slot (a reduction may meet one) gets nothing: the first has the share.
                yield {"op": "add", "path": f"{backend.path}/weight", "value": 0 if position else weights[slot]}


def _test(path: str, value: object) -> Obj:
    return {"op": "test", "path": path, "value": value}
