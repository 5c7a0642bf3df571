"""The Rollouts that two selectors match: looked for once, and kept up with the caches from then on.

Policies cover ten thousand, and ten thousand may wait for a few: to look at all of them again in every pass would keep
kills waiting.
"""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterator, ValuesView
from typing import Generic, TypeVar

from sluice.api.common import LabelSelector
from sluice.api.names import Kind
from sluice.decide.metadata import labels_of
from sluice.engine.store import Key, Obj, Store, key_of

T = TypeVar("T")


class Chosen(Generic[T]):
    """Each of them as what is read from it.

    Args:
        store: the caches.
        selector: of Rollouts.
        namespace_selector: of their namespaces.
        read: what is kept of one.
    """

    def __init__(
        self, store: Store, selector: LabelSelector, namespace_selector: LabelSelector, read: Callable[[Obj], T]
    ) -> None:
        self._store = store
        self._selector = selector
        self._namespace_selector = namespace_selector
        self._read = read
        self._by_key: dict[Key, T] = {}
        self._sorted: tuple[T, ...] | None = None
        for rollout in store.all(Kind.ROLLOUT):
            self.take_in(key_of(rollout), rollout)

    def take_in(self, key: Key, rollout: Obj | None) -> None:
        """A Rollout as it is now; None where it is gone."""
        self._sorted = None
        if rollout is not None and self._is_one(rollout):
            self._by_key[key] = self._read(rollout)
        else:
            self._by_key.pop(key, None)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._by_key)

    def __iter__(self) -> Iterator[Key]:
        """Who they are, in no order."""
        return iter(self._by_key)

    def items(self) -> ItemsView[Key, T]:
        """All of them, in no order."""
        return self._by_key.items()

    def values(self) -> ValuesView[T]:
        """What was read from each, in no order."""
        return self._by_key.values()

    def by_name(self) -> tuple[T, ...]:
        """What was read from each, by namespace and name."""
        if self._sorted is None:
            self._sorted = tuple(value for _, value in sorted(self._by_key.items(), key=lambda item: item[0]))
        return self._sorted

    def _is_one(self, rollout: Obj) -> bool:
        home = labels_of_namespace(self._store, key_of(rollout)[0])
        return matches(self._selector, self._namespace_selector, labels_of(rollout), home)


def labels_of_namespace(store: Store, namespace: str) -> dict[str, str] | None:
    """Those of a namespace that the caches have; None of one that they do not."""
    found = store.get(Kind.NAMESPACE, "", namespace)
    return labels_of(found) if found is not None else None


def matches(
    selector: LabelSelector, namespace_selector: LabelSelector, labels: dict[str, str], home: dict[str, str] | None
) -> bool:
    """Whether both match. A namespace that is not known yet may have any labels: better held than let go."""
    return selector.matches(labels) and (home is None or namespace_selector.matches(home))
