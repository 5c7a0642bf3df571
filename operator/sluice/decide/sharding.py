"""Which shard an object belongs to, and which replica should hold which shards. Pure.

Every replica computes the same answer from the same Lease, so that nobody has to coordinate them.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping

from sluice.api.names import Kind

Shards = frozenset[int]

# Far more than replicas, so that each has nearly the same share; they cost nothing but some bytes in one Lease. All
# that act at the same time must agree on this number, and on `shard_of`: change it only together with the Lease's name.
SHARDS = 64
ALL: Shards = frozenset(range(SHARDS))
NO_SHARDS: Shards = frozenset()


def shard_of(kind: Kind, namespace: str, name: str) -> int:
    """The shard of an object: by its name, so that what is made anew is where its runs and routes are known.

    >>> shard_of(Kind.ROLLOUT, "shop", "checkout"), shard_of(Kind.ROLLOUT, "shop", "cart")
    (44, 3)
    """
    return zlib.crc32(f"{kind.value}/{namespace}/{name}".encode()) % SHARDS


def share_out(held: Mapping[str, Shards]) -> dict[str, Shards]:
    """Who should hold which shards: all of them are dealt, evenly to within one, and as few as can be change hands.

    Args:
        held: what each live replica holds now, by its name; no shard twice, and not necessarily all of them.

    Returns:
        The same names. Those that hold the most keep the odd ones; among equals, the first by name.

    >>> [len(shards) for shards in share_out({"a": ALL, "b": NO_SHARDS, "c": NO_SHARDS}).values()]
    [22, 21, 21]
    """
    if not held:
        return {}
    least, odd = divmod(SHARDS, len(held))
    by_load = sorted(held, key=lambda name: (-len(held[name]), name))
    due = {name: least + (place < odd) for place, name in enumerate(by_load)}
    kept = {name: frozenset(sorted(shards)[: due[name]]) for name, shards in held.items()}
    free = iter(sorted(ALL.difference(*kept.values())))
    return {name: kept[name] | {next(free) for _ in range(due[name] - len(kept[name]))} for name in sorted(held)}


def print_shards(shards: Iterable[int]) -> str:
    """Shards as ranges, for the Lease and for people.

    >>> print_shards({0, 1, 2, 7, 9, 10})
    '0-2,7,9-10'
    """
    ranges: list[list[int]] = []
    for shard in sorted(shards):
        if ranges and ranges[-1][1] == shard - 1:
            ranges[-1][1] = shard
        else:
            ranges.append([shard, shard])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def parse_shards(text: str) -> Shards:
    """The other way round; what is no shard is left out, so that nobody acts on what nobody understands.

    >>> sorted(parse_shards("0-2,7,x,63-99"))
    [0, 1, 2, 7, 63]
    """
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if first.isdecimal() and (last or first).isdecimal():
            found.update(range(int(first), min(int(last or first), SHARDS - 1) + 1))
    return frozenset(found) & ALL
