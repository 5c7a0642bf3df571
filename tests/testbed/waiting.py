"""Waiting for a condition with a deadline: the testbed's only way to wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from testbed.errors import NotReadyError, ProcessEndedError

T = TypeVar("T")


def wait_for(predicate: Callable[[], T], timeout: float, what: str, interval: float = 0.05) -> T:
    """Call ``predicate`` until it returns something true, and return that.

    Exceptions of the predicate count as "not yet", and the last is shown; except those that no waiting heals, such as
    a ``TypeError`` or the end of a process.

    Args:
        predicate: called again and again, from this thread.
        timeout: seconds.
        what: what is waited for, for the error: "3 ready pods of checkout-green".
        interval: seconds between calls.

    Raises:
        ProcessEndedError: what is waited for cannot come.
        NotReadyError: the deadline passed; the message carries the last value or exception.
    """
    deadline = time.monotonic() + timeout
    last: object = None
    while True:
        try:
            value = predicate()
            if value:
                return value
            last = value
        except (TypeError, NameError, SyntaxError, ProcessEndedError):
            raise
        except Exception as error:  # noqa: BLE001 - kept, and told when the deadline passes
            last = error
        if time.monotonic() >= deadline:
            break
        time.sleep(interval)
    cause = last if isinstance(last, BaseException) else None
    raise NotReadyError(f"Waited {timeout:g} s for {what}; the last answer was {last!r}.") from cause
