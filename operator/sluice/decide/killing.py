"""How kill switches end runs. Pure.

The kill path writes weights by the caches, before any pass: a run may have ended by the time its kill arrives. What
the kill wrote onto the targets tells.
"""

from __future__ import annotations

from sluice.api.conditions import Reason
from sluice.api.outcome import Outcome
from sluice.api.rollout import HistoryEntry, Revision, StableRevision
from sluice.api.units import FULL
from sluice.decide.draft import Draft
from sluice.decide.gates import broken_glass
from sluice.decide.model import Cause, RunView
from sluice.decide.returning import why_diverted
from sluice.decide.switches import diverting, rolling_back, run_id, title_of
from sluice.decide.traffic import stable_takes, stopped_by


def obey_switches(draft: Draft) -> None:
    """A Divert ends the run of an exposed candidate, also one that was released before this pass saw it."""
    _reopen(draft)
    if not draft.under_way or not (draft.exposed or draft.status.drilled):
        return
    switch = diverting(stopped_by(draft))
    if switch is not None:
        message = f"killed by {switch}, engaged by {switch.actor}: {why_diverted(switch, stable_takes(draft))}"
        message += _removed(draft)
        draft.end_run(Outcome.KILLED, Reason.KILLED_BY_SWITCH, message, actor=switch.actor)
        return
    stamp = _stamp(draft)
    if stamp is not None:
        message = f"killed by {title_of(stamp.switch)}, engaged by {stamp.actor}: {stamp.reason}"
        draft.end_run(Outcome.KILLED, Reason.KILLED_BY_SWITCH, message, actor=stamp.actor)


def obey_glass(draft: Draft) -> None:
    """A hold that a person wrote onto a route acts as an engaged Divert."""
    text = broken_glass(draft)
    if text and draft.under_way and draft.exposed:
        draft.end_run(Outcome.KILLED, Reason.HELD_BY_HAND, f"killed by hand: {text}")


def _reopen(draft: Draft) -> None:
    """A run that was completed while its kill was on its way is under way again, at all weight: it is to be killed.

    Else its weight, which the kill took, would be given back to it as to what is stable.
    """
    revision, run = draft.status.revision, draft.run
    if revision is None or run is None or revision.outcome is not Outcome.COMPLETED or _stamp(draft) is None:
        return
    before = _stable_before(draft, revision, run)
    if before is None:
        return
    under_way = revision.model_copy(update={"outcome": None, "reason": "", "message": ""})
    others = tuple(entry for entry in draft.status.history if not _is_completion(entry, revision))
    draft.update(revision=under_way, stable=before, weight=FULL, history=others)


def _stable_before(draft: Draft, revision: Revision, run: RunView) -> StableRevision | None:
    """What the run began from; None where something else is stable by now."""
    if (draft.stable.slot, draft.stable.number) != (revision.slot, revision.number):
        return None
    spec, made_by = run.spec, 0
    for entry in draft.status.history:
        if (entry.hash, entry.outcome) == (spec.stable_hash, Outcome.COMPLETED) and entry.number < revision.number:
            made_by = entry.number
    return StableRevision(
        slot=spec.from_slot, hash=spec.stable_hash, version=spec.stable_version, number=made_by, since=draft.now
    )


def _is_completion(entry: HistoryEntry, revision: Revision) -> bool:
    return (entry.number, entry.outcome) == (revision.number, Outcome.COMPLETED)


def _stamp(draft: Draft) -> Cause | None:
    """What the kill path wrote onto a target of the current or last run."""
    run = run_id(draft.observed.ref.uid, draft.number)
    causes = (target.cause for target in draft.observed.targets)
    diverts = (cause for cause in causes if cause and cause.switch and (cause.run, cause.action) == (run, "divert"))
    return next(diverts, None)


def _removed(draft: Draft) -> str:
    """What a Rollback switch does further about the candidate, for the end of a message."""
    if rolling_back(draft.observed.switches) is None:
        return ""
    if draft.workload is None:
        return f"; the pods of {draft.service(draft.candidate)} are not Sluice's to remove"
    return f"; the pods of {draft.workload_of(draft.candidate)} go once they are drained"
