"""What signatures prove: who has no key can't tell anything, and a history that was written anew is found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.api.audit import AuditedRollout, AuditSegmentSpec
from sluice.api.common import ObjectRef
from sluice.api.rollout import Audit, AuditEntry, AuditSignature
from sluice.api.units import JSON
from sluice.decide.audit import chain_hash
from sluice.decide.proof import STATUS, Fault, Piece, verify
from sluice.decide.signatures import Claim, Signed, Statement, check_signatures, vouched_since
from unit.decide.observed import NOW
from unit.decide.signing import owner, public_keys, signing_key
from unit.decide.test_proof import history

REF = ObjectRef(namespace="shop", name="checkout", uid="u")
OPERATOR, OTHER = signing_key("operator"), signing_key("mallory")
Sign = Callable[[int, int, str], AuditSignature | None]


def by_operator(since: int, last: int, head: str) -> AuditSignature | None:
    """Signed as the operator does, where it may vouch for that."""
    return OPERATOR.sign(Statement(owner(), since, last, head)) if last >= since else None


@dataclass
class Kept:
    """A Rollout's audit as the API server has it."""

    segments: list[JSON]
    tail: JSON | None

    @classmethod
    def of(cls, entries: Sequence[AuditEntry], cuts: Sequence[int], since: int = 1, sign: Sign = by_operator) -> Kept:
        """As an operator keeps it that got its key at the entry `since`, cut after these numbers."""
        segments, low = list[JSON](), 0
        for cut in sorted({cut for cut in cuts if 0 < cut <= len(entries)}):
            spec = AuditSegmentSpec.of(owner(), tuple(entries[low:cut]))
            segments.append(stored(spec.signed(sign(since, spec.last, spec.head))))
            low = cut
        last = entries[-1]
        signature = sign(since, last.seq, last.hash)
        tail = Audit(seq=last.seq, head=last.hash, entries=tuple(entries[low:]), signature=signature)
        return cls(segments, tail.dump())

    def check(self, *keys: str, **how: Any) -> Signed:
        """As `sluice audit verify` does."""
        pieces = [Piece.of_segment(each, REF.uid) for each in self.segments]
        claims = [Claim.of_segment(each, REF) for each in self.segments]
        if self.tail is not None:
            pieces.append(Piece.read(STATUS, self.tail, sealed=False))
            claims.append(Claim.of_status(self.tail, REF))
        return check_signatures(
            verify(pieces), [each for each in claims if each], public_keys(*keys or ["operator"]), **how
        )

    def found(self, *keys: str, **how: Any) -> list[tuple[int, str, Fault]]:
        """What is wrong, without the words."""
        return [(each.seq, each.where, each.fault) for each in self.check(*keys, **how).proof.findings]


def stored(spec: AuditSegmentSpec) -> JSON:
    """The object of a segment."""
    return {"metadata": {"name": spec.name}, "spec": spec.dump()}


def kept(count: int = 20, since: int = 1, word: str = "green to 10%", sign: Sign = by_operator) -> Kept:
    """Two segments of eight, and a tail."""
    return Kept.of(history(count, word), (8, 16), since, sign)


def test_a_signed_chain_is_signed_to_its_last_entry() -> None:
    """The status' head is signed, too, so there is no unsigned tail; by which key is told."""
    signed = kept().check()
    assert (signed.proof.whole, signed.since, signed.to, signed.tail) == (True, 1, 20, None)
    assert signed.keys == (OPERATOR.key_id,)
    alone = Kept(kept().segments, None).check()
    assert (alone.proof.whole, alone.to) == (True, 16)


def test_what_is_signed_is_one_text() -> None:
    """Whoever checks with tools of their own needs it to the byte; so do signatures of older versions."""
    assert Statement(owner(), 1, 8, "ab").text == (
        b'sluice.dev/audit-head/v1\n{"cluster":"","head":"ab","last":8,"name":"checkout","namespace":"shop","since":1,"uid":"u"}'
    )


@pytest.mark.parametrize(
    "other",
    [
        Statement(owner("v"), 1, 8, "ab"),
        Statement(owner(name="payments"), 1, 8, "ab"),
        Statement(AuditedRollout(namespace="shop", name="checkout", uid="u", cluster="m1"), 1, 8, "ab"),
        Statement(AuditedRollout(namespace="other", name="checkout", uid="u"), 1, 8, "ab"),
        Statement(owner(), 2, 8, "ab"),
        Statement(owner(), 1, 9, "ab"),
        Statement(owner(), 1, 8, "ac"),
    ],
    ids=["uid", "name", "cluster", "namespace", "since", "last", "head"],
)
def test_a_signature_is_of_one_head_of_one_rollout(other: Statement) -> None:
    """Nothing of it can be changed, and no other key's is taken for it."""
    statement = Statement(owner(), 1, 8, "ab")
    signature = OPERATOR.sign(statement)
    assert OPERATOR.knows(statement, signature)
    assert not OPERATOR.knows(other, signature)
    assert not OTHER.knows(statement, signature)
    assert not OPERATOR.knows(statement, OTHER.sign(statement).model_copy(update={"key_id": OPERATOR.key_id}))


