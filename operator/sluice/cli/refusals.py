"""`sluice audit refusals`: what the API server refused, by its own audit log."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import click

from sluice.cli.help import Command
from sluice.cli.options import DATES, format_option

if TYPE_CHECKING:
    from sluice.views.refusals import Refusal

_UNKNOWN = 401


@click.command("refusals", cls=Command)
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(allow_dash=True))
@click.option("--since", type=click.DateTime(DATES), metavar="TIME", help="Only what came then, in UTC, or later.")
@click.option("--who", metavar="USER", help='Only of one user; "" for those of whom nobody knows who they are.')
@format_option("json", "yaml")
def command(files: tuple[str, ...], since: datetime | None, who: str | None, output: str | None) -> None:
    """Tell what the API server refused of Sluice, by its own audit log.

    Who tried what, when, from where, and by which rule it was refused: missing rights, Sluice's admission policies on
    whatever object, and credentials that are wrong or have expired (of these nobody knows whose they were). Such
    attempts leave no object behind. FILE is an audit log with a JSON object per line, as `kube-apiserver
    --audit-log-path` writes it; - is stdin. What the API server has to keep for this is in
    manifests/apiserver/audit-policy.yaml.

    Examples:
      sluice audit refusals /var/log/kubernetes/audit.log
      sluice audit refusals audit.log --since 2026-11-22 --who mallory
      zcat audit-*.log.gz | sluice audit refusals - -o json
    """
    from sluice.views.refusals import refusals_in

    _print(_chosen(refusals_in(_lines(files)), since, who), output)


def _lines(files: tuple[str, ...]) -> Iterator[str]:
    for path in files:
        try:
            with click.open_file(path, "rb") as file:
                yield from (line.decode(errors="replace") for line in file)
        except OSError as error:
            raise click.BadParameter(f"{path} can't be read: {error.strerror}", param_hint="FILE") from error


def _chosen(refusals: Iterator[Refusal], since: datetime | None, who: str | None) -> list[Refusal]:
    from datetime import UTC

    least = since.replace(tzinfo=UTC) if since is not None else None
    return [
        each
        for each in refusals
        if (least is None or (each.at is not None and each.at >= least)) and (who is None or _is_of(each, who))
    ]


def _is_of(refusal: Refusal, who: str) -> bool:
    return who == refusal.who or (bool(who) and who == refusal.acting_as)


def _print(refusals: list[Refusal], output: str | None) -> None:
    from sluice.cli.output import emit, plain
    from sluice.cli.table import Column, render

    if output:
        emit([plain(each) | {"at": _moment(each.at)} for each in refusals], output)
        return
    if not refusals:
        click.echo("nothing was refused", err=True)
        return
    titles = ("AT", "WHO", "VERB", "WHAT", "CODE", "RULE", "FROM", "WHY")
    click.echo(render([Column(title) for title in titles], [_row(each) for each in refusals]))


def _row(refusal: Refusal) -> list[str]:
    acting = f" as {refusal.acting_as}" if refusal.acting_as else ""
    return [
        _moment(refusal.at),
        f"{refusal.who or 'nobody known'}{acting}",
        refusal.verb,
        refusal.what,
        str(refusal.code),
        refusal.rule or ("credentials" if refusal.code == _UNKNOWN else "rights"),
        refusal.address,
        refusal.why,
    ]


def _moment(at: datetime | None) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ") if at is not None else ""
