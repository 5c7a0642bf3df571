"""Routes as shares, and shifts as patches."""

from __future__ import annotations

from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.adapters.traffic.routes import shift_operations, view_of, weights_for
from sluice.api.names import CAUSE_ANNOTATION, HOLD_ANNOTATION, OWNER_ANNOTATION, WEIGHTS_ANNOTATION, Kind, Slot
from sluice.api.workload import SlotServices
from sluice.decide.metadata import writer_of
from sluice.decide.model import Cause, Shift, TargetRef, TargetView
from sluice.errors import Rejected
from sluice.ports import Obj

SERVICES = SlotServices(blue="web-blue", green="web-green")
REF = TargetRef(Kind.HTTP_ROUTE, "shop", "web")


def backend(name: str, weight: int | None = None, **more: Any) -> Obj:
    """A backendRef."""
    return {"name": name, "port": 80, **({} if weight is None else {"weight": weight}), **more}


def route(*rules: list[Obj], annotations: dict[str, str] | None = None) -> Obj:
    """A route of such rules."""
    metadata: Obj = {"namespace": "shop", "name": "web", "uid": "uid-1", "resourceVersion": "5", "generation": 2}
    if annotations is not None:
        metadata["annotations"] = annotations
    return {
        "metadata": metadata,
        "spec": {"parentRefs": [{"name": "gw"}], "rules": [{"backendRefs": r} for r in rules]},
    }


def both(blue: int | None, green: int | None) -> list[Obj]:
    """The backends of both slots."""
    return [backend("web-blue", blue), backend("web-green", green)]


def view(obj: Obj) -> TargetView:
    """The route as the core sees it."""
    return view_of(REF, obj, SERVICES)


def shift(obj: Obj, share: int, *, grows: bool = False, slot: Slot = Slot.GREEN) -> Shift:
    """A shift of the route."""
    return Shift(view(obj), SERVICES, slot, share, grows, Cause(run="u/1", action="step-1"), "shop/web/u")


@pytest.mark.parametrize(
    "blue, green, share",
    [
        (100, 0, 0),
        (0, 100, 10_000),
        (75, 25, 2500),
        (None, None, 5000),
        (None, 0, 0),
        (0, None, 10_000),
        (3, None, 2500),
        (1_000_000, 1, 1),
        (1, 1_000_000, 9999),
        (2, 1, 3333),
        (0, 0, 5000),
    ],
)
def test_shares(blue: int | None, green: int | None, share: int) -> None:
    """An absent weight is 1; a share is rounded, but never to nothing or to all unless it is that; all 0 is neither."""
    assert view(route(both(blue, green))).shares == (share,)


@pytest.mark.parametrize(
    "pins, written",
    [
        (None, None),
        ("web-blue=90,web-green=10", 1000),
        ("web-green=5,web-blue=9995", 5),
        ("web-blue=100,web-green=0", 0),
        ("web-blue=0,web-green=0", None),
        ("old-blue=90,old-green=10", None),
        ("web-blue=many,web-green=-1", None),
        ("web-blue=" + "9" * 5000, None),
        ("", None),
    ],
)
def test_what_was_written_last_is_seen_whatever_is_there_by_now(pins: str | None, written: int | None) -> None:
    """The route's own word for the weights that Sluice gave it; what somebody made of that word is no error."""
    annotations = {} if pins is None else {WEIGHTS_ANNOTATION: pins}
    seen = view(route(both(50, 50), annotations=annotations))
    assert (seen.shares, seen.written) == ((5000,), written)


@pytest.mark.parametrize("weight", ["7", None, -3, 1.5, [], {}])
def test_weights_that_mean_nothing(weight: Any) -> None:
    """What the API server would not have stored counts as 0 and is no error."""
    odd = [backend("web-blue", 100), {"name": "web-green", "weight": weight}]
    assert view(route(odd)).shares == (0,)


def test_only_rules_that_name_both_count() -> None:
    """Rules for one slot or none, such as a preview by header, are nobody's business."""
    obj = route([backend("web-green")], both(90, 10), [], [backend("static")])
    assert view(obj).shares == (1000,)
    assert not view(obj).problem


@pytest.mark.parametrize(
    "rules, words",
    [
        ([[backend("web-blue")]], "no rule of HTTPRoute shop/web names both Service web-blue and Service web-green"),
        ([], "no rule"),
        ([[backend("web-blue"), backend("web-green", namespace="other")]], "no rule"),
        ([[backend("web-blue"), backend("web-green", kind="ServiceImport", group="multicluster.x-k8s.io")]], "no rule"),
    ],
)
def test_no_rule_for_both(rules: list[list[Obj]], words: str) -> None:
    """Only Services of the route's namespace are slots; the message names both and says what to do."""
    seen = view(route(*rules))
    assert (seen.problem_reason, seen.shares) == ("RouteUnsuitable", ())
    assert words in seen.problem


