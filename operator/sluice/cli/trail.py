"""A Rollout's audit on stdout."""

from __future__ import annotations

import json
from collections.abc import Iterable

import click

from sluice.api.units import format_time
from sluice.cli.output import emit, plain
from sluice.cli.table import Column, render
from sluice.decide.copies import Compared, Copy, compare
from sluice.decide.proof import STATUS
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


def print_proof(trail: Trail, output: str | None, compared: Compared | None = None) -> None:
    """How far the audit is sealed, how much of it is in a copy, and what is wrong with it."""
    proof = trail.proof
    if output:
        findings = [plain(finding) | {"fault": finding.fault.value} for finding in proof.findings]
        told = {"rollout": trail.rollout.dump(), "there": trail.there, "segments": trail.segments}
        told |= {"entries": len(proof.entries), "last": proof.last, "anchoredTo": proof.anchored_to, "signedTo": 0}
        if compared is not None:
            told |= {"copied": compared.copied, "copiedTo": compared.copied_to, "unreadable": compared.unreadable}
        emit({**told, "whole": proof.whole, "findings": findings}, output)
        return
    many = "1 entry" if len(proof.entries) == 1 else f"{len(proof.entries)} entries"
    gone = "" if trail.there else ", which is gone or elsewhere"
    click.echo(f"Rollout {trail.rollout} ({clean(trail.rollout.uid)}){gone}: {many}")
    click.echo(f"anchored to {proof.anchored_to}, in {count_of(trail.segments, 'segment')}")
    click.echo("signed to 0: segments are not signed")
    tail = [entry.seq for entry, place in zip(proof.entries, proof.places, strict=True) if place == STATUS]
    click.echo(f"unsigned tail {tail[0]} to {tail[-1]}, in the status" if tail else "no tail in the status")
    if compared is not None:
        unreadable = f", {count_of(compared.unreadable, 'line')} unreadable" if compared.unreadable else ""
        same = f"{compared.copied} of {len(proof.entries)} are the same in the copy"
        click.echo(f"copied to {compared.copied_to}: {same}{unreadable}")
    for finding in proof.findings:
        click.echo(clean(f"wrong at {finding.seq} in {finding.where}: {finding.fault}: {finding.message}"))
    if proof.whole:
        click.echo("nothing is wrong")


def warn(trail: Trail) -> None:
    """Say on stderr that the record is not whole, where it is not."""
    if not trail.proof.whole:
        wrong = count_of(len(trail.proof.findings), "finding")
        place = f"{trail.rollout.name} -n {trail.rollout.namespace}"
        click.echo(f"the audit is not whole, {wrong}: sluice audit verify {place}", err=True)