def test_without_signatures_all_is_found() -> None:
    """Stripped, or never there: where signatures are asked for, none is as bad as a wrong one."""
    bare = kept(sign=lambda *_: None)
    signed = bare.check()
    assert [(each.seq, each.where, each.fault) for each in signed.proof.findings] == [
        (1, "u-0000000001", Fault.UNSIGNED),
        (17, STATUS, Fault.UNSIGNED),
    ]
    assert signed.proof.findings[0].message == "entries 1 to 16 are not signed"
    assert (signed.to, signed.tail, signed.proof.anchored_to) == (0, (17, 20), 16)


def test_a_history_written_anew_as_a_whole_is_found() -> None:
    """Hashes and all, by who may write both segments and statuses: the chain is whole, and only signatures tell."""
    anew = kept(word="nothing was killed", sign=lambda *_: None)
    assert verify([Piece.of_segment(each, REF.uid) for each in anew.segments]).whole
    assert [each[2] for each in anew.found()] == [Fault.UNSIGNED, Fault.UNSIGNED]
    with_true = kept(word="nothing was killed")
    for segment, true in zip(with_true.segments, kept().segments, strict=True):
        segment["spec"]["signature"] = true["spec"]["signature"]
    with_true.tail = {**(with_true.tail or {}), "signature": (kept().tail or {})["signature"]}
    assert (8, "u-0000000001", Fault.SIGNED_WRONG) in with_true.found()
    assert (20, STATUS, Fault.SIGNED_WRONG) in with_true.found()
    assert with_true.check().to == 0


def test_another_key_counts_for_nothing() -> None:
    """Also where it calls itself the operator's."""
    forged = kept(sign=lambda since, last, head: OTHER.sign(Statement(owner(), since, last, head)))
    assert [each[2] for each in forged.found()] == [Fault.UNSIGNED, Fault.UNSIGNED]
    assert forged.found("operator", "mallory") == []
    for segment in forged.segments:
        segment["spec"]["signature"]["keyId"] = OPERATOR.key_id
    assert [each for each in forged.found() if each[2] is Fault.SIGNED_WRONG] == [
        (8, "u-0000000001", Fault.SIGNED_WRONG),
        (16, "u-0000000009", Fault.SIGNED_WRONG),
    ]


def test_a_signature_of_elsewhere_is_found() -> None:
    """Of another segment, and of another Rollout's segment of the same numbers."""
    moved = kept()
    moved.segments[0]["spec"]["signature"] = moved.segments[1]["spec"]["signature"]
    assert moved.found() == [(8, "u-0000000001", Fault.SIGNED_WRONG)]
    other = kept()
    spec = AuditSegmentSpec.of(owner("v"), tuple(history(8)))
    signature = OPERATOR.sign(Statement(owner("v"), 1, 8, spec.head))
    other.segments[0]["spec"]["signature"] = signature.dump()
    assert other.found() == [(8, "u-0000000001", Fault.SIGNED_WRONG)]
    whole = kept()
    whole.segments[0] = stored(spec.signed(signature))
    assert {fault for _, where, fault in whole.found() if where == "v-0000000001"} == {
        Fault.FOREIGN,
        Fault.SIGNED_WRONG,
    }


def test_a_segment_that_lost_its_signature_is_vouched_for_by_those_after_it() -> None:
    """Its entries are what was told: later heads cover them. So it is, too, where a replica without a key sealed it."""
    stripped = kept()
    del stripped.segments[0]["spec"]["signature"]
    assert (stripped.found(), stripped.check().to) == ([], 20)
    changed = Kept.of(history(20), (8, 16))
    first = AuditSegmentSpec.of(owner(), tuple(history(8, "never")))
    changed.segments[0] = stored(first)
    assert changed.found() == [
        (1, "u-0000000001", Fault.UNSIGNED),
        (9, "u-0000000009", Fault.CHANGED),
    ]
    assert changed.check().proof.findings[0].message == "entries 1 to 9 are not signed"


def test_an_unsigned_tail_is_named() -> None:
    """By its numbers; what is sealed is signed all the same."""
    cut = kept()
    assert cut.tail is not None
    del cut.tail["signature"]
    signed = cut.check()
    assert (signed.since, signed.to, signed.tail) == (1, 16, (17, 20))
    assert cut.found() == [(17, STATUS, Fault.UNSIGNED)]


