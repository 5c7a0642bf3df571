"""Orders for a member: a kill that is owed there goes first, whatever was waiting."""

from __future__ import annotations

import asyncio
import contextlib

from sluice.adapters.kube.client import AlwaysLeader
from sluice.api.names import ORDER_ANNOTATION, Kind
from sluice.engine.courier import KILL_FIRST_SECONDS, Courier, Order
from sluice.engine.store import Store
from sluice.ports import Obj
from sluice.sim import manifests
from sluice.sim.clock import VirtualClock, run
from sluice.sim.cluster import FakeCluster

PLACE = ("shop", "checkout")
CANARY = manifests.canary(*manifests.step_weights(10, 50))


def order(digest: str) -> Order:
    """What the member is to have."""
    services = {slot: f"checkout-{slot}" for slot in ("blue", "green")}
    workload = {"services": services, "active": "blue", "version": digest}
    spec = manifests.managed_rollout(*PLACE, CANARY, workload)["spec"]
    return Order(digest, {"metadata": {"labels": {}, "annotations": {ORDER_ANNOTATION: digest}}, "spec": spec})


def carried(owed_seconds: float, after_seconds: float) -> bool:
    """Whether an order is there after so long, where a kill is owed for so long."""

    async def main() -> bool:
        clock = VirtualClock()
        cluster, store = FakeCluster(clock, namespaces=("shop",)), Store()
        owed_until = 0.0

        async def give_way() -> None:
            return None

        def owes(_: Obj) -> bool:
            return clock.monotonic() < owed_until

        courier = Courier("m1", cluster, store, AlwaysLeader(), give_way=give_way, owes_divert=owes, foreign={})
        work = asyncio.create_task(courier.run())
        courier.give(*PLACE, order("first"))
        await asyncio.sleep(1)
        owed_until = clock.monotonic() + owed_seconds
        courier.give(*PLACE, order("second"))
        await asyncio.sleep(after_seconds)
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
        annotations = cluster.store.get(Kind.ROLLOUT, *PLACE)["metadata"]["annotations"]
        return bool(annotations[ORDER_ANNOTATION] == "second")

    return run(main())


def test_an_order_waits_for_the_kill_that_is_owed() -> None:
    """It is the first write there when the member is back, also where an order's turn comes a moment earlier."""
    assert not carried(owed_seconds=2, after_seconds=1.9)
    assert carried(owed_seconds=2, after_seconds=2.5)


def test_an_order_does_not_wait_for_ever() -> None:
    """What refuses the kill may take the order, which takes the candidate back as well."""
    assert not carried(owed_seconds=1e6, after_seconds=KILL_FIRST_SECONDS - 1)
    assert carried(owed_seconds=1e6, after_seconds=KILL_FIRST_SECONDS + 1)


def test_without_a_kill_an_order_goes_at_once() -> None:
    """Nothing is waited for."""
    assert carried(owed_seconds=0, after_seconds=0.1)
