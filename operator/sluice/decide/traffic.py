"""Which slot may get requests, and how many pods that takes. Pure.

What cannot be read counts as traffic: nothing is ever taken away on a guess (I2).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sluice.api.names import Slot
from sluice.api.outcome import Outcome
from sluice.api.rollout import Confirmation
from sluice.api.run import RolloutRunSpec
from sluice.api.units import FULL, NONE, BasisPoints
from sluice.api.workload import CanarySize, Workload
from sluice.decide.draft import Draft
from sluice.decide.model import SwitchView
from sluice.decide.rendering import revision_in
from sluice.decide.returning import stable_bears
from sluice.decide.sizing import candidate_pods, pods_for
from sluice.decide.switches import diverting, stopping


def may_serve(draft: Draft, slot: Slot) -> bool:
    """Whether a request may still reach the slot, or is meant to."""
    if slot is draft.stable.slot or (draft.under_way and draft.intended > NONE):
        return True
    if draft.status.confirmation is not Confirmation.ACCEPTED:
        return True
    carrying = [*draft.observed.targets, *draft.observed.followers]
    return any(view.found and (not view.shares or view.dark or view.share(slot) > NONE) for view in carrying)


def drained_at(draft: Draft, workload: Workload, slot: Slot) -> datetime | None:
    """When the last request that was under way in a slot has had its time; None while it may still get new ones."""
    entry = draft.status.slots.get(slot)
    return entry.idle_since + workload.drain if entry is not None and entry.idle_since is not None else None


def stable_pods(draft: Draft, workload: Workload) -> int:
    """Pods of the stable slot: all, but in a run with `dynamicStable` no more than its share needs.

    It shrinks only once the lower share is accepted, and never to nothing: what goes wrong returns to it.
    """
    capacity, run = workload.replicas, draft.run_spec
    if run is None or not run.dynamic_stable or not draft.observed.targets or draft.observed.followers:
        return capacity
    left = min(draft.intended, *(target.least(draft.candidate) for target in draft.observed.targets))
    needed = max(min(1, capacity), pods_for(capacity, FULL - left))
    entry = draft.status.slots.get(draft.stable.slot)
    if draft.status.confirmation is not Confirmation.ACCEPTED and entry is not None:
        return max(needed, min(entry.replicas, capacity))
    return needed


def candidate_size(draft: Draft, run: RolloutRunSpec) -> CanarySize:
    """The size that the run has reached: the run's own, or the last setCanaryScale step's."""
    return _reached(draft, run)[-1][1]


def _reached(draft: Draft, run: RolloutRunSpec) -> list[tuple[BasisPoints, CanarySize]]:
    """The greatest share so far and the size, at the beginning of the run and after each step up to the present one."""
    share, size = NONE, run.canary_size
    found = [(share, size)]
    for step in run.steps[: draft.status.step.index if draft.status.step else 0]:
        share, size = max(share, step.share or NONE), step.size or size
        found.append((share, size))
    return found


def needed_pods(draft: Draft, workload: Workload, run: RolloutRunSpec) -> int:
    """Pods that must be ready before the candidate gets the share that is sought, or meant already."""
    return candidate_pods(workload.replicas, max(draft.sought, draft.intended), candidate_size(draft, run))


def wanted_pods(draft: Draft, workload: Workload, run: RolloutRunSpec) -> int:
    """Pods of the candidate of a run under way: for the greatest share that it has, had or seeks in this run.

    A step to a smaller size takes none of the pods that this share needs by weight, if the candidate had them before.
    """
    given = max((target.share(draft.candidate) for target in draft.observed.targets), default=NONE)
    # More pods would get more of the traffic that no weight governs.
    sought = NONE if draft.observed.slots[draft.candidate].exposed_by else draft.sought
    share = max(draft.status.sized_for or NONE, draft.intended, sought, given)
    draft.update(sized_for=share)
    capacity = workload.replicas
    had = max((candidate_pods(capacity, each, size) for each, size in _reached(draft, run) if each > NONE), default=0)
    wanted = candidate_pods(capacity, share, candidate_size(draft, run))
    return max(wanted, min(had, pods_for(capacity, share)))


def ready_pods(draft: Draft, slot: Slot, revision_hash: str) -> int:
    """Pods of a slot that are available, are in its Service's endpoints, and all of one revision; else 0."""
    view, deployment = draft.observed.slots[slot], draft.deployment(slot)
    if deployment is None or not deployment.rolled or revision_in(deployment.template) != revision_hash:
        return 0
    return min(deployment.available, view.ready_endpoints)


def stopped_by(draft: Draft) -> Sequence[SwitchView]:
    """The switches that stop what is under way, strictest first; all that cover it, where nothing is."""
    return stopping(draft.observed.switches, draft.status.under_way, led=draft.observed.led)


def forcing(draft: Draft) -> SwitchView | None:
    """The switch that returns the traffic to stable even where that cannot take it; None where none does.

    What a run completed is no candidate's any more, and no switch's.
    """
    switch, revision = diverting(stopped_by(draft)), draft.status.revision
    if switch is None or not switch.forced_by or revision is None:
        return None
    return switch if revision.outcome is not None and revision.outcome is not Outcome.COMPLETED else None


def stable_takes(draft: Draft) -> BasisPoints:
    """The share that stable can take now. Less than all only while a run with `dynamicStable` is left, or just was."""
    run, ready = draft.run_spec or (draft.run.spec if draft.run else None), draft.observed.slots
    bears = stable_bears(
        draft.workload,
        run,
        stable=ready[draft.stable.slot].ready_endpoints,
        candidate=ready[draft.candidate].ready_endpoints,
    )
    if draft.under_way or run is None or bears == NONE:
        return bears
    completed = draft.status.revision is not None and draft.status.revision.outcome is Outcome.COMPLETED
    ended = draft.status.history[-1].ended_at if draft.status.history else None
    # A stable that does not come up again is no reason to leave traffic on what was aborted.
    late = ended is not None and draft.now - ended > run.progress_deadline
    return FULL if completed or late else bears
