"""Keeping a slot's Deployment and Service as they shall be. Pure.

Whoever else writes the Deployment is seen by its generation, and that write is put back with growing patience, so that
two writers never fight in a tight loop.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from sluice.api.conditions import Reason
from sluice.api.names import Kind, Slot
from sluice.api.rollout import SlotStatus
from sluice.api.workload import ServicePort
from sluice.decide import rendering
from sluice.decide.draft import Draft
from sluice.decide.model import Patch
from sluice.decide.patience import FIGHT, MOST_SERVING, is_calm, may_write, patience
from sluice.decide.pods import DeploymentView
from sluice.decide.rendering import Content, Place
from sluice.decide.traffic import may_serve

LOOK_AGAIN = timedelta(seconds=30)


def place(draft: Draft, slot: Slot) -> Place:
    """Where a slot's objects are."""
    name = draft.observed.ref.name
    return Place(name, slot, f"{name}-{slot}", draft.owner)


def keep(draft: Draft, slot: Slot, entry: SlotStatus) -> None:
    """Take note of what a slot is meant to be."""
    draft.update(slots={**draft.status.slots, slot: entry})


def is_taken(draft: Draft, slot: Slot) -> bool:
    """Whether an object of the slot's name is somebody else's."""
    mine = rendering.selector_of(draft.observed.ref.name, slot)
    where, name = draft.observed.ref.namespace, place(draft, slot).name
    deployment, service = draft.deployment(slot), draft.observed.slots[slot].kept
    labels = ((deployment.template.get("metadata") or {}).get("labels") or {}) if deployment else mine
    for kind, known, owner in (
        ("Deployment", mine.items() <= labels.items(), deployment.owner if deployment else ""),
        (
            "Service",
            service is None or service.selector == mine or bool(service.owner) or service.labelled,
            service.owner if service else "",
        ),
    ):
        if not known or (owner and owner.rsplit("/", 1)[0] != draft.owner.rsplit("/", 1)[0]):
            draft.stall(
                Reason.NAME_TAKEN,
                f"{kind} {where}/{name} exists already and is not Sluice's: rename it, or the Rollout",
            )
            draft.wake(draft.now + LOOK_AGAIN)
            return True
    return False


def upkeep_service(draft: Draft, slot: Slot, ports: tuple[ServicePort, ...]) -> None:
    """See that the slot's Service is as it shall be, and stays so. Further ports are for others to add."""
    at, kept = place(draft, slot), draft.observed.slots[slot].kept
    write = at.service(ports, uid=kept.uid if kept else "", external=kept is not None and kept.external)
    applied = rendering.applied_of(write)
    wanted = (at.owner, rendering.selector_of(at.rollout, slot), applied, True, False)
    if kept is not None and (kept.owner, kept.selector, kept.applied, kept.labelled, kept.external) == wanted:
        there = {(port.port, port.protocol): port.dump().items() for port in kept.ports}
        if all(port.dump().items() <= there.get((port.port, port.protocol), {}.items()) for port in ports):
            return
    if may_write(draft, f"Service {draft.observed.ref.namespace}/{at.name}", applied):
        draft.applies.append(write)


def upkeep_deployment(draft: Draft, slot: Slot, content: Content) -> None:
    """See that the slot's Deployment is as it shall be, and stays so."""
    at, view = place(draft, slot), draft.deployment(slot)
    entry = draft.status.slots.get(slot) or SlotStatus(hash=content.hash, replicas=content.replicas)
    if entry.hash != content.hash:
        # Still idle: whatever becomes of this write, the slot need not be drained a second time.
        kept = {"repairs": entry.repairs, "idle_since": entry.idle_since}
        entry = SlotStatus(hash=content.hash, replicas=content.replicas).model_copy(update=kept)
        content = replace(content, restarted_at=None)
    write = at.deployment(content, uid=view.uid if view else "")
    applied = rendering.applied_of(write)
    meant = entry.model_copy(update={"replicas": content.replicas, "applied": applied})
    if view is not None and _is_foreign(view, content, entry, applied):
        _put_back(draft, slot, view, content, entry)
    elif view is None or view.applied != applied:
        draft.applies.append(write)
        keep(draft, slot, meant.model_copy(update={"generation": 0}))
    else:
        keep(draft, slot, meant.model_copy(update={"generation": view.generation}))


def _is_foreign(view: DeploymentView, content: Content, entry: SlotStatus, applied: str) -> bool:
    """Whether somebody else wrote the Deployment since it was seen as it shall be, or right after it was made so."""
    if entry.applied == applied and entry.generation:
        return view.generation != entry.generation
    as_applied = view.replicas == content.replicas and rendering.revision_in(view.template) == content.hash
    return view.applied == applied and not as_applied


def _put_back(draft: Draft, slot: Slot, view: DeploymentView, content: Content, entry: SlotStatus) -> None:
    """Somebody else changed the Deployment: apply it anew, at once or, where this goes on and on, after a while."""
    at, last = place(draft, slot), entry.repaired_at
    message = f"Deployment {draft.observed.ref.namespace}/{at.name} was changed by {view.writer or 'somebody else'}"
    calm = is_calm(last, draft.now)
    # Each repair has another number than the one before, also where they are counted anew.
    repairs = 1 if calm and entry.repairs != 1 else entry.repairs + 1
    if not calm and entry.repairs >= FIGHT:
        draft.stall(Reason.FOREIGN_WRITER, f"{message}, again and again; stop that writer")
    waits = timedelta(0) if calm else patience(repairs + 1)
    if view.replicas < content.replicas and may_serve(draft, slot):
        waits = min(waits, MOST_SERVING)
    if last is not None and timedelta(0) <= draft.now - last < waits:
        draft.wake(last + waits)
        return
    write = at.deployment(replace(content, repairs=repairs), uid=view.uid)
    draft.applies.append(write)
    # Server-side apply leaves what others have added, such as a container: only a replacement takes that away.
    draft.patches.append(
        Patch(
            Kind.DEPLOYMENT,
            at.name,
            (
                {"op": "test", "path": "/metadata/uid", "value": view.uid},
                {"op": "replace", "path": "/spec", "value": write.body["spec"]},
            ),
        )
    )
    draft.note(Reason.FOREIGN_WRITER, f"{message}; put back", warning=True)
    draft.record("Intended", f"repair-{slot}", Reason.FOREIGN_WRITER, message, cause=f"{view.uid}/{view.generation}")
    keep(
        draft,
        slot,
        entry.model_copy(
            update={
                "repairs": repairs,
                "repaired_at": draft.now,
                "applied": rendering.applied_of(write),
                "generation": 0,
            }
        ),
    )
