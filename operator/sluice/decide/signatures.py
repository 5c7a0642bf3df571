"""What signatures say of an audit chain, and how far they reach. Pure: who signs and checks is an argument.

A signature is of a head: who has the key told the entries from `since` to `last`, the last of which has this hash. A
head's hash covers all before it, so one signature vouches for each of them, whether or not theirs are there as well.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeAlias

from pydantic import ValidationError

from sluice.api.audit import AuditedRollout
from sluice.api.common import ObjectRef
from sluice.api.rollout import Audit, AuditEntry, AuditSignature
from sluice.decide.audit import chain_hash
from sluice.decide.metadata import mapping
from sluice.decide.proof import STATUS, Fault, Finding, Proof

DOMAIN = "sluice.dev/audit-head/v1"  # so that no signature of this key means anything else

Check: TypeAlias = Callable[[bytes, str], bool]  # of a text and a signature in base64, by one public key


@dataclass(frozen=True, slots=True)
class Statement:
    """What is signed.

    Attributes:
        rollout: whose entries they are.
        since: the first one's number that is vouched for.
        last: the last one's.
        head: that one's hash.
    """

    rollout: AuditedRollout
    since: int
    last: int
    head: str

    @property
    def text(self) -> bytes:
        """The bytes that are signed: the domain, a line's end, and canonical JSON in ASCII."""
        rollout = self.rollout
        told = {"namespace": rollout.namespace, "name": rollout.name, "uid": rollout.uid}
        told |= {"cluster": rollout.cluster or "", "head": self.head}
        body: dict[str, Any] = {**told, "since": self.since, "last": self.last}
        return f"{DOMAIN}\n{json.dumps(body, sort_keys=True, separators=(',', ':'))}".encode("ascii")


def vouched_since(owner: AuditedRollout, stored: Audit, knows: Callable[[Statement, AuditSignature], bool]) -> int:
    """From which entry on whoever continues a stored chain can vouch for it.

    Args:
        owner: whose chain it is.
        stored: its tail. Anybody may have written it, unless its head is signed.
        knows: whether a known key signed that.

    Returns:
        What the stored signature says, if a known key made it; otherwise the number of the next entry.
    """
    signature = stored.signature
    if signature is not None and knows(Statement(owner, signature.since, stored.seq, stored.head), signature):
        return signature.since
    return stored.seq + 1


@dataclass(frozen=True, slots=True)
class Claim:
    """A signature, and what it should be of by the place that it stands in.

    Attributes:
        where: the segment's name, or `status`.
        statement: what it says if it is what it should be.
        signature: not checked yet.
    """

    where: str
    statement: Statement
    signature: AuditSignature

    @classmethod
    def of_segment(cls, obj: Any, rollout: ObjectRef) -> Claim | None:
        """A segment's; None where there is none that could be one.

        Args:
            obj: an AuditSegment.
            rollout: whose chain is asked for: a segment of another one's says nothing here.
        """
        given = mapping(obj)
        spec = mapping(given.get("spec"))
        cluster = mapping(spec.get("rollout")).get("cluster")
        owner = _owner(rollout, cluster if isinstance(cluster, str) else None)
        return cls._read(str(mapping(given.get("metadata")).get("name")), owner, spec, spec.get("last"))

    @classmethod
    def of_status(cls, audit: Any, rollout: ObjectRef) -> Claim | None:
        """A status' tail's; None where there is none that could be one."""
        given = mapping(audit)
        return cls._read(STATUS, _owner(rollout, None), given, given.get("seq"))

    @classmethod
    def _read(cls, where: str, owner: AuditedRollout, given: Mapping[str, Any], last: Any) -> Claim | None:
        try:
            signature = AuditSignature.model_validate(given.get("signature"))
        except ValidationError:
            return None
        head = given.get("head")
        if not isinstance(last, int) or not isinstance(head, str):
            return None
        return cls(where, Statement(owner, signature.since, last, head), signature)


def _owner(rollout: ObjectRef, cluster: str | None) -> AuditedRollout:
    return AuditedRollout(namespace=rollout.namespace, name=rollout.name, uid=rollout.uid, cluster=cluster)