def test_what_is_of_before_the_key_is_let_pass_where_that_is_said() -> None:
    """By the time since when there is one: the entries before the first of then. What comes after is not let pass."""
    entries = [entry.model_copy(update={"at": NOW + timedelta(hours=entry.seq)}) for entry in history(20)]
    head, told = "", list[AuditEntry]()
    for entry in entries:
        head = chain_hash(head, entry)
        told.append(entry.model_copy(update={"hash": head}))
    late = Kept.of(told, (8, 16), since=11)
    assert late.found() == [(1, "u-0000000001", Fault.UNSIGNED)]
    assert late.check().to == 0
    signed = late.check(due=NOW + timedelta(hours=11))
    assert (signed.proof.whole, signed.since, signed.to) == (True, 11, 20)
    assert late.found(due=NOW + timedelta(hours=10)) == [(10, "u-0000000009", Fault.UNSIGNED)]
    nothing = Kept.of(told, (8, 16), since=21)
    assert nothing.check(due=NOW + timedelta(hours=21)).proof.whole
    assert late.check(due=NOW + timedelta(hours=99)).to == 20


def test_backdating_helps_nobody() -> None:
    """An entry that says it is of before the key is wrong behind one that is not."""
    entries = history(20)
    old = entries[19].model_copy(update={"at": NOW - timedelta(days=9), "hash": ""})
    entries[19] = old.model_copy(update={"hash": chain_hash(entries[18].hash, old)})
    forged = Kept.of(entries, (8, 16))
    assert forged.tail is not None
    forged.tail["signature"] = (kept().tail or {})["signature"]
    assert (17, STATUS, Fault.UNSIGNED) in forged.found(due=NOW)


def test_keys_follow_each_other() -> None:
    """The newer vouches for what it took over from the older; with either's part alone, each needs its own key."""
    entries = history(20)
    old, new = Kept.of(entries, (8,)), signing_key("newer")
    both = Kept.of(entries, (8, 16), sign=lambda since, last, head: new.sign(Statement(owner(), since, last, head)))
    both.segments[0] = old.segments[0]
    assert both.check("newer").to == 20
    assert both.check("operator").to == 8
    apart = Kept.of(
        entries, (8, 16), since=9, sign=lambda since, last, head: new.sign(Statement(owner(), since, last, head))
    )
    apart.segments[0] = old.segments[0]
    assert apart.found("newer") == [(1, "u-0000000001", Fault.UNSIGNED)]
    assert apart.check("newer", "operator").proof.whole


def test_what_is_no_signature_is_none() -> None:
    """Whatever stands there, nothing breaks."""
    nothing: list[Any] = [None, 7, [], {}, {"keyId": "x", "since": "y", "value": 3}, {"keyId": 1}]
    for value in nothing:
        odd = kept()
        odd.segments[0]["spec"]["signature"] = value
        assert odd.found() == []
    for value in ("", "?", "AAAA", "é", "A" * 10_000):
        odd = kept()
        odd.segments[0]["spec"]["signature"]["value"] = value
        assert odd.found() == [(8, "u-0000000001", Fault.SIGNED_WRONG)]
    assert Claim.of_segment(None, REF) is None
    assert Claim.of_status({"signature": {"keyId": "x", "since": 1, "value": ""}, "seq": "x", "head": 3}, REF) is None


def test_what_is_cut_off_at_its_end_is_not_found() -> None:
    """The limit: what the operator signed once stays true. Only a copy from outside knows that there was more."""
    before, now = Kept.of(history(12), (8,)), kept()
    assert (before.found(), before.check().to) == ([], 12)
    put_back = replace(now, tail=before.tail)
    assert (13, STATUS, Fault.ENDS_WRONG) in put_back.found()  # as long as the segments after it are there


def test_who_continues_a_chain_vouches_for_what_is_known() -> None:
    """From where the stored signature says, if a known key made it; otherwise from the next entry on."""
    chain, knows = history(8), OPERATOR.knows
    audit = Audit(seq=8, head=chain[-1].hash, entries=tuple(chain))
    signed = audit.model_copy(update={"signature": by_operator(3, 8, audit.head)})
    assert vouched_since(owner(), Audit(), knows) == 1
    assert vouched_since(owner(), audit, knows) == 9
    assert vouched_since(owner(), signed, knows) == 3
    assert vouched_since(owner("v"), signed, knows) == 9
    assert vouched_since(owner(), signed.model_copy(update={"head": "0" * 64}), knows) == 9
    assert vouched_since(owner(), signed, OTHER.knows) == 9
    assert vouched_since(owner(), signed, signing_key("newer", "operator").knows) == 3


# ---------------------------------------------------------------------------------------- tampering


