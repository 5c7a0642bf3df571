"""How long it takes to check an audit of ten thousand entries, as `sluice audit verify` does.

    python bench/proof.py [--entries 10000]

A chain is made as the operator makes it, cut into segments, read from JSON and checked; then once more with one entry
changed. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import UTC, datetime, timedelta

from figures import machine, show
from sluice.api.audit import AuditedRollout, AuditSegmentSpec
from sluice.api.rollout import Audit
from sluice.api.units import JSON
from sluice.decide.audit import Telling, append, entry_id, next_sealed, overflows, trimmed
from sluice.decide.proof import STATUS, Piece, verify

OWNER = AuditedRollout(namespace="shop", name="checkout", uid="0d0f6a32-7a1c-4c6f-9d0e-5a6f0a3f0b11")


def record(count: int) -> tuple[list[JSON], JSON]:
    """Segments and the status' tail, as the API server has them."""
    audit, segments, start = Audit(), list[JSON](), datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(count):
        identity = entry_id(OWNER.uid, number, "", "step-1")
        told = Telling(identity, "Intended", "step-1", "sluice", "WeightChanged", "green to 10%")
        audit = append(audit, told, start + timedelta(minutes=number))
        while overflows(audit):
            spec = AuditSegmentSpec.of(OWNER, next_sealed(audit, audit.seq))
            segments.append({"metadata": {"name": spec.name}, "spec": spec.dump()})
            audit = trimmed(audit, spec.last)
    return segments, audit.dump()


def check(segments: list[JSON], tail: JSON) -> tuple[float, int]:
    """Seconds that it took, and the number of findings."""
    began = time.perf_counter()
    pieces = [Piece.of_segment(segment, OWNER.uid) for segment in segments]
    proof = verify([*pieces, Piece.read(STATUS, tail, sealed=False)])
    return time.perf_counter() - began, len(proof.findings)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--entries", type=int, default=10_000)
    count = parser.parse_args().entries
    segments, tail = record(count)
    whole, nothing = check(segments, tail)
    segments[len(segments) // 2]["spec"]["entries"][0]["actor"] = "nobody"
    changed, found = check(segments, tail)
    assert (nothing, found) == (0, 1)
    rows = [("whole", round(whole, 2), nothing), ("one changed", round(changed, 2), found)]
    show(f"{count} entries in {len(segments)} segments", ("audit", "seconds", "findings"), rows)
    told = {"entries": count, "segments": len(segments), "whole_s": round(whole, 3), "changed_s": round(changed, 3)}
    print(json.dumps({**told, "machine": machine()}))


if __name__ == "__main__":
    main()
