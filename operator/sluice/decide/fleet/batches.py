"""Which clusters of a fleet go together. Pure.

This is decided once, when a run begins, and does not change with the fleet: a cluster that joins later waits for the
next run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice

from sluice.api.fleet import Fleet, FleetBatch, RunBatch
from sluice.api.units import FULL, parse_share


@dataclass(frozen=True, slots=True)
class Candidate:
    """A member cluster as batches see it.

    `weight` is how many it stands for, of whatever the fleet counts; at least 1.
    """

    name: str
    labels: dict[str, str]
    weight: int


@dataclass(frozen=True, slots=True)
class Assignment:
    """Where each member goes.

    Attributes:
        batches: all of the fleet's, in its order. One that takes nobody is there too, empty.
        unassigned: members of the fleet that no batch takes, by name.
        unknown: clusters that a batch names and the fleet does not have, in the order in which they are named: no such
            member, or one that the fleet's selector leaves out.
    """

    batches: tuple[RunBatch, ...]
    unassigned: tuple[str, ...]
    unknown: tuple[str, ...]


def assign(fleet: Fleet, members: Sequence[Candidate]) -> Assignment:
    """Give each member of the fleet to the first batch that takes it.

    Clusters go by name, whatever the order of `members`; those that a batch names go in the order in which it does.
    A batch with a size takes the next by name, and at least one where any is left. By weight it stops before the first
    that would pass the size, even where a later one would fit: who goes next must be clear from the names.

    Args:
        fleet: as its CRD admits it, so with no more than one way to choose per batch.
        members: all that are registered, each name once.

    Raises:
        ValueError: a size or a maximum is neither a count nor a share.

    >>> batches = FleetBatch(name="pilot", clusters=("c",)), FleetBatch(name="half", size="50%")
    >>> found = assign(Fleet(batches=batches), [Candidate(name, {}, 1) for name in "edcba"])
    >>> [batch.clusters for batch in found.batches], found.unassigned
    ([('c',), ('a', 'b')], ('d', 'e'))
    """
    left = {
        member.name: member
        for member in sorted(members, key=lambda member: member.name)
        if fleet.selector.matches(member.labels)
    }
    known = frozenset(left)
    batches: list[RunBatch] = []
    for batch in fleet.batches:
        taken = _taken(batch, left)
        for name in taken:
            del left[name]
        batches.append(_fixed(batch, taken, fleet.max_failures))
    named = dict.fromkeys(name for batch in fleet.batches for name in batch.clusters)
    return Assignment(tuple(batches), tuple(left), tuple(name for name in named if name not in known))


def resolve_count(value: int | str, of: int) -> int:
    """A count, or the share of a whole, rounded up: while there is something, its share never comes to nothing.

    A count stays as it is, even where it is more than the whole.

    >>> [resolve_count("10%", of) for of in (0, 1, 10, 11)], resolve_count("0.5%", 5000), resolve_count(7, 5)
    ([0, 1, 1, 2], 25, 7)

    Raises:
        ValueError: a string that is no share.
    """
    if isinstance(value, int):
        return value
    return min(of, max(1, -(-of * parse_share(value) // FULL)))


def resolve_tolerance(value: int | str, of: int) -> int:
    """How many may fail: a count, or the share of a whole, rounded down.

    Down, because nobody who allows "10%" agreed to one of five: what is tolerated is never more than what was written,
    and may come to nothing.

    >>> [resolve_tolerance("10%", of) for of in (5, 10, 19)], resolve_tolerance(2, 5)
    ([0, 1, 1], 2)

    Raises:
        ValueError: a string that is no share.
    """
    if isinstance(value, int):
        return value
    return of * parse_share(value) // FULL


def _taken(batch: FleetBatch, left: Mapping[str, Candidate]) -> tuple[str, ...]:
    """What a batch takes of what earlier ones left, which is in the order of names."""
    if batch.clusters:
        return tuple(dict.fromkeys(name for name in batch.clusters if name in left))
    if batch.selector is not None:
        return tuple(name for name, member in left.items() if batch.selector.matches(member.labels))
    if batch.size is None:
        return tuple(left)
    if batch.size_by == "Weight":
        weight = sum(member.weight for member in left.values())
        return _within(resolve_count(batch.size, weight), left)
    return tuple(islice(left, max(1, resolve_count(batch.size, len(left)))))


def _within(weight: int, left: Mapping[str, Candidate]) -> tuple[str, ...]:
    """The first that together stand for no more than `weight`; the very first in any case."""
    taken: list[str] = []
    for member in left.values():
        weight -= member.weight
        if taken and weight < 0:
            break
        taken.append(member.name)
    return tuple(taken)


def _fixed(batch: FleetBatch, clusters: tuple[str, ...], max_failures: int | str) -> RunBatch:
    """A batch as its run will go through it. `max_failures` is the fleet's."""
    most = max(1, len(clusters))
    at_once = most if batch.max_concurrency is None else resolve_count(batch.max_concurrency, len(clusters))
    tolerated = max_failures if batch.max_failures is None else batch.max_failures
    return RunBatch(
        name=batch.name,
        clusters=clusters,
        steps=batch.steps,
        max_concurrency=min(most, max(1, at_once)),
        max_failures=resolve_tolerance(tolerated, len(clusters)),
        pause=batch.pause,
        approval=batch.approval,
        soak=timedelta(0) if batch.soak is None else batch.soak,
    )
