"""The audit chain in a Rollout's status. Pure.

The newest entries stay in the status; older ones are sealed in AuditSegments first, and then leave it.

Each entry's hash covers the hash before it, so that no entry can be changed, dropped or moved without it being seen.
An entry is known by what it tells (Rollout, revision, cause, action) and its stage, so that a crash between two writes
never tells it twice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sluice.api.rollout import Audit, AuditEntry
from sluice.api.units import format_time

# What a status keeps; whatever is beyond is sealed, and then leaves.
MAX_ENTRIES = 32
MAX_BYTES = 16 * 1024
# What it keeps at most, where that can't be sealed. Nothing that is told in one pass can be: it is not stored before.
HELD_ENTRIES = 64
HELD_BYTES = 32 * 1024
# What one segment holds.
SEALED_ENTRIES = 8
SEALED_BYTES = 4 * 1024
MAX_MESSAGE = 512


def entry_id(rollout_uid: str, revision: int, cause: str, action: str, cluster: str = "") -> str:
    """The identity of what an entry tells.

    Args:
        rollout_uid: of the Rollout.
        revision: the run's number; 0 where there is none.
        cause: uid of the object that caused it (a RolloutAction, an engagement of a switch), or "".
        action: such as `step-3` or `divert`.
        cluster: the member; "" is this cluster.
    """
    return hashlib.sha256("\0".join((rollout_uid, str(revision), cause, action, cluster)).encode()).hexdigest()[:16]


def has(audit: Audit, identity: str, stage: str | None = None) -> bool:
    """Whether the kept tail already tells it."""
    return any(entry.id == identity and stage in {None, entry.stage} for entry in audit.entries)


def chain_hash(before: str, entry: AuditEntry) -> str:
    """SHA-256 over the hash before it and the entry's canonical JSON without `hash`."""
    body = entry.model_dump(mode="json", by_alias=True, exclude={"hash"})
    return hashlib.sha256((before + json.dumps(body, sort_keys=True, separators=(",", ":"))).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Telling:
    """What an entry is to say. `actor` is a user's name as the API server stamped it, or "sluice"."""

    identity: str
    stage: Literal["Intended", "Observed"]
    action: str
    actor: str
    reason: str
    message: str


def append(audit: Audit, telling: Telling, at: datetime) -> Audit:
    """The chain with one more entry; unchanged where the entry is already told."""
    if has(audit, telling.identity, telling.stage):
        return audit
    draft = AuditEntry(
        seq=audit.seq + 1,
        id=telling.identity,
        stage=telling.stage,
        action=telling.action,
        actor=telling.actor[:253],
        reason=telling.reason,
        message=telling.message[:MAX_MESSAGE],
        at=at,
        hash="",
    )
    entry = draft.model_copy(update={"hash": chain_hash(audit.head, draft)})
    return Audit(seq=entry.seq, head=entry.hash, entries=(*audit.entries, entry))


def held(audit: Audit) -> Audit:
    """The chain without the oldest entries that a status can't hold: only for what could not be sealed."""
    kept = audit.entries[-HELD_ENTRIES:]
    sizes = [_size(entry) for entry in kept]
    while len(kept) > 1 and sum(sizes) > HELD_BYTES:
        kept, sizes = kept[1:], sizes[1:]
    return audit if len(kept) == len(audit.entries) else audit.model_copy(update={"entries": kept})


def is_much(entries: Iterable[AuditEntry]) -> bool:
    """Whether what can wait for another pass should: a status has to hold what one pass tells."""
    sizes = [_size(entry) for entry in entries]
    return len(sizes) >= SEALED_ENTRIES or sum(sizes) >= SEALED_BYTES


def _size(entry: AuditEntry) -> int:
    return len(json.dumps(entry.dump()))


def overflows(audit: Audit) -> bool:
    """Whether there is more than a status is to keep."""
    entries = audit.entries
    return len(entries) > MAX_ENTRIES or (len(entries) > 1 and sum(map(_size, entries)) > MAX_BYTES)


def next_sealed(audit: Audit, stored: int) -> tuple[AuditEntry, ...]:
    """The oldest entries, as many as one segment holds.

    Args:
        audit: the chain's tail.
        stored: the number of the last entry that is in the stored status. What comes after it may be decided anew
            after a crash, and told at another time; so it isn't sealed yet.
    """
    entries, size = list[AuditEntry](), 0
    for entry in audit.entries[:SEALED_ENTRIES]:
        size += _size(entry)
        if entry.seq > stored or (entries and size > SEALED_BYTES):
            break
        entries.append(entry)
    return tuple(entries)


def trimmed(audit: Audit, sealed_to: int) -> Audit:
    """The chain without what is sealed."""
    return audit.model_copy(update={"entries": tuple(entry for entry in audit.entries if entry.seq > sealed_to)})


def broken_at(audit: Audit) -> int | None:
    """The `seq` of the first kept entry that does not continue the one before it; None where the tail is whole.

    The oldest kept entry's predecessor may be gone; then its own hash can't be checked, nor can anything before it.
    """
    last = audit.entries[-1] if audit.entries else None
    before = (0, "") if audit.entries and audit.entries[0].seq == 1 else None
    for entry in audit.entries:
        if before is not None and (entry.seq != before[0] + 1 or entry.hash != chain_hash(before[1], entry)):
            return entry.seq
        before = (entry.seq, entry.hash)
    if (last.seq, last.hash) != (audit.seq, audit.head) if last else (audit.seq, audit.head) != (0, ""):
        return audit.seq
    return None


def timestamp(at: datetime) -> str:
    """How a time stands in causes and entries."""
    return format_time(at)
