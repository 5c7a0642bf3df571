"""What a command works with: a connection, the namespace it is about, the time. Tests give their own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import click

if TYPE_CHECKING:
    from sluice.api.names import Kind
    from sluice.cli.mirror import Feed, Mirror
    from sluice.ports import Clock, Cluster, Obj

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Access:
    """Which cluster, as whom, and which namespace; None is the default."""

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None


class Session(Protocol):
    """A connection to one API server."""

    @property
    def cluster(self) -> Cluster:
        """Its objects."""
        ...

    @property
    def clock(self) -> Clock:
        """The time."""
        ...

    @property
    def namespace(self) -> str:
        """The namespace that the command is about."""
        ...

    @property
    def server(self) -> str:
        """The API server's address."""
        ...

    @property
    def authorities(self) -> str:
        """PEM of who vouches for the API server; "" for the system's.

        Raises:
            Permanent: nobody does: the kubeconfig says not to verify it.
        """
        ...

    def feed(self, kind: Kind, namespace: str, name: str, mirror: Mirror) -> Feed:
        """Watch a kind in a namespace ("": all), or (name not "") one object of it."""
        ...

    async def read(self, path: str) -> Obj:
        """Read a path of the API server that is no object, such as `/version`."""
        ...


class Runner(Protocol):
    """Runs a coroutine to its end, as `asyncio.run` does."""

    def __call__(self, main: Coroutine[Any, Any, T]) -> T:
        """Run it."""
        ...


def _run(main: Coroutine[Any, Any, T]) -> T:
    import asyncio

    return asyncio.run(main)


@dataclass(frozen=True, slots=True)
class Environment:
    """How commands reach the world; click's context carries it."""

    connect: Callable[[Access], AbstractAsyncContextManager[Session]]
    run: Runner = _run


def with_session(access: Access, work: Callable[[Session], Awaitable[T]]) -> T:
    """Connect, do the work, and turn what goes wrong into an exit code."""
    from sluice.cli.exits import INTERRUPTED, failure_of
    from sluice.errors import SluiceError

    environment = click.get_current_context().find_object(Environment)
    if environment is None:
        raise RuntimeError("the command was called without its group")

    async def main() -> T:
        async with environment.connect(access) as session:
            return await work(session)

    try:
        return environment.run(main())
    except SluiceError as error:
        raise failure_of(error) from error
    except KeyboardInterrupt as error:
        raise click.exceptions.Exit(INTERRUPTED) from error
