"""Letting go of a deleted Rollout: traffic returns to stable, then its objects are left to people, or removed. Pure."""

from __future__ import annotations

from sluice.api.conditions import Reason
from sluice.api.names import (
    APPLIED_ANNOTATION,
    CAUSE_ANNOTATION,
    HOLD_ANNOTATION,
    OWNER_ANNOTATION,
    REVISION_ANNOTATION,
    WEIGHTS_ANNOTATION,
    Kind,
    Slot,
)
from sluice.api.rollout import Outcome
from sluice.api.units import NONE
from sluice.decide import records
from sluice.decide.draft import Draft
from sluice.decide.followers import lead
from sluice.decide.model import FinalizerChange, Release, Removal
from sluice.decide.patience import may_write
from sluice.decide.report import report
from sluice.decide.slots import tend
from sluice.decide.steering import confirm, steer

MARKS = (
    APPLIED_ANNOTATION,
    CAUSE_ANNOTATION,
    HOLD_ANNOTATION,
    OWNER_ANNOTATION,
    REVISION_ANNOTATION,
    WEIGHTS_ANNOTATION,
)


def let_go(draft: Draft) -> None:
    """One pass over a Rollout that is being deleted; what cannot be returned is left where it is."""
    if not draft.observed.has_finalizer:
        return
    if draft.observed.namespace_terminating:
        draft.finalizer = FinalizerChange.REMOVE
        return
    if draft.status.stable is None or draft.observed.rival:
        # Nobody knows where to return to, or it is not ours to move: but no mark outlives the Rollout.
        _leave(draft)
        draft.finalizer = FinalizerChange.REMOVE
        return
    if draft.under_way:
        draft.end_run(Outcome.RETURNED, Reason.DELETED, "the Rollout was deleted; traffic returned to stable")
    confirm(draft)
    steer(draft)
    lead(draft)
    tend(draft)
    readable = any(target.shares for target in draft.observed.targets)
    stable: Slot = draft.stable.slot
    if draft.status.confirmation is not None or not readable or draft.observed.slots[stable].ready_endpoints == NONE:
        draft.applies.clear()
        _leave(draft)
        draft.finalizer = FinalizerChange.REMOVE
    records.mend(draft)
    report(draft)


def let_drop(draft: Draft) -> None:
    """What the spec names no more is not kept as it is any longer: its share, selector or size is its owner's again."""
    for marked in draft.observed.dropped:
        if may_write(draft, f"{marked.kind} {draft.observed.ref.namespace}/{marked.name}", "released"):
            _end(draft, marked.kind, marked.name, marked.uid, removes=False)


def _leave(draft: Draft) -> None:
    """Take Sluice's marks off what stays, so that nothing keeps its weights and selectors as they are any longer."""
    spec, seen = draft.observed.spec, draft.observed
    removes = spec is not None and spec.on_delete == "Remove" and draft.workload is not None
    for slot in Slot:
        view = seen.slots[slot]
        kept, deployment = view.kept, view.deployment
        if kept is not None and kept.owner == draft.owner:
            _end(draft, Kind.SERVICE, view.service, kept.uid, removes=removes)
        if deployment is not None and deployment.owner == draft.owner:
            _end(draft, Kind.DEPLOYMENT, deployment.name, deployment.uid, removes=removes)
    previewed = (seen.preview,) if seen.preview is not None else ()
    for target in (*seen.targets, *seen.followers, *previewed):
        if target.found and target.owner == draft.owner:
            _end(draft, target.ref.kind, target.ref.name, target.uid, removes=False)
    if seen.source is not None and seen.source.owner == draft.owner:
        _end(draft, Kind.DEPLOYMENT, seen.source.name, seen.source.uid, removes=False)
    for marked in seen.dropped:
        _end(draft, marked.kind, marked.name, marked.uid, removes=False)


def _end(draft: Draft, kind: Kind, name: str, uid: str, *, removes: bool) -> None:
    if removes:
        draft.removals.append(Removal(kind, name, uid))
    else:
        draft.releases.append(Release(kind, name, uid, MARKS))