@dataclass
class Forgery:
    """What somebody without the key makes of an audit, who may write and delete segments and statuses.

    Attributes:
        true: the entries as they were told.
        at: where they begin.
        cuts: after which entries it is cut.
        signatures: all that the operator ever made of this Rollout and of others, to be put anywhere.
    """

    true: list[AuditEntry]
    at: int
    cuts: list[int]
    signatures: list[AuditSignature] = field(default_factory=list)


def rewritten(entries: Sequence[AuditEntry], at: int, word: str = "forged") -> list[AuditEntry]:
    """From there on told otherwise, each hash made anew."""
    told, head = list(entries[:at]), entries[at - 1].hash if at else ""
    for entry in entries[at:]:
        draft = entry.model_copy(update={"message": word, "hash": ""})
        head = chain_hash(head, draft)
        told.append(draft.model_copy(update={"hash": head}))
    return told


def resign(forgery: Forgery, choose: Callable[[int], AuditSignature | None]) -> Kept:
    """Written anew, with a signature of somebody's choice in each place."""
    entries, places = rewritten(forgery.true, forgery.at), iter(range(1000))
    return Kept.of(entries, forgery.cuts, sign=lambda *_: choose(next(places)))


def stripped(forgery: Forgery, data: st.DataObject) -> Kept:
    """With no signatures."""
    return resign(forgery, lambda _: None)


def by_another_key(forgery: Forgery, data: st.DataObject) -> Kept:
    """With those of a key of their own, under its own name or the operator's."""
    name = data.draw(st.sampled_from([OTHER.key_id, OPERATOR.key_id]))

    def sign(since: int, last: int, head: str) -> AuditSignature:
        return OTHER.sign(Statement(owner(), since, last, head)).model_copy(update={"key_id": name})

    return Kept.of(rewritten(forgery.true, forgery.at), forgery.cuts, sign=sign)


def with_true_ones(forgery: Forgery, data: st.DataObject) -> Kept:
    """With the operator's, each from wherever they like."""
    return resign(forgery, lambda _: data.draw(st.one_of(st.none(), st.sampled_from(forgery.signatures))))


def in_the_middle(forgery: Forgery, data: st.DataObject) -> Kept:
    """Only what is sealed there is replaced by another's; the rest, and its signatures, stay."""
    true = Kept.of(forgery.true, forgery.cuts)
    anew = with_true_ones(forgery, data)
    place = data.draw(st.integers(0, len(true.segments)))
    if place == len(true.segments):
        return replace(true, tail=anew.tail)
    segments = [anew.segments[at] if at == place else each for at, each in enumerate(true.segments)]
    return replace(true, segments=segments)


@given(
    st.integers(2, 20),
    st.lists(st.integers(1, 19), max_size=4),
    st.sampled_from([stripped, by_another_key, with_true_ones, in_the_middle]),
    st.data(),
)
def test_nothing_forged_is_ever_signed(
    count: int, cuts: list[int], forge: Callable[[Forgery, st.DataObject], Kept], data: st.DataObject
) -> None:
    """Whatever is put in place of what was told: none of it is among what is signed, and where it begins is found."""
    true, cuts = history(count), [cut for cut in cuts if cut < count]
    everywhere = range(1, count + 1)
    signatures = [by_operator(1, last, true[last - 1].hash) for last in everywhere]
    signatures += [OPERATOR.sign(Statement(owner("v"), 1, last, true[last - 1].hash)) for last in everywhere]
    made = [each for each in signatures if each is not None]
    forged = forge(Forgery(true, data.draw(st.integers(0, count - 1)), cuts, made), data)
    signed = forged.check()
    told = {entry.seq: entry for entry in signed.proof.entries}
    wrong = [seq for seq, entry in told.items() if true[seq - 1] != entry]
    assert all(told[seq] == true[seq - 1] for seq in range(signed.since, signed.to + 1) if signed.to)
    if wrong:
        assert not signed.proof.whole
        assert signed.to < wrong[0]
        assert min(each.seq for each in signed.proof.findings if each.fault is Fault.UNSIGNED) <= wrong[0]


@given(st.integers(1, 40), st.lists(st.integers(1, 39), max_size=5), st.integers(1, 41))
def test_a_chain_that_was_signed_is_signed_wherever_it_was_cut(count: int, cuts: list[int], since: int) -> None:
    """From where there was a key; nothing is wrong but that what was before is unsigned."""
    signed = Kept.of(history(count), [cut for cut in cuts if cut <= count], since).check()
    unsigned = [finding for finding in signed.proof.findings if finding.fault is Fault.UNSIGNED]
    assert set(signed.proof.findings) == set(unsigned)
    assert bool(unsigned) == (since > 1)
    assert signed.to == (count if since == 1 else 0)
