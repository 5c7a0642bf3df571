"""What people are told by a Warning, beside what the status says: that somebody has to act. Pure."""

from __future__ import annotations

from sluice.api.conditions import Condition, ConditionType, Reason, condition_of, is_true
from sluice.api.rollout import RolloutStatus
from sluice.decide.draft import Draft

# What may be so until a first version's Services and pods are made; told by the status alone as long as there are none.
_UNTIL_MADE = frozenset({Reason.ROUTE_REFUSED, Reason.ROUTE_UNSUITABLE, Reason.NO_HEALTHY_STABLE})


def is_news(status: RolloutStatus, reason: str, generation: int) -> bool:
    """Whether a status does not say yet that this generation is Stalled for that reason: then people are told."""
    known = condition_of(status.conditions, ConditionType.STALLED)
    return known is None or (known.reason, known.observed_generation) != (reason, generation)


def _comes_first(draft: Draft) -> bool:
    """Whether a first version comes up, or was just seen to serve: what it is switched by is switched now."""
    known = draft.observed.status.stable
    return draft.workload is not None and (known is None or (not known.number and known.served_at is None))


def warn(draft: Draft, ready: Condition) -> None:
    """Tell people by an Event, once, that somebody has to act, or that what serves does not answer any more."""
    status, stalled = draft.observed.status, draft.stalled
    if stalled is not None:
        noted = any(note.reason == stalled.reason for note in draft.notes)
        # Who tries a template out tells of its refusal itself.
        passing = stalled.reason is Reason.TEMPLATE_REFUSED or (_comes_first(draft) and stalled.reason in _UNTIL_MADE)
        if not (noted or passing) and is_news(status, stalled.reason, draft.observed.generation):
            draft.note(stalled.reason, stalled.message or stalled.reason, warning=True)
    elif ready.reason == Reason.NO_HEALTHY_STABLE and is_true(status.conditions, ConditionType.READY):
        draft.note(Reason.NO_HEALTHY_STABLE, ready.message, warning=True)
