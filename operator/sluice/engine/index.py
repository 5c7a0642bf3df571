"""Which Rollout an object matters to: maintained from the store, so that an event finds its Rollouts without a scan."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, TypeVar

from sluice.api.names import Kind
from sluice.engine.store import Key, Obj, Store, key_of

Place = tuple[Kind, str, str]
P = TypeVar("P")
V = TypeVar("V")


class Index:
    """Rollouts by what they move or read; runs and actions by Rollout."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._movers: dict[Place, set[Key]] = defaultdict(set)
        self._readers: dict[Place, set[Key]] = defaultdict(set)
        self._places: dict[Key, tuple[set[Place], set[Place]]] = {}
        self._children: dict[tuple[Kind, Key], dict[Key, Obj]] = defaultdict(dict)
        self._runs_at: dict[Place, dict[Key, Key]] = defaultdict(dict)  # a run under way, and its Rollout
        store.listen(self._changed)

    def movers(self, kind: Kind, namespace: str, name: str) -> set[Key]:
        """The Rollouts whose spec names the route or Service as something to move."""
        return set(self._movers.get((kind, namespace, name), ()))

    def concerned(self, kind: Kind, namespace: str, name: str) -> set[Key]:
        """The Rollouts that an event of the object concerns: by their spec, or by the run they are in."""
        place = (kind, namespace, name)
        return self.movers(*place) | set(self._readers.get(place, ())) | set(self._runs_at.get(place, {}).values())

    def runs(self, namespace: str, rollout: str) -> Iterator[Obj]:
        """The RolloutRuns of a Rollout's name."""
        return iter(tuple(self._children.get((Kind.ROLLOUT_RUN, (namespace, rollout)), {}).values()))

    def actions(self, namespace: str, rollout: str) -> Iterator[Obj]:
        """The RolloutActions for a Rollout's name."""
        return iter(tuple(self._children.get((Kind.ROLLOUT_ACTION, (namespace, rollout)), {}).values()))

    def _changed(self, kind: Kind, before: Obj | None, after: Obj | None) -> None:
        if kind in {Kind.ROLLOUT_RUN, Kind.ROLLOUT_ACTION}:
            self._adopt_child(kind, before, after)
        elif kind is Kind.ROLLOUT:
            self._place(key_of(after or before or {}), after)

    def _adopt_child(self, kind: Kind, before: Obj | None, after: Obj | None) -> None:
        for obj, keep in ((before, False), (after, True)):
            if obj is None:
                continue
            key = key_of(obj)
            parent = (key[0], parent_of(obj))
            if keep:
                self._children[kind, parent][key] = obj
            else:
                _drop(self._children, (kind, parent), key)
            if kind is Kind.ROLLOUT_RUN:
                self._place_run(key, parent, obj, keep=keep and not _dict(obj.get("status")).get("outcome"))

    def _place_run(self, key: Key, parent: Key, run: Obj, *, keep: bool) -> None:
        """A run keeps the Services and routes that it began with, whatever the Rollout's spec names since."""
        spec = _dict(run.get("spec"))
        for place in places_in(key[0], spec.get("traffic"), spec.get("services")):
            if keep:
                self._runs_at[place][key] = parent
            else:
                _drop(self._runs_at, place, key)

    def _place(self, key: Key, rollout: Obj | None) -> None:
        moved, read = places_of(rollout) if rollout is not None else (set(), set())
        old_moved, old_read = self._places.get(key, (set(), set()))
        for places, old, new in ((self._movers, old_moved, moved), (self._readers, old_read, read)):
            for place in old - new:
                places[place].discard(key)
                if not places[place]:
                    del places[place]
            for place in new - old:
                places[place].add(key)
        if rollout is None:
            self._places.pop(key, None)
        else:
            self._places[key] = (moved, read)


def parent_of(obj: Obj) -> str:
    """The Rollout's name in a RolloutRun or RolloutAction."""
    return str(_dict(obj.get("spec")).get("rollout") or "")


def places_of(rollout: Obj) -> tuple[set[Place], set[Place]]:
    """What a Rollout moves, and what else it reads; tolerant of any content."""
    namespace = key_of(rollout)[0]
    spec = _dict(rollout.get("spec"))
    moved = places_in(namespace, spec.get("traffic"), None)
    return moved, places_in(namespace, None, _dict(spec.get("workload")).get("services"))


def places_in(namespace: str, traffic: object, services: object) -> set[Place]:
    """What a `traffic` and a `services` name; tolerant of any content."""
    routes, service, slots = _dict(traffic).get("routes"), _dict(_dict(traffic).get("service")), _dict(services)
    found: set[Place] = set()
    for route in routes if isinstance(routes, list) else ():
        kind = _dict(route).get("kind") or Kind.HTTP_ROUTE
        if kind in {Kind.HTTP_ROUTE, Kind.GRPC_ROUTE}:
            found.add((Kind(kind), namespace, str(_dict(route).get("name"))))
    names = [*(service.get(field) for field in ("active", "preview")), *(slots.get(slot) for slot in ("blue", "green"))]
    return found | {(Kind.SERVICE, namespace, str(name)) for name in names if name}


def _drop(index: dict[P, dict[Key, V]], place: P, key: Key) -> None:
    """Remove a key from a place, and the place with its last key."""
    keys = index.get(place)
    if keys is not None:
        keys.pop(key, None)
        if not keys:
            del index[place]


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