@pytest.mark.parametrize(
    "more, words",
    [(backend("web-old", 50), "Service web-old"), (backend("web-green", 50), "names a slot's Service twice")],
)
def test_a_rule_with_more_backends(more: Obj, words: str) -> None:
    """Shares would not add up: growth is refused, but a kill still finds what to take away, all of it."""
    obj = route([*both(50, 50), more])
    seen = view(obj)
    assert seen.problem_reason == "RouteUnsuitable"
    assert words in seen.problem
    assert seen.shares
    with pytest.raises(Rejected):
        shift_operations(obj, shift(obj, 6000, grows=True))
    killed = jsonpatch.apply_patch(obj, shift_operations(obj, shift(obj, 0)))
    assert view(killed).at(Slot.GREEN, 0)


def test_no_rule_is_no_patch() -> None:
    """Where no rule names both slots there is nothing to write."""
    obj = route([backend("web-blue")])
    with pytest.raises(Rejected, match="no rule"):
        shift_operations(obj, shift(obj, 0))


def test_what_growth_rests_on() -> None:
    """Identity, version, names, and the weights that are there."""
    obj = route(both(None, 0), annotations={"a": "b"})
    tests = {op["path"]: op["value"] for op in shift_operations(obj, shift(obj, 500, grows=True)) if op["op"] == "test"}
    assert tests == {
        "/metadata/uid": "uid-1",
        "/metadata/resourceVersion": "5",
        "/spec/rules/0/backendRefs/0/name": "web-blue",
        "/spec/rules/0/backendRefs/1/name": "web-green",
        "/spec/rules/0/backendRefs/1/weight": 0,
    }


def test_what_a_reduction_rests_on() -> None:
    """Identity and names, nothing that a controller or a person may have changed meanwhile."""
    obj = route(both(50, 50), annotations={"a": "b"})
    tests = [op["path"] for op in shift_operations(obj, shift(obj, 0)) if op["op"] == "test"]
    assert tests == ["/metadata/uid", "/spec/rules/0/backendRefs/0/name", "/spec/rules/0/backendRefs/1/name"]


def test_tests_come_before_writes() -> None:
    """Nothing is written before all that it rests on was tested."""
    obj = route(both(50, 50), both(50, 50))
    kinds = [op["op"] for op in shift_operations(obj, shift(obj, 0))][:-2]
    assert kinds == sorted(kinds, reverse=True)


@given(st.integers(0, 10_000), st.sampled_from(list(Slot)))
def test_weights_are_exact(share: int, slot: Slot) -> None:
    """Every share in basis points has weights that mean just that, with a total of at most 10,000."""
    weights = weights_for(slot, share)
    total = sum(weights.values())
    assert total in (100, 1000, 10_000)
    assert weights[slot] * 10_000 == share * total
    assert (weights[slot] == 0) == (share == 0)


@pytest.mark.parametrize("annotations", [None, {"a": "b"}, {WEIGHTS_ANNOTATION: "web-blue=1"}])
@pytest.mark.parametrize(
    "slot, share, grows, pins",
    [
        (Slot.GREEN, 1000, True, "web-blue=90,web-green=10"),
        (Slot.GREEN, 0, False, "web-blue=100,web-green=0"),
        (Slot.BLUE, 5, False, "web-blue=5,web-green=9995"),
    ],
)
def test_weights_are_pinned(slot: Slot, share: int, grows: bool, pins: str, annotations: dict[str, str] | None) -> None:
    """Whatever writes weights, a growth or a return, writes in the same patch what they shall be, by Service name."""
    obj = route(both(50, 50), annotations=annotations)
    after = jsonpatch.apply_patch(obj, shift_operations(obj, shift(obj, share, grows=grows, slot=slot)))
    assert after["metadata"]["annotations"][WEIGHTS_ANNOTATION] == pins
    named = {backend["name"]: backend["weight"] for backend in after["spec"]["rules"][0]["backendRefs"]}
    assert pins == ",".join(f"{name}={weight}" for name, weight in named.items())


@given(st.integers(0, 10_000), st.booleans(), st.booleans())
def test_what_is_written_is_seen(share: int, grows: bool, annotated: bool) -> None:
    """Any share, written and observed, is that share in every rule; owner and cause come along."""
    obj = route(both(100, 0), [backend("static")], both(None, None), annotations={"a": "b"} if annotated else None)
    after = jsonpatch.apply_patch(obj, shift_operations(obj, shift(obj, share, grows=grows)))
    seen = view(after)
    assert seen.shares == (share, share)
    assert (seen.owner, seen.cause) == ("shop/web/u", Cause(run="u/1", action="step-1"))
    assert after["spec"]["rules"][1] == obj["spec"]["rules"][1]


