"""RolloutRuns: that each tells how its run went, whatever crashed between the Rollout's status and its own. Pure."""

from __future__ import annotations

from sluice.api.conditions import Reason
from sluice.api.outcome import Outcome
from sluice.api.run import RolloutRunStatus
from sluice.decide.draft import Draft
from sluice.decide.model import RunView


def mend(draft: Draft) -> None:
    """Write again what a RolloutRun should say by the Rollout's status and does not.

    A run without an outcome would be taken for unfinished where the Rollout's status is lost, and is never cleaned up.
    """
    for run in draft.observed.runs:
        if run.status.outcome is None and run.name not in draft.run_statuses:
            status = _mended(draft, run)
            if status is not None:
                draft.run_statuses[run.name] = status


def _mended(draft: Draft, run: RunView) -> RolloutRunStatus | None:
    revision, step = draft.status.revision, draft.status.step
    if revision is None:
        return None
    if run.name == draft.status.run:
        if revision.outcome is not None:
            return run.status.ended(revision.outcome, revision.reason, revision.message, draft.now)
        if step is not None and run.status.step != step.index:
            return run.status.entered(step.index, draft.status.baselines, step.started_at)
        return None
    if run.spec.revision < revision.number:
        message = (
            "the operator stopped before this run began, or before its end was written; a later one took its place"
        )
        return run.status.ended(Outcome.RETURNED, Reason.RUN_LOST, message, draft.now)
    return None
