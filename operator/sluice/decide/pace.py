"""A run that a hub leads: no status makes it go further than the hub lets it. Pure.

The status is our own memory, but it lies in a cluster whose data may have been mended by hand, or restored from a
backup. What the hub ordered is in the spec, next to it.
"""

from __future__ import annotations

from sluice.api.rollout import StepStatus
from sluice.api.units import NONE
from sluice.decide.draft import Draft


def keep_pace(draft: Draft) -> None:
    """Take back what the status claims beyond the hub's pace: the step, and the candidate's share."""
    spec, run, revision, at = draft.observed.spec, draft.run_spec, draft.status.revision, draft.status.step
    if spec is None or spec.pace is None or run is None or revision is None or at is None:
        return
    if revision.fleet_run != spec.pace.run:
        return  # the hub speaks of another run already, which following the spec will see
    reached = run.steps[: spec.pace.up_to]
    if at.index > len(reached):
        step = reached[-1] if reached else None
        last = None if step is None else StepStatus(index=len(reached), of=at.of, kind=step.kind, started_at=draft.now)
        draft.update(step=last, confirmation=None, waiting=None, next_transition_at=None)
    most = max((step.share or NONE for step in reached if step.kind == "setWeight"), default=NONE)
    if draft.intended > most:
        draft.update(weight=most, confirmation=None)
