"""`sluice audit`: what was done with a Rollout, and whether the record is whole."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sluice.cli import refusals
from sluice.cli.help import Command, Group
from sluice.cli.options import DATES, cluster_options, format_option, object_name
from sluice.cli.session import Access, Session, with_session

if TYPE_CHECKING:
    from datetime import datetime

    from sluice.decide.signatures import Check
    from sluice.ops.audit import Trail

F = TypeVar("F", bound=Callable[..., Any])


@click.group("audit", cls=Group)
def command() -> None:
    """Read the audit of a Rollout, check that nobody changed it, and tell what was refused.

    The newest entries are in the Rollout's status, all before them in AuditSegments in the operator's namespace, which
    outlive the Rollout. It takes the right to list auditsegments there.

    Examples:
      sluice audit log checkout -n shop
      sluice audit verify checkout -n shop
      sluice audit export checkout -n shop > checkout.jsonl
      sluice audit refusals /var/log/kubernetes/audit.log
    """


command.add_command(refusals.command)


@dataclass(frozen=True, slots=True)
class AsItWas:
    """A file as it was when the command began: what is added while the cluster is read is not looked at."""

    path: Path
    size: int

    def lines(self) -> Iterator[str]:
        """Its lines, in UTF-8."""
        try:
            with self.path.open("rb") as file:
                while self.size > file.tell() and (line := file.readline()):
                    yield line.decode(errors="replace")
        except OSError as error:
            raise click.BadParameter(f"{self.path} can't be read: {error.strerror}", param_hint="--copy") from error


def _as_it_is(_context: click.Context, _parameter: click.Parameter, path: Path | None) -> AsItWas | None:
    if path is None:
        return None
    return AsItWas(path, path.stat().st_size if path.exists() else 0)


def _read(keys: tuple[Path, ...]) -> dict[str, Check]:
    """The public keys in these files, by their id."""
    from sluice.adapters.audit.keys import load_public_keys
    from sluice.errors import SluiceError

    found = dict[str, "Check"]()
    for path in keys:
        try:
            found |= load_public_keys(path)
        except SluiceError as error:
            raise click.BadParameter(str(error), param_hint="--key") from error
    return found


def _of_rollout(command: F) -> F:
    """Add the argument and the options that say whose audit, and pass them as `fetch`, which reads it."""

    @click.argument("name", callback=object_name)
    @click.option("--uid", metavar="UID", default="", help="Of a Rollout that is gone, or of its part in a member.")
    @click.option(
        "--operator-namespace",
        metavar="NAME",
        default="sluice-system",
        show_default=True,
        callback=object_name,
        help="Where the operator keeps AuditSegments.",
    )
    @cluster_options
    @functools.wraps(command)
    def wrapped(*args: Any, name: str, uid: str, operator_namespace: str, access: Access, **others: Any) -> Any:
        async def fetch(session: Session) -> Trail:
            from sluice.api.names import Kind
            from sluice.ops.audit import fetch_trail
            from sluice.ops.outcome import Target

            target = Target(Kind.ROLLOUT, session.namespace, name)
            return await fetch_trail(session.cluster, target, operator_namespace, uid)

        return command(*args, trail=with_session(access, fetch), **others)

    return wrapped  # type: ignore[return-value]  # click reads the options off it, and passes what `command` takes


@command.command("log", cls=Command)
@click.option("--last", type=click.IntRange(1), metavar="N", help="Only the newest so many.")
@_of_rollout
def log_command(trail: Trail, last: int | None) -> None:
    """List what was done with a Rollout, oldest first.

    A line for each entry: before an effect (Intended), and after it was seen (Observed); by whom and why; and whether
    it is sealed. Where the record is not whole, stderr says so.

    Examples:
      sluice audit log checkout -n shop
      sluice audit log checkout -n shop --last 20
    """
    from sluice.cli.trail import print_log, warn

    print_log(trail, last)
    warn(trail)


@command.command("verify", cls=Command)
@format_option("json", "yaml")
@click.option(
    "--copy",
    metavar="FILE",
    type=click.Path(path_type=Path),
    callback=_as_it_is,
    help="JSON lines that were kept outside of the cluster, to be compared: events, or an earlier export.",
)
@click.option(
    "--key",
    "keys",
    metavar="FILE",
    multiple=True,
    type=click.Path(path_type=Path),
    help="The operator's public key, in PEM: all that is told must be signed by it, or by another; may be repeated.",
)
@click.option(
    "--signed-since",
    type=click.DateTime(DATES),
    metavar="TIME",
    help="From when on, in UTC, the operator had its key: entries before the first one since then may be unsigned.",
)
@_of_rollout
def verify_command(
    trail: Trail, output: str | None, copy: AsItWas | None, keys: tuple[Path, ...], signed_since: datetime | None
) -> None:
    """Check that the audit of a Rollout is whole.

    Entries that are missing, doubled, moved, changed or put in are told with their number and where they are. Anchored
    is what is whole from the first entry on, and sealed: nobody can change it but who may delete AuditSegments.

    Who may write segments or statuses can write a history anew that is whole in itself. Where the operator has a key,
    --key finds that: what is not signed is wrong. Old entries of before the key are let pass by --signed-since. Not
    found is that the newest entries are gone, all of them from some entry on. With a copy from outside of the cluster
    that is found, too: what the copy has must be what the cluster has.

    Exit codes:
      0  nothing is wrong
      1  something is wrong, or it could not be read
      3  there is no such Rollout, nor anything sealed of one

    Examples:
      sluice audit verify checkout -n shop
      sluice audit verify checkout -n shop -o json
      sluice audit verify checkout -n shop --copy audit.jsonl
      sluice audit verify checkout -n shop --key audit-key.pub.pem --signed-since 2026-11-22T12:00:00
    """
    from datetime import UTC

    from sluice.cli.exits import FAILED
    from sluice.cli.trail import compared_with, print_proof
    from sluice.decide.signatures import check_signatures

    if signed_since is not None and not keys:
        raise click.UsageError("--signed-since says which entries --key is for: give the operator's public key, too.")
    signed = None
    if keys:
        signed = check_signatures(
            trail.proof, trail.claims, _read(keys), signed_since.replace(tzinfo=UTC) if signed_since else None
        )
        trail = replace(trail, proof=signed.proof)
    compared = compared_with(trail, copy.lines()) if copy is not None else None
    trail = replace(trail, proof=compared.proof) if compared is not None else trail
    print_proof(trail, output, signed, compared)
    if not trail.proof.whole:
        raise click.exceptions.Exit(FAILED)


@command.command("export", cls=Command)
@_of_rollout
def export_command(trail: Trail) -> None:
    """Print the audit of a Rollout as JSON lines, oldest entry first.

    Each line has the Rollout, the entry as it was written, hash included, and where it is: the AuditSegment's name, or
    status. Where the record is not whole, stderr says so.

    Examples:
      sluice audit export checkout -n shop > checkout.jsonl
      sluice audit export checkout -n shop --operator-namespace sluice-system
    """
    from sluice.cli.trail import print_lines, warn

    print_lines(trail)
    warn(trail)
