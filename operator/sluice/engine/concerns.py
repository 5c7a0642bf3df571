"""Which Rollouts a change of another object concerns: those are looked at again, and no others."""

from __future__ import annotations

from collections.abc import Iterable

from sluice.api.names import Kind
from sluice.engine.index import Index, parent_of, rollout_of, stamp_of
from sluice.engine.selecting import selector_of
from sluice.engine.store import Key, Obj, Store, key_of, service_of

_MOVED = frozenset({Kind.HTTP_ROUTE, Kind.GRPC_ROUTE, Kind.SERVICE, Kind.DEPLOYMENT})


class Concerns:
    """Finds them by the index; only what is rare, templates and namespaces, may concern all there are."""

    def __init__(self, store: Store, index: Index) -> None:
        self._store = store
        self._index = index

    def rollouts(self, kind: Kind, before: Obj | None, after: Obj | None) -> Iterable[Key]:
        """The Rollouts, by namespace and name; each at least once, and there may be no such Rollout.

        Args:
            kind: of the object; not a Rollout, and no kill switch.
            before: None where it is new.
            after: None where it is gone.
        """
        obj = after or before or {}
        namespace, name = key_of(obj)
        if kind in {Kind.ROLLOUT_RUN, Kind.ROLLOUT_ACTION}:
            return [(namespace, parent_of(obj))]
        if kind is Kind.ENDPOINT_SLICE:
            return self._index.concerned(Kind.SERVICE, namespace, service_of(obj))
        if kind is Kind.POD:
            return self._of_pod(before, after)
        if kind is Kind.POD_DISRUPTION_BUDGET:
            return self._selected(kind, before, after) if _budget(before) != _budget(after) else []
        if kind in _MOVED:
            found = self._index.concerned(kind, namespace, name) | _stamped(obj)
            return found | self._selected(kind, before, after) if kind is Kind.SERVICE else found
        return self._all_there(kind, obj)

    def _of_pod(self, before: Obj | None, after: Obj | None) -> set[Key]:
        """Whose label it carries, or carried; none where nothing changed that anybody looks at."""
        if before is not None and after is not None and _told(before) == _told(after):
            return set()
        named = {(key_of(pod)[0], rollout_of(pod)) for pod in (before, after) if pod is not None}
        return {key for key in named if self._store.get(Kind.ROLLOUT, *key) is not None}

    def _selected(self, kind: Kind, before: Obj | None, after: Obj | None) -> set[Key]:
        """Whose pods it selects now, or did; for a Service, only where that changed."""
        was, now = selector_of(kind, before), selector_of(kind, after)
        if kind is Kind.SERVICE and was == now:
            return set()
        namespace = key_of(after or before or {})[0]
        return {
            key for selector in (was, now) if selector is not None for key in self._index.selected(namespace, selector)
        }

    def _all_there(self, kind: Kind, obj: Obj) -> Iterable[Key]:
        """Templates and namespaces: rare, and they may concern any Rollout there."""
        if kind is Kind.CLUSTER_ANALYSIS_TEMPLATE:
            return map(key_of, self._store.all(Kind.ROLLOUT))
        namespace = key_of(obj)[1] if kind is Kind.NAMESPACE else key_of(obj)[0]
        return map(key_of, self._store.of_namespace(Kind.ROLLOUT, namespace))


def _stamped(obj: Obj) -> set[Key]:
    """The Rollout that the object's stamp names: a run under way may move what the spec no longer names."""
    stamp = stamp_of(obj)
    return {stamp} if stamp is not None else set()


def _told(pod: Obj) -> Obj:
    """A pod but for its version, which any change of what is not kept makes too."""
    metadata = {field: value for field, value in pod["metadata"].items() if field != "resourceVersion"}
    return {**pod, "metadata": metadata}


def _budget(budget: Obj | None) -> object:
    """Of a PodDisruptionBudget, what decides."""
    if budget is None:
        return None
    return (budget.get("spec") or {}).get("selector"), (budget.get("status") or {}).get("disruptionsAllowed")
