"""Which Rollout an object matters to: maintained from the store, so that an event finds its Rollouts without a scan."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, TypeVar

from sluice.api.common import LabelSelector
from sluice.api.names import ROLLOUT_LABEL, Kind
from sluice.api.workload import SlotServices
from sluice.decide.metadata import mapping, owner_of
from sluice.engine.selecting import Pair, PodLabels, Selectors, outside, selector_of
from sluice.engine.store import Key, Obj, Store, key_of

Place = tuple[Kind, str, str]
P = TypeVar("P")
K = TypeVar("K")
V = TypeVar("V")
SELECTING = (Kind.SERVICE, Kind.POD_DISRUPTION_BUDGET)
STAMPED = (Kind.HTTP_ROUTE, Kind.GRPC_ROUTE, Kind.SERVICE, Kind.DEPLOYMENT)


class Index:
    """Rollouts by what they move or read; runs, actions and pods by Rollout; Services and budgets by what they select.

    It has to be made before whoever asks it in the store's events.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._movers: dict[Place, set[Key]] = defaultdict(set)
        self._readers: dict[Place, set[Key]] = defaultdict(set)
        self._places: dict[Key, tuple[set[Place], set[Place]]] = {}
        self._children: dict[tuple[Kind, Key], dict[Key, Obj]] = defaultdict(dict)
        self._runs_at: dict[Place, dict[Key, Key]] = defaultdict(dict)  # a run under way, and its Rollout
        self._managed: dict[str, dict[Key, None]] = defaultdict(dict)  # those that Sluice runs pods for, by namespace
        self._selectors = {kind: Selectors() for kind in SELECTING}
        self._pod_labels = PodLabels()
        self._stamped: dict[Key, dict[Place, None]] = defaultdict(dict)
        store.listen(self._changed)

    def movers(self, kind: Kind, namespace: str, name: str) -> set[Key]:
        """The Rollouts whose spec names the route or Service as something to move."""
        return set(self._movers.get((kind, namespace, name), ()))

    def claimants(self, kind: Kind, namespace: str, name: str) -> set[Key]:
        """The Rollouts whose spec names the route or Service as something to move, or whose slot the Service is."""
        return self.movers(kind, namespace, name) | set(self._readers.get((kind, namespace, name), ()))

    def concerned(self, kind: Kind, namespace: str, name: str) -> set[Key]:
        """The Rollouts that an event of the object concerns: by their spec, or by the run they are in."""
        place = (kind, namespace, name)
        return self.claimants(*place) | set(self._runs_at.get(place, {}).values())

    def runs(self, namespace: str, rollout: str) -> Iterator[Obj]:
        """The RolloutRuns of a Rollout's name."""
        return self._children_of(Kind.ROLLOUT_RUN, namespace, rollout)

    def actions(self, namespace: str, rollout: str) -> Iterator[Obj]:
        """The RolloutActions for a Rollout's name."""
        return self._children_of(Kind.ROLLOUT_ACTION, namespace, rollout)

    def pods(self, namespace: str, rollout: str) -> Iterator[Obj]:
        """The pods that carry a Rollout's label."""
        return self._children_of(Kind.POD, namespace, rollout)

    def stamped(self, namespace: str, rollout: str) -> set[Place]:
        """The objects in its namespace whose stamp names a Rollout of that name."""
        return set(self._stamped.get((namespace, rollout), ()))

    def selecting(self, kind: Kind, namespace: str, labels: dict[str, str]) -> Iterator[str]:
        """The names of the Services or PodDisruptionBudgets whose selectors match a pod with such labels."""
        return self._selectors[kind].matching(namespace, labels)

    def selected(self, namespace: str, selector: LabelSelector) -> set[Key]:
        """The Rollouts whose pods a selector may match: all of those that it does match, and perhaps some more."""
        named = selector.match_labels.get(ROLLOUT_LABEL)
        managed = self._managed.get(namespace, {})
        if named is not None:
            return {(namespace, named)} & managed.keys()
        asked = outside(selector)
        return self._pod_labels.having(namespace, asked) if asked else set(managed)

    def _children_of(self, kind: Kind, namespace: str, rollout: str) -> Iterator[Obj]:
        return iter(tuple(self._children.get((kind, (namespace, rollout)), {}).values()))

    # ------------------------------------------------------------------ changes

    def _changed(self, kind: Kind, before: Obj | None, after: Obj | None) -> None:
        key = key_of(after or before or {})
        if kind in STAMPED:
            self._stamp((kind, *key), stamp_of(before), stamp_of(after))
        if kind in {Kind.ROLLOUT_RUN, Kind.ROLLOUT_ACTION, Kind.POD}:
            self._adopt_child(kind, before, after)
        elif kind is Kind.ROLLOUT:
            self._place(key, after)
        elif kind in self._selectors:
            self._selectors[kind].put(key, selector_of(kind, after))
        elif kind is Kind.DEPLOYMENT and _template_labels(before) != _template_labels(after):
            for rollout in self._readers.get((kind, *key), ()):
                self._put_pod_labels(rollout, self._store.get(Kind.ROLLOUT, *rollout))

    def _stamp(self, place: Place, before: Key | None, after: Key | None) -> None:
        if before is not None and before != after:
            _drop(self._stamped, before, place)
        if after is not None:
            self._stamped[after][place] = None

    def _adopt_child(self, kind: Kind, before: Obj | None, after: Obj | None) -> None:
        for obj, keep in ((before, False), (after, True)):
            if obj is None:
                continue
            key = key_of(obj)
            parent = (key[0], rollout_of(obj) if kind is Kind.POD else parent_of(obj))
            if keep:
                self._children[kind, parent][key] = obj
            else:
                _drop(self._children, (kind, parent), key)
            if kind is Kind.ROLLOUT_RUN:
                self._place_run(key, parent, obj, keep=keep and not mapping(obj.get("status")).get("outcome"))

    def _place_run(self, key: Key, parent: Key, run: Obj, *, keep: bool) -> None:
        """A run keeps the Services and routes that it began with, whatever the Rollout's spec names since."""
        spec = mapping(run.get("spec"))
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
        _drop(self._managed, key[0], key)
        if rollout is not None and is_managed(mapping(rollout.get("spec"))):
            self._managed[key[0]][key] = None
        self._put_pod_labels(key, rollout)

    def _put_pod_labels(self, key: Key, rollout: Obj | None) -> None:
        """Of the template in the spec, of each role, and of the Deployments that make pods or whose pods count."""
        spec = mapping(mapping(rollout).get("spec"))
        workload, pairs = mapping(spec.get("workload")), set[Pair]()
        if is_managed(spec):
            deployments = [place for place in self._places[key][1] if place[0] is Kind.DEPLOYMENT]
            pairs.update(_labels_in(workload.get("template")))
            for role in ("stableMetadata", "candidateMetadata"):
                pairs.update(_labels_in({"metadata": workload.get(role)}))
            for place in deployments:
                pairs.update(_template_labels(self._store.get(*place)))
        self._pod_labels.put(key, pairs)


