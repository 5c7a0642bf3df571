"""Items from one thread to a loop in another."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from sluice.handlers.handover import Handover


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, for up to a quarter of a minute."""
    async with asyncio.timeout(15.0):
        while not condition():  # noqa: ASYNC110 - what it looks at has no event
            await asyncio.sleep(0.001)


async def test_order_and_number() -> None:
    """Every item arrives once, in order, in the taker's thread."""
    taken: list[tuple[int, str]] = []
    handover: Handover[int] = Handover(
        asyncio.get_running_loop(), lambda item: taken.append((item, threading.current_thread().name))
    )

    def give_all() -> None:
        for item in range(5000):
            handover.give(item)

    thread = threading.Thread(target=give_all)
    thread.start()
    await until(lambda: len(taken) == 5000)
    thread.join()
    assert [item for item, _ in taken] == list(range(5000))
    assert {name for _, name in taken} == {threading.current_thread().name}


async def test_a_burst_gives_way() -> None:
    """While thousands are waiting, other callbacks of the loop still get their turn."""
    taken: list[int] = []
    loop = asyncio.get_running_loop()
    handover: Handover[int] = Handover(loop, taken.append)
    for item in range(5000):
        handover.give(item)
    seen: list[int] = []
    await asyncio.sleep(0)
    loop.call_soon(lambda: seen.append(len(taken)))
    await until(lambda: len(taken) == 5000)
    assert seen[0] < 1000


async def test_one_bad_item(caplog: pytest.LogCaptureFixture) -> None:
    """An item that cannot be taken is logged; those after it arrive."""
    taken: list[int] = []

    def take(item: int) -> None:
        if item == 1:
            raise ValueError("bad item")
        taken.append(item)

    handover: Handover[int] = Handover(asyncio.get_running_loop(), take)
    for item in range(3):
        handover.give(item)
    await until(lambda: len(taken) == 2)
    handover.give(3)
    await until(lambda: len(taken) == 3)
    assert taken == [0, 2, 3]
    assert "bad item" in caplog.text


def test_a_loop_that_is_closed() -> None:
    """Giving to a loop that ended is no error: the process is on its way out."""
    loop = asyncio.new_event_loop()
    handover: Handover[int] = Handover(loop, lambda item: None)
    loop.close()
    handover.give(1)
