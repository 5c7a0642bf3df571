"""First sight of a Rollout: what serves is taken as stable. Pure.

It is read off the routes, and off the RolloutRuns that outlived an earlier Rollout of the name.
"""

from __future__ import annotations

from sluice.api.conditions import Reason
from sluice.api.names import Slot
from sluice.api.outcome import Outcome
from sluice.api.rollout import RolloutSpec, StableRevision
from sluice.decide import policies
from sluice.decide.draft import MAX_REJECTED, Draft
from sluice.decide.model import RunView
from sluice.decide.policies import Asked
from sluice.decide.rendering import revision_in
from sluice.decide.revision import Desired, desired_of, serving_slot
from sluice.decide.upkeep import is_taken


def adopt(draft: Draft, spec: RolloutSpec) -> bool:
    """Make sure that a stable revision is known.

    Returns:
        Whether one is; otherwise the draft is stalled with the reason.
    """
    if draft.status.stable is not None:
        return True
    desired = desired_of(spec, draft.observed.asked)
    if desired is None:
        asked = draft.observed.asked
        draft.stall(asked.problem_reason if asked else Reason.INVALID_SPEC, asked.problem if asked else "no template")
        return False
    if draft.workload is not None and any(is_taken(draft, slot) for slot in Slot):
        return False  # what is somebody else's is no version of this Rollout
    if draft.workload is not None and not draft.observed.runs and not any(map(draft.deployment, Slot)):
        return _begin(draft, desired)
    newest = draft.observed.runs[-1] if draft.observed.runs else None
    unfinished = newest if newest is not None and newest.status.outcome is None else None
    running = _running(draft)
    slot = serving_slot(draft.observed.targets, unfinished, even=running or desired.slot.other) or running
    if slot is None:
        problem = next((target for target in draft.observed.targets if target.problem_reason), None)
        draft.stall(
            problem.problem_reason if problem else Reason.ROUTE_MISSING,
            problem.problem if problem else "no route could be read",
        )
        return False
    stable = _stable(draft, slot, desired).model_copy(update={"since": draft.now})
    draft.update(stable=stable, rejected=_rejected(draft.observed.runs))
    message = "its Rollout, or the Rollout's status, was gone; traffic returned to stable"
    for run in draft.observed.runs:
        if run.status.outcome is None:
            draft.run_statuses[run.name] = run.status.ended(Outcome.RETURNED, Reason.RUN_LOST, message, draft.now)
    draft.note(Reason.ADOPTED, f"{slot} serves and is taken as stable")
    draft.record("Observed", "adopt", Reason.ADOPTED, f"{slot} is stable")
    return True


def _begin(draft: Draft, desired: Desired) -> bool:
    """A first version goes straight in: into the slot that the routes give more to already, if they name the slots.

    Returns:
        Whether it does; a RolloutPolicy that has a run wait has a first version wait, too.
    """
    held = policies.hold_beginning(draft.observed.policies, Asked(desired.hash, desired.version), draft.now)
    if held is not None:
        what = desired.version or desired.hash
        draft.hold(held.reason, f"first version {what} waits: {held.message}", until=held.until)
        return False
    slot = serving_slot(draft.observed.targets, None, even=Slot.BLUE) or Slot.BLUE
    draft.update(stable=StableRevision(slot=slot, hash=desired.hash, version=desired.version))
    message = f"first version {desired.version or desired.hash} goes straight into {slot}"
    draft.note(Reason.ADOPTED, message)
    draft.record("Observed", "adopt", Reason.ADOPTED, message)
    return True


def _running(draft: Draft) -> Slot | None:
    """The slot with more pods, where no route tells which one serves; None where Sluice runs no pods."""
    pods = {slot: view.available for slot in Slot if (view := draft.deployment(slot)) is not None}
    return max(pods, key=lambda slot: pods[slot], default=None)


def _stable(draft: Draft, slot: Slot, desired: Desired) -> StableRevision:
    """What is known of the version in the slot: from its Deployment, the last run with it, or else from the spec."""
    deployment = draft.deployment(slot)
    if draft.workload is not None and deployment is not None:
        return _adopted(draft, slot, revision_in(deployment.template))
    for run in reversed(draft.observed.runs):
        if run.status.outcome is Outcome.COMPLETED and run.spec.to_slot is slot:
            return StableRevision(slot=slot, hash=run.spec.hash, version=run.spec.version, number=run.spec.revision)
        if run.status.outcome is not Outcome.COMPLETED and run.spec.from_slot is slot:
            number = _number_of(draft.observed.runs, run.spec.stable_hash)
            return StableRevision(slot=slot, hash=run.spec.stable_hash, version=run.spec.stable_version, number=number)
    if slot is desired.slot:
        return StableRevision(slot=slot, hash=desired.hash, version=desired.version)
    return StableRevision(slot=slot, hash="")


def _adopted(draft: Draft, slot: Slot, revision_hash: str) -> StableRevision:
    """A slot that Sluice kept before: it has served, whatever became of the Rollout that had it."""
    runs = draft.observed.runs
    versions = [run.spec.version for run in runs if run.spec.hash == revision_hash]
    versions += [run.spec.stable_version for run in runs if run.spec.stable_hash == revision_hash]
    return StableRevision(
        slot=slot,
        hash=revision_hash,
        version=next(iter(versions), None),
        number=_number_of(runs, revision_hash),
        served_at=draft.now,
    )


def _number_of(runs: tuple[RunView, ...], revision_hash: str) -> int:
    """The number of the run that made a revision stable; 0 where none is known to have."""
    completed = [
        run.spec.revision for run in runs if run.spec.hash == revision_hash and run.status.outcome is Outcome.COMPLETED
    ]
    return max(completed, default=0)


def _rejected(runs: tuple[RunView, ...]) -> tuple[str, ...]:
    """The revisions whose newest run was aborted, killed or undone, the last rejected last."""
    rejected: dict[str, None] = {}
    for run in runs:
        rejected.pop(run.spec.hash, None)
        if run.status.outcome in {Outcome.ABORTED, Outcome.KILLED}:
            rejected[run.spec.hash] = None
        elif run.status.outcome is Outcome.COMPLETED and run.spec.cause == "Undo":
            rejected.pop(run.spec.stable_hash, None)
            rejected[run.spec.stable_hash] = None
    return tuple(rejected)[-MAX_REJECTED:]
