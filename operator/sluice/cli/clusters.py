"""`sluice clusters`: the other clusters that this one knows."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sluice.cli.act import report
from sluice.cli.help import Command, Group
from sluice.cli.options import format_option, object_name, wait_options
from sluice.cli.session import Access, Environment, Session, with_session

if TYPE_CHECKING:
    from sluice.ops.outcome import Outcome
    from sluice.ops.register import Registration
    from sluice.ops.steps import Hand

F = TypeVar("F", bound=Callable[..., Any])
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_ADDRESS = re.compile(r"https?://[^/@?#{}\s]+(/[^@?#{}\s]*)?")
_ADDRESS_CHARACTERS = 253
_LABEL = re.compile(r"(?P<key>[A-Za-z0-9]([-A-Za-z0-9_./]{0,315}[A-Za-z0-9])?)=(?P<value>[-A-Za-z0-9_.]{0,63})")


@click.group("clusters", cls=Group)
def command() -> None:
    """Register other clusters, and see how they are.

    A member cluster is registered with the hub, the cluster that Sluice runs in. The operator looks at it every half a
    minute: does its API server answer, and may Sluice do there what it needs to? Rollouts with spec.fleet go over the
    members that they select.

    Examples:
      sluice clusters list
      sluice clusters add pilot --kubeconfig pilot.yaml --label env=prod
      sluice clusters check pilot
      sluice clusters remove pilot --kubeconfig pilot.yaml
    """


def _hub_options(command: F) -> F:
    for option in (
        click.option("--kubeconfig", metavar="PATH", help="Of the hub; by default $KUBECONFIG."),
        click.option("--context", metavar="NAME", help="Context of the kubeconfig; by default its current one."),
    ):
        command = option(command)
    return command


def _two_clusters(command: F) -> F:
    """The options of what works on a member and the hub."""
    for option in (
        click.option(
            "--operator-namespace",
            metavar="NAME",
            default="sluice-system",
            show_default=True,
            callback=object_name,
            help="In the hub, where the operator reads Secrets.",
        ),
        click.option("--hub-context", metavar="NAME", help="Context of the hub's kubeconfig."),
        click.option("--hub-kubeconfig", metavar="PATH", help="Of the hub; by default $KUBECONFIG."),
        click.option("--context", metavar="NAME", help="Context of the member's kubeconfig."),
    ):
        command = option(command)
    return command


def _member_name(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if not _NAME.fullmatch(value):
        raise click.BadParameter(f"{value!r} is no name for a member: at most 63 of a-z, 0-9 and '-', without dots")
    return value


def _labels(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for value in values:
        label = _LABEL.fullmatch(value)
        if label is None:
            raise click.BadParameter(f"{value!r} is no label; it is such as env=prod")
        found[label["key"]] = label["value"]
    return found


def _namespaces(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if not _NAME.fullmatch(value):
            raise click.BadParameter(f"{value!r} is no name of a namespace: at most 63 of a-z, 0-9 and '-'")
    return values


def _address(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not (_ADDRESS.fullmatch(value) and len(value) <= _ADDRESS_CHARACTERS):
        raise click.BadParameter(
            f"{value!r} is no address: http:// or https://, a host and perhaps a path, without credentials or a query"
        )
    return value


@command.command("list", cls=Command)
@click.option("-l", "--selector", metavar="LABELS", help="Only those with these labels, such as env=prod,tier!=test.")
@format_option("wide", "json", "yaml", "name")
@_hub_options
def list_command(selector: str | None, output: str | None, kubeconfig: str | None, context: str | None) -> None:
    """List the member clusters.

    One line each: whether it is ready, and why not; its version, weight and host; since when it has been so. -o wide
    adds labels and the operator's words.

    Examples:
      sluice clusters list
      sluice clusters list -l env=prod -o wide
    """
    from sluice.cli.members import show_list

    with_session(Access(kubeconfig, context), lambda session: show_list(session, selector, output))


@command.command("check", cls=Command)
@click.argument("name", callback=_member_name)
@format_option("json", "yaml")
@_hub_options
def check_command(name: str, output: str | None, kubeconfig: str | None, context: str | None) -> None:
    """Show how a member cluster is: each condition, and each right.

    What the operator found when it last looked, in a table: rights that it has, and those that it lacks. The exit code
    is 0 where the member is ready, and 1 where it is not.

    Examples:
      sluice clusters check pilot
      sluice clusters check pilot -o yaml
    """
    from sluice.cli.exits import Failure
    from sluice.cli.members import show_one

    problem = with_session(Access(kubeconfig, context), lambda session: show_one(session, name, output))
    if problem:
        raise Failure(problem)


@command.command("add", cls=Command)
@click.argument("name", callback=_member_name)
@click.option("--kubeconfig", metavar="FILE", required=True, help="Of the member, as its administrator.")
@click.option("--label", "labels", metavar="KEY=VALUE", multiple=True, callback=_labels, help="May be repeated.")
@click.option(
    "--weight", type=click.IntRange(1, 1_000_000_000), metavar="N", help="How many of its kind it stands for."
)
@click.option("--prometheus", metavar="URL", callback=_address, help="Measures what runs there; as the hub reaches it.")
@click.option(
    "--allow-namespace",
    "namespaces",
    metavar="NAME",
    multiple=True,
    callback=_namespaces,
    help="Only Rollouts of this namespace may go there. May be repeated.",
)
@click.option("--server", metavar="URL", help="Where the operator finds the member, if not where the kubeconfig says.")
@click.option("--rotate-token", is_flag=True, help="Make a new token, and delete those before it.")
@click.option(
    "--dry-run", is_flag=True, help="Print every object that would be made, with a placeholder for the token."
)
@_two_clusters
@wait_options
def add_command(name: str, *, dry_run: bool, patience_seconds: float, **options: Any) -> None:
    """Register a member cluster.

    Makes in the member: the kinds MemberRollout and MemberRolloutRun, as the hub has them, the namespace sluice-system,
    a ServiceAccount, a ClusterRole with the rights that Sluice needs and no others, its binding, and a Secret with a
    token. In the hub: a Secret with a kubeconfig of that token, and the MemberCluster. Says each thing that it did;
    done again it changes nothing, or mends what is missing. What is not given stays: labels, weight,
    Prometheus, allowed namespaces. Do it again after an upgrade of the hub.

    Examples:
      sluice clusters add pilot --kubeconfig pilot.yaml --label env=prod --label tier=pilot
      sluice clusters add eu-1 --kubeconfig fleet.yaml --context eu-1 --hub-context hub
      sluice clusters add eu-1 --kubeconfig eu-1.yaml --weight 20000 --prometheus https://prometheus.eu-1.example
      sluice clusters add pilot --kubeconfig pilot.yaml --dry-run
      sluice clusters add pilot --kubeconfig pilot.yaml --rotate-token
    """

    async def work(hub: Session, member: Session | None) -> Outcome | None:
        from sluice.cli.members import print_plan
        from sluice.ops.register import fetch_definitions, register

        assert member is not None  # noqa: S101 - --kubeconfig is required
        order = _order(name, member, options)
        if dry_run:
            print_plan(order, await fetch_definitions(_hand(hub, "hub")))
            return None
        return await register(_hand(hub, "hub"), _hand(member, "member"), order, patience_seconds)

    outcome = _with_both(options, work)
    if outcome is not None:
        report(outcome, None)


@command.command("remove", cls=Command)
@click.argument("name", callback=_member_name)
@click.option("--kubeconfig", metavar="FILE", help="Of the member, as its administrator.")
@click.option("--keep-member-objects", is_flag=True, help="Leave what is in the member, as where it is gone.")
@_two_clusters
def remove_command(name: str, *, keep_member_objects: bool, **options: Any) -> None:
    """Undo the registration of a member cluster.

    Deletes in the hub the MemberCluster and its Secret; in the member the tokens, the ServiceAccount, its ClusterRole
    and binding. Says each thing that it did, and what it leaves: the namespace in the member, for something else may
    be in it, and the kinds that were installed. What Sluice made there by rollouts is not touched.

    Examples:
      sluice clusters remove pilot --kubeconfig pilot.yaml
      sluice clusters remove lost --keep-member-objects
    """
    if bool(options["kubeconfig"]) == keep_member_objects:
        raise click.UsageError(
            "say what becomes of the account there: --kubeconfig FILE deletes it, --keep-member-objects does not."
        )

    async def work(hub: Session, member: Session | None) -> Outcome:
        from sluice.ops.unregister import unregister

        there = _hand(member, "member") if member is not None else None
        return await unregister(_hand(hub, "hub"), there, name, options["operator_namespace"])

    outcome = _with_both(options, work)
    if outcome is not None:
        report(outcome, None)


def _order(name: str, member: Session, options: dict[str, Any]) -> Registration:
    from sluice.ops.register import Registration

    return Registration(
        name=name,
        server=options["server"] or member.server,
        authorities=member.authorities,
        labels=options["labels"],
        weight=options["weight"],
        prometheus=options["prometheus"],
        namespaces=options["namespaces"],
        rotate=options["rotate_token"],
        namespace=options["operator_namespace"],
    )


def _hand(session: Session, where: str) -> Hand:
    from sluice.ops.steps import Hand

    return Hand(session.cluster, where, lambda step: click.echo(str(step)))


def _with_both(
    options: dict[str, Any], work: Callable[[Session, Session | None], Awaitable[Outcome | None]]
) -> Outcome | None:
    """Connect to the hub and, where its kubeconfig is given, to the member."""
    environment = click.get_current_context().find_object(Environment)
    if environment is None:
        raise RuntimeError("the command was called without its group")

    async def main(hub: Session) -> Outcome | None:
        if not options["kubeconfig"]:
            return await work(hub, None)
        async with environment.connect(Access(options["kubeconfig"], options["context"])) as member:
            return await work(hub, member)

    return with_session(Access(options["hub_kubeconfig"], options["hub_context"]), main)
