"""`sluice get`: Rollouts or kill switches, one line each."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sluice.cli.help import Command
from sluice.cli.options import cluster_options, format_option, object_name
from sluice.cli.session import Access, Session, with_session

if TYPE_CHECKING:
    from sluice.cli.listing import Listing

F = TypeVar("F", bound=Callable[..., Any])
_RESOURCES = {
    **dict.fromkeys(("rollouts", "rollout", "ro"), "rollouts"),
    **dict.fromkeys(("switches", "switch", "killswitches", "killswitch", "ks"), "switches"),
}


@dataclass(frozen=True, slots=True)
class Query:
    """What to list, and how to show it."""

    resource: str  # "rollouts" or "switches"
    name: str | None
    all_namespaces: bool
    selector: str | None
    output: str | None


def _resource(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if value not in _RESOURCES:
        hint = f"sluice get rollouts {value}, or sluice status {value}"
        raise click.BadParameter(f"{value!r} is neither rollouts nor switches. One Rollout by its name: {hint}")
    return _RESOURCES[value]


def listing_options(command: F) -> F:
    """Add the name and the options of a command that lists objects; they are passed as in `list_objects`."""

    @click.argument("name", required=False, callback=object_name)
    @click.option("-A", "--all-namespaces", is_flag=True, help="Of all namespaces.")
    @click.option(
        "-l", "--selector", metavar="LABELS", help="Only those with these labels, such as app=checkout,tier!=test."
    )
    @click.option("-w", "--watch", is_flag=True, help="Go on showing changes until interrupted.")
    @format_option("wide", "json", "yaml", "name")
    @cluster_options
    @functools.wraps(command)
    def wrapped(*args: Any, **options: Any) -> Any:
        return command(*args, **options)

    return wrapped  # type: ignore[return-value]  # click reads the options off it


@click.command("get", cls=Command)
@click.argument("resource", default="rollouts", callback=_resource, metavar="[rollouts|switches]")
@listing_options
def command(access: Access, *, watch: bool, **what: Any) -> None:
    """List Rollouts, or kill switches.

    One line each: where it stands, the candidate's share of the traffic, how many pods are ready of those asked for,
    and when it goes on. Kill switches are those of the namespace and of the whole cluster. -o json and -o yaml give
    the objects as they are, -o wide more columns.

    Examples:
      sluice get
      sluice get -A -o wide
      sluice get -n shop -l team=payments --watch
      sluice get rollouts checkout -n shop -o yaml
      sluice get switches -A
    """
    list_objects(access, Query(**what), watch=watch)


def list_objects(access: Access, query: Query, *, watch: bool) -> None:
    """Print what a query asks for, once or for as long as it is watched.

    Raises:
        UsageError: options that mean nothing together.
    """
    if query.name and query.all_namespaces:
        raise click.UsageError("an object is named in one namespace: leave out -A, or the name.")
    if watch and query.output == "name":
        raise click.UsageError("--watch shows changes: use it with the table, -o wide, json or yaml.")

    async def work(session: Session) -> None:
        from sluice.cli.listing import Listing

        listing = Listing(session, query)
        await listing.fetch()
        if watch:
            await _follow(listing)
        else:
            _show(listing)

    with_session(access, work)


def _show(listing: Listing) -> None:
    from sluice.cli.output import emit, list_of, name_of, presentable

    query, objects = listing.query, listing.objects()
    match query.output:
        case "json" | "yaml":
            emit(presentable(objects[0]) if query.name else list_of(objects), query.output)
        case "name":
            for obj in objects:
                click.echo(name_of(*listing.kind_and_name(obj)))
        case _ if not objects:
            where = "" if query.all_namespaces else f" in namespace {listing.session.namespace}"
            click.echo(f"No {listing.title}{where}{' with these labels' if query.selector else ''}.", err=True)
        case _:
            click.echo(listing.table(objects))
    for note in listing.notes:
        click.echo(note, err=True)


async def _follow(listing: Listing) -> None:
    from sluice.cli.watch import follow

    as_data = listing.query.output in {"json", "yaml"}
    await follow(
        *listing.feeds(),
        page=None if as_data else lambda: listing.table(listing.objects()),
        lines=_documents(listing) if as_data else _rows(listing),
    )


def _documents(listing: Listing) -> Callable[[], Sequence[str]]:
    """The objects that are new or changed since the last call, as JSON or YAML documents."""
    from sluice.cli.output import encode, presentable
    from sluice.cli.watch import Lines

    printed: Lines[tuple[str, str, str]] = Lines()
    form = listing.query.output or "json"

    def documents() -> Sequence[str]:
        objects = listing.objects()
        printed.gone({listing.key(obj) for obj in objects})
        fresh = [obj for obj in objects if printed.fresh(listing.key(obj), listing.essence(obj))]
        head = "---\n" if form == "yaml" else ""
        return [head + encode(presentable(obj), form).rstrip("\n") for obj in fresh]

    return documents


def _rows(listing: Listing) -> Callable[[], Sequence[str]]:
    """The header at first, then the rows that are new or changed since the last call, and the names of what is gone."""
    from sluice.cli.watch import Lines

    printed: Lines[tuple[str, str, str]] = Lines()
    headers = iter([True])

    def rows() -> Sequence[str]:
        objects = listing.objects()
        gone = printed.gone({listing.key(obj) for obj in objects})
        changed = [printed.fresh(listing.key(obj), listing.essence(obj)) for obj in objects]
        header, *told = listing.table(objects).splitlines()
        shown = [line for line, fresh in zip(told, changed, strict=True) if fresh]
        lost = [f"{'/'.join(part for part in key[1:] if part)} deleted" for key in gone]
        return [*([header] if next(headers, False) else []), *shown, *lost]

    return rows
