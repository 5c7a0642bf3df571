"""The user's labels and annotations for stable and candidate pods, put on living pods as the roles change. Pure."""

from __future__ import annotations

from typing import Any

from sluice.api.names import Kind, Slot
from sluice.api.workload import RoleMetadata
from sluice.decide.draft import Draft
from sluice.decide.model import Patch
from sluice.decide.pods import PodView
from sluice.decide.pointer import pointer


def dress(draft: Draft) -> None:
    """Give every pod its role's metadata, and take the other role's away."""
    workload = draft.workload
    if workload is None:
        return
    roles = (workload.stable_metadata, workload.candidate_metadata)
    if roles == (RoleMetadata(), RoleMetadata()):
        return
    for slot in Slot:
        deployment = draft.deployment(slot)
        wanted, other = roles if slot is draft.stable.slot else reversed(roles)
        for pod in deployment.members if deployment is not None else ():
            operations = _changes(pod, wanted, other)
            if operations:
                test = {"op": "test", "path": "/metadata/uid", "value": pod.uid}
                draft.patches.append(Patch(Kind.POD, pod.name, (test, *operations)))


def _changes(pod: PodView, wanted: RoleMetadata, other: RoleMetadata) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for field, has, gets, gives_up in (
        ("labels", pod.labels, wanted.labels, other.labels),
        ("annotations", pod.annotations, wanted.annotations, other.annotations),
    ):
        missing = {key: value for key, value in gets.items() if has.get(key) != value}
        if missing and not has:
            found.append({"op": "add", "path": pointer("metadata", field), "value": missing})
        else:
            found += [
                {"op": "add", "path": pointer("metadata", field, key), "value": value} for key, value in missing.items()
            ]
        # Only what the other role would have put there: a pod of the template's own keeps its own.
        surplus = [key for key, value in gives_up.items() if key not in gets and has.get(key) == value]
        found += [{"op": "remove", "path": pointer("metadata", field, key)} for key in surplus]
    return found
