"""What an API server refused, by its own audit log: most refusals leave no object behind. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from sluice.api.names import GROUP
from sluice.views.fields import Fields

_DENIED = re.compile(r"ValidatingAdmissionPolicy '(sluice-[a-z0-9-]+)' with binding '[^']*' denied request: ?")
_UNKNOWN = 401
_FORBIDDEN = frozenset({_UNKNOWN, 403})


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that was refused.

    Attributes:
        at: when it came.
        who: as the API server knows them; "" where it does not, as with a token that has expired.
        acting_as: whom they impersonated; "" where nobody.
        verb: such as patch.
        what: resource, namespace and name, such as `killswitches.sluice.dev shop/stop`.
        code: of HTTP.
        rule: the admission policy that refused it; "" where it was another rule, such as RBAC.
        why: in the API server's words.
        address: from where.
    """

    at: datetime | None
    who: str
    acting_as: str
    verb: str
    what: str
    code: int
    rule: str
    why: str
    address: str


def refusals_in(lines: Iterable[str]) -> Iterator[Refusal]:
    """Read an audit log (a JSON object per line), and tell what of Sluice, or by its policies, was refused.

    Lines that are no audit event are passed over: a log that is being written may end in half of one.
    """
    for line in lines:
        event = _event(line)
        if event is not None and _tells_the_end(event):
            refusal = _refusal(event)
            if refusal is not None:
                yield refusal


def _event(line: str) -> Fields | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return Fields(value) if isinstance(value, dict) else None


def _tells_the_end(event: Fields) -> bool:
    """Of each request one event does. Who fails to authenticate gets no other than that their answer begins."""
    if event.text("stage") == "ResponseStarted":
        return event.whole("responseStatus", "code") == _UNKNOWN
    return event.text("stage") == "ResponseComplete"


def _refusal(event: Fields) -> Refusal | None:
    code, why = event.whole("responseStatus", "code") or 0, event.text("responseStatus", "message")
    denied = _DENIED.search(why)
    ours = event.text("objectRef", "apiGroup") == GROUP
    if denied is None and not (ours and code in _FORBIDDEN):
        return None
    return Refusal(
        at=event.moment("requestReceivedTimestamp"),
        who=event.text("user", "username"),
        acting_as=event.text("impersonatedUser", "username"),
        verb=event.text("verb"),
        what=_what(event.at("objectRef")),
        code=code,
        rule=denied.group(1) if denied is not None else "",
        why=why[denied.end() :] if denied is not None else why,
        address=next((each.text() for each in event.items("sourceIPs")), ""),
    )


def _what(target: Fields) -> str:
    group, sub = target.text("apiGroup"), target.text("subresource")
    resource = target.text("resource") + (f"/{sub}" if sub else "") + (f".{group}" if group else "")
    namespace, name = target.text("namespace"), target.text("name")
    return f"{resource} {namespace + '/' if namespace else ''}{name}".rstrip("/ ")
