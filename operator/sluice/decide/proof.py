"""Whether what is kept of an audit chain is whole, and where it is not. Pure.

A chain is kept in pieces: sealed segments, and the tail in the Rollout's status. Where both tell of the same entry (a
crash came between sealing and trimming), the segment is believed, and the tail is to say the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from pydantic import ValidationError

from sluice.api.audit import segment_name
from sluice.api.rollout import AuditEntry
from sluice.decide.audit import chain_hash
from sluice.decide.metadata import mapping

STATUS = "status"


class Fault(StrEnum):
    """What can be wrong with an entry, or with the place of one."""

    MISSING = "Missing"
    DOUBLED = "Doubled"
    MOVED = "Moved"
    CHANGED = "Changed"
    FORGED = "Forged"
    UNREADABLE = "Unreadable"
    FOREIGN = "Foreign"
    ENDS_WRONG = "EndsWrong"
    UNSIGNED = "Unsigned"
    SIGNED_WRONG = "SignedWrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        seq: the number of the entry; of the first one, where several in a row are concerned.
        where: the segment's name, or `status`.
        fault: what kind of wrong.
        message: a sentence for people.
    """

    seq: int
    where: str
    fault: Fault
    message: str


@dataclass(frozen=True, slots=True)
class Piece:
    """Entries as they stand in one place, in the order they stand there.

    Attributes:
        where: the segment's name, or `status`.
        sealed: whether it can't be changed any more.
        entries: those that can be read.
        last: the number of the last one, as the place itself says; 0 for none.
        head: that one's hash, likewise.
        findings: what could not be read.
    """

    where: str
    sealed: bool
    entries: tuple[AuditEntry, ...]
    last: int
    head: str
    findings: tuple[Finding, ...] = ()

    @classmethod
    def read(cls, where: str, value: Any, *, sealed: bool) -> Piece:
        """Read a chain's part from JSON, whatever somebody made of it.

        Args:
            where: as in `Piece`.
            value: with `entries`, `head`, and `last` (a segment) or `seq` (a status).
            sealed: as in `Piece`.
        """
        given = mapping(value)
        entries, findings = list[AuditEntry](), list[Finding]()
        listed = given.get("entries")
        for index, each in enumerate(listed if isinstance(listed, list) else ()):
            try:
                entries.append(AuditEntry.model_validate(each))
            except ValidationError:
                seq = each.get("seq") if isinstance(each, dict) else None
                number = seq if isinstance(seq, int) else (entries[-1].seq + 1 if entries else 0)
                text = f"what stands there at place {index + 1} is no entry that the operator writes"
                findings.append(Finding(number, where, Fault.UNREADABLE, text))
        last, head = given.get("last" if sealed else "seq"), given.get("head")
        return cls(
            where,
            sealed,
            tuple(entries),
            last if isinstance(last, int) else 0,
            head if isinstance(head, str) else "",
            tuple(findings),
        )

    @classmethod
    def of_segment(cls, obj: Any, uid: str) -> Piece:
        """A segment, as its object tells it.

        Args:
            obj: an AuditSegment.
            uid: of the Rollout whose chain is asked for.
        """
        given = mapping(obj)
        name, spec = str(mapping(given.get("metadata")).get("name")), mapping(given.get("spec"))
        piece = cls.read(name, spec, sealed=True)
        first = piece.entries[0].seq if piece.entries else 0
        if (mapping(spec.get("rollout")).get("uid"), spec.get("first"), name) == (uid, first, segment_name(uid, first)):
            return piece
        text = f"it is not the segment of this Rollout that begins with entry {first}, by its name or by what it says"
        return replace(piece, findings=(*piece.findings, Finding(first, name, Fault.FOREIGN, text)))


@dataclass(frozen=True, slots=True)
class Proof:
    """What was found.

    Attributes:
        entries: each number once, ascending; a segment's where it is told twice.
        places: of each of them: the segment's name, or `status`.
        anchored_to: up to this number all is there from the first entry on, unchanged and sealed; 0 for nothing.
        findings: by number; empty where all is well.
    """

    entries: tuple[AuditEntry, ...]
    places: tuple[str, ...]
    anchored_to: int
    findings: tuple[Finding, ...]

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    @property
    def last(self) -> int:
        """The newest entry's number; 0 where there is none."""
        return self.entries[-1].seq if self.entries else 0


def verify(pieces: Iterable[Piece]) -> Proof:
    """Check a chain: order, gaps, doubles, changes, and that every piece ends where it says.

    What is not found: a tail rewritten as a whole, hashes and all, by somebody who may write the status; and what a
    cluster's administrator deletes and makes anew. Signatures tell: see `decide.signatures`.

    Args:
        pieces: segments in any order, and the status' tail, if the Rollout is there.
    """
    placed = sorted(pieces, key=lambda piece: (not piece.sealed, piece.entries[0].seq if piece.entries else 0))
    findings = [finding for piece in placed for finding in piece.findings]
    known: dict[int, tuple[AuditEntry, Piece]] = {}
    for piece in placed:
        findings += _order_of(piece)
        findings += _take(piece, known)
    numbered = [known[seq] for seq in sorted(known)]
    findings += _seals_of(numbered)
    findings += _links_of(numbered)
    findings += _ends_of(placed, numbered)
    found = tuple(sorted(set(findings), key=lambda finding: (finding.seq, finding.where, finding.fault)))
    entries, places = tuple(entry for entry, _ in numbered), tuple(piece.where for _, piece in numbered)
    return Proof(entries, places, _anchor_of(numbered, found), found)


