"""What an API server's answers mean to the engine: HTTP statuses become the exceptions of `errors`."""

from __future__ import annotations

from typing import Any

import orjson

from sluice.decide.texts import one_line
from sluice.errors import Conflict, Forbidden, NotFound, Rejected, SluiceError, Unauthenticated, Unavailable

MESSAGE_CHARACTERS = 300
MAX_RETRY_AFTER_SECONDS = 300.0

# How the API server's own authorization tells that a right is missing. Quotas and admission plugins say what is wrong.
_RBAC = 'User "'

# The beginning of a 500 to a server-side apply of what the schema does not know, or of two list entries with one key.
_MEANS_NOTHING = "failed to create typed patch object"

# All that the API server says when a JSON Patch cannot be applied, be it a failed `test` or a path that is gone; it
# names neither the operation nor the object. What validation, CRDs and admission refuse comes with details.
_PATCH_DOES_NOT_APPLY = "the server rejected our request due to an error in our request"


def failure_of(status: int, headers: Any, body: bytes, what: str, *, json_patch: bool = False) -> SluiceError:
    """The exception for an answer that is not a success. Pure.

    Args:
        status: HTTP status; 300 or more.
        headers: a mapping without regard to case.
        body: as received, from a member's server too; its `message` is quoted on one line, cut short.
        what: the request in words, such as `patch HTTPRoute shop/checkout`.
        json_patch: whether a JSON Patch was sent.
    """
    answer = _decode(body)
    said = one_line(str(answer.get("message") or ""), MESSAGE_CHARACTERS)
    text = f"{what}: the API server answered {status}" + (f": {said}" if said else "")
    details = answer.get("details")
    details = details if isinstance(details, dict) else {}
    if status == 422 and json_patch and said == _PATCH_DOES_NOT_APPLY and not details.get("causes"):
        return Conflict(f"{what}: the object is no longer what the patch expects")
    if status == 422 and _is_another_object(details):
        return Conflict(f"{what}: the object was deleted, and another one has its name now")
    if status == 401:
        return Unauthenticated(f"{text}. It does not accept the credentials: wrong, or expired")
    if status == 403:
        return Forbidden(text if _RBAC not in said else f"{text}. Check the credentials and RBAC")
    if status in (404, 410):
        return NotFound(text)
    if status == 409:
        return Conflict(text)
    if (status == 429 or status >= 500 or status < 400) and not said.startswith(_MEANS_NOTHING):
        return Unavailable(text, _retry_after_seconds(headers, details))
    return Rejected(text)


def _is_another_object(details: dict[str, Any]) -> bool:
    """Whether a patch that names a uid met an object with another one. The API server calls that an invalid change."""
    causes = details.get("causes")
    listed = causes if isinstance(causes, list) else []
    return any(isinstance(cause, dict) and cause.get("field") == "metadata.uid" for cause in listed)


def _decode(body: bytes) -> dict[str, Any]:
    try:
        answer = orjson.loads(body)
    except ValueError:
        return {"message": body[: 4 * MESSAGE_CHARACTERS].decode(errors="replace")}
    return answer if isinstance(answer, dict) else {}


def _retry_after_seconds(headers: Any, details: dict[str, Any]) -> float:
    """The server's wish; the header wins over the body. A date, which API servers do not send, counts as none."""
    for wish in (headers.get("Retry-After"), details.get("retryAfterSeconds")):
        try:
            seconds = float(str(wish))
        except ValueError:
            continue
        if seconds >= 0:
            return min(seconds, MAX_RETRY_AFTER_SECONDS)
    return 0.0
