"""The work queue: each key once, never twice at a time, urgent ones first, later ones at their time."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import TypeVar

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from sluice.engine.queue import LONGEST_RETRY_SECONDS, WorkQueue
from sluice.sim.clock import run

K = TypeVar("K", bound=Hashable)


async def drained(queue: WorkQueue[K]) -> list[K]:
    """What waits, in order."""
    keys: list[K] = []
    while len(queue):
        key = await queue.get()
        keys.append(key)
        queue.done(key)
    return keys


def test_a_key_waits_once_and_in_order() -> None:
    """However often it is added."""

    async def story() -> None:
        queue: WorkQueue[str] = WorkQueue()
        for key in ("a", "b", "a", "c", "b"):
            queue.add(key)
        assert await drained(queue) == ["a", "b", "c"]

    run(story())


def test_urgent_keys_go_first() -> None:
    """Also one that waited already; a later ordinary add does not set it back."""

    async def story() -> None:
        queue: WorkQueue[str] = WorkQueue()
        for key in ("a", "b", "c"):
            queue.add(key)
        queue.add("c", urgent=True)
        queue.add("d", urgent=True)
        queue.add("c")
        assert await drained(queue) == ["c", "d", "a", "b"]

    run(story())


def test_a_key_is_never_worked_on_twice_at_a_time() -> None:
    """Added while it is worked on, it comes once more afterwards, with the urgency it was added with."""

    async def story() -> None:
        queue: WorkQueue[str] = WorkQueue()
        queue.add("a")
        assert await queue.get() == "a"
        queue.add("a", urgent=True)
        queue.add("a")
        queue.add("b")
        assert len(queue) == 1
        queue.done("a")
        assert await drained(queue) == ["a", "b"]

    run(story())


def test_a_timer_rings_once_at_the_earliest_time_asked_for() -> None:
    """Several deadlines of one key are one wake-up; what is due comes at its time."""

    async def story() -> None:
        queue: WorkQueue[str] = WorkQueue()
        loop = asyncio.get_running_loop()
        for seconds in (50.0, 20.0, 30.0):
            queue.add_after("a", seconds)
        assert await queue.get() == "a"
        queue.done("a")
        assert loop.time() == pytest.approx(20.0)
        await asyncio.sleep(100)
        assert len(queue) == 0

    run(story())


def test_a_forgotten_timer_does_not_ring() -> None:
    """A pass computes its own deadline; the one before is void."""

    async def story() -> None:
        queue: WorkQueue[str] = WorkQueue()
        queue.add_after("a", 10)
        queue.forget_timer("a")
        queue.forget_timer("never")
        await asyncio.sleep(20)
        assert len(queue) == 0

    run(story())


def test_back_off_grows_to_its_bound_and_starts_anew() -> None:
    """Between half and all of 0.05 s, 0.1 s, 0.2 s, ... 30 s; after a success from the start."""

    async def story() -> None:
        queue: WorkQueue[str] = WorkQueue()
        for failures in range(20):
            most = min(LONGEST_RETRY_SECONDS, 0.05 * 2**failures)
            assert most / 2 <= queue.retry("a") <= most
        queue.succeeded("a")
        assert queue.retry("a") <= 0.05
        assert queue.retry("a", 7.0) == 7.0
        for _ in range(20):
            assert queue.retry("a", at_most_seconds=2.0) <= 2.0

    run(story())


def test_clearing_forgets_what_waits_and_what_would() -> None:
    """A process that no longer leads has nothing to do, now or later."""

    async def story() -> None:
        queue: WorkQueue[str] = WorkQueue()
        queue.add("a")
        queue.add("b", urgent=True)
        queue.add_after("c", 5)
        queue.clear()
        await asyncio.sleep(10)
        assert len(queue) == 0

    run(story())


def test_waiting_workers_share_the_keys() -> None:
    """Several workers that wait each get a key, none gets another's."""

    async def story() -> None:
        queue: WorkQueue[int] = WorkQueue()
        got: list[int] = []

        async def work() -> None:
            while True:
                key = await queue.get()
                await asyncio.sleep(1)
                got.append(key)
                queue.done(key)

        workers = [asyncio.create_task(work()) for _ in range(4)]
        await asyncio.sleep(0)
        for key in range(20):
            queue.add(key)
        await asyncio.sleep(5.5)
        assert sorted(got) == list(range(20))
        for worker in workers:
            worker.cancel()

    run(story())


@given(st.lists(st.tuples(st.sampled_from(["add", "urgent", "get", "done"]), st.integers(0, 3))))
def test_no_key_is_lost_or_doubled(steps: list[tuple[str, int]]) -> None:
    """Whatever is added is worked on after that, once at a time."""

    async def story() -> None:
        queue: WorkQueue[int] = WorkQueue()
        owed: set[int] = set()
        working: set[int] = set()
        for step, key in steps:
            if step in {"add", "urgent"}:
                queue.add(key, urgent=step == "urgent")
                owed.add(key)
            elif step == "get" and len(queue):
                taken = await queue.get()
                assert taken not in working
                working.add(taken)
                owed.discard(taken)
            elif step == "done" and key in working:
                working.discard(key)
                queue.done(key)
        for key in sorted(working):
            queue.done(key)
        assert sorted(await drained(queue)) == sorted(owed)

    run(story())


async def test_what_is_anothers_is_forgotten() -> None:
    """Waiting, urgent, timed or failed: of keys that are discarded nothing is left, of the others everything."""
    queue: WorkQueue[str] = WorkQueue()
    for key in ("mine", "theirs"):
        queue.add(key)
        queue.add(f"{key}, urgent", urgent=True)
        queue.add_after(f"{key}, later", 0.01)
    queue.discard(lambda key: key.startswith("theirs"))
    found = [await queue.get() for _ in range(3)]
    assert found == ["mine, urgent", "mine", "mine, later"]
    assert len(queue) == 0


def test_a_deadline_that_is_now_takes_another_one() -> None:
    """On uvloop what is due at once is no timer: a second deadline for the key ended the work in a member."""

    async def story() -> None:
        queue: WorkQueue[str] = WorkQueue()
        queue.add_after("a", 0.0)
        queue.add_after("a", 60.0)
        queue.add_after("b", 60.0)
        queue.add_after("b", 0.0)
        async with asyncio.timeout(10):
            assert {await queue.get(), await queue.get()} == {"a", "b"}
        queue.clear()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(story())
