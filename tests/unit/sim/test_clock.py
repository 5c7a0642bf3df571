"""Virtual time."""

import asyncio
from datetime import timedelta

import pytest

from sluice.sim.clock import START, Deadlock, VirtualClock, run


def test_a_year_of_sleep_takes_no_time_and_is_exact() -> None:
    """The loop jumps to the next timer; wall clock and monotonic time move together."""
    clock = VirtualClock()

    async def sleep() -> None:
        for _ in range(365):
            await asyncio.sleep(86_400)

    async def main() -> tuple[object, float]:
        await sleep()
        return clock.now(), clock.monotonic()

    assert run(main()) == (START + timedelta(days=365), 365 * 86_400)


def test_timers_fire_in_the_order_of_their_times() -> None:
    """Tasks interleave by virtual time alone."""
    order: list[str] = []

    async def at(seconds: float, name: str) -> None:
        await asyncio.sleep(seconds)
        order.append(name)

    async def main() -> None:
        await asyncio.gather(at(3600, "hour"), at(0.001, "millisecond"), at(60, "minute"))

    run(main())
    assert order == ["millisecond", "minute", "hour"]


def test_timeouts_work_in_virtual_time() -> None:
    """`asyncio.timeout` sees virtual seconds."""

    async def main() -> None:
        async with asyncio.timeout(5):
            await asyncio.sleep(10)

    with pytest.raises(TimeoutError):
        run(main())


def test_waiting_for_nothing_is_an_error_that_names_the_tasks() -> None:
    """A program that can never go on ends at once instead of hanging."""

    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.set_name("the one that waits")
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Deadlock, match="the one that waits"):
        run(main())


def test_outside_a_loop_it_is_the_start() -> None:
    """Objects can be made before the loop runs."""
    assert VirtualClock().now() == START
