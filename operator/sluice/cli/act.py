"""The common face of the verbs that tell a run something."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sluice.cli.exits import FAILED, TIMED_OUT, Failure
from sluice.cli.options import cluster_options, format_option, object_name, wait_options
from sluice.cli.session import Access, Session, with_session

if TYPE_CHECKING:
    from sluice.ops.outcome import Outcome, Target
    from sluice.ports import Cluster

F = TypeVar("F", bound=Callable[..., Any])


def rollout_verb(command: F) -> F:
    """Add what the verbs share: NAME, --revision, --reason, where, how long to wait, and the form of the answer."""
    for option in (
        format_option("json", "yaml", "name"),
        wait_options,
        cluster_options,
        click.option("--reason", metavar="TEXT", default="", help="Why, for the audit trail."),
        click.option(
            "--revision",
            type=click.IntRange(min=1),
            metavar="NUMBER",
            help="Only if this is still the revision under way; by default, the one there is now.",
        ),
        click.argument("name", callback=object_name),
    ):
        command = option(command)
    return command


def why(reason: str) -> str:
    """The reason, of a verb that needs one."""
    if not reason.strip():
        raise click.UsageError("say why, for the audit trail: --reason TEXT.")
    return reason


def tell(name: str, access: Access, output: str | None, verb: Callable[[Cluster, Target], Awaitable[Outcome]]) -> None:
    """Do a verb to a Rollout and print its answer."""

    async def work(session: Session) -> Outcome:
        from sluice.ops.outcome import rollout

        return await verb(session.cluster, rollout(session.namespace, name))

    report(with_session(access, work), output)


def report(outcome: Outcome, output: str | None) -> None:
    """Print an outcome; one that is not done ends the command with its exit code."""
    from sluice.cli.output import emit, name_of
    from sluice.ops.outcome import Ending

    carrier = outcome.carrier
    good = outcome.ending in {Ending.DONE, Ending.SENT}
    if output in {"json", "yaml"}:
        emit(
            {
                "ending": outcome.ending.value,
                "message": outcome.message,
                "kind": carrier.kind.value,
                "namespace": carrier.namespace,
                "name": carrier.name,
            },
            output,
        )
    elif output == "name":
        click.echo(name_of(carrier.kind, carrier.name))
    elif good:
        click.echo(outcome.message)
    if not good:
        raise Failure(outcome.message, TIMED_OUT if outcome.ending is Ending.PENDING else FAILED)
