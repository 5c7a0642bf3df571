"""The proof of an audit chain: whatever is done to it is found, and at the entry that it was done to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.api.audit import AuditedRollout, AuditSegmentSpec
from sluice.api.rollout import AuditEntry
from sluice.decide.audit import chain_hash
from sluice.decide.proof import STATUS, Fault, Finding, Piece, verify
from unit.decide.observed import NOW

Entries = list[AuditEntry]


def history(count: int, word: str = "green to 10%") -> Entries:
    """A whole chain from its first entry on."""
    entries, head = Entries(), ""
    for seq in range(1, count + 1):
        draft = AuditEntry(
            seq=seq, id=f"{seq:016x}", stage="Intended", action=f"step-{seq}", actor="sluice", reason="WeightChanged",
            message=word, at=NOW, hash="",
        )  # fmt: skip
        head = chain_hash(head, draft)
        entries.append(draft.model_copy(update={"hash": head}))
    return entries


EMPTY = Piece(STATUS, False, (), 0, "")  # of a Rollout of which nothing was told


def segment(entries: Sequence[AuditEntry], name: str = "") -> Piece:
    """A segment that holds these."""
    last = entries[-1]
    return Piece(name or f"uid-{entries[0].seq}", True, tuple(entries), last.seq, last.hash)


def tail(entries: Sequence[AuditEntry], end: AuditEntry | None = None) -> Piece:
    """The status' tail; it says that it ends with `end`."""
    end = end or entries[-1]
    return Piece(STATUS, False, tuple(entries), end.seq, end.hash)


def kept(entries: Entries, size: int = 8, left: int = 5) -> list[Piece]:
    """As the operator keeps it: full segments, and the rest in the status."""
    cut = max(0, len(entries) - left) // size * size
    return [*(segment(entries[at : at + size]) for at in range(0, cut, size)), tail(entries[cut:])]


def found(pieces: Sequence[Piece]) -> set[tuple[int, str, Fault]]:
    """What is wrong, without the words."""
    return {(finding.seq, finding.where, finding.fault) for finding in verify(pieces).findings}


def test_a_whole_chain_is_whole() -> None:
    """Nothing is found; it is anchored as far as it is sealed, and known to its last entry."""
    proof = verify(kept(history(100)))
    assert (proof.whole, proof.anchored_to, proof.last, len(proof.entries)) == (True, 88, 100, 100)
    assert verify([tail(history(3))]).whole
    assert verify([EMPTY]).whole
    assert verify([]).anchored_to == 0


def test_what_is_sealed_and_not_yet_trimmed_is_no_double() -> None:
    """A crash between sealing and trimming leaves the same entries in both places."""
    entries = history(20)
    proof = verify([segment(entries[:8]), segment(entries[8:16]), tail(entries[4:])])
    assert (proof.whole, proof.anchored_to) == (True, 16)


def test_a_chain_whose_rollout_is_gone_ends_with_its_segments() -> None:
    """There is no status then; and a status whose every entry is sealed is as good."""
    entries = history(16)
    pieces = [segment(entries[8:]), segment(entries[:8])]
    assert verify(pieces).anchored_to == 16
    assert verify([*pieces, tail((), entries[-1])]).whole


def test_a_segment_that_is_gone_is_found() -> None:
    """Which numbers are missing; what comes after is not anchored any more."""
    pieces = kept(history(40))
    proof = verify([*pieces[:1], *pieces[2:]])
    assert proof.findings == (Finding(9, "uid-17", Fault.MISSING, "entries 9 to 16 are missing"),)
    assert proof.anchored_to == 8


def test_a_segment_that_is_there_twice_is_found() -> None:
    """Under another name, with the same entries."""
    entries = history(20)
    pieces = [segment(entries[:8]), segment(entries[8:16]), segment(entries[8:16], "copy"), tail(entries[16:])]
    assert found(pieces) == {(seq, "copy", Fault.DOUBLED) for seq in range(9, 17)}


