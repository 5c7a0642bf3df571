"""How long it takes to check an audit of ten thousand entries, as `sluice audit verify` does.

    python bench/proof.py [--entries 10000]

A chain is made as the operator makes it, cut into signed segments, read from JSON and checked; then once more with the
signatures, and with one entry changed. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from figures import machine, show
from sluice.adapters.audit.keys import SigningKey, checker, key_id
from sluice.api.audit import AuditedRollout, AuditSegmentSpec
from sluice.api.common import ObjectRef
from sluice.api.rollout import Audit
from sluice.api.units import JSON
from sluice.decide.audit import Telling, append, entry_id, next_sealed, overflows, trimmed
from sluice.decide.proof import STATUS, Piece, verify
from sluice.decide.signatures import Check, Claim, Statement, check_signatures

OWNER = AuditedRollout(namespace="shop", name="checkout", uid="0d0f6a32-7a1c-4c6f-9d0e-5a6f0a3f0b11")
REF = ObjectRef(namespace=OWNER.namespace, name=OWNER.name, uid=OWNER.uid)


def record(count: int, key: SigningKey) -> tuple[list[JSON], JSON]:
    """Segments and the status' tail, as the API server has them."""
    audit, segments, start = Audit(), list[JSON](), datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(count):
        identity = entry_id(OWNER.uid, number, "", "step-1")
        told = Telling(identity, "Intended", "step-1", "sluice", "WeightChanged", "green to 10%")
        audit = append(audit, told, start + timedelta(minutes=number))
        while overflows(audit):
            spec = AuditSegmentSpec.of(OWNER, next_sealed(audit, audit.seq))
            spec = spec.signed(key.sign(Statement(OWNER, 1, spec.last, spec.head)))
            segments.append({"metadata": {"name": spec.name}, "spec": spec.dump()})
            audit = trimmed(audit, spec.last)
    signature = key.sign(Statement(OWNER, 1, audit.seq, audit.head))
    return segments, audit.model_copy(update={"signature": signature}).dump()


def check(segments: list[JSON], tail: JSON, keys: Mapping[str, Check] | None = None) -> tuple[float, int]:
    """Seconds that it took, and the number of findings; with these keys, if there are any."""
    began = time.perf_counter()
    pieces = [Piece.of_segment(segment, OWNER.uid) for segment in segments]
    proof = verify([*pieces, Piece.read(STATUS, tail, sealed=False)])
    if keys is not None:
        claims = [Claim.of_segment(segment, REF) for segment in segments]
        claims.append(Claim.of_status(tail, REF))
        signed = check_signatures(proof, [claim for claim in claims if claim is not None], keys)
        assert signed.to == proof.last or signed.proof.findings
        proof = signed.proof
    return time.perf_counter() - began, len(proof.findings)


def per_call_us(call: Callable[[], object], calls: int = 2000) -> float:
    """How long one call takes, in microseconds."""
    began = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - began) / calls * 1e6


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--entries", type=int, default=10_000)
    count = parser.parse_args().entries
    private = Ed25519PrivateKey.generate()
    key, keys = SigningKey(private), {key_id(private.public_key()): checker(private.public_key())}
    segments, tail = record(count, key)
    whole, nothing = check(segments, tail)
    signed, nothing_signed = check(segments, tail, keys)
    segments[len(segments) // 2]["spec"]["entries"][0]["actor"] = "nobody"
    changed, found = check(segments, tail)
    assert (nothing, nothing_signed, found) == (0, 0, 1)
    statement = Statement(OWNER, 1, count, tail["head"])
    signature = key.sign(statement)
    signing, knowing = per_call_us(lambda: key.sign(statement)), per_call_us(lambda: key.knows(statement, signature))
    rows = [("whole", round(whole, 2), nothing), ("with signatures", round(signed, 2), nothing_signed)]
    rows.append(("one changed", round(changed, 2), found))
    show(f"{count} entries in {len(segments)} segments", ("audit", "seconds", "findings"), rows)
    show("a signature", ("work", "microseconds"), [("make it", round(signing)), ("check it", round(knowing))])
    told = {"entries": count, "segments": len(segments), "whole_s": round(whole, 3), "signed_s": round(signed, 3)}
    told |= {"changed_s": round(changed, 3), "sign_us": round(signing, 1), "check_us": round(knowing, 1)}
    print(json.dumps({**told, "machine": machine()}))


if __name__ == "__main__":
    main()
