"""Whose run may begin: who asked first goes first, never more than the policy says, and nobody waits for ever."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from sluice.api.policy import RolloutPolicySpec, Turn
from sluice.decide.turns import Applicant, Dealt, deal
from unit.decide.observed import HOUR, MINUTE, NOW, SECOND


def policy(**fields: object) -> RolloutPolicySpec:
    """A policy."""
    return RolloutPolicySpec.parse(fields, "spec")


def waits(name: str, since: datetime = NOW, *, asks: bool = True) -> Applicant:
    """A Rollout that waits."""
    return Applicant(f"shop/{name}", f"uid-{name}", since, asks=asks)


def turn(name: str, since: datetime = NOW) -> Turn:
    """A turn that is out."""
    return Turn(rollout=f"shop/{name}", uid=f"uid-{name}", since=since)


def dealt(
    spec: RolloutPolicySpec,
    *waiting: Applicant,
    given: tuple[Turn, ...] = (),
    last: datetime | None = None,
    under_way: tuple[str, ...] = (),
    began: datetime | None = None,
    now: datetime = NOW,
) -> Dealt:
    """What is given."""
    applicants = {each.uid: each for each in waiting}
    going = [f"uid-{name}" for name in under_way]
    return deal(spec, given, last, under_way=going, last_began_at=began, applicants=applicants, now=now)


def test_who_asked_first_goes_first() -> None:
    """Of three that wait, one may go: the one that has waited longest, whatever its name."""
    waiting = (waits("a", NOW + SECOND), waits("b", NOW), waits("c", NOW + MINUTE))
    assert dealt(policy(maxConcurrent=1), *waiting, now=NOW + MINUTE).turns == (turn("b"),)


def test_runs_under_way_and_turns_that_are_out_both_count() -> None:
    """With a cap of three, one run under way and one turn not used yet, one more may go."""
    spec = policy(maxConcurrent=3)
    found = dealt(spec, waits("b"), waits("c"), waits("d"), given=(turn("b"),), under_way=("a",))
    assert [each.rollout for each in found.turns] == ["shop/b", "shop/c"]


def test_a_cap_below_what_is_under_way_stops_nobody_and_lets_nobody_in() -> None:
    """A policy that comes later than the runs, or is made stricter, waits until enough of them are over."""
    assert dealt(policy(maxConcurrent=1), waits("d"), under_way=("a", "b", "c")).turns == ()


def test_a_turn_goes_with_its_run() -> None:
    """Once the run is under way it counts as that; its turn is not kept for a next one."""
    assert dealt(policy(maxConcurrent=1), given=(turn("a"),), under_way=("a",)).turns == ()


def test_a_turn_that_nobody_wants_any_more_is_free() -> None:
    """The Rollout was deleted, or a freeze came in between: the next one goes."""
    assert dealt(policy(maxConcurrent=1), waits("b"), given=(turn("a"),)).turns == (turn("b"),)


def test_who_asks_anew_does_not_keep_an_old_turn() -> None:
    """What it was given its turn for is over: it stands in line again, behind those that waited."""
    again, other = waits("a", NOW + MINUTE), waits("b", NOW + SECOND)
    found = dealt(policy(maxConcurrent=1), again, other, given=(turn("a", NOW),), now=NOW + MINUTE)
    assert found.turns == (turn("b", NOW + SECOND),)


def test_who_waits_for_another_policy_keeps_its_turn() -> None:
    """Turns are asked for one policy after the other; the first is not lost while the second lets it wait."""
    found = dealt(policy(maxConcurrent=1), waits("a", asks=False), waits("b"), given=(turn("a"),))
    assert found.turns == (turn("a"),)


def test_cadence_lets_one_begin_and_says_when_to_look_for_the_next() -> None:
    """One run begins every ten minutes, however many wait and however few are under way."""
    spec = policy(minInterval="10m")
    first = dealt(spec, waits("a"), waits("b"))
    assert (first.turns, first.last_turn_at) == ((turn("a"),), NOW)
    later = dealt(spec, waits("b"), last=NOW, now=NOW + 9 * MINUTE)
    assert (later.turns, later.look_at) == ((), NOW + 10 * MINUTE)
    assert dealt(spec, waits("b"), last=NOW, now=NOW + 10 * MINUTE).turns == (turn("b"),)


def test_cadence_counts_from_when_the_run_began() -> None:
    """Not from its turn, which may be a while before: and nobody gets one while another is about to begin."""
    spec = policy(minInterval="10m")
    assert dealt(spec, waits("a"), waits("b"), given=(turn("a"),), last=NOW, now=NOW + HOUR).turns == (turn("a"),)
    began = NOW + 5 * MINUTE
    later = dealt(spec, waits("b"), last=NOW, under_way=("a",), began=began, now=NOW + 11 * MINUTE)
    assert (later.turns, later.look_at) == ((), NOW + 15 * MINUTE)


def test_a_turn_that_waits_for_another_policy_holds_up_no_cadence() -> None:
    """It may wait there for long: others begin meanwhile."""
    found = dealt(policy(minInterval="10m"), waits("a", asks=False), waits("b"), given=(turn("a"),), now=NOW + HOUR)
    assert found.turns == (turn("a"), turn("b"))


def test_who_asks_later_waits_until_then() -> None:
    """One that was refused asks again after a while: until then others go, and the policy looks again at that time."""
    spec, later = policy(maxConcurrent=1), NOW + MINUTE
    found = dealt(spec, waits("a", later))
    assert (found.turns, found.look_at) == ((), later)
    assert dealt(spec, waits("a", later), waits("b"), now=NOW).turns == (turn("b"),)
    assert dealt(spec, waits("a", later), now=later).turns == (turn("a", later),)


def test_a_policy_that_rations_nothing_gives_no_turns() -> None:
    """Whoever still has one from before needs it no more."""
    assert dealt(policy(windows=[]), waits("a"), given=(turn("a"),)) == Dealt((), None, None)


@given(
    st.integers(1, 4),
    st.dictionaries(st.integers(0, 11), st.integers(0, 40), min_size=1),
    st.randoms(use_true_random=False),
)
def test_everybody_gets_a_turn_and_never_too_many_at_a_time(most: int, asked: dict[int, int], chance: Random) -> None:
    """Runs begin as turns come and end at random: at no time more than the cap, in the order of asking, and all do."""
    spec, last = policy(maxConcurrent=most), None
    given_turns: tuple[Turn, ...] = ()
    waiting = {f"uid-{name}": waits(str(name), NOW + timedelta(seconds=since)) for name, since in asked.items()}
    going: list[str] = []
    began: list[datetime] = []
    for tick in range(400):
        now = NOW + MINUTE + timedelta(seconds=tick)
        found = deal(spec, given_turns, last, under_way=going, applicants=waiting, now=now)
        given_turns, last = found.turns, found.last_turn_at
        assert len(going) + len(given_turns) <= most
        for each in given_turns:
            if chance.random() < 0.5:
                began.append(waiting.pop(each.uid).since)
                going.append(each.uid)
        if going and chance.random() < 0.5:
            going.remove(chance.choice(going))
        if not waiting:
            break
    assert not waiting, "some never got a turn"
