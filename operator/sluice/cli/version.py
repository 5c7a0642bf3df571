"""`sluice version`."""

from __future__ import annotations

from dataclasses import dataclass

import click

from sluice.cli.help import Command
from sluice.cli.options import cluster_options, format_option
from sluice.cli.session import Access, Session, with_session


@dataclass(frozen=True, slots=True)
class _Server:
    """What a server says of itself. `problem`: why it could not be asked."""

    address: str = ""
    version: str = ""
    served: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    problem: str = ""


@click.command("version", cls=Command)
@click.option("--client", is_flag=True, help="Do not ask the server.")
@format_option("json", "yaml")
@cluster_options
def command(access: Access, output: str | None, *, client: bool) -> None:
    """Show the version of this program, and what the server has.

    The server is asked for its own version and for which of Sluice's resources it serves. One that cannot be reached is
    no failure: a message says why.

    Examples:
      sluice version
      sluice version --client
      sluice version -o json --context staging
    """
    from sluice import __version__

    server = None if client else _ask(access)
    if output:
        from sluice.cli.output import emit, plain

        emit({"client": __version__, **({"server": plain(server)} if server else {})}, output)
        return
    click.echo(f"sluice {__version__}")
    if server is None:
        return
    if server.problem:
        click.echo(f"The server was not asked: {server.problem}", err=True)
        return
    click.echo(f"server {server.version} at {server.address}")
    click.echo(f"resources {', '.join(server.served) or 'none'}")
    if server.missing:
        click.echo(
            f"Missing: {', '.join(server.missing)}. Install Sluice's resources: kubectl apply -f crds/", err=True
        )


def _ask(access: Access) -> _Server:
    try:
        return with_session(access, _fetch)
    except click.ClickException as error:
        return _Server(problem=error.message)


async def _fetch(session: Session) -> _Server:
    from sluice.api.names import API_VERSION, Kind
    from sluice.errors import NotFound
    from sluice.views.fields import Fields

    version = Fields(await session.read("/version")).text("gitVersion")
    try:
        listed = Fields(await session.read(f"/apis/{API_VERSION}"))
    except NotFound:
        listed = Fields({})
    there = {item.text("kind") for item in listed.items("resources") if "/" not in item.text("name")}
    ours = [kind.value for kind in list(Kind)[: list(Kind).index(Kind.HTTP_ROUTE)]]
    return _Server(
        address=session.server,
        version=version,
        served=tuple(kind for kind in ours if kind in there),
        missing=tuple(kind for kind in ours if kind not in there),
    )
