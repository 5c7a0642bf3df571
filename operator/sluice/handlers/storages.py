"""Storages that store nothing, so that kopf writes no annotation and computes no difference that nobody reads."""

from __future__ import annotations

from collections.abc import Iterator
from random import uniform
from typing import Any, cast

import kopf


class NoDiffBase(kopf.DiffBaseStorage):
    """Remembers no last handled state. Without handlers of changes there is none to compare with."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        """An empty essence: kopf's own would copy every object four times for each event."""
        return cast(kopf.BodyEssence, {})

    def fetch(self, **_: Any) -> kopf.BodyEssence | None:
        """Nothing."""
        return None

    def store(self, **_: Any) -> None:
        """Nothing."""


class NoProgress(kopf.ProgressStorage):
    """Remembers no progress. Handlers of events are called once, and have none."""

    def fetch(self, **_: Any) -> Any:
        """Nothing."""
        return None

    def store(self, **_: Any) -> None:
        """Nothing."""

    def purge(self, **_: Any) -> None:
        """Nothing."""

    def touch(self, **_: Any) -> None:
        """Nothing."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        """As it was."""
        return essence


class EndlessBackoffs:
    """Seconds between kopf's retries: soon at first, then every quarter of a minute, for ever, with jitter.

    kopf ends the operator when these run out; an API server that is away for a minute is no reason to.
    """

    _FIRST = (0.5, 1.0, 2.0, 4.0, 8.0)
    _THEN = 15.0

    def __iter__(self) -> Iterator[float]:
        """A new sequence for each request."""
        for seconds in self._FIRST:
            yield uniform(seconds / 2, seconds)  # noqa: S311 - no secret
        while True:
            yield uniform(self._THEN / 2, self._THEN)  # noqa: S311 - no secret
