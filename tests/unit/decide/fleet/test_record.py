"""Where each cluster is, a letter for each: what is written can be read, and what is rubbish is told."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sluice.api.fleet import (
    BatchRecord,
    ClusterCounts,
    ClusterFailure,
    ClusterPhase,
    FleetRunSpec,
    FleetRunStatus,
    RunBatch,
)
from sluice.api.strategy import Pause, Step
from sluice.decide.fleet.record import counts, decode, encode, phases_of, recorded

NOW = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)
BATCH = RunBatch(name="wave-1", clusters=("c", "a", "b"), max_concurrency=3, max_failures=0)
CLUSTERS = 5000
BATCHES = 64


def test_the_letters_stay() -> None:
    """Runs that were recorded by an older Sluice are read by a newer one: no letter ever changes its meaning."""
    assert encode(ClusterPhase) == "wmdcfrbl"
    assert decode("wmdcfrbl", 8) == tuple(ClusterPhase)


@pytest.mark.parametrize(
    "text, told",
    [
        ("", "a record of 3 clusters has a letter for each, not 0"),
        ("wwww", "a record of 3 clusters has a letter for each, not 4"),
        ("wxw", "a record is made of the letters wmdcfrbl, not of 'x' (cluster 2)"),
        ("ww\n", "a record is made of the letters wmdcfrbl, not of '\\n' (cluster 3)"),
        ("Www", "a record is made of the letters wmdcfrbl, not of 'W' (cluster 1)"),
    ],
)
def test_rubbish_is_told(text: str, told: str) -> None:
    """A record that somebody else wrote is refused in a sentence, and with the batch where that is known."""
    with pytest.raises(ValueError, match=f"^{re.escape(told)}$"):
        decode(text, 3)
    with pytest.raises(ValueError, match=f"^batch wave-1: {re.escape(told)}$"):
        phases_of(BATCH, BatchRecord(name="wave-1", clusters=text))


def test_each_cluster_counts_once() -> None:
    """Who goes back counts as failed, from the failure to the end, so that what is tolerated can be held against it."""
    assert counts(decode("wwwmmdcccfrbl", 13)) == ClusterCounts(total=13, waiting=3, moving=2, done=4, failed=4)
    assert [counts(decode(text, 1)).failed for text in "frb"] == [1, 1, 1]
    assert counts(()) == ClusterCounts()


def test_a_batch_that_has_not_begun() -> None:
    """Without a record all of its clusters wait."""
    assert phases_of(BATCH, None) == dict.fromkeys("cab", ClusterPhase.WAITING)


def test_letters_are_in_the_order_of_the_batch() -> None:
    """Not in that of names, nor in that of the mapping; clusters of other batches don't matter."""
    phases = phases_of(BATCH, BatchRecord(name="wave-1", clusters="dmw"))
    assert list(phases.items()) == [("c", ClusterPhase.DONE), ("a", ClusterPhase.MOVING), ("b", ClusterPhase.WAITING)]
    assert recorded(BATCH, {"z": ClusterPhase.FAILED, **dict(sorted(phases.items()))}) == "dmw"


def test_a_cluster_without_a_phase_is_no_record() -> None:
    """Half a record would be read as rubbish later: it is not made."""
    with pytest.raises(KeyError):
        recorded(BATCH, {"c": ClusterPhase.DONE})


def size(value: dict[str, Any]) -> int:
    """Bytes of JSON, as the API server gets it."""
    return len(json.dumps(value).encode())


def test_the_biggest_spec_fits() -> None:
    """5,000 clusters with names of 30 characters, 64 batches with twenty steps: less than etcd's 1.5 MB, with room."""
    names = [f"cluster-{number:022}" for number in range(CLUSTERS)]
    steps = tuple(Step.model_validate({"setWeight": weight}) for weight in range(5, 101, 5))
    batches = tuple(
        RunBatch(
            name=f"batch-{index:057}",
            clusters=tuple(names[index::BATCHES]),
            steps=steps,
            max_concurrency=10,
            max_failures=3,
            pause=Pause(duration=timedelta(hours=1)),
            soak=timedelta(hours=24),
        )
        for index in range(BATCHES)
    )
    template = {"image": "x" * 50_000}
    spec = FleetRunSpec(
        rollout="shop",
        rollout_uid="u" * 36,
        revision=7,
        hash="h" * 64,
        batches=batches,
        spec=template,
        stable_spec=template,
    )
    assert len(names[-1]) == 30
    assert sum(len(batch.clusters) for batch in batches) == CLUSTERS
    assert size(spec.dump()) < 2**20


def test_the_biggest_status_fits() -> None:
    """A letter per cluster: 5,000 of them, 64 batches and 50 failures with long messages take less than 64 KiB."""
    letters = ("wmdcfrbl" * CLUSTERS)[:CLUSTERS]
    times: dict[str, Any] = {"started_at": NOW, "done_at": NOW, "ended_at": NOW}
    records = tuple(
        BatchRecord(name=f"batch-{index:057}", clusters=letters[index::BATCHES], step=20, **times)
        for index in range(BATCHES)
    )
    failures = tuple(
        ClusterFailure(name=f"cluster-{number:022}", reason="AnalysisFailed", message="m" * 500, at=NOW)
        for number in range(50)
    )
    assert sum(len(record.clusters) for record in records) == CLUSTERS
    assert size(FleetRunStatus(batches=records, failures=failures, message="m" * 500).dump()) < 64 * 1024
