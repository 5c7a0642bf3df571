"""Errors of the API server as sentences: what was tried, on what, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sluice.api.names import GROUP, Kind
from sluice.errors import Conflict, Forbidden, NotFound, Rejected, SluiceError, Unauthenticated, Unavailable
from sluice.ops.outcome import Target

_PLURALS = {
    Kind.ROLLOUT: "rollouts",
    Kind.ROLLOUT_ACTION: "rolloutactions",
    Kind.FLEET_RUN: "fleetruns",
    Kind.AUDIT_SEGMENT: "auditsegments",
    Kind.KILL_SWITCH: "killswitches",
    Kind.CLUSTER_KILL_SWITCH: "clusterkillswitches",
    Kind.MEMBER_CLUSTER: "memberclusters",
}
_READING = frozenset({"get", "list", "read"})
_LISTS = {Kind.KILL_SWITCH: "switches", Kind.CLUSTER_KILL_SWITCH: "switches"}


def resource(kind: Kind) -> str:
    """A kind as RBAC names it, such as `rollouts.sluice.dev`."""
    return f"{_PLURALS[kind]}.{GROUP}"


@contextmanager
def explaining(doing: str, target: Target, *needs: str) -> Iterator[None]:
    """Raise what the block raises with a message fit for a person; the class of the error stays.

    Args:
        doing: what is tried, such as "promote".
        target: on what.
        needs: the rights it takes, such as "promote on rollouts.sluice.dev".
    """
    try:
        yield
    except SluiceError as error:
        raise explained(error, doing, target, needs) from error


def explained(error: SluiceError, doing: str, target: Target, needs: tuple[str, ...]) -> SluiceError:
    """The same error with a message that says what was tried, on what, and what to do next."""
    where = f" in namespace {target.namespace}" if target.namespace else ""
    told = f"Cannot {doing} {target}: {str(error).rstrip('. ')}."
    match error:
        case Unauthenticated():
            return Unauthenticated(told)
        case Forbidden():
            asked = f" It takes {' and '.join(needs)}{where}: ask who administers the cluster." if needs else ""
            return Forbidden(f"{told}{asked}")
        case NotFound():
            if target.kind is Kind.MEMBER_CLUSTER:
                return NotFound(f"{told} See what there is: sluice clusters list. Is Sluice installed: sluice version")
            listing = f"{_LISTS.get(target.kind, 'rollouts')} {'-n ' + target.namespace if where else '-A'}"
            return NotFound(f"{told} See what there is: sluice get {listing}. Is Sluice installed: sluice version")
        case Rejected():
            return Rejected(f"{told} Mend what it names and try again.")
        case Conflict():
            return Conflict(f"{told} Somebody else changed it at that moment: try again.")
        case Unavailable():
            again = "Try again" if doing in _READING else "Try again: doing it twice does no harm"
            return Unavailable(f"{told} {again}.", error.retry_after_seconds)
    return error
