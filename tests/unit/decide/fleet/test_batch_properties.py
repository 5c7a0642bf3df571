"""Whatever a fleet's batches and members are: who goes when is clear, nobody goes twice, and nothing is forgotten."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sluice.api.fleet import BatchRecord, ClusterPhase, Fleet, FleetBatch, RunBatch
from sluice.api.units import FULL, format_share
from sluice.decide.fleet.batches import Assignment, Candidate, assign, resolve_count, resolve_tolerance
from sluice.decide.fleet.record import counts, decode, encode, phases_of, recorded

NAMES = tuple("abcdefghijklmnop")
WEIGHT_MAX = 30

basis_points = st.integers(1, FULL)
shares = basis_points.map(format_share)
sizes = st.integers(1, 20) | shares
tolerances = st.integers(0, 20) | shares
labels = st.fixed_dictionaries(
    {}, optional={"tier": st.sampled_from(("pilot", "rest")), "zone": st.sampled_from("xyz")}
)
selectors = st.sampled_from(
    (
        {},
        {"matchLabels": {"tier": "pilot"}},
        {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["x", "y"]}]},
        {"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]},
    )
)
named = st.sampled_from((*NAMES, "nobody", "no-one"))
choices: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({}),
    st.fixed_dictionaries(
        {"clusters": st.lists(st.sampled_from((*NAMES, "nobody", "no-one")), min_size=1, max_size=6)}
    ),
    st.fixed_dictionaries({"selector": selectors}),
    st.fixed_dictionaries({"size": sizes, "sizeBy": st.sampled_from(("Clusters", "Weight"))}),
)
maxima = st.fixed_dictionaries({}, optional={"maxConcurrency": sizes, "maxFailures": tolerances})
phases = st.sampled_from(ClusterPhase)


@st.composite
def fleets(draw: st.DrawFn) -> Fleet:
    """Up to eight batches, each as the CRD admits it."""
    chosen = draw(st.lists(st.tuples(choices, maxima), min_size=1, max_size=8))
    batches = [{"name": f"b{index}", **choice, **most} for index, (choice, most) in enumerate(chosen)]
    found = {"batches": batches, "selector": draw(selectors), "maxFailures": draw(tolerances)}
    return Fleet.model_validate(found)


@st.composite
def registered(draw: st.DrawFn) -> tuple[Candidate, ...]:
    """Members, each name once, in any order."""
    names = draw(st.lists(st.sampled_from(NAMES), unique=True))
    return tuple(Candidate(name, draw(labels), draw(st.integers(1, WEIGHT_MAX))) for name in names)


def in_fleet(fleet: Fleet, members: tuple[Candidate, ...]) -> dict[str, Candidate]:
    """The members that the fleet's selector matches, by name."""
    return {
        each.name: each for each in sorted(members, key=lambda each: each.name) if fleet.selector.matches(each.labels)
    }


def wants(batch: FleetBatch, member: Candidate) -> bool:
    """Whether a batch would take a member wherever it could; a batch with a size may have had enough."""
    if batch.clusters:
        return member.name in batch.clusters
    if batch.selector is not None:
        return batch.selector.matches(member.labels)
    return batch.size is None


def left_before(index: int, fleet: Fleet, members: tuple[Candidate, ...], found: Assignment) -> dict[str, Candidate]:
    """What earlier batches left for this one."""
    gone = {name for batch in found.batches[:index] for name in batch.clusters}
    return {name: each for name, each in in_fleet(fleet, members).items() if name not in gone}


@given(fleet=fleets(), members=registered())
def test_everybody_is_somewhere_once(fleet: Fleet, members: tuple[Candidate, ...]) -> None:
    """Each member of the fleet is in exactly one batch, or told as unassigned; nobody else is anywhere."""
    found = assign(fleet, members)
    placed = [name for batch in found.batches for name in batch.clusters]
    assert Counter((*placed, *found.unassigned)) == Counter(list(in_fleet(fleet, members)))
    assert [batch.name for batch in found.batches] == [batch.name for batch in fleet.batches]


@given(fleet=fleets(), members=registered(), data=st.data())
def test_the_order_of_members_does_not_matter(
    fleet: Fleet, members: tuple[Candidate, ...], data: st.DataObject
) -> None:
    """A cache lists its members in any order: the run is the same."""
    assert assign(fleet, data.draw(st.permutations(members))) == assign(fleet, members)


@given(fleet=fleets(), members=registered())
def test_first_match_wins(fleet: Fleet, members: tuple[Candidate, ...]) -> None:
    """A batch that names or selects a cluster has it, unless one before did; and it takes nobody else."""
    found = assign(fleet, members)
    for index, (batch, fixed) in enumerate(zip(fleet.batches, found.batches, strict=True)):
        left = left_before(index, fleet, members, found)
        if batch.size is None:
            assert set(fixed.clusters) == {name for name, each in left.items() if wants(batch, each)}
        else:
            assert fixed.clusters == tuple(left)[: len(fixed.clusters)]


