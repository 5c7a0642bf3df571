"""`sluice kill`, and what it shares with `sluice release`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sluice.cli.act import report
from sluice.cli.help import Command
from sluice.cli.options import cluster_options, duration, format_option, object_name, wait_options
from sluice.cli.selector import parse_selector
from sluice.cli.session import Access, Session, with_session

if TYPE_CHECKING:
    from sluice.api.killswitch import Scope
    from sluice.ops.outcome import Outcome, Target

F = TypeVar("F", bound=Callable[..., Any])
DEFAULT_NAME = "stop"
_LINE_CHARACTERS = 500


def switch_verb(command: F) -> F:
    """Add what kill and release share: NAME, --cluster, where, how long to wait, and the form of the answer."""
    for option in (
        format_option("json", "yaml", "name"),
        wait_options,
        cluster_options,
        click.option("--cluster", is_flag=True, help="A ClusterKillSwitch, for all namespaces."),
        click.argument("name", default=DEFAULT_NAME, callback=object_name),
    ):
        command = option(command)
    return command


def switch_target(name: str, namespace: str, *, cluster: bool) -> Target:
    """The switch that is meant."""
    from sluice.api.names import Kind
    from sluice.ops.outcome import Target

    return Target(Kind.CLUSTER_KILL_SWITCH, "", name) if cluster else Target(Kind.KILL_SWITCH, namespace, name)


@click.command("kill", cls=Command)
@switch_verb
@click.option("--reason", metavar="TEXT", required=True, help="Why; it stands on every Rollout that is stopped.")
@click.option("-l", "--selector", metavar="LABELS", help="For a new switch: only Rollouts with these labels.")
@click.option(
    "--namespaces", metavar="LABELS", help="For a new switch, with --cluster: only namespaces with these labels."
)
@click.option("--members", metavar="LABELS", help="For a new switch: only in member clusters with these labels.")
@click.option(
    "--effect",
    type=click.Choice(["divert", "hold", "rollback"]),
    help="divert returns all traffic to stable; hold freezes; rollback is divert, then the candidates' pods go, and "
    "COMPLETED revisions return to the ones before. By default the switch's own, divert for a new one.",
)
@click.option(
    "--force/--no-force",
    default=None,
    help="Divert also where stable has no ready endpoint: requests that the candidate answers FAIL then. "
    "And all at once where stable is too small. By default the switch's own, no for a new one.",
)
@click.option("--expires", metavar="TIME", callback=duration, help="With --effect hold: lets go after so long, as 8h.")
@click.option("--direct", is_flag=True, help="No operator answers: also write the routes, by your own rights.")
def command(name: str, access: Access, output: str | None, *, cluster: bool, **order: Any) -> None:
    """Engage a kill switch: traffic back to stable, at once.

    NAME is the switch's, by default "stop". Where there is none of that name it is created; without -l it covers every
    Rollout of the namespace, with --cluster every Rollout there is. It stays engaged until `sluice release`.

    Examples:
      sluice kill -n shop --reason "5xx on checkout"
      sluice kill payments -n shop -l app=payments --reason "double charges"
      sluice kill freeze -n shop --effect hold --expires 8h --reason "database maintenance"
      sluice kill --cluster --reason "bad base image"
      sluice kill payments -n shop -l app=payments --effect rollback --reason "2.4.1 writes bad ledgers"
      sluice kill -n shop --direct --reason "5xx, and the operator is down"
      sluice kill -n shop --force --reason "leaks cards: better no answer than this one"

    With --direct the switch is engaged as ever, and then each route and Service that it covers is written from here:
    the candidate's weight to 0, and sluice.dev/hold with your name and the reason, which keeps it there. The operator
    obeys both when it is back, and then does what else a rollback asks for. To go on, release the switch and take the
    annotation off. It takes the rights of the ClusterRole sluice-breakglass.

    The same by kubectl:
      kubectl patch killswitch stop -n shop --type merge -p '{"spec":{"engaged":true,"reason":"5xx"}}'
    """
    if order["namespaces"] and not cluster:
        raise click.UsageError("--namespaces is for --cluster: a KillSwitch covers its own namespace only.")
    if order["expires"] is not None and order["effect"] != "hold":
        raise click.UsageError(
            "--expires is for --effect hold: what a divert or rollback took away comes back by no clock."
        )
    if order["members"] and order["effect"] == "rollback":
        raise click.UsageError(
            "--effect rollback acts in all clusters of a fleet: with --members divert, and take back what completed "
            "there by `sluice rollback --cluster`."
        )
    if order["direct"] and order["effect"] == "hold":
        raise click.UsageError("--direct diverts: a hold takes no traffic away, so that there is nothing to write.")
    if order["force"] and order["effect"] == "hold":
        raise click.UsageError("--force is for --effect divert or rollback: a hold moves nothing.")
    scope = _scope(selector=order["selector"], namespace_selector=order["namespaces"], clusters=order["members"])

    async def work(session: Session) -> Outcome:
        from sluice.api.killswitch import Effect
        from sluice.ops.kill import Manner, kill

        target = switch_target(name, session.namespace, cluster=cluster)
        outcome = await kill(
            session.cluster,
            target,
            reason=order["reason"],
            manner=Manner(
                effect=Effect(order["effect"].capitalize()) if order["effect"] else None,
                expires=order["expires"],
                force=order["force"],
            ),
            scope=scope,
            patience_seconds=0 if order["direct"] else order["patience_seconds"],
        )
        return await _write_directly(session, target, outcome) if order["direct"] else outcome

    report(with_session(access, work), output)


async def _write_directly(session: Session, target: Target, engaged: Outcome) -> Outcome:
    """Divert from here what an engaged switch covers; of each target a line on stderr, as soon as it is done."""
    from sluice.decide.texts import count_of
    from sluice.engine.byhand import divert_by_hand
    from sluice.ops.explain import explaining
    from sluice.ops.outcome import Ending, Outcome
    from sluice.views.fields import clean
    from sluice.wiring import routers_over

    if engaged.ending is Ending.REJECTED:
        return engaged
    click.echo(engaged.message, err=True)
    written = failed = 0
    with explaining("write directly what is covered by", target, "what the ClusterRole sluice-breakglass has"):
        async for told in divert_by_hand(
            session.cluster,
            target.kind,
            target.namespace,
            target.name,
            clock=session.clock,
            build=routers_over,
        ):
            click.echo(clean(f"{told.about}: {told.message}", _LINE_CHARACTERS), err=True)
            written += told.written
            failed += told.failed
    summary = f"{target} is engaged, and {count_of(written, 'target')} diverted and held from here"
    if failed:
        summary += f"; {failed} of what it covers may still give the candidate traffic: see above"
        return Outcome(Ending.REJECTED, summary, target)
    return Outcome(Ending.DONE, summary, target)


def _scope(**labels: str | None) -> Scope | None:
    """The scope with these selectors; None where nothing is said."""
    if not any(labels.values()):
        return None
    from sluice.api.killswitch import Scope

    return Scope().model_copy(update={field: parse_selector(given) for field, given in labels.items() if given})
