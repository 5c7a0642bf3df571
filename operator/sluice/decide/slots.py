"""What the Deployments and Services of the two slots shall be now. Pure.

The stable slot keeps its revision; the candidate slot takes a new one once nothing can reach it any more, has the pods
that its share needs, and goes to zero, with its template, when it has been idle for long enough.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sluice.api.conditions import Reason
from sluice.api.names import ROLLOUT_LABEL, Slot
from sluice.api.outcome import Outcome
from sluice.api.rollout import SlotStatus
from sluice.api.run import RolloutRunSpec
from sluice.api.units import JSON
from sluice.api.workload import Workload
from sluice.decide import rendering
from sluice.decide.budgets import Budgets
from sluice.decide.draft import Draft
from sluice.decide.model import Apply, SwitchView
from sluice.decide.pods import DeploymentView
from sluice.decide.rendering import Content
from sluice.decide.revision import template_of
from sluice.decide.switches import engagement, rolling_back
from sluice.decide.traffic import drained_at, may_serve, stable_pods, wanted_pods
from sluice.decide.upkeep import LOOK_AGAIN, is_taken, keep, place, upkeep_deployment, upkeep_service


def tend(draft: Draft) -> None:
    """Bring both slots to what they shall be; nothing where Sluice does not run the pods."""
    workload = draft.workload
    if workload is None:
        return
    if draft.unserved and draft.stable_answers:
        draft.update(stable=draft.stable.model_copy(update={"served_at": draft.now, "since": draft.now}))
    budgets = Budgets(draft.observed.budgets)
    for slot in Slot:
        if is_taken(draft, slot):
            continue
        _note_traffic(draft, slot)
        content = _content(draft, workload, slot, budgets)
        if content is not None:
            _miss(draft, slot)
            upkeep_deployment(draft, slot, content)
        _tend_service(draft, workload, slot, content)
    views = [view for slot in Slot if (view := draft.deployment(slot)) is not None]
    selector = f"{ROLLOUT_LABEL}={draft.observed.ref.name}"
    draft.update(replicas=sum(view.pods for view in views), selector=selector)


def trial_of(draft: Draft, workload: Workload, run: RolloutRunSpec) -> Apply:
    """The Deployment that a run would make, for the API server to look at before the run begins."""
    view = draft.deployment(run.to_slot)
    content = Content(run.hash, run.template or {}, replicas=0, min_ready_seconds=workload.min_ready_seconds)
    return place(draft, run.to_slot).deployment(content, uid=view.uid if view else "")


# --------------------------------------------------------------------------------------------- what it shall be


def _note_traffic(draft: Draft, slot: Slot) -> None:
    """Keep what is known of the slot, and since when no request can reach it."""
    view, entry = draft.deployment(slot), draft.status.slots.get(slot)
    if entry is None:
        if view is None:
            return
        entry = SlotStatus(hash=rendering.revision_in(view.template), replicas=view.replicas)
    idle_since = None if may_serve(draft, slot) else (entry.idle_since or draft.now)
    ready = max(0, view.available - view.former) if view else 0
    seen = {"pods": view.pods if view else 0, "ready": ready}
    keep(draft, slot, entry.model_copy(update={**seen, "idle_since": idle_since}))


def _miss(draft: Draft, slot: Slot) -> None:
    """Tell that a Deployment is gone which was seen as it should be; it is made anew in the same pass."""
    entry = draft.status.slots.get(slot)
    if entry is None or not entry.generation or draft.deployment(slot) is not None:
        return
    message = f"{draft.workload_of(slot)} was deleted"
    draft.note(Reason.FOREIGN_WRITER, f"{message}; made anew", warning=True)
    cause = f"deleted/{draft.now.isoformat()}"
    draft.record("Intended", f"repair-{slot}", Reason.FOREIGN_WRITER, message, cause=cause)


def _content(draft: Draft, workload: Workload, slot: Slot, budgets: Budgets) -> Content | None:
    """What the slot's Deployment shall run; None where there is nothing for it, or nothing is known."""
    entry, view = draft.status.slots.get(slot), draft.deployment(slot)
    revision_hash, replicas = _aim(draft, workload, slot, entry)
    if not revision_hash:
        return None
    there = view is not None and view.replicas and rendering.revision_in(view.template) == revision_hash
    if replicas and not there and not _has_served(draft, slot) and _exposed(draft, slot):
        replicas = 0
    template = template_of(draft.observed, revision_hash)
    if template is None:
        if slot is not draft.stable.slot and draft.run_spec is None:
            return None  # nobody asks for what was in there
        draft.stall(
            Reason.RUN_LOST,
            f"{draft.workload_of(slot)} and the RolloutRuns that kept the pod template of revision {revision_hash} are "
            "gone: bring it back by spec.workload",
        )
        return None
    if view is not None and replicas < view.replicas:
        replicas = _spare(draft, slot, view, replicas, budgets)
    return Content(
        revision_hash,
        template,
        replicas,
        min_ready_seconds=workload.min_ready_seconds,
        restarted_at=entry.restarted_at if entry else None,
        repairs=entry.repairs if entry else 0,
    )


def _aim(draft: Draft, workload: Workload, slot: Slot, entry: SlotStatus | None) -> tuple[str, int]:
    """The revision and the number of pods that the slot shall have; "" where it was never used."""
    run, view = draft.run_spec, draft.deployment(slot)
    if slot is draft.stable.slot:
        return draft.stable.hash, stable_pods(draft, workload)
    if run is not None:
        pods = wanted_pods(draft, workload, run)
        if view is None or rendering.revision_in(view.template) == run.hash or vacant(draft, workload, slot):
            return run.hash, pods
    if entry is None:
        return "", 0
    return entry.hash, _idle_pods(draft, workload, entry, view)