@given(fleet=fleets(), members=registered())
def test_order_within_a_batch(fleet: Fleet, members: tuple[Candidate, ...]) -> None:
    """As the batch names its clusters, else by name; those that are unassigned by name, too."""
    found = assign(fleet, members)
    for batch, fixed in zip(fleet.batches, found.batches, strict=True):
        assert list(fixed.clusters) == sorted(fixed.clusters, key=batch.clusters.index if batch.clusters else None)
    assert list(found.unassigned) == sorted(found.unassigned)


@given(fleet=fleets(), members=registered())
def test_unknown_are_those_that_are_named_and_not_there(fleet: Fleet, members: tuple[Candidate, ...]) -> None:
    """A typing error in a batch is told; a cluster that an earlier batch took is none."""
    found = assign(fleet, members)
    assert len(set(found.unknown)) == len(found.unknown)
    assert set(found.unknown) == {name for batch in fleet.batches for name in batch.clusters} - set(
        in_fleet(fleet, members)
    )


@given(fleet=fleets(), members=registered())
def test_sizes_are_kept(fleet: Fleet, members: tuple[Candidate, ...]) -> None:
    """No batch passes its size, unless a single cluster does; none takes less than it could; nobody only of nobody."""
    found = assign(fleet, members)
    for index, (batch, fixed) in enumerate(zip(fleet.batches, found.batches, strict=True)):
        if batch.size is None:
            continue
        left = left_before(index, fleet, members, found)
        units = {name: each.weight if batch.size_by == "Weight" else 1 for name, each in left.items()}
        size = resolve_count(batch.size, sum(units.values()))
        taken = sum(units[name] for name in fixed.clusters)
        assert bool(fixed.clusters) == bool(left)
        assert taken <= size or len(fixed.clusters) == 1
        more = tuple(left)[len(fixed.clusters) : len(fixed.clusters) + 1]
        assert all(taken + units[name] > size for name in more)


@given(fleet=fleets(), members=registered())
def test_a_batch_can_always_move(fleet: Fleet, members: tuple[Candidate, ...]) -> None:
    """At least one cluster goes at once, and never more than there are."""
    for batch in assign(fleet, members).batches:
        assert 1 <= batch.max_concurrency <= max(1, len(batch.clusters))
        assert batch.max_failures >= 0


@given(points=basis_points, of=st.integers(0, 10**10))
def test_shares_are_bounded(points: int, of: int) -> None:
    """A share of something is something and at most all; what is tolerated is never more than what was written."""
    share = format_share(points)
    count, tolerance = resolve_count(share, of), resolve_tolerance(share, of)
    assert min(1, of) <= count <= of
    assert (count - 1) * FULL < of * points <= count * FULL or of == 0
    assert tolerance * FULL <= of * points < (tolerance + 1) * FULL


@given(points=st.tuples(basis_points, basis_points), of=st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)))
def test_more_is_never_less(points: tuple[int, int], of: tuple[int, int]) -> None:
    """A greater share of a greater whole comes to at least as much."""
    (low, high), (few, many) = sorted(points), sorted(of)
    assert resolve_count(format_share(low), few) <= resolve_count(format_share(high), many)
    assert resolve_tolerance(format_share(low), few) <= resolve_tolerance(format_share(high), many)


@given(found=st.lists(phases))
def test_what_is_written_can_be_read(found: list[ClusterPhase]) -> None:
    """Letters and phases are the same thing, one letter each, and every cluster is counted once."""
    assert decode(encode(found), len(found)) == tuple(found)
    assert len(encode(found)) == len(found)
    told = counts(found)
    assert told.waiting + told.moving + told.done + told.failed == told.total == len(found)


@given(text=st.text(alphabet=st.sampled_from("wmdcfrbl") | st.characters(), max_size=6), count=st.integers(0, 6))
def test_rubbish_is_read_by_nobody(text: str, count: int) -> None:
    """What can be read is exactly what would be written."""
    try:
        found = decode(text, count)
    except ValueError:
        assert len(text) != count or set(text) - set("wmdcfrbl")
    else:
        assert (encode(found), len(found)) == (text, count)


@given(found=st.dictionaries(st.sampled_from(NAMES), phases), data=st.data())
def test_a_batch_and_its_record(found: dict[str, ClusterPhase], data: st.DataObject) -> None:
    """What was recorded of a batch is what is read of it, in the batch's order."""
    order = tuple(data.draw(st.permutations(tuple(found))))
    batch = RunBatch(name="b", clusters=order, max_concurrency=1, max_failures=0)
    read = phases_of(batch, BatchRecord(name="b", clusters=recorded(batch, found)))
    assert (read, tuple(read)) == (found, order)
