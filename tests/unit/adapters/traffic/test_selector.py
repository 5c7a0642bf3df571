"""Services that are switched by their selector."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.adapters.traffic.selector import SelectorRouter
from sluice.api.names import HOLD_ANNOTATION, Kind, Slot
from sluice.api.workload import SlotServices
from sluice.decide.model import Acceptance, Cause, Shift, TargetRef
from sluice.errors import Rejected
from sluice.ports import Obj
from sluice.sim.clock import VirtualClock, run
from sluice.sim.cluster import FakeCluster
from unit.adapters.traffic.caches import Objects

SERVICES = SlotServices(blue="web-blue", green="web-green")
REF = TargetRef(Kind.SERVICE, "shop", "web")
BLUE, GREEN = {"app": "web", "slot": "blue"}, {"app": "web", "slot": "green"}


def service(name: str, selector: Any) -> Obj:
    """A Service."""
    return {"metadata": {"namespace": "shop", "name": name, "uid": name}, "spec": {"selector": selector}}


def endpoint_slice(name: str, owner: str, *endpoints: tuple[str, bool | None]) -> Obj:
    """An EndpointSlice of a Service: addresses, and whether each is ready."""
    return {
        "metadata": {"namespace": "shop", "name": name, "labels": {"kubernetes.io/service-name": owner}},
        "endpoints": [
            {"addresses": [address], "conditions": {} if ready is None else {"ready": ready}}
            for address, ready in endpoints
        ],
    }


def router(*objects: tuple[Kind, Obj]) -> SelectorRouter:
    """A router over a cache."""
    return SelectorRouter(Objects(objects), FakeCluster(VirtualClock()))


def services(selector: Any, blue: Any = None, green: Any = None) -> list[tuple[Kind, Obj]]:
    """The Service and the slots'."""
    return [
        (Kind.SERVICE, service("web", selector)),
        (Kind.SERVICE, service("web-blue", BLUE if blue is None else blue)),
        (Kind.SERVICE, service("web-green", GREEN if green is None else green)),
    ]


@pytest.mark.parametrize("selector, shares", [(BLUE, (0,)), (GREEN, (10_000,))])
def test_the_slot_it_points_at(selector: Obj, shares: tuple[int, ...]) -> None:
    """The one whose Service has the same selector."""
    view = router(*services(selector)).observe(REF, SERVICES)
    assert (view.shares, view.problem, view.all_or_nothing) == (shares, "", True)


def test_break_glass() -> None:
    """A person's hold is seen, whatever the Service selects."""
    held = service("web", {"app": "web"})
    held["metadata"]["annotations"] = {HOLD_ANNOTATION: "alice: 5xx"}
    assert router((Kind.SERVICE, held), *services(BLUE)[1:]).observe(REF, SERVICES).hold == "alice: 5xx"
    assert router(*services(BLUE)).observe(REF, SERVICES).hold == ""


@pytest.mark.parametrize("selector", [{"app": "web"}, {}, None, {**BLUE, "more": "x"}, "text"])
def test_neither_slot(selector: Any) -> None:
    """A problem to start from, which says what to do; and a share, so that it can be put right."""
    view = router(*services(selector)).observe(REF, SERVICES)
    assert (view.problem_reason, view.shares) == ("RouteUnsuitable", (5000,))
    assert "selects neither slot" in view.problem


@pytest.mark.parametrize("both, words", [(GREEN, "the same selector"), ({}, "slot blue has no selector")])
def test_slots_that_cannot_be_told_apart(both: Obj, words: str) -> None:
    """No share can be known, and none written."""
    view = router(*services(BLUE, both, both)).observe(REF, SERVICES)
    assert (view.problem_reason, view.shares) == ("RouteUnsuitable", ())
    assert words in view.problem


@pytest.mark.parametrize("active, share", [(BLUE, 0), (GREEN, 5000), ({}, 5000)])
def test_one_slot_that_is_left(active: Obj, share: int) -> None:
    """The other's Service is gone or selects nothing: what does not select the one slot may be the other's."""
    for others, words in (
        (services(active)[:2], "Service web-green of slot green does not exist"),
        (services(active, BLUE, {}), "Service web-green of slot green has no selector"),
    ):
        view = router(*others).observe(REF, SERVICES)
        assert (view.problem_reason, view.shares) == ("RouteUnsuitable", (share,))
        assert words in view.problem


def test_no_such_service() -> None:
    """RouteMissing, as for a route."""
    view = router(*services(BLUE)[1:]).observe(REF, SERVICES)
    assert (view.found, view.problem_reason) == (False, "RouteMissing")


ACCEPTED, PENDING = Acceptance.ACCEPTED, Acceptance.PENDING


@pytest.mark.parametrize(
    "own, slot, expected",
    [
        ([("10.0.0.1", True)], [("10.0.0.1", True)], ACCEPTED),
        ([("10.0.0.1", None)], [("10.0.0.1", True), ("10.0.0.2", False)], ACCEPTED),
        ([("10.0.0.9", True)], [("10.0.0.1", True)], PENDING),
        ([("10.0.0.1", True), ("10.0.0.9", True)], [("10.0.0.1", True)], PENDING),
        ([], [], PENDING),
        ([("10.0.0.1", False)], [("10.0.0.1", False)], PENDING),
    ],
)
def test_the_switch_has_come_through(own: Any, slot: Any, expected: Acceptance) -> None:
    """When the Service has exactly the slot's ready endpoints, and there are some."""
    slices = [
        (Kind.ENDPOINT_SLICE, endpoint_slice("a", "web", *own)),
        (Kind.ENDPOINT_SLICE, endpoint_slice("b", "web-green", *slot)),
    ]
    view = router(*services(GREEN), *slices).observe(REF, SERVICES)
    assert view.acceptance is expected


def test_endpoints_spread_over_slices() -> None:
    """A Service may have many slices; addresses count once."""
    slices = [
        (Kind.ENDPOINT_SLICE, endpoint_slice("a", "web", ("10.0.0.1", True), ("10.0.0.2", True))),
        (Kind.ENDPOINT_SLICE, endpoint_slice("b", "web-green", ("10.0.0.2", True))),
        (Kind.ENDPOINT_SLICE, endpoint_slice("c", "web-green", ("10.0.0.1", True), ("10.0.0.2", True))),
    ]
    assert router(*services(GREEN), *slices).observe(REF, SERVICES).acceptance is ACCEPTED


def test_nothing_in_between() -> None:
    """A selector has no half."""
    made = router(*services(BLUE))
    shift = Shift(made.observe(REF, SERVICES), SERVICES, Slot.GREEN, 5000, False, Cause("u/1", "step-1"), "shop/web/u")

    async def main() -> None:
        with pytest.raises(Rejected, match="all of the traffic or none"):
            await made.shift(shift)

    run(main())
