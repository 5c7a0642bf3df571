"""What can go wrong in the testbed, and what to do about it."""

from __future__ import annotations


class TestbedError(Exception):
    """The testbed could not do what it was asked; the message says what to do next. Retrying unchanged is no help."""

    __test__ = False


class NotReadyError(TestbedError):
    """A condition did not come true before its deadline; the message carries the last state that was seen."""


class ProcessEndedError(TestbedError):
    """A process of the testbed ended by itself, so waiting for what it does is in vain.

    The message carries the end of its log.
    """


class ApiError(TestbedError):
    """The API server answered with an HTTP status of 400 or more.

    Attributes:
        status: the HTTP status, for example 404 or 409.
        body: the decoded answer, normally a Kubernetes ``Status`` object.
    """

    def __init__(self, message: str, status: int, body: object) -> None:
        super().__init__(message)
        self.status = status
        self.body = body


class ApiUnreachableError(TestbedError):
    """No answer came from the API server: it is stopped, starting or gone. Retry once it has started."""
