"""Who selects which pods, both ways round and without a scan.

Each selector is kept under one of the labels that it asks for; each Rollout under every label that its pods may have.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from sluice.api.common import LabelSelector
from sluice.api.names import GROUP, Kind
from sluice.engine.store import Key, Obj, drop
from sluice.errors import InvalidSpec

Pair = tuple[str, str]
Spot = tuple[str, str, str]  # a namespace, and a label with its value
_OWN = f"{GROUP}/"


class Selectors:
    """Objects of one kind by their selectors."""

    def __init__(self) -> None:
        self._under: dict[Spot, dict[str, LabelSelector]] = defaultdict(dict)
        self._spots: dict[Key, Spot] = {}

    def put(self, key: Key, selector: LabelSelector | None) -> None:
        """Keep an object's selector; None where it selects nothing, or is gone."""
        old = self._spots.pop(key, None)
        if old is not None:
            drop(self._under, old, key[1])
        if selector is None:
            return
        spots = [(key[0], *pair) for pair in selector.match_labels.items()]
        # Where the fewest others are: all Services of a shop may ask for `part-of: shop`.
        spot = min(spots, key=lambda each: len(self._under.get(each, ()))) if spots else (key[0], "", "")
        self._under[spot][key[1]] = selector
        self._spots[key] = spot

    def matching(self, namespace: str, labels: dict[str, str]) -> Iterator[str]:
        """The names of the objects in the namespace whose selectors match such a pod, each once."""
        for pair in (*labels.items(), ("", "")):
            for name, selector in self._under.get((namespace, *pair), {}).items():
                if selector.matches(labels):
                    yield name


class PodLabels:
    """Rollouts by the labels that their pods have or may get. Those under Sluice's own prefix do not count."""

    def __init__(self) -> None:
        self._having: dict[Spot, dict[Key, None]] = defaultdict(dict)
        self._pairs: dict[Key, frozenset[Pair]] = {}

    def put(self, key: Key, pairs: Iterable[Pair]) -> None:
        """Keep the labels of a Rollout's pods; none where it has no pods."""
        new = frozenset(pair for pair in pairs if not pair[0].startswith(_OWN))
        old = self._pairs.pop(key, frozenset())
        for pair in old - new:
            drop(self._having, (key[0], *pair), key)
        for pair in new - old:
            self._having[key[0], *pair][key] = None
        if new:
            self._pairs[key] = new

    def having(self, namespace: str, pairs: Iterable[Pair]) -> set[Key]:
        """The Rollouts that have all of the labels. At least one has to be asked for."""
        found = [self._having.get((namespace, *pair), {}) for pair in pairs]
        fewest = min(found, key=len)
        return {key for key in fewest if all(key in each for each in found)}


def selector_of(kind: Kind, obj: Obj | None) -> LabelSelector | None:
    """Which pods a Service or PodDisruptionBudget selects; None where it selects none."""
    spec = (obj or {}).get("spec") or {}
    selector = spec.get("selector")
    if kind is Kind.SERVICE:
        if not selector or spec.get("type") == "ExternalName":
            return None
        selector = {"matchLabels": selector}
    try:
        return None if selector is None else LabelSelector.parse(selector, f"{kind}: spec.selector")
    except InvalidSpec:
        return None  # the API server lets no such thing pass


def outside(selector: LabelSelector) -> list[Pair]:
    """The labels that a selector asks for, but for those under Sluice's own prefix."""
    return [pair for pair in selector.match_labels.items() if not pair[0].startswith(_OWN)]
