"""Orders to a member: carried for this process's Rollouts, forgotten with the shard, and after a kill that is owed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sluice.api.names import Kind
from sluice.decide.sharding import ALL, NO_SHARDS
from sluice.engine.courier import KILL_FIRST_SECONDS, Courier, Order
from sluice.engine.fence import Fence
from sluice.engine.precedence import Precedence
from sluice.engine.store import Store
from sluice.errors import Rejected, Unavailable
from sluice.sim import manifests
from sluice.sim.clock import VirtualClock, run
from sluice.sim.cluster import Call, FakeCluster
from sluice.sim.operator import FakeMastery

SHOP, APP = "shop", "checkout"


class Way:
    """A courier at work, to a member in memory."""

    def __init__(self) -> None:
        clock = VirtualClock()
        self.cluster = FakeCluster(clock, namespaces=(SHOP,))
        self.mastery = FakeMastery()
        self.away = False
        self.owed = False
        self.refused = False
        self.wanted = True
        self.tries = 0
        fence = Fence(self.mastery)
        self.cluster.leadership = fence
        self.cluster.faults.append(self._treat)
        self.courier = Courier(
            "m1",
            self.cluster,
            Store(),
            fence,
            precedence=Precedence(clock),
            owes_divert=lambda _: self.owed,
            foreign={},
        )

    def _treat(self, call: Call) -> None:
        self.tries += call.phase == "before"
        if self.away:
            raise Unavailable("MemberCluster m1: no answer")
        if self.refused:
            raise Rejected("apply MemberRollout shop/checkout: the webhook is down")

    def order(self, digest: str) -> None:
        """Order the Rollout's part; the digest tells which order it was."""
        body = manifests.rollout(SHOP, APP, manifests.canary({"setWeight": 10}), version="2.0")
        metadata = {"annotations": {"sluice.dev/order": digest}}
        order = Order(digest, {"metadata": metadata, "spec": body["spec"]}, lambda: self.wanted)
        self.courier.give(SHOP, APP, order)

    @property
    def there(self) -> str:
        """The order that is carried out; "" before any is."""
        part = self.cluster.store.peek(Kind.ROLLOUT, SHOP, APP)
        return str(part["metadata"]["annotations"]["sluice.dev/order"]) if part is not None else ""


def playing(story: Callable[[Way], Awaitable[None]]) -> None:
    """Run a story in virtual time."""

    async def main() -> None:
        way = Way()
        working = asyncio.create_task(way.courier.run())
        await story(way)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)

    run(main())


def test_an_order_is_tried_until_it_is_there() -> None:
    """The member is away for a while: the newest order is what it has afterwards."""

    async def story(way: Way) -> None:
        way.away = True
        way.order("one")
        await asyncio.sleep(10)
        way.order("two")
        assert "no answer" in way.courier.problem(SHOP, APP)
        way.away = False
        await asyncio.sleep(60)
        assert way.there == "two"
        assert not way.courier.problem(SHOP, APP)

    playing(story)


def test_an_order_that_held_no_more_is_sent_when_it_is_given_again() -> None:
    """It failed, and its retry came to a switch: of that failure nothing is left, in its way or to be told."""

    async def story(way: Way) -> None:
        way.refused = True
        way.order("one")
        await asyncio.sleep(1)
        assert "the webhook is down" in way.courier.problem(SHOP, APP)
        way.refused = way.wanted = False
        tries = way.tries
        await asyncio.sleep(60)
        assert (way.there, way.courier.problem(SHOP, APP), way.tries) == ("", "", tries)
        way.order("one")
        await asyncio.sleep(60)
        assert (way.there, way.tries) == ("", tries)
        way.wanted = True
        way.order("one")
        await asyncio.sleep(1)
        assert way.there == "one"

    playing(story)


def test_what_is_given_up_is_not_carried_when_it_comes_back() -> None:
    """A shard goes with an order on its way, and comes back: that order is of the past, and never sent."""

    async def story(way: Way) -> None:
        way.away = True
        way.order("one")
        await asyncio.sleep(10)
        way.mastery.held = NO_SHARDS
        way.courier.give_up(ALL)
        tries = way.tries
        await asyncio.sleep(60)
        way.away, way.mastery.held = False, ALL
        await asyncio.sleep(60)
        assert (way.there, way.tries) == ("", tries)
        way.order("two")
        await asyncio.sleep(1)
        assert way.there == "two"

    playing(story)


def test_what_is_another_process_s_to_lead_is_not_carried() -> None:
    """An order that a pass gives as its shard goes is not kept for later either."""

    async def story(way: Way) -> None:
        way.mastery.held = NO_SHARDS
        way.order("one")
        way.mastery.held = ALL
        await asyncio.sleep(60)
        assert (way.there, way.tries) == ("", 0)

    playing(story)


def test_an_order_waits_for_the_kill_that_is_owed() -> None:
    """It is the first write there when the member is back, also where an order's turn comes a moment earlier."""

    async def story(way: Way) -> None:
        way.order("one")
        await asyncio.sleep(1)
        way.owed = True
        way.order("two")
        await asyncio.sleep(2)
        assert way.there == "one"
        way.owed = False
        await asyncio.sleep(1)
        assert way.there == "two"

    playing(story)


def test_an_order_does_not_wait_for_ever() -> None:
    """What refuses the kill may take the order, which takes the candidate back as well."""

    async def story(way: Way) -> None:
        way.order("one")
        await asyncio.sleep(1)
        way.owed = True
        way.order("two")
        await asyncio.sleep(KILL_FIRST_SECONDS - 1)
        assert way.there == "one"
        await asyncio.sleep(2)
        assert way.there == "two"

    playing(story)


def test_the_wait_for_a_kill_begins_when_the_member_is_back() -> None:
    """A member that was away for longer than an order waits could not be killed in: that is no refusal."""

    async def story(way: Way) -> None:
        way.order("one")
        await asyncio.sleep(1)
        way.owed = way.away = True
        way.order("two")
        await asyncio.sleep(10 * KILL_FIRST_SECONDS)
        way.away = False
        way.courier.is_back()
        await asyncio.sleep(KILL_FIRST_SECONDS - 1)
        assert way.there == "one"
        way.owed = False
        await asyncio.sleep(60)
        assert way.there == "two"

    playing(story)
