"""What the operator does to a switch by itself: engages one that tripped, releases one whose drill is over."""

from __future__ import annotations

from sluice.api.conditions import Reason
from sluice.api.units import JSON
from sluice.decide.model import Note, SwitchView
from sluice.engine.store import Obj, Store
from sluice.engine.writes import Ports
from sluice.errors import Permanent
from sluice.ports import Lane


class Levers:
    """Changes switches.

    Args:
        ports: the cluster.
        store: takes in the answers.
    """

    def __init__(self, ports: Ports, store: Store) -> None:
        self._ports = ports
        self._store = store

    async def pull(self, switch: Obj, view: SwitchView, spec: JSON, *, what: str, by_hand: str, lane: Lane) -> Obj:
        """Change a switch's spec, unless anything of it changed since it was looked at.

        Args:
            switch: as it was looked at.
            view: the same.
            spec: what is to be changed of it.
            what: is done by that; people are told where the API server refuses it for good.
            by_hand: how a person does it then.
            lane: of the request.

        Returns:
            The switch as it is now.

        Raises:
            Conflict: it changed; it is to be looked at again.
            SluiceError: it was not written; whoever looks at it next tries again.
        """
        body = {"metadata": {"resourceVersion": switch["metadata"]["resourceVersion"]}, "spec": spec}
        try:
            stored = await self._ports.cluster.patch_merge(view.kind, view.namespace, view.name, body, lane=lane)
        except Permanent as error:
            note = Note(warning=True, reason=Reason.FORBIDDEN, message=f"could not {what}: {error}; {by_hand}")
            self._ports.notifier.note(switch, note)
            raise
        self._store.apply(view.kind, "MODIFIED", stored)
        return stored