def test_a_status_that_was_put_back_is_found() -> None:
    """It ends before what is sealed: each for itself is whole, both together are not."""
    entries = history(20)
    pieces = [segment(entries[:8]), segment(entries[8:16]), tail(entries[4:12])]
    assert found(pieces) == {(13, STATUS, Fault.ENDS_WRONG)}
    assert verify(pieces).anchored_to == 16


def test_a_tail_that_was_cut_off_or_emptied_is_found() -> None:
    """At its end the head tells; an empty one says that it ends with an entry that is nowhere."""
    entries = history(12)
    assert found([segment(entries[:8]), tail(entries[8:10], entries[-1])]) == {(12, STATUS, Fault.ENDS_WRONG)}
    emptied = tail((), entries[-1])
    assert found([segment(entries[:8]), emptied]) == {(12, STATUS, Fault.ENDS_WRONG)}


def test_a_tail_of_another_chain_is_found() -> None:
    """Whole in itself, it does not continue what is sealed."""
    entries, other = history(20), history(20, "nothing was killed")
    assert found([segment(entries[:8]), segment(entries[8:16]), tail(other[16:])]) == {(17, STATUS, Fault.CHANGED)}


def test_what_is_no_entry_is_found() -> None:
    """Whatever stands where an entry belongs, by its number if it has one."""
    entries = [entry.dump() for entry in history(4)]
    value: dict[str, Any] = {"seq": 4, "head": entries[3]["hash"], "entries": [*entries[:1], {"seq": 2}, *entries[2:]]}
    faults = {(each.seq, each.fault) for each in verify([Piece.read(STATUS, value, sealed=False)]).findings}
    assert faults == {(2, Fault.UNREADABLE), (2, Fault.MISSING)}
    nothing: list[Any] = [None, [], {"entries": "many"}, {"entries": [7], "seq": "x", "head": 3}]
    assert [len(Piece.read(STATUS, value, sealed=True).findings) for value in nothing] == [0, 0, 0, 1]


@pytest.mark.parametrize("size", [1, 7, 8, 32])
def test_ten_thousand_entries(size: int) -> None:
    """However they were cut; and the one that was changed among them is told alone."""
    entries = history(10_000)
    assert verify(kept(entries, size)).whole
    entries[6_789] = entries[6_789].model_copy(update={"message": "it was never killed"})
    assert [finding.seq for finding in verify(kept(entries, size)).findings] == [6_790]


def test_a_segment_that_is_not_what_it_is_called_is_found() -> None:
    """Of another Rollout, under another number, or nothing at all."""
    spec = AuditSegmentSpec.of(AuditedRollout(namespace="shop", name="checkout", uid="u"), tuple(history(8)))
    whole = {"metadata": {"name": spec.name}, "spec": spec.dump()}
    assert verify([Piece.of_segment(whole, "u")]).whole
    other = {"metadata": {"name": "u-0000000009"}, "spec": spec.dump()}
    for obj, uid in ((whole, "v"), (other, "u"), ({"metadata": {"name": "u"}}, "u"), ({"spec": 3}, "u"), (None, "u")):
        assert Fault.FOREIGN in {finding.fault for finding in verify([Piece.of_segment(obj, uid)]).findings}


# ---------------------------------------------------------------------------------------- tampering

CHANGES: list[dict[str, Any]] = [
    {"message": "never"},
    {"actor": "mallory"},
    {"action": "resume"},
    {"reason": "Nothing"},
    {"id": "0" * 15 + "f"},
    {"stage": "Observed"},
    {"hash": "0" * 64},
    {"at": NOW.replace(year=2001)},
]


def change(entries: Entries, at: int, other: int, how: dict[str, Any]) -> set[int]:
    """Rewrite a field; the entry itself tells."""
    entries[at] = entries[at].model_copy(update=how)
    return {at + 1}


def rewrite(entries: Entries, at: int, other: int, how: dict[str, Any]) -> set[int]:
    """Rewrite a field and make its hash anew; the entry after it tells, or the head."""
    draft = entries[at].model_copy(update={**how, "hash": ""})
    entries[at] = draft.model_copy(update={"hash": chain_hash(entries[at - 1].hash if at else "", draft)})
    if "hash" in how:
        return set()  # it was made what it was
    return {at + 1, at + 2}