def vacant(draft: Draft, workload: Workload, slot: Slot) -> bool:
    """Whether the slot's pods may be replaced by those of another revision: there are none, or they are drained."""
    view = draft.deployment(slot)
    if view is None or (view.pods == 0 and view.replicas == 0):
        return True
    drained = drained_at(draft, workload, slot)
    if drained is None:
        return False
    draft.wake(drained)
    return draft.now >= drained


def _idle_pods(draft: Draft, workload: Workload, entry: SlotStatus, view: DeploymentView | None) -> int:
    """The old slot stays up for `scaleDownDelay`; what a kill switch stopped stays, so that people can look into it."""
    current, revision = entry.replicas, draft.status.revision
    if not current and view is not None and not view.pods:
        draft.record_seen("remove", Reason.CONFIRMED, f"revision {entry.hash} has no pods")
    there = view.replicas if view is not None else 0
    if entry.idle_since is None:
        return max(current, there)  # meant to go, but requests came back before it was written
    if not current and draft.now < entry.idle_since + workload.drain:
        return there  # meant to have none, but somebody started some, and led requests there
    if draft.under_way:
        return current
    failed = revision is not None and revision.outcome is not Outcome.COMPLETED and revision.hash == entry.hash
    switch = rolling_back(draft.observed.switches) if failed else None
    if switch is None and failed and revision is not None and revision.outcome is Outcome.KILLED:
        return current
    due = entry.idle_since + (workload.scale_down_delay if switch is None else workload.drain)
    draft.wake(due)
    if switch is not None and current and draft.now >= due:
        _tell_removal(draft, switch, entry)
    return 0 if draft.now >= due else current


def _tell_removal(draft: Draft, switch: SwitchView, entry: SlotStatus) -> None:
    """That a candidate's pods go; once for each run."""
    message = f"the pods of revision {draft.number}, {entry.hash}, go, drained: {engagement(switch)}"
    draft.record("Intended", "remove", Reason.KILLED_BY_SWITCH, message, actor=switch.actor)
    draft.note(Reason.KILLED_BY_SWITCH, message, warning=True)


def _spare(draft: Draft, slot: Slot, view: DeploymentView, replicas: int, budgets: Budgets) -> int:
    """As many pods fewer as the disruption budgets let go; pods that are not available are in nobody's budget."""
    leaving, budget = view.pods - view.replicas, budgets.tightest(slot)
    if leaving > 0 and budget:
        name = place(draft, slot).name
        message = f"PodDisruptionBudget {budget} is counted anew once {leaving} pods of {name} have gone"
        draft.hold(Reason.DISRUPTION_BUDGET, message)
        return view.replicas
    unavailable = max(0, view.replicas - view.available)
    spared = budgets.take(slot, max(0, view.replicas - replicas - unavailable))
    lowest = view.replicas - unavailable - spared.pods
    if lowest <= replicas:
        return replicas
    draft.hold(
        Reason.DISRUPTION_BUDGET,
        f"PodDisruptionBudget {spared.budget} keeps {lowest} pods of {place(draft, slot).name} up; "
        f"{replicas} are needed",
        until=draft.now + timedelta(seconds=5),
    )
    return lowest


def _has_served(draft: Draft, slot: Slot) -> bool:
    """Whether the slot had all of the traffic already: then it is not left without pods whoever else selects them."""
    return slot is draft.stable.slot and not draft.unserved


def _exposed(draft: Draft, slot: Slot) -> bool:
    """Whether pods of the slot would get traffic that no weight governs."""
    found = exposure(draft, slot)
    if not found:
        return False
    draft.stall(Reason.EXPOSED_OUTSIDE_WEIGHT, found)
    draft.wake(draft.now + LOOK_AGAIN)
    return True


def exposure(draft: Draft, slot: Slot) -> str:
    """What is wrong where a Service that nobody declared selects the slot's pods; "" where all is well."""
    names = draft.observed.slots[slot].exposed_by
    if not names:
        return ""
    return (
        f"Service {draft.observed.ref.namespace}/{names[0]} selects the pods of {place(draft, slot).name} by their "
        "labels, so they would get traffic that no weight governs. Declare it as spec.traffic.stableService, or change "
        "its selector"
    )


def _tend_service(draft: Draft, workload: Workload, slot: Slot, content: Content | None) -> None:
    """The ports are those of the pods that the slot has: another template, or target, is not for them."""
    asked, kept = draft.observed.asked, draft.observed.slots[slot].kept
    if content is not None:
        template: JSON | None = content.template
    else:
        template = asked.template if asked and not asked.problem else template_of(draft.observed, draft.stable.hash)
    if template is None:
        return
    ports = rendering.service_ports(workload, template)
    if content is not None and kept is not None and (asked is None or asked.hash != content.hash):
        ports = rendering.keeping_targets(ports, kept.ports)
    if ports:
        upkeep_service(draft, slot, ports)
        return
    message = "no container of the template declares a containerPort, so the Services of the slots would have no port"
    draft.stall(Reason.INVALID_SPEC, f"{message}: set spec.workload.ports")


def restart(draft: Draft, at: datetime) -> tuple[Slot, ...]:
    """Ask that the pods of every slot that has some be replaced. Returns the slots."""
    slots = tuple(slot for slot in Slot if (entry := draft.status.slots.get(slot)) is not None and entry.replicas)
    for slot in slots:
        keep(draft, slot, draft.status.slots[slot].model_copy(update={"restarted_at": at}))
    return slots
