"""A plain Service that is switched from one slot to the other by its selector: all of the traffic, or none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sluice.adapters.traffic.annotations import hold_of, stamp
from sluice.adapters.traffic.cause import parse_cause
from sluice.adapters.traffic.shifting import Shifter
from sluice.api.conditions import Reason
from sluice.api.names import CAUSE_ANNOTATION, ROLLOUT_LABEL, SLOT_LABEL, Kind, Slot
from sluice.api.units import FULL, BasisPoints
from sluice.api.workload import SlotServices
from sluice.decide.metadata import annotations_of, mapping, owner_of, sequence, writer_of
from sluice.decide.model import Acceptance, Shift, TargetRef, TargetView
from sluice.decide.rendering import selector_of
from sluice.errors import Rejected
from sluice.ports import Cluster, Guard, Lane, Obj, Reader

# A selector that is no slot's gives an unknown share to each. Shown as half, it is seen as drift that a switch mends.
_NEITHER: BasisPoints = FULL // 2


class SelectorRouter:
    """Implements `ports.TrafficRouter` for Services.

    Args:
        reader: the caches.
        cluster: where the Services are.
    """

    def __init__(self, reader: Reader, cluster: Cluster) -> None:
        self._reader = reader
        self._shifter = Shifter(reader, cluster, self._operations)

    def observe(self, ref: TargetRef, services: SlotServices) -> TargetView:
        """What the caches know of the Service.

        One that selects neither slot, or whose other slot has no selector, has a problem *and* a share: it cannot be
        started from, but it can be put right.
        """
        service = self._reader.get(Kind.SERVICE, ref.namespace, ref.name)
        if service is None:
            return TargetView(
                ref=ref,
                found=False,
                all_or_nothing=True,
                problem_reason=Reason.ROUTE_MISSING,
                problem=f"{ref} does not exist. Create it, or correct the Rollout's spec.traffic",
            )
        view, active = _bare_view(ref, service), _selector_of(service)
        selectors = self._slot_selectors(ref.namespace, services)
        slot = next((slot for slot in Slot if selectors[slot] and selectors[slot] == active), None)
        problem = _problem_of(selectors, services)
        if problem:
            view = replace(view, problem_reason=Reason.ROUTE_UNSUITABLE, problem=f"{ref} cannot be switched: {problem}")
            if not _told_apart(selectors):
                return view
        elif slot is None:
            neither = (
                f"{ref} selects neither slot: its spec.selector is that of neither Service {services.blue} nor "
                f"Service {services.green}. Give it the selector of the one that shall serve"
            )
            view = replace(view, problem_reason=Reason.ROUTE_UNSUITABLE, problem=neither)
        if slot is None:
            return replace(view, shares=(_NEITHER,))
        accepted = self._endpoints_agree(ref, services.of(slot))
        return replace(
            view,
            shares=(FULL if slot is Slot.GREEN else 0,),
            acceptance=Acceptance.ACCEPTED if accepted else Acceptance.PENDING,
        )

    async def shift(self, shift: Shift, *, lane: Lane = Lane.NORMAL, guard: Guard | None = None) -> Obj:
        """Point the Service at the slot (share 100%), or at the other one (share 0)."""
        return await self._shifter.write(shift, lane=lane, guard=guard)

    def _operations(self, service: Obj, shift: Shift) -> list[Obj]:
        ref = shift.target.ref
        if shift.share not in (0, FULL):
            raise Rejected(f"{ref}: a Service's selector gives a slot all of the traffic or none, nothing between")
        slot = shift.slot if shift.share == FULL else shift.slot.other
        selectors = self._slot_selectors(ref.namespace, shift.services)
        # To take from the candidate needs no more than what selects stable.
        able = not shift.grows and selectors[slot] and _told_apart(selectors)
        if not able and (problem := _problem_of(selectors, shift.services)):
            raise Rejected(f"{ref} cannot be switched: {problem}")
        metadata = service["metadata"]
        operations: list[Obj] = [{"op": "test", "path": "/metadata/uid", "value": metadata["uid"]}]
        if shift.grows:
            version = metadata["resourceVersion"]
            operations.append({"op": "test", "path": "/metadata/resourceVersion", "value": version})
        operations.append({"op": "add", "path": "/spec/selector", "value": selectors[slot]})
        return [*operations, *stamp(service, shift)]

    def _slot_selectors(self, namespace: str, services: SlotServices) -> dict[Slot, dict[str, Any] | None]:
        """What selects each slot's pods; None where the slot has no Service."""
        found = {slot: self._reader.get(Kind.SERVICE, namespace, services.of(slot)) for slot in Slot}
        return {slot: None if service is None else _selecting(service, slot) for slot, service in found.items()}

    def _endpoints_agree(self, ref: TargetRef, slot_service: str) -> bool:
        """Whether the switch has come through: the Service has just the slot's ready endpoints, and there are some."""
        own = self._ready_addresses(ref.namespace, ref.name)
        return bool(own) and own == self._ready_addresses(ref.namespace, slot_service)

    def _ready_addresses(self, namespace: str, service: str) -> set[str]:
        return {
            str(address)
            for slice_ in self._reader.endpoint_slices(namespace, service)
            for endpoint in map(mapping, sequence(slice_.get("endpoints")))
            # Not told means ready, says the API.
            if mapping(endpoint.get("conditions")).get("ready") is not False
            for address in sequence(endpoint.get("addresses"))
        }


def _bare_view(ref: TargetRef, service: Obj) -> TargetView:
    metadata = mapping(service.get("metadata"))
    return TargetView(
        ref=ref,
        found=True,
        uid=str(metadata.get("uid") or ""),
        generation=metadata.get("generation") or 0,
        resource_version=str(metadata.get("resourceVersion") or ""),
        owner=owner_of(service),
        cause=parse_cause(annotations_of(service).get(CAUSE_ANNOTATION)),
        writer=writer_of(service),
        hold=hold_of(service),
        all_or_nothing=True,
    )


def _selecting(service: Obj, slot: Slot) -> dict[str, Any]:
    """Its selector; of a Service that Sluice keeps the one that it shall have, whatever somebody made of it."""
    labels = mapping(mapping(service.get("metadata")).get("labels"))
    if owner_of(service) and labels.get(ROLLOUT_LABEL) and labels.get(SLOT_LABEL) == slot:
        return selector_of(str(labels[ROLLOUT_LABEL]), slot)
    return _selector_of(service)


def _selector_of(service: Obj) -> dict[str, Any]:
    return mapping(mapping(service.get("spec")).get("selector"))


def _told_apart(selectors: dict[Slot, dict[str, Any] | None]) -> bool:
    """Whether at least one slot's pods are told from the other's."""
    return any(selectors.values()) and selectors[Slot.BLUE] != selectors[Slot.GREEN]


def _problem_of(selectors: dict[Slot, dict[str, Any] | None], services: SlotServices) -> str:
    for slot, selector in selectors.items():
        if selector is None:
            return f"Service {services.of(slot)} of slot {slot} does not exist. Create it"
        if not selector:
            return f"Service {services.of(slot)} of slot {slot} has no selector. Give it one that only its pods match"
    if selectors[Slot.BLUE] == selectors[Slot.GREEN]:
        both = f"Services {services.blue} and {services.green}"
        return f"{both} have the same selector. Tell the slots' pods apart by a label"
    return ""
