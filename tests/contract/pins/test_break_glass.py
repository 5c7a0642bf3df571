"""Break glass: a write that says who holds the object and why passes whole, and is kept until a person ends it."""

from __future__ import annotations

import pytest

from contract.pins.shop import MANAGED, NAME, WRITERS, Json, Shop, Writer, backend, both, ours, weights
from sluice.api.names import HOLD_ANNOTATION, OWNER_ANNOTATION, WEIGHTS_ANNOTATION, Kind

pytestmark = pytest.mark.cluster

BY_HAND = [("checkout-blue", 100), ("checkout-green", 0)]
PINNED = [("checkout-blue", 90), ("checkout-green", 10)]
WHY = "alice: 5xx on checkout"


def rules(*backends: list[Json]) -> Json:
    """A spec of such rules."""
    return {"rules": [{"backendRefs": given} for given in backends]}


def test_it_passes_whole(shop: Shop, kind: Kind) -> None:
    """Weights and pins are as the person wrote them."""
    shop.managed_route(kind)
    stored = shop.hold(kind, WHY, rules(both(100, 0)), weights="checkout-blue=100,checkout-green=0", cause=None)
    assert weights(stored) == [BY_HAND]
    assert ours(stored) == {
        **MANAGED,
        HOLD_ANNOTATION: WHY,
        WEIGHTS_ANNOTATION: "checkout-blue=100,checkout-green=0",
    }


@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.__name__)
@pytest.mark.parametrize("green", [90, None], ids=["other weights", "without weights"])
def test_a_sync_does_not_undo_it(shop: Shop, kind: Kind, writer: Writer, green: int | None) -> None:
    """What was written by hand is kept as the operator's weights are, and so is the hold, whoever writes next."""
    shop.managed_route(kind)
    shop.hold(kind, WHY, rules(both(100, 0)))
    writer(shop.hub, shop.route(kind, both(None if green is None else 10, green)))
    stored = shop.get(kind)
    assert weights(stored) == [BY_HAND]
    assert ours(stored)[HOLD_ANNOTATION] == WHY


def test_each_rule_keeps_what_it_got(shop: Shop, kind: Kind) -> None:
    """Rules that a person gave different weights keep them each; a further rule gets those of the first."""
    shop.managed_route(kind, both(100, 0), both(100, 0))
    shop.hold(kind, WHY, rules(both(100, 0), both(0, 100)))
    by_hand = [BY_HAND, [("checkout-blue", 0), ("checkout-green", 100)]]
    assert weights(shop.merge(kind, {"spec": rules(both(5, 5), both(5, 5))})) == by_hand
    assert weights(shop.merge(kind, {"spec": rules(both(5, 5), both(5, 5), both(5, 5))})) == [*by_hand, BY_HAND]


def test_rules_that_moved_keep_what_was_written_by_hand(shop: Shop, kind: Kind) -> None:
    """A rule inserted before it does not bring back what the person took away."""
    shop.managed_route(kind)
    shop.hold(kind, WHY, rules(both(100, 0)))
    stored = shop.merge(kind, {"spec": rules([backend("static", 1)], both(5, 5))})
    assert weights(stored) == [[("static", 1)], BY_HAND]


def test_backends_that_were_gone_come_back_as_pinned(shop: Shop, kind: Kind) -> None:
    """Where no rule had both Services while it was held, what the operator wrote last counts."""
    shop.managed_route(kind)
    shop.hold(kind, WHY, rules([backend("checkout-blue", 1)]))
    assert weights(shop.merge(kind, {"spec": rules(both(5, 5))})) == [PINNED]


def test_it_can_be_broken_again(shop: Shop, kind: Kind) -> None:
    """Further weights take another word on who and why; the same words open nothing."""
    shop.managed_route(kind)
    shop.hold(kind, WHY, rules(both(100, 0)))
    assert weights(shop.hold(kind, WHY, rules(both(0, 100)))) == [BY_HAND]
    stored = shop.hold(kind, "bob: blue is the broken one", rules(both(0, 100)))
    assert weights(stored) == [[("checkout-blue", 0), ("checkout-green", 100)]]


def test_a_person_takes_it_back(shop: Shop, kind: Kind) -> None:
    """`kubectl annotate sluice.dev/hold-` ends the hold and moves nothing; then the operator's weights count again."""
    shop.managed_route(kind)
    shop.hold(kind, WHY, rules(both(100, 0)))
    shop.kubectl("annotate", kind, NAME, "sluice.dev/hold-")
    stored = shop.get(kind)
    assert HOLD_ANNOTATION not in ours(stored)
    assert weights(stored) == [BY_HAND]
    shop.shift(kind, 1000)
    assert weights(shop.merge(kind, {"spec": rules(both(0, 100))})) == [PINNED]


@pytest.mark.parametrize("every", [Kind.HTTP_ROUTE, Kind.GRPC_ROUTE, Kind.SERVICE, Kind.DEPLOYMENT])
def test_an_object_can_be_taken_out_of_sluices_hands(shop: Shop, every: Kind) -> None:
    """Without the operator too: one write that holds the object and drops the rest; from then on it is free."""
    specs: dict[Kind, Json] = {
        Kind.SERVICE: {"selector": {"app": "a"}, "ports": [{"port": 80}]},
        Kind.DEPLOYMENT: {
            "replicas": 0,
            "selector": {"matchLabels": {"app": "a"}},
            "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "a", "image": "a:1"}]}},
        },
    }
    shop.create(shop.manifest(every, specs.get(every, rules(both(90, 10))), annotations=MANAGED))
    stored = shop.merge(every, {"metadata": {"annotations": {OWNER_ANNOTATION: None}}})
    assert ours(stored) == MANAGED
    shop.hold(every, WHY, {}, rollout=None)
    shop.kubectl("annotate", every, NAME, "sluice.dev/hold-")
    assert ours(shop.get(every)) == {}


def test_a_service_is_switched_by_hand(shop: Shop) -> None:
    """A selector too; the next sync leaves it there."""
    selector = {"app": "checkout", "slot": "green"}
    manifest = shop.manifest(Kind.SERVICE, {"selector": selector, "ports": [{"port": 80}]}, annotations=MANAGED)
    shop.create(manifest)
    stored = shop.hold(Kind.SERVICE, WHY, {"selector": {"slot": "blue"}})
    assert stored["spec"]["selector"] == {"app": "checkout", "slot": "blue"}
    again = shop.merge(Kind.SERVICE, {"spec": {"selector": selector}})
    assert again["spec"]["selector"] == {"app": "checkout", "slot": "blue"}
