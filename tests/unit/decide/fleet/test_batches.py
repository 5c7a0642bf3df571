"""Which clusters go together: named cases of each way to choose, and of counts and shares."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from sluice.api.fleet import Fleet, RunBatch
from sluice.api.strategy import Step
from sluice.decide.fleet.batches import Assignment, Candidate, assign, resolve_count, resolve_tolerance

PILOT = {"matchLabels": {"tier": "pilot"}}


def member(name: str, weight: int = 1, **labels: str) -> Candidate:
    """A member cluster."""
    return Candidate(name, labels, weight)


def fleet(*batches: dict[str, Any], **fields: Any) -> Fleet:
    """A fleet as people write it; batches without a name are called b1, b2 and so on."""
    named = [{"name": f"b{number}", **batch} for number, batch in enumerate(batches, 1)]
    return Fleet.model_validate({"batches": named, **fields})


def clusters(found: Assignment) -> list[str]:
    """The clusters of each batch, whose names are single letters."""
    return ["".join(batch.clusters) for batch in found.batches]


LETTERS = tuple(member(name) for name in "abcdefghij")


@pytest.mark.parametrize(
    "batches, taken, left",
    [
        ([{}], ["abcdefghij"], ""),
        ([{"size": 3}], ["abc"], "defghij"),
        ([{"size": 3}, {}], ["abc", "defghij"], ""),
        ([{"size": "10%"}, {"size": "50%"}, {}], ["a", "bcdef", "ghij"], ""),
        ([{"size": "0.01%"}] * 2, ["a", "b"], "cdefghij"),
        ([{"size": "100%"}, {"size": "100%"}], ["abcdefghij", ""], ""),
        ([{"size": 99}, {"size": 1}], ["abcdefghij", ""], ""),
        ([{"clusters": ["j", "c"]}, {"size": 2}], ["jc", "ab"], "defghi"),
        ([{"clusters": ["c", "c"]}], ["c"], "abdefghij"),
        ([{"size": 2}, {"clusters": ["d", "b", "c"]}], ["ab", "dc"], "efghij"),
        ([{"size": 0}, {"size": "0%"}], ["a", "b"], "cdefghij"),
        ([{"selector": {}}, {}], ["abcdefghij", ""], ""),
        ([{"selector": PILOT}, {"size": 1}], ["", "a"], "bcdefghij"),
    ],
)
def test_who_goes_when(batches: list[dict[str, Any]], taken: list[str], left: str) -> None:
    """Ten clusters: the first batch that takes one has it, sizes count what is left, and nobody is taken twice."""
    found = assign(fleet(*batches), LETTERS)
    assert clusters(found) == taken
    assert "".join(found.unassigned) == left


def test_only_the_fleet() -> None:
    """A member that the fleet's selector leaves out is in no batch, not unassigned, and unknown where it is named."""
    members = [member("a", env="prod"), member("b", env="test"), member("c", env="prod", tier="pilot")]
    prod = {"matchLabels": {"env": "prod"}}
    found = assign(
        fleet({"clusters": ["b", "x", "a"]}, {"clusters": ["x"]}, {"selector": PILOT}, selector=prod), members
    )
    assert clusters(found) == ["a", "", "c"]
    assert found.unassigned == ()
    assert found.unknown == ("b", "x")


def test_a_named_cluster_that_went_before_is_known() -> None:
    """An earlier batch has it: that is no reason to stall."""
    assert assign(fleet({"size": 1}, {"clusters": ["a"]}), LETTERS).unknown == ()


WEIGHTS = tuple(member(name, weight) for name, weight in zip("abcdef", (30, 10, 20, 50, 5, 5), strict=True))


@pytest.mark.parametrize(
    "sizes, taken",
    [
        ([60, 60], ["abc", "def"]),
        ([40, 40], ["ab", "c"]),  # d would pass it, and e and f, which would fit, wait for their turn
        ([29, 9, 1], ["a", "b", "c"]),
        (["50%", "100%"], ["abc", "def"]),
        (["25%", "25%"], ["a", "b"]),
        (["0.01%", "0.01%"], ["a", "b"]),
        ([1000, 1], ["abcdef", ""]),
    ],
)
def test_sizes_by_weight(sizes: list[int | str], taken: list[str]) -> None:
    """As many as fit, in the order of their names, and never nobody while somebody is left."""
    found = assign(fleet(*({"size": size, "sizeBy": "Weight"} for size in sizes)), WEIGHTS)
    assert clusters(found) == taken


