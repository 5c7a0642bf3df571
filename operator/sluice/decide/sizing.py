"""How many pods a share of the traffic needs. Pure.

`capacity` is always the number of pods that all of the traffic needs: `workload.replicas`.
"""

from __future__ import annotations

from sluice.api.units import FULL, BasisPoints
from sluice.api.workload import CanarySize


def pods_for(capacity: int, share: BasisPoints) -> int:
    """Pods that a share needs, rounded up: a share above nothing never rounds to no pod.

    >>> [pods_for(10, share) for share in (0, 50, 1000, 1001, 10_000)]
    [0, 1, 1, 2, 10]
    """
    return -(-capacity * share // FULL)


def candidate_pods(capacity: int, share: BasisPoints, size: CanarySize) -> int:
    """Pods of a candidate that has, or is about to get, this share.

    Before its first weight it has the least that the size gives, so that it can be looked at; for all of the traffic it
    has enough for all, whatever the size. A capacity of 0 is no pods at all.

    >>> [candidate_pods(10, share, CanarySize()) for share in (0, 500, 2500, 10_000)]
    [1, 1, 3, 10]
    >>> [candidate_pods(10, share, CanarySize(replicas=4)) for share in (0, 2500, 10_000)]
    [4, 4, 10]
    """
    if share >= FULL or capacity == 0 or size.full:
        return capacity
    if size.replicas is not None:
        return size.replicas
    if size.share is not None:
        return pods_for(capacity, size.share)
    return max(size.by_weight.min if size.by_weight else 1, pods_for(capacity, share))


def bearable(capacity: int, ready: int, others: int) -> BasisPoints:
    """The share that so many ready pods can carry, where `others` are ready in the other slot.

    Where both together are too few, neither is loaded more than the other: what nobody answers in the other slot is
    better answered late. A capacity of 1 says that any ready pod can carry all.

    >>> [bearable(4, ready, others=4) for ready in (0, 1, 3, 4, 9)]
    [0, 2500, 7500, 10000, 10000]
    >>> [bearable(4, 1, others=others) for others in (4, 1, 0)]
    [2500, 5000, 10000]
    """
    if ready >= max(1, capacity):
        return FULL
    return max(ready * FULL // max(1, capacity), ready * FULL // max(1, ready + others))
