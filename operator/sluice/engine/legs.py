"""What a member tells of a Rollout's part there. Tolerant: a member's data may be anything, and harms only itself."""

from __future__ import annotations

import re
from typing import Any

from sluice.api.names import ORDER_ANNOTATION
from sluice.api.outcome import Outcome
from sluice.api.units import NONE, BasisPoints, parse_share
from sluice.decide.fleet.model import LegView
from sluice.decide.metadata import annotation_of, mapping, metadata_of, sequence
from sluice.decide.texts import one_line
from sluice.ports import Obj

_MESSAGE_CHARACTERS = 300
_WORD = re.compile(r"[-0-9A-Za-z]{1,64}")


def leg_of(part: Obj, trouble: str) -> LegView:
    """The part, from the MemberRollout.

    Of what it says before it has looked at the newest order, the run under way counts all the same: whether that is the
    one which was ordered, its FleetRun and its hash tell.
    """
    status = mapping(part.get("status"))
    stable, revision, step = (mapping(status.get(field)) for field in ("stable", "revision", "step"))
    outcome = _outcome(revision.get("outcome"))
    return LegView(
        order=_word(annotation_of(part, ORDER_ANNOTATION)),
        stable_hash=_word(stable.get("hash")),
        hash=_word(revision.get("hash")),
        fleet_run=_number(revision.get("fleetRun")),
        under_way=bool(revision) and "outcome" not in revision,
        outcome=outcome,
        reason=_word(revision.get("reason")),
        why=one_line(_text(revision.get("message"), 4 * _MESSAGE_CHARACTERS), _MESSAGE_CHARACTERS),
        step=_number(step.get("index")) or 0,
        step_done=step.get("done") is True,
        weight=_share(status.get("weight")),
        confirmed=status.get("confirmation") == "Accepted",
        up_to_date=_is_up_to_date(part, status),
        serves=any(
            mapping(each).get("type") == "Ready" and mapping(each).get("status") == "True"
            for each in sequence(status.get("conditions"))
        ),
        message=one_line(_text(status.get("message"), 4 * _MESSAGE_CHARACTERS), _MESSAGE_CHARACTERS),
        trouble=trouble,
        covered=bool(sequence(status.get("coveredBy"))),
    )


def _is_up_to_date(part: Obj, status: dict[str, Any]) -> bool:
    return (_number(status.get("observedGeneration")) or 0) >= (_number(metadata_of(part).get("generation")) or 0)


def _outcome(value: object) -> Outcome | None:
    try:
        return Outcome(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _word(value: object) -> str:
    """A hash or a Reason; what is neither is nothing."""
    return value if isinstance(value, str) and _WORD.fullmatch(value) else ""


def _text(value: object, characters: int) -> str:
    return value[:characters] if isinstance(value, str) else ""


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else None


def _share(value: object) -> BasisPoints:
    try:
        return parse_share(value)
    except ValueError:
        return NONE
