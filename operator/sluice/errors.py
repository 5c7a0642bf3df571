"""The exceptions that cross a module boundary, each with its retry meaning.

::

    SluiceError
    ├── Permanent            do not retry: the same call fails again until somebody changes something
    │   ├── InvalidSpec      an object of ours does not mean anything; becomes a Stalled condition
    │   ├── NotFound         the object is not there (HTTP 404, 410 on a GET)
    │   ├── Forbidden        the API server refused the caller (HTTP 403)
    │   │   └── Unauthenticated   it does not know the caller: credentials are wrong, or have expired (HTTP 401)
    │   └── Rejected         the API server refused the content (HTTP 400, 413, 422 and other 4xx)
    ├── Conflict             somebody else wrote first (HTTP 409, or a failed JSON Patch test): observe again
    ├── BadAnswer            an answer came that means nothing: retry with back-off, and count it as none
    ├── Unavailable          no answer, 429 or 5xx: retry with back-off, not before `retry_after_seconds`
    └── NotLeader            this process may not write that, or not any more: another one does
"""

from __future__ import annotations


class SluiceError(Exception):
    """Base of all. `str()` of it is fit for a user: what happened, to which object."""


class Permanent(SluiceError):
    """Retrying is useless until an object changes."""


class InvalidSpec(Permanent):
    """An object's content has no meaning for Sluice.

    Args:
        reason: UpperCamelCase reason for the Stalled condition.
        message: what is wrong and how to mend it.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class NotFound(Permanent):
    """The object does not exist."""


class Forbidden(Permanent):
    """The API server does not let this caller do that."""


class Unauthenticated(Forbidden):
    """The API server does not accept this caller's credentials. Others, or fresh ones, may be."""


class Rejected(Permanent):
    """The API server refuses this content, whoever sends it."""


class Conflict(SluiceError):
    """The write was based on something that is no longer so. Observe again, then decide anew."""


class BadAnswer(SluiceError):
    """Something answered, but not as what it should be. Retry as after no answer."""


class Unavailable(SluiceError):
    """The other side did not answer, or asked for patience. Retry.

    Args:
        message: what was tried and what came back, without payloads.
        retry_after_seconds: the least time to wait; 0 where the server named none.
    """

    def __init__(self, message: str, retry_after_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class NotLeader(SluiceError):
    """What was to be written belongs to a shard that is not, or not surely, this process's: another one goes on."""
