"""Fills the engine's caches and keeps them true: which kind comes by which watch, and lists that heal what one missed.

Most kinds come through kopf. Kill switches have watches of their own, so that a burst of other events is never before
them; pods too, because only those with a Rollout's label are wanted, of a cluster that may have very many.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Iterable, Mapping
from functools import partial

from sluice.adapters.kube.listing import fetch_list
from sluice.adapters.kube.transport import Transport
from sluice.adapters.kube.watch import Informer
from sluice.api.names import ROLLOUT_LABEL, Kind
from sluice.engine.slim import slim
from sluice.engine.store import Store
from sluice.engine.switchboard import SWITCH_KINDS
from sluice.errors import SluiceError
from sluice.ports import Obj

_log = logging.getLogger(__name__)
WATCHED_APART = (*SWITCH_KINDS, Kind.POD)
FIRST_HEAL_SECONDS = 30.0  # kopf's first lists are behind us by then; see `Caches.heal`
RETRY_SECONDS = 2.0
_SELECTORS: Mapping[Kind, Mapping[str, str]] = {Kind.POD: {"labelSelector": ROLLOUT_LABEL}}
_GC_THRESHOLDS = (20_000, 20, 20)


class Caches:
    """Feeds a store.

    Args:
        transport: the API server.
        store: the engine's.
        heal_seconds: how long between two lists of everything.

    Attributes:
        informers: the watches apart from kopf's; whoever owns this runs them.
        filled: whether everything was listed once.
    """

    def __init__(self, transport: Transport, store: Store, heal_seconds: float) -> None:
        self._transport = transport
        self._store = store
        self._heal_seconds = heal_seconds
        self.informers = tuple(self._informer(kind) for kind in WATCHED_APART)
        self.filled = False

    def take(self, kind: Kind, event: str | None, obj: Obj) -> None:
        """Take in an event of kopf's."""
        self._store.apply(kind, event, obj)

    async def fill(self, kinds: Iterable[Kind]) -> None:
        """Fill the caches before anything is decided."""
        for kind in sorted(kinds):
            await self._list(kind)
        _spare_the_old()
        self.filled = True
        _log.info("caches are filled", extra={"rollouts": self._store.count(Kind.ROLLOUT)})

    async def heal(self, kinds: Iterable[Kind]) -> None:
        """List everything now and then: kopf does not tell of objects that were deleted while its watch was lost."""
        wait_seconds = FIRST_HEAL_SECONDS
        while True:
            await asyncio.sleep(wait_seconds)
            wait_seconds = self._heal_seconds
            for kind in sorted(kinds):
                await self._list(kind)

    def problem(self) -> str:
        """Why nothing may be decided from them yet; "" where all is well."""
        if not self.filled:
            return "the caches are not filled yet"
        silent = [informer.kind.value for informer in self.informers if not informer.synced]
        return f"not watched yet: {', '.join(silent)}" if silent else ""

    async def _list(self, kind: Kind) -> None:
        while True:
            before = self._store.versions(kind)
            try:
                listed, _ = await fetch_list(
                    self._transport, kind, selectors=_SELECTORS.get(kind), keep=partial(slim, kind)
                )
            except SluiceError as error:
                _log.warning("a LIST failed and is tried again", extra={"kind": kind.value, "error": str(error)})
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self._store.replace(kind, listed, before)
                return

    def _informer(self, kind: Kind) -> Informer:
        store = self._store

        def changed(event: str, obj: Obj) -> None:
            store.apply(kind, event, obj)

        def replaced(objects: list[Obj]) -> None:
            # What came another way after the list was made is not in it, and is not gone.
            listed_at = int(informer.version) if informer.version.isdecimal() else 0
            known = {key: version for key, version in store.versions(kind).items() if version <= listed_at}
            store.replace(kind, objects, known)

        selectors = _SELECTORS.get(kind)
        informer = Informer(self._transport, kind, changed, replaced, selectors=selectors, keep=partial(slim, kind))
        return informer


def _spare_the_old() -> None:
    """Tell the garbage collector that what is there now stays: modules, and the caches' first filling.

    Otherwise it would look through all of it now and then, and stop everything for a tenth of a second, perhaps in the
    middle of a kill. What of it is dropped later is freed all the same, cycles excepted.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
