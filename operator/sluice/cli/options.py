"""Options and arguments that several commands share."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import click

from sluice.cli.session import Access

F = TypeVar("F", bound=Callable[..., Any])
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
TIMEOUT_SECONDS = 30.0
DATES = ("%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ")
_SECONDS = re.compile(r"\d{1,9}(\.\d{1,3})?")


def object_name(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """Refuse what cannot be an object's name before it is sent anywhere."""
    if value is not None and not _NAME.fullmatch(value):
        raise click.BadParameter(f"{value!r} is no object name: lower-case letters, digits, '-' and '.'")
    return value


def cluster_options(command: F) -> F:
    """Add --namespace, --kubeconfig and --context, and pass them as `access`."""

    @click.option(
        "-n",
        "--namespace",
        metavar="NAME",
        callback=object_name,
        help="Namespace; by default the kubeconfig context's.",
    )
    @click.option("--kubeconfig", metavar="PATH", help="By default $KUBECONFIG, or the pod's service account.")
    @click.option("--context", metavar="NAME", help="Context of the kubeconfig; by default its current one.")
    @functools.wraps(command)
    def wrapped(*args: Any, namespace: str | None, kubeconfig: str | None, context: str | None, **others: Any) -> Any:
        return command(*args, access=Access(kubeconfig, context, namespace), **others)

    return wrapped  # type: ignore[return-value]  # click reads the options off it, and passes what `command` takes


def duration(_context: click.Context, _parameter: click.Parameter, value: str | None) -> timedelta | None:
    """Read a duration as the API writes it, such as 90s or 1h30m, or a number of seconds."""
    from sluice.api.units import parse_duration

    if value is None:
        return None
    try:
        return timedelta(seconds=float(value)) if _SECONDS.fullmatch(value) else parse_duration(value)
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(str(error)) from error


def format_option(*choices: str) -> Callable[[F], F]:
    """Add -o."""
    return click.option("-o", "--output", type=click.Choice(choices), help="Another form than the table or sentence.")


def wait_options(command: F) -> F:
    """Add --timeout and --no-wait, and pass them as `patience_seconds` (0: do not wait)."""

    @click.option(
        "--timeout",
        type=click.FloatRange(min=0.1, max=3600),
        default=TIMEOUT_SECONDS,
        show_default=True,
        metavar="SECONDS",
        help="How long to wait for the operator's answer; then exit with 4.",
    )
    @click.option("--no-wait", is_flag=True, help="Return as soon as the API server has taken it.")
    @functools.wraps(command)
    def wrapped(*args: Any, timeout: float, no_wait: bool, **others: Any) -> Any:
        return command(*args, patience_seconds=0.0 if no_wait else timeout, **others)

    return wrapped  # type: ignore[return-value]  # as above


def program() -> str:
    """What the person typed to call us: `sluice` or `kubectl sluice`."""
    return click.get_current_context().find_root().info_name or "sluice"
