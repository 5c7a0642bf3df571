"""`sluice lint`: what is wrong with manifests, without a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sluice.cli.files import read_files
from sluice.cli.help import Command
from sluice.cli.options import object_name
from sluice.decide.texts import count_of

if TYPE_CHECKING:
    from sluice.ops.lint.finding import Finding
    from sluice.ops.lint.linter import Linter


@click.command("lint", cls=Command)
@click.argument("paths", metavar="FILE...", nargs=-1, required=True)
@click.option("--strict", is_flag=True, help="Warnings fail, too.")
@click.option(
    "-n",
    "--namespace",
    metavar="NAME",
    default="default",
    show_default=True,
    callback=object_name,
    help="Of objects that name none.",
)
@click.option("-o", "--output", type=click.Choice(["json", "yaml"]), help="Another form than a line for each finding.")
def command(paths: tuple[str, ...], namespace: str, output: str | None, *, strict: bool) -> None:
    """Check manifests without a cluster.

    Tells what the API server would refuse, by the same CRDs and their rules, and what the operator would only tell by a
    condition: placeholders that there are not, args without a value, routes that two Rollouts move; and warns of what
    is probably not meant, or could not be checked. FILE is a file of YAML or JSON with any number of documents, a
    folder of such files, or - for stdin. Objects of other kinds are skipped and counted.

    Exit codes:
      0  nothing is wrong, or there are only warnings
      1  something is wrong; with --strict, also where there are only warnings
      2  wrong usage, such as a file that is not there

    Examples:
      sluice lint rollout.yaml
      sluice lint deploy/ --strict
      helm template checkout ./chart | sluice lint - -n shop
      sluice lint deploy/ -o json
    """
    from sluice.cli.exits import FAILED, failure_of
    from sluice.errors import SluiceError
    from sluice.ops.lint.finding import Level
    from sluice.ops.lint.linter import Linter

    try:
        linter = Linter(namespace)
    except SluiceError as error:
        raise failure_of(error) from error
    files = list(read_files(paths))
    for file, text in files:
        linter.add(file, text)
    findings = linter.finish()
    _tell(linter, findings, output)
    errors = sum(finding.level is Level.ERROR for finding in findings)
    warnings = len(findings) - errors
    summary = [count_of(len(files), "file"), count_of(linter.checked, "object"), count_of(errors, "error")]
    summary += [count_of(warnings, "warning"), f"{count_of(linter.skipped, 'object')} of other kinds skipped"]
    click.echo(", ".join(summary), err=True)
    if errors or (strict and warnings):
        raise click.exceptions.Exit(FAILED)


def _tell(linter: Linter, findings: list[Finding], output: str | None) -> None:
    from sluice.cli.output import emit, plain

    if output:
        found = [plain(finding) | {"level": finding.level.value} for finding in findings]
        emit({"findings": found, "checked": linter.checked, "skipped": linter.skipped}, output)
        return
    for finding in findings:
        click.echo(_line(finding))


def _line(finding: Finding) -> str:
    from sluice.views.fields import clean

    where = f"{finding.file}:{finding.line}" if finding.file else "sluice"
    space = f"{finding.namespace}/" if finding.namespace else ""
    thing = f"{finding.kind} {space}{finding.name or '?'}" if finding.kind else ""
    return clean(
        ": ".join(part for part in (where, finding.level.value, thing, finding.field, finding.message) if part)
    )
