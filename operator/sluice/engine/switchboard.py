"""The kill switches that are engaged now, parsed, and which Rollouts each covers.

Fed by the kill switches' own watch. Asked by observing, by the kill path, and again just before every write that would
grow exposure.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import datetime

from sluice.api.killswitch import KillSwitchSpec, SwitchState
from sluice.api.names import Kind
from sluice.decide.metadata import labels_of, mapping
from sluice.decide.model import SwitchView
from sluice.decide.switches import Reached, anywhere, covers, is_partial, read_switch, strictest_first
from sluice.engine.index import is_fleet
from sluice.engine.store import Key, Obj, Store, key_of
from sluice.errors import InvalidSpec

log = logging.getLogger(__name__)
SWITCH_KINDS = (Kind.KILL_SWITCH, Kind.CLUSTER_KILL_SWITCH)


class SwitchBoard:
    """Engaged switches by kind and key.

    Args:
        store: the caches.
        now: the time.
        member: the name of the MemberCluster whose Rollouts are in the caches; "" for our own.
    """

    def __init__(self, store: Store, now: Callable[[], datetime], member: str = "") -> None:
        self._store = store
        self._now = now
        self._member = member
        self._engaged: dict[tuple[Kind, Key], tuple[KillSwitchSpec, SwitchView]] = {}
        store.listen(self._changed)

    def _changed(self, kind: Kind, before: Obj | None, after: Obj | None) -> None:
        if kind not in SWITCH_KINDS:
            return
        place = (kind, key_of(after or before or {}))
        parsed = parse_switch(kind, after) if after is not None else None
        if parsed is None or not parsed[0].engaged:
            self._engaged.pop(place, None)
        else:
            self._engaged[place] = parsed

    @property
    def engaged(self) -> tuple[tuple[Kind, Key], ...]:
        """The places of all engaged switches."""
        return tuple(self._engaged)

    def covering(self, rollout: Reached) -> tuple[SwitchView, ...]:
        """The engaged switches that cover a Rollout and have not expired, strictest first."""
        if not self._engaged:
            return ()
        now = self._now()
        return strictest_first(
            view for spec, view in self._engaged.values() if view.acts(now) and self._covers(view, spec, rollout)
        )

    def partial(self, rollout: Reached) -> tuple[SwitchView, ...]:
        """The engaged switches that cover parts of a Rollout in some members, and so not the Rollout itself."""
        now = self._now()
        return strictest_first(
            view
            for spec, view in self._engaged.values()
            if is_partial(spec) and view.acts(now) and self._covers(view, anywhere(spec), rollout)
        )

    def rollouts_of(self, spec: KillSwitchSpec, view: SwitchView) -> Iterator[Obj]:
        """The Rollouts that a switch covers, engaged or not; at home also those of which it may cover parts."""
        only_fleets = is_partial(spec) and not self._member
        spec = anywhere(spec) if only_fleets else spec
        found = (
            self._store.of_namespace(Kind.ROLLOUT, view.namespace)
            if view.kind is Kind.KILL_SWITCH
            else self._store.all(Kind.ROLLOUT)
        )
        for rollout in found:
            if (is_fleet(rollout) or not only_fleets) and self._covers(view, spec, Reached.read(rollout)):
                yield rollout

    def newest(self, rollout: Obj) -> Obj:
        """A Rollout as it is now; as it was, where it is gone."""
        return self._store.get(Kind.ROLLOUT, *key_of(rollout)) or rollout

    def _covers(self, view: SwitchView, spec: KillSwitchSpec, rollout: Reached) -> bool:
        if view.drill and self._member:
            return False  # a drill moves nothing of a fleet's parts
        cluster = labels_of(self._store.get(Kind.MEMBER_CLUSTER, "", self._member)) if self._member else None
        return covers(view, spec, rollout, labels_of(self._store.get(Kind.NAMESPACE, "", rollout.namespace)), cluster)


def parse_switch(kind: Kind, obj: Obj) -> tuple[KillSwitchSpec, SwitchView] | None:
    """A switch's spec and how decisions see it; None where it can't be parsed (the CRD refuses such)."""
    try:
        return read_switch(kind, obj)
    except InvalidSpec as problem:
        log.error("kill switch cannot be parsed", extra={"switch": key_of(obj), "problem": str(problem)})
        return None


def expires(before: Obj, after: Obj) -> bool:
    """Whether a switch begins to say that it has expired, or ceases to."""
    states = [mapping(each.get("status")).get("state") for each in (before, after)]
    return states[0] != states[1] and SwitchState.EXPIRED in states