def drop(entries: Entries, at: int, other: int, how: dict[str, Any]) -> set[int]:
    """Take one away."""
    del entries[at]
    return {at + 1}


def swap(entries: Entries, at: int, other: int, how: dict[str, Any]) -> set[int]:
    """Have two change places; one of them is told."""
    entries[at], entries[other] = entries[other], entries[at]
    return {at + 1, other + 1} if at != other else set()


def renumber(entries: Entries, at: int, other: int, how: dict[str, Any]) -> set[int]:
    """Give one the number of another; its own is missing."""
    entries[at] = entries[at].model_copy(update={"seq": other + 1})
    return {at + 1} if at != other else set()


def replay(entries: Entries, at: int, other: int, how: dict[str, Any]) -> set[int]:
    """Put one in again somewhere; it is there twice, or what is between it and its place is missing there."""
    entries.insert(other, entries[at])
    return set(range(min(at, other), max(at, other) + 2))


def forge(entries: Entries, at: int, other: int, how: dict[str, Any]) -> set[int]:
    """Put another in beside one, chained to the one before as it should be."""
    draft = entries[at].model_copy(update={"action": "forged", "hash": ""})
    before = entries[at - 1].hash if at else ""
    entries.insert(at, draft.model_copy(update={"hash": chain_hash(before, draft)}))
    return {at + 1}


Tampering = Callable[[Entries, int, int, dict[str, Any]], set[int]]


def sliced(entries: Entries, cuts: Sequence[int], end: AuditEntry) -> list[Piece]:
    """Segments of any sizes, each of which says of itself what it holds, and the tail, which says how all ended."""
    places = sorted({min(cut, len(entries)) for cut in cuts} - {0})
    bounds = list(zip([0, *places], places, strict=False))
    start = places[-1] if places else 0
    return [*(segment(entries[low:high]) for low, high in bounds), tail(entries[start:], end)]


def is_harmless(pieces: Sequence[Piece], true: Entries) -> bool:
    """Whether all is told as it was: segments in any order, and a tail that may begin with what is sealed."""
    sealed = sorted((piece.entries for piece in pieces if piece.sealed), key=lambda entries: entries[0].seq)
    entries = [entry for each in sealed for entry in each]
    rest = list(pieces[-1].entries)
    start = rest[0].seq - 1 if rest else 0
    return entries == true[: len(entries)] and 0 <= start <= len(entries) and bool(rest) and rest == true[start:]


@given(
    st.integers(2, 24),
    st.sampled_from([change, rewrite, drop, swap, renumber, replay, forge]),
    st.data(),
)
def test_whatever_is_done_is_found_and_located(count: int, tampering: Tampering, data: st.DataObject) -> None:
    """In a segment or in the tail, wherever the cuts are: one of the entries that it was done to is named."""
    entries = history(count)
    true, end = list(entries), entries[-1]
    at, other = data.draw(st.integers(0, count - 1)), data.draw(st.integers(0, count - 1))
    touched = tampering(entries, at, other, data.draw(st.sampled_from(CHANGES)))
    cuts = data.draw(st.lists(st.integers(0, count - 1), max_size=4))
    pieces = sliced(entries, cuts, end)
    proof = verify(pieces)
    if is_harmless(pieces, true):
        assert proof.whole
        return
    assert {finding.seq for finding in proof.findings} & touched
    assert all(finding.seq > proof.anchored_to for finding in proof.findings if finding.where != STATUS)


@given(st.integers(0, 40), st.lists(st.integers(0, 39), max_size=5))
def test_a_whole_chain_is_whole_wherever_it_was_cut(count: int, cuts: list[int]) -> None:
    """No cut makes a finding, and all that is sealed is anchored."""
    entries = history(count)
    pieces = sliced(entries, cuts, entries[-1]) if entries else []
    proof = verify(pieces)
    assert proof.findings == ()
    assert proof.anchored_to == sum(len(piece.entries) for piece in pieces if piece.sealed)
