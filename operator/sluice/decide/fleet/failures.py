"""How the audit tells of clusters that failed: each by itself, or by its name alone where they are many at once. Pure.

What one pass tells is stored by one write of the status, which can't hold an entry for each of a hundred clusters.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

from sluice.api.conditions import Reason
from sluice.api.rollout import Audit, RolloutStatus
from sluice.decide.audit import MAX_MESSAGE, SEALED_BYTES, SEALED_ENTRIES, Telling, append, entry_id, has
from sluice.decide.draft import SYSTEM
from sluice.decide.texts import one_line

ACTION = "cluster-failed"
_REASON_CHARACTERS = 64
_FRAME = len("of 99999 clusters that failed at once: , and 99999 more")


def with_failures(status: RolloutStatus, uid: str, failed: Mapping[str, tuple[str, str]], now: datetime) -> Audit:
    """The audit with what there is to tell of them. What it tells already of one of them is not told again.

    Args:
        status: of the Rollout, in the run in which they failed.
        uid: of the Rollout.
        failed: by name, the reason and the message, in the order in which they failed.
        now: the time.
    """
    number = status.fleet.revision.number if status.fleet is not None and status.fleet.revision is not None else 0
    own = {name: entry_id(uid, number, "", ACTION, name) for name in failed}
    new = {name: why for name, why in failed.items() if not has(status.audit, own[name])}
    messages = {name: f"{name}: {message}"[:MAX_MESSAGE] for name, (_, message) in new.items()}
    size = sum(len(json.dumps(message)) for message in messages.values())
    if len(new) <= 1 or (len(new) <= SEALED_ENTRIES and size <= SEALED_BYTES):
        tellings = [_telling(own[name], message) for name, message in messages.items()]
    else:
        tellings = [_telling(entry_id(uid, number, message, ACTION), message) for message in _together(new)]
    audit = status.audit
    for telling in tellings:
        audit = append(audit, telling, now)
    return audit


def _telling(identity: str, message: str) -> Telling:
    return Telling(identity, "Observed", ACTION, SYSTEM, Reason.CLUSTER_FAILED, message)


def _together(failed: Mapping[str, tuple[str, str]]) -> list[str]:
    """Their names by reason, in as few messages as hold them, but no more than a segment has entries."""
    texts, named, last = [""], 0, None
    for name, (given, _) in sorted(failed.items(), key=lambda each: each[1][0]):
        reason = one_line(given, _REASON_CHARACTERS)
        text = f"{texts[-1]}, {name}" if reason == last else f"{texts[-1]}; {reason}: {name}".removeprefix("; ")
        if _FRAME + len(text) > MAX_MESSAGE:
            if len(texts) == SEALED_ENTRIES:
                texts[-1] += f", and {len(failed) - named} more"
                break
            texts.append("")
            text = f"{reason}: {name}"
        texts[-1], last, named = text, reason, named + 1
    return [f"of {len(failed)} clusters that failed at once: {text}" for text in texts]
