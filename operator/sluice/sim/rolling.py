"""How a Deployment's replica sets grow and shrink, step by step, as its controller in Kubernetes has it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor


@dataclass(frozen=True, slots=True)
class SetSize:
    """A replica set: the pods it shall have, and how many of those it has are available."""

    target: int
    available: int


@dataclass(frozen=True, slots=True)
class Limits:
    """What a Deployment allows itself: pods it shall have, pods beyond these, and how many of these may be missing."""

    desired: int
    surge: int
    unavailable: int

    @property
    def most(self) -> int:
        """Pods that there may be at once."""
        return self.desired + self.surge if self.desired else 0


def limits(desired: int, max_surge: int | str, max_unavailable: int | str) -> Limits:
    """The limits from the two fields of the API: surge is rounded up, missing pods down, and both are never 0.

    >>> limits(6, "25%", 0)
    Limits(desired=6, surge=2, unavailable=0)
    """
    surge, unavailable = ceil(portion(desired, max_surge)), floor(portion(desired, max_unavailable))
    return Limits(desired, surge, unavailable if surge or unavailable else 1)


def portion(whole: int, value: int | str) -> Fraction:
    """A number, or such a percentage of the whole.

    >>> portion(6, "25%")
    Fraction(3, 2)
    """
    return Fraction(value) if isinstance(value, int) else whole * Fraction(value.removesuffix("%")) / 100


def next_targets(sets: Mapping[str, SetSize], new: str, limits: Limits, *, resized: bool) -> dict[str, int]:
    """One step towards `desired` pods of the newest template.

    Args:
        sets: by template hash, oldest first; with `new` among them.
        new: the present template's.
        limits: what is allowed on the way.
        resized: the desired number was another one at the last step.

    Returns:
        The pods that each set shall have now.
    """
    targets = {name: size.target for name, size in sets.items()}
    active = [name for name, target in targets.items() if target]
    if resized and active:
        return targets | _spread({name: targets[name] for name in active}, sets[new], new, limits)
    grown = min(limits.desired, targets[new] + max(0, limits.most - sum(targets.values())))
    if targets[new] > limits.desired or grown > targets[new]:
        return targets | {new: min(grown, limits.desired)}
    return targets | _shrink(sets, new, limits)


def _spread(active: dict[str, int], newest: SetSize, new: str, limits: Limits) -> dict[str, int]:
    """Another number while several sets have pods: each keeps its part, so that what serves grows with what is new."""
    if len(active) == 1:
        return dict.fromkeys(active, limits.desired)
    if newest.target == newest.available == limits.desired:
        return {name: limits.desired if name == new else 0 for name in active}
    total = sum(active.values())
    missing = limits.most - total
    result: dict[str, int] = {}
    for name, target in sorted(active.items(), key=lambda item: -item[1]):
        share = round(Fraction(target * missing, total))
        left = missing - sum(result[done] - active[done] for done in result)
        result[name] = max(0, target + (min(share, left) if missing > 0 else max(share, left)))
    largest = max(active, key=lambda name: active[name])
    result[largest] = max(0, result[largest] + limits.most - sum(result.values()))
    return result


def _shrink(sets: Mapping[str, SetSize], new: str, limits: Limits) -> dict[str, int]:
    """What older sets can do without: first pods that are not available, then as many as the newer ones make up for."""
    starting = sets[new].target - sets[new].available
    spare = sum(size.target for size in sets.values()) - (limits.desired - limits.unavailable) - starting
    older = {name: size for name, size in sets.items() if name != new}
    result: dict[str, int] = {}
    for name, size in older.items():
        idle = max(0, min(size.target - size.available, spare))
        spare -= idle
        result[name] = size.target - idle
    for name, target in result.items():
        going = max(0, min(target, spare))
        spare -= going
        result[name] = target - going
    return result
