"""The Deployment that `workloadRef` names: its own pods end once the slots serve what they served. Pure."""

from __future__ import annotations

from typing import Any

from sluice.api.conditions import Reason
from sluice.api.names import OWNER_ANNOTATION, Kind
from sluice.api.rollout import Confirmation
from sluice.decide.draft import Draft
from sluice.decide.model import Patch
from sluice.decide.patience import may_write
from sluice.decide.pods import DeploymentView


def retire(draft: Draft) -> None:
    """Scale it to zero, after everything has left it and what was under way has had its time (I2)."""
    workload, source = draft.workload, draft.observed.source
    if workload is None or workload.workload_ref is None or source is None or source.deleting:
        return
    if workload.workload_ref.scale_down == "Never" or source.replicas == 0:
        draft.update(source_idle_since=None)
        return
    if not _left(draft, source):
        draft.update(source_idle_since=None)
        return
    since = draft.status.source_idle_since or draft.now
    draft.update(source_idle_since=since)
    due = since + workload.drain
    draft.wake(due)
    if draft.now < due:
        return
    where = f"Deployment {draft.observed.ref.namespace}/{source.name}"
    if not may_write(draft, where, "no pods"):
        return
    draft.patches.append(Patch(Kind.DEPLOYMENT, source.name, _scale_to_zero(draft, source)))
    message = (
        f"{where} has no traffic any more: its {source.replicas} pods end, its template stays the one that is asked for"
    )
    draft.note(Reason.ADOPTED, message)
    draft.record("Intended", "retire", Reason.ADOPTED, message, cause=f"{source.uid}/{source.generation}")


def _left(draft: Draft, source: DeploymentView) -> bool:
    """Whether the stable slot serves in its place, and nothing selects its pods any more."""
    stable = draft.stable.slot
    selecting = set(draft.observed.source_selected_by)
    carrying = [*draft.observed.targets, *draft.observed.followers]
    moved = {view.ref.name for view in carrying if view.ref.kind is Kind.SERVICE and view.found and not view.problem}
    deployment = draft.deployment(stable)
    ready = min(deployment.available, draft.observed.slots[stable].ready_endpoints) if deployment is not None else 0
    return (
        not (selecting - moved)
        and all(view.found and view.shares and not view.problem for view in carrying)
        and draft.status.confirmation is Confirmation.ACCEPTED
        and source.owner in {"", draft.owner}
        and 0 < min(source.replicas, draft.workload.replicas if draft.workload else 0) <= ready
    )


def _scale_to_zero(draft: Draft, source: DeploymentView) -> tuple[dict[str, Any], ...]:
    key = OWNER_ANNOTATION.replace("/", "~1")
    return (
        {"op": "test", "path": "/metadata/uid", "value": source.uid},
        {"op": "replace", "path": "/spec/replicas", "value": 0},
        {"op": "add", "path": f"/metadata/annotations/{key}", "value": draft.owner},
    )
