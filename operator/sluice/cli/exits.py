"""Exit codes, and how errors become them."""

from __future__ import annotations

import click

from sluice.errors import NotFound, SluiceError, Unauthenticated, Unavailable

FAILED = 1  # refused, rejected or unreachable
USAGE = 2  # click's own
NOT_FOUND = 3
TIMED_OUT = 4  # written, but not confirmed in time; or what was waited for did not come in time
ENDED_OTHERWISE = 5  # what was waited for will not come
INTERRUPTED = 130

_MESSAGE_MAX = 2000


class Failure(click.ClickException):
    """Ends the command with a message on stderr and an exit code."""

    def __init__(self, message: str, exit_code: int = FAILED) -> None:
        from sluice.views.fields import clean

        super().__init__(clean(message, _MESSAGE_MAX))
        self.exit_code = exit_code  # type: ignore[misc]  # click reads it from the instance


def failure_of(error: SluiceError) -> Failure:
    """The failure that an error of a port or of ops becomes."""
    if isinstance(error, NotFound):
        return Failure(str(error), NOT_FOUND)
    if isinstance(error, Unauthenticated):
        again = "Log in again, or use other credentials (--kubeconfig, --context), and try again"
        return Failure(f"{str(error).rstrip('. ')}. {again}")
    if isinstance(error, Unavailable):
        return Failure(f"{error} Is the cluster of this kubeconfig reachable? Another one: --kubeconfig, --context")
    return Failure(str(error))
