"""Where each cluster of a batch is, a letter for each: 5,000 clusters in 5,000 bytes of a FleetRun's status. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from sluice.api.fleet import BatchRecord, ClusterCounts, ClusterPhase, RunBatch

# Stored in FleetRuns: a letter that was given once keeps its meaning.
_LETTERS = {
    ClusterPhase.WAITING: "w",
    ClusterPhase.MOVING: "m",
    ClusterPhase.DONE: "d",
    ClusterPhase.COMPLETED: "c",
    ClusterPhase.FAILED: "f",
    ClusterPhase.RETURNING: "r",
    ClusterPhase.RETURNED: "b",
    ClusterPhase.LEFT: "l",
}
_PHASES = {letter: phase for phase, letter in _LETTERS.items()}


def encode(phases: Iterable[ClusterPhase]) -> str:
    """A letter for each, in their order.

    >>> encode([ClusterPhase.DONE, ClusterPhase.MOVING, ClusterPhase.WAITING])
    'dmw'
    """
    return "".join(_LETTERS[phase] for phase in phases)


def decode(text: str, count: int) -> tuple[ClusterPhase, ...]:
    """What `encode` made, for so many clusters.

    >>> [phase.value for phase in decode("dmw", 3)]
    ['Done', 'Moving', 'Waiting']

    Raises:
        ValueError: another number of letters, or one that means nothing: it is not Sluice that wrote it.
    """
    if len(text) != count:
        raise ValueError(f"a record of {count} clusters has a letter for each, not {len(text)}")
    strange = next((index for index, letter in enumerate(text) if letter not in _PHASES), None)
    if strange is not None:
        known = "".join(_PHASES)
        raise ValueError(f"a record is made of the letters {known}, not of {text[strange]!r} (cluster {strange + 1})")
    return tuple(_PHASES[letter] for letter in text)


def counts(phases: Iterable[ClusterPhase]) -> ClusterCounts:
    """How many are where; each counts once, so that the parts make up the total.

    `done` is Done and Completed. `moving` is Moving alone: those that go forward. All others are `failed`, for they
    will not have the revision by this run: Failed, Returning, Returned and Left. So the number does not fall while a
    cluster that failed goes back, and can be held against what is tolerated. Where a whole batch or fleet goes back, it
    counts those that were well, too: who failed, and why, is in the run's failures.

    >>> counts(decode("wmdcfrbl", 8))
    ClusterCounts(total=8, waiting=1, moving=1, done=2, failed=4)
    """
    found = Counter(phases)
    waiting, moving = found[ClusterPhase.WAITING], found[ClusterPhase.MOVING]
    done = found[ClusterPhase.DONE] + found[ClusterPhase.COMPLETED]
    total = found.total()
    return ClusterCounts(total=total, waiting=waiting, moving=moving, done=done, failed=total - waiting - moving - done)


def phases_of(batch: RunBatch, record: BatchRecord | None) -> dict[str, ClusterPhase]:
    """Where each cluster of a batch is, in the batch's order. All wait while there is no record.

    Raises:
        ValueError: the record does not fit the batch, which is named.
    """
    if record is None:
        return dict.fromkeys(batch.clusters, ClusterPhase.WAITING)
    try:
        phases = decode(record.clusters, len(batch.clusters))
    except ValueError as error:
        raise ValueError(f"batch {batch.name}: {error}") from error
    return dict(zip(batch.clusters, phases, strict=True))


def recorded(batch: RunBatch, phases: Mapping[str, ClusterPhase]) -> str:
    """What a batch's record says of its clusters. `phases` has each of them, in any order, and may have others."""
    return encode(phases[name] for name in batch.clusters)
