"""Who should hold which shards: evenly, all of them, and as few as possible change hands."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from sluice.api.names import Kind
from sluice.decide.sharding import ALL, SHARDS, Shards, parse_shards, print_shards, shard_of, share_out

NAMES = [f"replica-{number}" for number in range(12)]


@st.composite
def holdings(draw: st.DrawFn) -> dict[str, Shards]:
    """What some live replicas hold; some shards may be nobody's."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    owners = draw(st.lists(st.sampled_from([*names, ""]), min_size=SHARDS, max_size=SHARDS))
    return {name: frozenset(shard for shard in ALL if owners[shard] == name) for name in names}


@given(holdings())
def test_every_shard_is_dealt_to_exactly_one(held: dict[str, Shards]) -> None:
    """Nothing is left out, nothing is dealt twice, and only those that are alive get any."""
    dealt = share_out(held)
    assert dealt.keys() == held.keys()
    assert sorted(shard for shards in dealt.values() for shard in shards) == sorted(ALL)


@given(holdings())
def test_shares_differ_by_one_at_most(held: dict[str, Shards]) -> None:
    """No replica has two shards more than another."""
    sizes = [len(shards) for shards in share_out(held).values()]
    assert max(sizes) - min(sizes) <= 1


@given(holdings())
def test_no_more_change_hands_than_must(held: dict[str, Shards]) -> None:
    """Only what somebody has beyond an even share is taken from him, and the odd ones stay with who has most."""
    dealt = share_out(held)
    moved = sum(len(held[name] - dealt[name]) for name in held)
    least, odd = divmod(SHARDS, len(held))
    loads = sorted((len(shards) for shards in held.values()), reverse=True)
    assert moved == sum(max(0, load - least - (place < odd)) for place, load in enumerate(loads))


@given(holdings(), st.randoms(use_true_random=False))
def test_the_order_in_which_replicas_are_told_does_not_matter(held: dict[str, Shards], chance: object) -> None:
    """Every replica comes to the same answer, also where all are equal."""
    names = list(held)
    chance.shuffle(names)  # type: ignore[attr-defined]
    assert share_out({name: held[name] for name in names}) == share_out(held)


@given(holdings())
def test_an_even_deal_stays_as_it_is(held: dict[str, Shards]) -> None:
    """Once dealt, nothing moves while the same replicas live."""
    dealt = share_out(held)
    assert share_out(dealt) == dealt


@given(holdings(), st.sampled_from(NAMES))
def test_the_shards_of_the_dead_go_to_the_living_and_nothing_else_moves(held: dict[str, Shards], dead: str) -> None:
    """A replica that is lost costs nobody else a shard."""
    dealt = share_out(held)
    living = {name: shards for name, shards in dealt.items() if name != dead}
    for name, shards in share_out(living).items():
        assert living[name] <= shards


@given(holdings(), st.data())
def test_replicas_that_act_one_by_one_come_to_rest(held: dict[str, Shards], data: st.DataObject) -> None:
    """Each gives up and takes on its own, in any order, by what it sees then: soon nobody has anything left to do."""
    now = dict(held)
    for _ in range(4 * len(now)):
        restless = [name for name in sorted(now) if _next(now, name) != now[name]]
        if not restless:
            break
        name = data.draw(st.sampled_from(restless))
        now[name] = _next(now, name)
    assert share_out(now) == now


def _next(now: dict[str, Shards], name: str) -> Shards:
    """What a replica holds after its next write: what it keeps, and what is free and due to it."""
    due = share_out(now)[name]
    if now[name] - due:
        return now[name] & due
    free = ALL.difference(*now.values())
    return now[name] | (due & free)


@given(st.frozensets(st.integers(0, SHARDS - 1)))
def test_what_is_printed_is_read_back(shards: Shards) -> None:
    """The Lease holds what was written into it."""
    assert parse_shards(print_shards(shards)) == shards


@given(st.text(max_size=40))
def test_nonsense_is_no_shard(text: str) -> None:
    """Whatever somebody writes by hand, nobody acts on a shard that there is not."""
    assert parse_shards(text) <= ALL


def test_rollouts_spread_over_the_shards() -> None:
    """Ten thousand Rollouts, named as people name them: no shard has more than half as many again as its share."""
    names = [(f"team-{number % 40}", f"app-{number // 40}") for number in range(10_000)]
    counts = Counter(shard_of(Kind.ROLLOUT, namespace, name) for namespace, name in names)
    assert len(counts) == SHARDS
    assert max(counts.values()) < 1.5 * len(names) / SHARDS
