"""Services for callers that go past the routes: they select the stable slot, whatever the weights are. Pure."""

from __future__ import annotations

from sluice.api.conditions import Reason
from sluice.api.units import FULL
from sluice.decide.draft import Draft
from sluice.decide.model import Shift
from sluice.decide.patience import may_write


def lead(draft: Draft) -> None:
    """Point them to the stable slot, once it answers."""
    services = draft.observed.services
    if services is None or draft.observed.rival or draft.status.stable is None:
        return
    slot = draft.stable.slot
    for view in draft.observed.followers:
        if not view.found:
            draft.stall(Reason.SERVICE_MISSING, view.problem)
        elif view.owner and view.owner.rpartition("/")[0] != draft.owner.rpartition("/")[0]:
            draft.stall(Reason.ROUTE_CLAIMED, f"{view.ref} is moved by Rollout {view.owner.rpartition('/')[0]} already")
        elif view.shares and not view.at(slot, FULL) and draft.stable_answers and may_write(draft, str(view.ref), slot):
            cause = draft.cause("follow")
            draft.shifts.append(Shift(view, services, slot, FULL, grows=False, cause=cause, owner=draft.owner))
            message = f"{view.ref} selects {slot}, which is stable"
            draft.record("Intended", f"follow-{slot}", Reason.WEIGHT_CHANGED, message, cause=view.resource_version)