def _order_of(piece: Piece) -> list[Finding]:
    """Entries that don't stand right after the one before them."""
    findings, seen, before = list[Finding](), set[int](), 0
    numbers = [entry.seq for entry in piece.entries]
    there = set(numbers)
    for seq in numbers:
        if seq in seen:
            findings.append(Finding(seq, piece.where, Fault.DOUBLED, f"entry {seq} is there twice"))
        elif seq < before:
            text = f"entry {before} stands before entry {seq}"
            findings += [Finding(each, piece.where, Fault.MOVED, text) for each in (before, seq)]
        elif seen and seq > before + 1 and before + 1 not in there:
            following = min(each for each in there if each > before)
            findings.append(Finding(before + 1, piece.where, Fault.MISSING, _missing(before + 1, following - 1)))
        seen.add(seq)
        before = seq
    return findings


def _take(piece: Piece, known: dict[int, tuple[AuditEntry, Piece]]) -> list[Finding]:
    """Add a piece's entries to those that are known; what differs from, or doubles, those of another piece."""
    findings = []
    for entry in piece.entries:
        first, holder = known.setdefault(entry.seq, (entry, piece))
        if first != entry:
            text = f"entry {entry.seq} is told differently in {holder.where}"
            findings.append(Finding(entry.seq, piece.where, Fault.CHANGED, text))
        elif holder is not piece and piece.sealed:
            text = f"entry {entry.seq} is in {holder.where}, too"
            findings.append(Finding(entry.seq, piece.where, Fault.DOUBLED, text))
    return findings


def _seals_of(numbered: Sequence[tuple[AuditEntry, Piece]]) -> list[Finding]:
    """Entries that are sealed before ones that the status still has: the operator seals in order."""
    findings, unsealed = [], 0
    for entry, piece in numbered:
        if not piece.sealed:
            unsealed = unsealed or entry.seq
        elif unsealed:
            text = f"entry {entry.seq} is sealed, though entry {unsealed} is not"
            findings.append(Finding(entry.seq, piece.where, Fault.MOVED, text))
    return findings


def _links_of(numbered: Sequence[tuple[AuditEntry, Piece]]) -> list[Finding]:
    """Where numbers are missing, and entries that don't continue the one before.

    An entry may continue what its predecessor's hash is, or should be: so that a predecessor whose hash alone was
    changed is found there, not here too.
    """
    findings = []
    seq, hashes = 0, {""}
    for entry, piece in numbered:
        if entry.seq < 1:
            text = f"entry {entry.seq} was never written: numbers begin with 1"
            findings.append(Finding(entry.seq, piece.where, Fault.FORGED, text))
            continue
        if entry.seq != seq + 1:
            findings.append(Finding(seq + 1, piece.where, Fault.MISSING, _missing(seq + 1, entry.seq - 1)))
            hashes = {entry.hash}  # what it continues is gone, so whether it does can't be told
        else:
            due = {chain_hash(before, entry) for before in hashes}
            if entry.hash not in due:
                findings.append(Finding(entry.seq, piece.where, Fault.CHANGED, _changed(entry.seq)))
            hashes = {entry.hash, *due}
        seq = entry.seq
    return findings


def _ends_of(placed: Sequence[Piece], numbered: Sequence[tuple[AuditEntry, Piece]]) -> list[Finding]:
    """Pieces that end with another entry than they say; a status that knows less than what is sealed."""
    findings = []
    sealed_to = max((entry.seq for entry, piece in numbered if piece.sealed), default=0)
    for piece in placed:
        ends = (piece.entries[-1].seq, piece.entries[-1].hash) if piece.entries else (0, "")
        if (piece.last, piece.head) != ends and not (not piece.entries and 0 < piece.last == sealed_to):
            text = f"it ends with entry {ends[0]}, and says that it ends with another entry {piece.last}"
            findings.append(Finding(max(piece.last, 0), piece.where, Fault.ENDS_WRONG, text))
        if not piece.sealed and piece.last < sealed_to:
            text = f"it ends with entry {piece.last}, and {sealed_to} is sealed: it was put back, or cut"
            findings.append(Finding(piece.last + 1, piece.where, Fault.ENDS_WRONG, text))
    return findings


def _anchor_of(numbered: Sequence[tuple[AuditEntry, Piece]], findings: Sequence[Finding]) -> int:
    wrong = min((finding.seq for finding in findings if finding.where != STATUS), default=None)
    anchored = 0
    for entry, piece in numbered:
        if not piece.sealed or entry.seq != anchored + 1 or (wrong is not None and entry.seq >= wrong):
            break
        anchored = entry.seq
    return anchored


def _missing(first: int, last: int) -> str:
    return f"entry {first} is missing" if first == last else f"entries {first} to {last} are missing"


def _changed(seq: int) -> str:
    if seq == 1:
        return "entry 1 was changed: its hash is not that of what it says"
    return f"entry {seq} does not continue entry {seq - 1}: it was changed, or the one before it was written anew"
