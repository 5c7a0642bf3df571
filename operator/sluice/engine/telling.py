"""Each audit entry that a status holds is told on, also where the answer to the write that stored it was lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sluice.api.rollout import Audit
from sluice.engine.writes import About, Ports


class Teller:
    """Tells the audit's sink what passes have stored.

    Args:
        ports: the world.
    """

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._since: dict[str, int] = {}

    @contextmanager
    def telling(self, observed: About, audit: Audit) -> Iterator[None]:
        """Around the write of a status: tell what is new in it.

        A write that fails may have been carried out. Then the next pass finds its entries stored, and tells them, too:
        from where the first of the failed ones began.

        Args:
            observed: as it was before the write.
            audit: all that was planned, also what leaves the status with this write.
        """
        uid, since = observed.ref.uid, observed.status.audit.seq
        try:
            yield
        except BaseException:
            self._since.setdefault(uid, since)
            raise
        since = min(since, self._since.pop(uid, since))
        self._ports.audit.follow(observed.ref, self._ports.name, audit, since)

    def forget(self, uid: str) -> None:
        """Drop what is known of a Rollout that is gone, or that another process may tell of."""
        self._since.pop(uid, None)