def stamp_of(obj: Obj | None) -> Key | None:
    """The Rollout that an object's stamp names, if it is one of its own namespace."""
    owner = owner_of(obj).split("/")
    return (owner[0], owner[1]) if obj is not None and len(owner) == 3 and owner[0] == key_of(obj)[0] else None


def parent_of(obj: Obj) -> str:
    """The Rollout's name in a RolloutRun or RolloutAction."""
    return str(mapping(obj.get("spec")).get("rollout") or "")


def rollout_of(pod: Obj) -> str:
    """The Rollout's name on a pod."""
    return str(mapping(mapping(pod.get("metadata")).get("labels")).get(ROLLOUT_LABEL) or "")


def is_managed(spec: dict[str, Any]) -> bool:
    """Whether Sluice runs the pods of a Rollout with that spec."""
    workload = mapping(spec.get("workload"))
    return bool(mapping(workload.get("template")) or mapping(workload.get("workloadRef")))


def places_of(rollout: Obj) -> tuple[set[Place], set[Place]]:
    """What a Rollout moves, and what else it reads; tolerant of any content."""
    namespace, name = key_of(rollout)
    spec = mapping(rollout.get("spec"))
    workload = mapping(spec.get("workload"))
    moved = places_in(namespace, spec.get("traffic"), None)
    if not is_managed(spec):
        return moved, places_in(namespace, None, workload.get("services"))
    slots = SlotServices.named_after(name).dump()
    deployments = {*slots.values(), str(mapping(workload.get("workloadRef")).get("name") or "")} - {""}
    return moved, places_in(namespace, None, slots) | {(Kind.DEPLOYMENT, namespace, each) for each in deployments}


def places_in(namespace: str, traffic: object, services: object) -> set[Place]:
    """What a `traffic` and a `services` name; tolerant of any content."""
    routes, service, slots = mapping(traffic).get("routes"), mapping(mapping(traffic).get("service")), mapping(services)
    found: set[Place] = set()
    for route in routes if isinstance(routes, list) else ():
        kind = mapping(route).get("kind") or Kind.HTTP_ROUTE
        if kind in {Kind.HTTP_ROUTE, Kind.GRPC_ROUTE}:
            found.add((Kind(kind), namespace, str(mapping(route).get("name"))))
    names = [*(service.get(field) for field in ("active", "preview")), *(slots.get(slot) for slot in ("blue", "green"))]
    names.append(mapping(traffic).get("stableService"))
    return found | {(Kind.SERVICE, namespace, str(name)) for name in names if name}


def _template_labels(deployment: Obj | None) -> frozenset[Pair]:
    return frozenset(_labels_in(mapping(mapping(deployment).get("spec")).get("template")))


def _labels_in(template: object) -> Iterator[Pair]:
    for key, value in mapping(mapping(mapping(template).get("metadata")).get("labels")).items():
        yield str(key), str(value)


def _drop(index: dict[P, dict[K, V]], place: P, key: K) -> None:
    """Remove a key from a place, and the place with its last key."""
    keys = index.get(place)
    if keys is not None:
        keys.pop(key, None)
        if not keys:
            del index[place]