@pytest.mark.parametrize(
    "batch, maxima",
    [
        ({}, (10, 1)),
        ({"maxConcurrency": 3, "maxFailures": 0}, (3, 0)),
        ({"maxConcurrency": "25%", "maxFailures": "25%"}, (3, 2)),
        ({"maxConcurrency": 50, "maxFailures": 50}, (10, 50)),
        ({"maxConcurrency": "1%", "maxFailures": "1%"}, (1, 0)),
        ({"selector": PILOT, "maxConcurrency": "50%", "maxFailures": "50%"}, (1, 0)),
        ({"selector": PILOT}, (1, 0)),
    ],
)
def test_maxima(batch: dict[str, Any], maxima: tuple[int, int]) -> None:
    """They are of the batch's size: at least one at once, all by default; failures are the fleet's by default."""
    found = assign(fleet(batch, maxFailures="10%"), LETTERS).batches[0]
    assert (found.max_concurrency, found.max_failures) == maxima


def test_what_else_a_batch_says_goes_along() -> None:
    """Its run knows its steps, its pause and its soak without looking at the Rollout again."""
    batch = {"name": "x", "steps": [{"setWeight": 5}], "pause": {"duration": "1h"}, "soak": "24h"}
    assert assign(fleet(batch, {}), [member("a")]).batches == (
        RunBatch.model_validate({**batch, "clusters": ["a"], "maxConcurrency": 1, "maxFailures": 0}),
        RunBatch(name="b2", clusters=(), max_concurrency=1, max_failures=0),
    )
    found = assign(fleet(batch), ()).batches[0]
    assert (found.soak, found.steps) == (timedelta(hours=24), (Step.model_validate({"setWeight": 5}),))


@pytest.mark.parametrize(
    "value, of, count, tolerance",
    [
        (3, 2, 3, 3),
        ("10%", 5, 1, 0),
        ("10%", 10, 1, 1),
        ("10%", 11, 2, 1),
        ("100%", 7, 7, 7),
        ("50%", 0, 0, 0),
        ("0%", 9, 1, 0),
    ],
)
def test_counts_and_shares(value: int | str, of: int, count: int, tolerance: int) -> None:
    """Shares of clusters are rounded up, shares of failures down; counts stay."""
    assert (resolve_count(value, of), resolve_tolerance(value, of)) == (count, tolerance)


@pytest.mark.parametrize("value", ["", "5", "ten", "101%", "-1%", "1.234%"])
def test_what_is_no_share_is_refused(value: str) -> None:
    """A size that means nothing is told, not guessed."""
    with pytest.raises(ValueError, match="a share is"):
        resolve_count(value, 5)
    with pytest.raises(ValueError, match="a share is"):
        resolve_tolerance(value, 5)
    for field in ("size", "maxConcurrency", "maxFailures"):
        with pytest.raises(ValueError, match="a share is"):
            assign(fleet({field: value}), LETTERS)


def test_twenty_million_in_batches_of_one() -> None:
    """1,000 clusters that stand for 20,000 each, a million per batch: twenty batches of fifty, and nobody is left."""
    members = [member(f"cluster-{number:04}", weight=20_000) for number in range(1000)]
    found = assign(fleet(*[{"size": 1_000_000, "sizeBy": "Weight"}] * 20), members)
    assert [len(batch.clusters) for batch in found.batches] == [50] * 20
    assert found.batches[1].clusters[0] == "cluster-0050"
    assert found.unassigned == ()


def test_as_many_as_there_may_be() -> None:
    """64 batches of every kind over 5,000 clusters: each cluster is in one."""
    members = [member(f"cluster-{number:04}", weight=number % 7 + 1, zone=str(number % 64)) for number in range(5000)]
    kinds: list[dict[str, Any]] = [
        {"selector": {"matchLabels": {"zone": "3"}}},
        {"size": "5%"},
        {"size": "5%", "sizeBy": "Weight"},
        {"clusters": [f"cluster-{number:04}" for number in range(5000, 0, -9)]},
    ]
    found = assign(fleet(*(kinds * 16)[:63], {}), members)
    assert sorted(name for batch in found.batches for name in batch.clusters) == [each.name for each in members]
    assert found.unassigned == ()
    assert found.unknown == ("cluster-5000",)
