"""Foreign writes that were put back before that could be told. Pure.

What a kill or a drill takes is written first, and told afterwards; so is what puts a foreign write over it back. Where
the operator dies in between, the status knows nothing of it. So the write itself says, on its target, at which moments
foreign writes were put back that no entry tells of yet, and who looks next tells them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sluice.api.conditions import Reason
from sluice.api.outcome import Outcome
from sluice.api.rollout import Drift
from sluice.api.units import format_time, parse_time
from sluice.decide.draft import Draft
from sluice.decide.model import Cause, TargetView
from sluice.decide.switches import run_id

REPAIR = "repair"
_MOST = 8  # moments on one target; an API server that takes routes and no statuses for so long is told of less
_SEPARATOR = ","


def moments(cause: Cause | None, run: str, since: datetime | None, now: datetime) -> list[datetime]:
    """When foreign writes were put back, as a target says; oldest first. Anybody may have written what it says.

    Args:
        cause: the target's.
        run: `<rollout uid>/<revision number>`; what was put back for another one does not count.
        since: of the newest that is told; None for none.
        now: what is later is none.
    """
    if cause is None or cause.run != run:
        return []
    found = set[datetime]()
    for text in cause.repairs.split(_SEPARATOR)[:_MOST]:
        try:
            at = parse_time(text)
        except ValueError:
            continue
        if (since is None or at > since) and at <= now:
            found.add(at)
    return sorted(found)


def stamp(known: Iterable[datetime]) -> str:
    """What a write says on its target of what was put back before, or by it, and is not told; "" for nothing."""
    return _SEPARATOR.join(map(format_time, sorted(known)[-_MOST:]))


def hurried(draft: Draft) -> bool:
    """Whether what takes traffic back is written before the status."""
    revision = draft.status.revision
    return revision is not None and revision.outcome is Outcome.KILLED


def recall(draft: Draft) -> None:
    """Tell of what was put back after a kill, or in a drill, and not told."""
    if not hurried(draft) and draft.status.drilled is None:
        return
    for at, target in untold(draft):
        count = draft.status.drift.count if draft.status.drift else 0
        draft.update(confirmation=None, drift=Drift(count=count + 1, last_at=at))
        message = f"{target.ref} was changed by somebody else after a switch had diverted it; put back"
        draft.record("Intended", REPAIR, Reason.FOREIGN_WRITER, message, cause=repair_cause(at))
        draft.note(Reason.FOREIGN_WRITER, message, warning=True)


def stamped(draft: Draft) -> str:
    """What a write of this pass is to say, if it takes traffic back after a kill."""
    if not hurried(draft):
        return ""
    put_back = [draft.now] if draft.status.drift is not None else []
    return stamp({*(at for at, _ in untold(draft)), *put_back})


def untold(draft: Draft) -> list[tuple[datetime, TargetView]]:
    """The moments that the stored status does not tell of, each with a target that does; oldest first."""
    run, drift = run_id(draft.observed.ref.uid, draft.number), draft.observed.status.drift
    since = drift.last_at if drift is not None else None
    ours = [target for target in draft.observed.targets if target.owner == draft.owner]
    found = {at: target for target in ours for at in moments(target.cause, run, since, draft.now)}
    return sorted(found.items(), key=lambda each: each[0])


def repair_cause(at: datetime) -> str:
    """What tells one repair from another in the audit."""
    return format_time(at)
