"""A Rollout's audit on stdout."""

from __future__ import annotations

import json
from collections.abc import Iterable

import click

from sluice.api.units import JSON, format_time
from sluice.cli.output import emit, plain
from sluice.cli.table import Column, render
from sluice.decide.copies import Compared, Copy, compare
from sluice.decide.proof import STATUS
from sluice.decide.signatures import Signed
from sluice.decide.texts import count_of
from sluice.ops.audit import Trail
from sluice.views.fields import clean


def print_log(trail: Trail, last: int | None) -> None:
    """A table of the entries, or of the last so many."""
    told = list(zip(trail.proof.entries, trail.proof.places, strict=True))
    titles = ("SEQ", "AT", "STAGE", "ACTION", "ACTOR", "REASON", "SEALED", "MESSAGE")
    rows = [
        [
            str(entry.seq),
            f"{format_time(entry.at)[:19]}Z",
            entry.stage,
            clean(entry.action),
            clean(entry.actor),
            clean(entry.reason),
            "" if place == STATUS else "yes",
            clean(entry.message),
        ]
        for entry, place in told[-last if last else 0 :]
    ]
    click.echo(render([Column(title) for title in titles], rows))


def print_lines(trail: Trail) -> None:
    """A line of JSON for each entry."""
    for entry, place in zip(trail.proof.entries, trail.proof.places, strict=True):
        line = {"rollout": trail.rollout.dump(), "place": place, "entry": entry.dump()}
        click.echo(json.dumps(line, separators=(",", ":")))


def compared_with(trail: Trail, lines: Iterable[str]) -> Compared:
    """The audit, compared with the lines of a copy."""
    return compare(trail.proof, Copy.read(lines, trail.rollout.uid))


def print_proof(trail: Trail, output: str | None, signed: Signed | None, compared: Compared | None) -> None:
    """How far the audit is sealed and signed, how much of it is in a copy, and what is wrong with it.

    Args:
        trail: with the proof that was found in the end.
        output: the format; None for people.
        signed: None where signatures were not checked.
        compared: None where there is no copy.
    """
    proof = trail.proof
    if output:
        findings = [plain(finding) | {"fault": finding.fault.value} for finding in proof.findings]
        told = {"rollout": trail.rollout.dump(), "there": trail.there, "segments": trail.segments}
        told |= {"entries": len(proof.entries), "last": proof.last, "anchoredTo": proof.anchored_to}
        told |= _signatures(trail, signed)
        if compared is not None:
            told |= {"copied": compared.copied, "copiedTo": compared.copied_to, "unreadable": compared.unreadable}
        emit({**told, "whole": proof.whole, "findings": findings}, output)
        return
    many = "1 entry" if len(proof.entries) == 1 else f"{len(proof.entries)} entries"
    gone = "" if trail.there else ", which is gone or elsewhere"
    click.echo(f"Rollout {trail.rollout} ({clean(trail.rollout.uid)}){gone}: {many}")
    click.echo(f"anchored to {proof.anchored_to}, in {count_of(trail.segments, 'segment')}")
    click.echo(_how_signed(trail, signed))
    click.echo(_tail(trail, signed))
    if compared is not None:
        unreadable = f", {count_of(compared.unreadable, 'line')} unreadable" if compared.unreadable else ""
        same = f"{compared.copied} of {len(proof.entries)} are the same in the copy"
        click.echo(f"copied to {compared.copied_to}: {same}{unreadable}")
    for finding in proof.findings:
        click.echo(clean(f"wrong at {finding.seq} in {finding.where}: {finding.fault}: {finding.message}"))
    if proof.whole:
        click.echo("nothing is wrong")


def _signatures(trail: Trail, signed: Signed | None) -> JSON:
    """What of it is signed, as JSON; without keys, by which keys it says that it is."""
    claimed = sorted({claim.signature.key_id for claim in trail.claims})
    if signed is None:
        return {"signaturesChecked": False, "signedFrom": 0, "signedTo": 0, "signedBy": claimed}
    tail = {"unsignedTail": list(signed.tail)} if signed.tail else {}
    return {
        "signaturesChecked": True,
        "signedFrom": signed.since,
        "signedTo": signed.to,
        "signedBy": list(signed.keys),
        **tail,
    }


def _how_signed(trail: Trail, signed: Signed | None) -> str:
    if signed is None:
        claimed = _named(claim.signature.key_id for claim in trail.claims)
        return f"signed by {claimed}, not checked: see --key" if claimed else "signed to 0: there are no signatures"
    beside = f"; those by {_named(signed.unknown)} were not checked" if signed.unknown else ""
    if not signed.to:
        return f"signed to 0 by the keys that were given{beside}"
    begins = f"from {signed.since} " if signed.since > 1 else ""
    return f"signed {begins}to {signed.to} by {_named(signed.keys)}{beside}"


def _named(keys: Iterable[str]) -> str:
    ids = sorted({clean(key)[:16] for key in keys})
    return ("key " if len(ids) == 1 else "keys ") + ", ".join(ids) if ids else ""


def _tail(trail: Trail, signed: Signed | None) -> str:
    proof = trail.proof
    tail = [entry.seq for entry, place in zip(proof.entries, proof.places, strict=True) if place == STATUS]
    if not tail:
        return "no tail in the status"
    if signed is not None and signed.tail is not None:
        return f"unsigned tail {signed.tail[0]} to {signed.tail[1]}, in the status"
    is_claimed = any(claim.where == STATUS for claim in trail.claims)
    return f"{'' if is_claimed else 'unsigned '}tail {tail[0]} to {tail[-1]}, in the status"


def warn(trail: Trail) -> None:
    """Say on stderr that the record is not whole, where it is not."""
    if not trail.proof.whole:
        wrong = count_of(len(trail.proof.findings), "finding")
        place = f"{trail.rollout.name} -n {trail.rollout.namespace}"
        click.echo(f"the audit is not whole, {wrong}: sluice audit verify {place}", err=True)
