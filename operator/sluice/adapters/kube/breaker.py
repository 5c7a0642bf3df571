"""Asks no more of a server that does not answer, until a trial shows that it does.

After one request without an answer, ordinary writes are not sent either: a server that is frozen may still read what
was sent to it, in any order, when it goes on. What is sent to it last shall be kills.
"""

from __future__ import annotations

from sluice.errors import Unavailable

FAILURES = 3


class Breaker:
    """Opens after some requests in a row without an answer. Any answer closes it, an error of the server's included.

    Args:
        name: of the server, for messages.
        failures: how many open it.
    """

    def __init__(self, name: str, failures: int = FAILURES) -> None:
        self._name = name
        self._most = failures
        self._failures = 0

    @property
    def is_well(self) -> bool:
        """Whether the last request was answered."""
        return not self._failures

    @property
    def is_open(self) -> bool:
        """Whether requests are not sent."""
        return self._failures >= self._most

    def check(self, *, ordinary_write: bool = False) -> None:
        """Raises Unavailable at once where this may not be sent, so that nobody waits for one more timeout."""
        if self.is_open:
            raise Unavailable(
                f"{self._name} did not answer {self._most} times in a row, and is not asked until it does"
            )
        if ordinary_write and self._failures:
            raise Unavailable(f"{self._name} did not answer of late, and nothing but kills is written until it does")

    def answered(self) -> bool:
        """A request was answered. Returns whether the one before was not."""
        is_back, self._failures = self._failures > 0, 0
        return is_back

    def failed(self) -> bool:
        """A request was not answered. Returns whether it is the first."""
        self._failures += 1
        return self._failures == 1
