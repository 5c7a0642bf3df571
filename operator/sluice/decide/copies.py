"""Whether the audit in the cluster is the one of which somebody outside has a copy. Pure.

A chain that was written anew as a whole, hashes and all, is whole in itself: only a copy that its writer could not
reach tells. It may have gaps, and may be behind; what it has must be what the cluster has.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from sluice.api.rollout import AuditEntry
from sluice.decide.metadata import mapping
from sluice.decide.proof import Fault, Finding, Proof

COPY = "copy"


@dataclass(frozen=True, slots=True)
class Copy:
    """What a file has of one Rollout's audit.

    Attributes:
        entries: in the order they stand there; some may be there twice.
        unreadable: how many lines are no entry of anybody's.
    """

    entries: tuple[AuditEntry, ...]
    unreadable: int

    @classmethod
    def read(cls, lines: Iterable[str], uid: str) -> Copy:
        """Read JSON lines: events as a receiver gets them, or what `sluice audit export` printed.

        Args:
            lines: of a file, which may have other Rollouts' entries as well.
            uid: of the Rollout.
        """
        entries, unreadable = list[AuditEntry](), 0
        for line in lines:
            if not line.strip():
                continue
            try:
                given = mapping(json.loads(line))
                told = mapping(given.get("data", given))
                whose = mapping(told["rollout"])["uid"]
                if whose == uid:
                    entries.append(AuditEntry.model_validate(told["entry"]))
            except (ValueError, KeyError, RecursionError, ValidationError):
                unreadable += 1
        return cls(tuple(entries), unreadable)


@dataclass(frozen=True, slots=True)
class Compared:
    """What a comparison found.

    Attributes:
        proof: with what the copy tells against the cluster.
        copied: how many of the cluster's entries are in the copy, the same.
        copied_to: up to this number all of them are; 0 for none.
        unreadable: lines of the copy.
    """

    proof: Proof
    copied: int
    copied_to: int
    unreadable: int


def compare(proof: Proof, copy: Copy) -> Compared:
    """Compare what is in the cluster with a copy."""
    live = {entry.seq: entry for entry in proof.entries}
    same, findings = set[int](), set[Finding]()
    for entry in copy.entries:
        known = live.get(entry.seq)
        if known == entry:
            same.add(entry.seq)
        elif known is not None:
            text = f"entry {entry.seq} is told differently in the copy: one of the two was written anew"
            findings.add(Finding(entry.seq, COPY, Fault.CHANGED, text))
        else:
            text = f"entry {entry.seq} is in the copy, and not in the cluster: it was cut off there, or taken out"
            findings.add(Finding(entry.seq, COPY, Fault.MISSING, text))
    ordered = sorted({*proof.findings, *findings}, key=_place)
    first = min((finding.seq for finding in findings), default=proof.anchored_to + 1)
    checked = replace(proof, findings=tuple(ordered), anchored_to=min(proof.anchored_to, first - 1))
    return Compared(checked, len(same), _reach(same), copy.unreadable)


def _place(finding: Finding) -> tuple[Any, ...]:
    return finding.seq, finding.where, finding.fault


def _reach(same: set[int]) -> int:
    reach = 0
    while reach + 1 in same:
        reach += 1
    return reach