@dataclass(frozen=True, slots=True)
class Signed:
    """How much of a chain is signed by keys that are trusted.

    Attributes:
        proof: with what is wrong with signatures.
        since: from this entry on all that has to be signed is; 0 for none.
        to: up to this one; 0 for none.
        keys: the ids of the keys that vouch for it.
        unknown: the ids of keys by which there are signatures, and that were not given.
        tail: what of the status nobody vouches for: its first and last number; None for nothing.
    """

    proof: Proof
    since: int
    to: int
    keys: tuple[str, ...]
    unknown: tuple[str, ...]
    tail: tuple[int, int] | None


def check_signatures(
    proof: Proof, claims: Iterable[Claim], keys: Mapping[str, Check], due: datetime | None = None
) -> Signed:
    """Check who signed a chain.

    Args:
        proof: of the chain itself.
        claims: the signatures that are there.
        keys: the trusted public ones, by their id.
        due: entries before the first one of then, or later, may be unsigned; None: none may.
    """
    findings, spans, by, unknown = list[Finding](), list[tuple[int, int]](), set[str](), set[str]()
    hashes = {entry.seq: entry.hash for entry in proof.entries}
    begins = _begins_of(proof.entries)
    for claim in claims:
        said, check = claim.statement, keys.get(claim.signature.key_id)
        if check is None:
            unknown.add(claim.signature.key_id)
        elif not check(said.text, claim.signature.value):
            findings.append(Finding(said.last, claim.where, Fault.SIGNED_WRONG, _wrong(claim)))
        elif hashes.get(said.last) == said.head and said.last in begins:
            spans.append((max(said.since, begins[said.last]), said.last))
            by.add(claim.signature.key_id)
    vouched = _joined(spans)
    first = next((entry.seq for entry in proof.entries if due is None or entry.at >= due), proof.last + 1)
    bare = [(e.seq, place) for e, place in zip(proof.entries, proof.places, strict=True) if e.seq not in vouched]
    findings += _unsigned(bare, first)
    ordered = sorted({*proof.findings, *findings}, key=lambda each: (each.seq, each.where, each.fault))
    since, to = _reach(vouched, first, proof.last)
    tail = [seq for seq, place in bare if place == STATUS]
    told = replace(proof, findings=tuple(ordered))
    ends = (tail[0], tail[-1]) if tail else None
    return Signed(told, since, to, tuple(sorted(by)), tuple(sorted(unknown)), ends)


def _begins_of(entries: Sequence[AuditEntry]) -> dict[int, int]:
    """By its number, how far back an entry and those before it are what their hashes say, each continuing the last."""
    begins, seq, head = dict[int, int](), 0, ""
    for entry in entries:
        if entry.seq < 1:
            continue
        if entry.seq == seq + 1 and entry.hash == chain_hash(head, entry):
            begins[entry.seq] = begins.get(seq, entry.seq)
        seq, head = entry.seq, entry.hash
    return begins


def _joined(spans: Iterable[tuple[int, int]]) -> set[int]:
    """The numbers in any of these. Most of them overlap: each signature reaches back to the first."""
    numbers, done = set[int](), 0
    for low, high in sorted(spans):
        numbers.update(range(max(low, done + 1), high + 1))
        done = max(done, high)
    return numbers


def _unsigned(bare: Sequence[tuple[int, str]], first: int) -> list[Finding]:
    """Runs of entries that nobody vouches for, from the first one on that has to be signed; the status' apart."""
    runs = list[tuple[int, int, str]]()
    for seq, place in bare:
        if seq < first:
            continue
        if runs and runs[-1][1] == seq - 1 and (runs[-1][2] == STATUS) == (place == STATUS):
            runs[-1] = (runs[-1][0], seq, runs[-1][2])
        else:
            runs.append((seq, seq, place))
    return [Finding(low, place, Fault.UNSIGNED, _bare(low, high)) for low, high, place in runs]


def _reach(vouched: set[int], first: int, last: int) -> tuple[int, int]:
    """From where to where all are vouched for, around the first that has to be; where none has to be, the newest."""
    since = to = first if first <= last else max(vouched, default=0)
    if since not in vouched:
        return 0, 0
    while since - 1 in vouched:
        since -= 1
    while to + 1 in vouched:
        to += 1
    return since, to


def _bare(low: int, high: int) -> str:
    return f"entry {low} is not signed" if low == high else f"entries {low} to {high} are not signed"


def _wrong(claim: Claim) -> str:
    key = claim.signature.key_id[:16]
    return f"its signature, by key {key}, is not of what stands there: it was moved, or what it is of was changed"
