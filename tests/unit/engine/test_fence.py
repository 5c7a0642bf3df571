"""May I act on this object? Asked before a pass, before each write in it, and until the last of them has ended."""

from __future__ import annotations

import asyncio

import pytest

from sluice.api.names import Kind
from sluice.decide.sharding import ALL, NO_SHARDS, shard_of
from sluice.engine.fence import Fence
from sluice.errors import NotLeader
from sluice.sim.operator import FakeMastery

CART, CHECKOUT = (Kind.ROLLOUT, "shop", "cart"), (Kind.ROLLOUT, "shop", "checkout")


def test_what_is_not_ours_is_not_begun() -> None:
    """A pass over another replica's Rollout is refused before it looks at anything."""
    mastery = FakeMastery()
    fence = Fence(mastery)
    mastery.held = ALL - {shard_of(*CART)}
    assert (fence.holds(CART), fence.holds(CHECKOUT)) == (False, True)
    with pytest.raises(NotLeader), fence.acting(CART):
        raise AssertionError("the pass began")


def test_what_is_no_longer_ours_is_not_written() -> None:
    """The shard is lost in the midst of a pass: its next write is refused, and no other Rollout's."""
    mastery = FakeMastery()
    fence = Fence(mastery)
    with fence.acting(CART):
        fence.check()
        mastery.held = ALL - {shard_of(*CART)}
        with pytest.raises(NotLeader):
            fence.check()
    with fence.acting(CHECKOUT):
        fence.check()


def test_a_write_that_belongs_to_nothing_is_refused() -> None:
    """Whoever adds a write and forgets to say what it is about finds out in the first test of it."""
    with pytest.raises(NotLeader, match="belongs to no Rollout"):
        Fence(FakeMastery()).check()


async def test_tasks_of_a_pass_are_fenced_by_its_object() -> None:
    """Writes that a pass sends at once are each checked for its own Rollout, also while another pass is under way."""
    mastery = FakeMastery()
    fence = Fence(mastery)
    mastery.held = ALL
    results: list[object] = []

    async def write() -> None:
        await asyncio.sleep(0)
        try:
            fence.check()
        except NotLeader as error:
            results.append(error)
        else:
            results.append(None)

    async def run_pass(key: tuple[Kind, str, str]) -> None:
        with fence.acting(key):
            await asyncio.gather(write(), write())

    passes = asyncio.gather(run_pass(CART), run_pass(CHECKOUT))
    await asyncio.sleep(0)
    mastery.held = ALL - {shard_of(*CART)}
    await passes
    assert sum(result is None for result in results) == 2


async def test_drained_when_the_last_has_ended() -> None:
    """Nothing is said to have ended before all of it has; what is under way elsewhere does not matter."""
    fence = Fence(FakeMastery())
    mine = frozenset({shard_of(*CART)})
    await fence.drained(ALL)
    with fence.acting(CHECKOUT):
        await fence.drained(mine)
        with fence.acting(CART):
            waiting = asyncio.create_task(fence.drained(mine))
            with fence.acting(CART):
                await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not waiting.done()
        await waiting
        await fence.drained(NO_SHARDS)
