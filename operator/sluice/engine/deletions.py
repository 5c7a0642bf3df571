"""Keeping in mind, with each switch that covers a Rollout which is let go, that it did: who comes by that name is held.

It is noted before the finalizer goes. After a crash between the two it is noted again, which changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from sluice.api.common import ObjectRef
from sluice.api.killswitch import MOST_DELETED
from sluice.decide.model import SwitchView
from sluice.engine.store import Store
from sluice.engine.writes import Ports
from sluice.errors import NotFound, Rejected

log = logging.getLogger(__name__)


class Deletions:
    """Notes in the statuses of switches. Those of members are the hub's, which notes what goes over them."""

    def __init__(self, ports: Ports, store: Store) -> None:
        self._ports = ports
        self._store = store

    async def note(self, ref: ObjectRef, covering: Sequence[SwitchView]) -> None:
        """See that each of the switches knows of the deletion.

        Raises:
            SluiceError: one does not. The Rollout is let go of by a later pass.
        """
        place = str(ref)
        for switch in () if self._ports.name else covering:
            if place in switch.deleted:
                continue
            body = {"status": {"deleted": {place: switch.scope}}}
            try:
                stored = await self._ports.cluster.patch_merge(
                    switch.kind, switch.namespace, switch.name, body, subresource="status"
                )
            except NotFound:
                continue  # it holds nobody any more
            except Rejected as error:
                told = {"switch": str(switch), "rollout": str(ref), "most": MOST_DELETED, "error": str(error)}
                log.warning("a switch has no room to note that a Rollout which it covers is deleted", extra=told)
                continue
            self._store.apply(switch.kind, "MODIFIED", stored)
