"""How long to wait before the next try."""

from __future__ import annotations

import random


class Backoff:
    """Grows twofold from `first_seconds` to `most_seconds`, each wait drawn from the upper half of its step.

    The draw keeps many clients that failed at one moment from coming back at one moment.
    """

    def __init__(self, first_seconds: float = 0.1, most_seconds: float = 15.0) -> None:
        self._first_seconds = first_seconds
        self._most_seconds = most_seconds
        self._failures = 0

    def reset(self) -> None:
        """It worked."""
        self._failures = 0

    def next_seconds(self, at_least_seconds: float = 0.0) -> float:
        """It failed: how long to wait now, and never less than what the server asked for."""
        step: float = min(self._most_seconds, self._first_seconds * 2 ** min(self._failures, 30))
        self._failures += 1
        drawn = random.uniform(step / 2, step)  # noqa: S311 - no secret
        return max(drawn, at_least_seconds)
