"""Asks no more of a server that does not answer, until a trial shows that it does."""

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
    def is_open(self) -> bool:
        """Whether requests are not sent."""
        return self._failures >= self._most

    def check(self) -> None:
        """Raises Unavailable while open, at once, so that nobody waits for one more timeout."""
        if self.is_open:
            raise Unavailable(
                f"{self._name} did not answer {self._most} times in a row, and is not asked until it does"
            )

    def answered(self) -> None:
        """A request was answered."""
        self._failures = 0

    def failed(self) -> None:
        """A request was not answered."""
        self._failures += 1