@pytest.mark.parametrize(
    "annotations",
    [
        {OWNER_ANNOTATION: ["list"], CAUSE_ANNOTATION: {"a": 1}},
        {OWNER_ANNOTATION: "x" * 100_000, CAUSE_ANNOTATION: "{" * 100_000},
        "text",
        None,
    ],
)
def test_hostile_annotations(annotations: Any) -> None:
    """Annotations are anybody's to write: they are cut or ignored, never an error."""
    obj = route(both(100, 0), annotations=annotations)
    seen = view(obj)
    assert len(seen.owner) <= 600
    assert seen.cause is None


@pytest.mark.parametrize(
    "value, hold",
    [
        ("alice: 5xx on checkout", "alice: 5xx on checkout"),
        (" alice:\n\t5xx\x1b[31m \u202eevil\x00 ", "alice: 5xx [31m evil"),
        ("x" * 100_000, "x" * 300),
        ("   \n", ""),
        ("", ""),
        ("\ud800", ""),
        (["alice"], ""),
        (None, ""),
    ],
)
def test_break_glass(value: Any, hold: str) -> None:
    """Who holds the route, and why: on one line, cut, without what would play tricks on a terminal."""
    assert view(route(both(100, 0), annotations={HOLD_ANNOTATION: value})).hold == hold


def test_no_break_glass() -> None:
    """A route without the annotation is held by nobody."""
    assert view(route(both(100, 0))).hold == ""


@pytest.mark.parametrize("rules", [None, "x", [None], [{"backendRefs": None}], [{"backendRefs": ["x", None, 7]}]])
def test_nonsense_in_the_spec(rules: Any) -> None:
    """A spec that means nothing is unsuitable, not an error."""
    obj = route()
    obj["spec"]["rules"] = rules
    assert view(obj).problem_reason == "RouteUnsuitable"


def entry(manager: str, at: str, *fields: str, **more: str) -> Obj:
    """One entry of managedFields."""
    return {"manager": manager, "time": at, "fieldsV1": {field: {} for field in fields}, **more}


@pytest.mark.parametrize(
    "entries, writer",
    [
        ([], ""),
        (
            [entry("argocd", "2026-01-01T00:00:01Z", "f:spec"), entry("sluice", "2026-01-01T00:00:00Z", "f:spec")],
            "argocd",
        ),
        (
            [entry("argocd", "2026-01-01T00:00:00Z", "f:spec"), entry("sluice", "2026-01-01T00:00:01Z", "f:spec")],
            "sluice",
        ),
        (
            [entry("argocd", "2026-01-01T00:00:00Z", "f:spec"), entry("sluice", "2026-01-01T00:00:00Z", "f:spec")],
            "argocd",
        ),
        (
            [entry("kubectl", "2026-01-01T00:00:09Z", "f:metadata"), entry("sluice", "2026-01-01T00:00:00Z", "f:spec")],
            "sluice",
        ),
        (
            [
                entry("contour", "2026-01-01T00:00:09Z", "f:spec", subresource="status"),
                entry("sluice", "2026-01-01T00:00:00Z", "f:spec"),
            ],
            "sluice",
        ),
        (["x", None, {"fieldsV1": "x"}], ""),
    ],
)
def test_who_wrote_last(entries: list[Any], writer: str) -> None:
    """The newest manager of the spec; status and labels are no writes of it; within one second, the foreign one."""
    assert writer_of({"metadata": {"managedFields": entries}}) == writer


def test_a_huge_route() -> None:
    """Sixteen rules of sixteen backends, as large as routes get, are no trouble."""
    many = [[*both(99, 1), *(backend(f"other-{n}") for n in range(14))] for _ in range(16)]
    seen = view(route(*many))
    assert seen.shares == (100,) * 16
    assert len(seen.problem) < 600


@pytest.mark.parametrize("other, share, dark", [(100, 0, False), (0, 5000, True), (None, 0, False)])
def test_slots_that_wait_for_a_cut_over_have_no_share(other: int | None, share: int, dark: bool) -> None:
    """All weight on a third Service, none on the slots: nobody moves it to them. With none anywhere it is dark."""
    seen = view(route([backend("web", other), *both(0, 0)]))
    assert (seen.shares, seen.dark) == ((share,), dark)
    assert "also sends traffic to Service web" in seen.problem
