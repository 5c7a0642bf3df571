"""One condition, as every kind's status tells it. Pure."""

from __future__ import annotations

from datetime import datetime

from sluice.api.conditions import Condition, ConditionType, Reason, Status
from sluice.decide.texts import CONDITION_BYTES, clip


def tell_condition(
    kind: ConditionType, status: Status, reason: Reason | str, message: str, *, generation: int, at: datetime
) -> Condition:
    """A condition whose message is cut to what a status bears.

    Args:
        kind: its type.
        status: True, False or Unknown.
        reason: in CamelCase.
        message: for people; "" where the reason says it all.
        generation: of the spec that was looked at.
        at: now. `merge_conditions` keeps the older time where the status is the same.
    """
    return Condition(
        type=kind,
        status=status,
        reason=str(reason),
        message=clip(message, CONDITION_BYTES),
        observed_generation=generation,
        last_transition_time=at,
    )
