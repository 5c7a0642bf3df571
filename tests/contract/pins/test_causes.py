"""Nobody forges whose kill it was: what is written in `sluice.dev/cause` is the operator's word, break glass or not."""

from __future__ import annotations

import json

import pytest

from contract.pins.shop import MANAGED, Shop, both, ours, weights
from sluice.api.names import CAUSE_ANNOTATION, HOLD_ANNOTATION, Kind

pytestmark = pytest.mark.cluster

FORGED = json.dumps({"run": "uid-1/3", "switch": "KillSwitch/shop/stop/uid-9/2", "actor": "bob", "reason": "not me"})
TARGETS = [Kind.HTTP_ROUTE, Kind.GRPC_ROUTE, Kind.SERVICE]


def rules() -> dict[str, object]:
    """All to stable."""
    return {"rules": [{"backendRefs": both(100, 0)}]}


def spec_of(kind: Kind) -> dict[str, object]:
    """What such an object may have."""
    return {"selector": {"app": "a"}, "ports": [{"port": 80}]} if kind is Kind.SERVICE else rules()


def test_break_glass_moves_weights_and_no_cause(shop: Shop, kind: Kind) -> None:
    """Who holds a route says so in their own name; the operator's word on its last write stays as it was."""
    before = ours(shop.managed_route(kind))[CAUSE_ANNOTATION]
    stored = shop.hold(kind, "alice: 5xx", rules(), cause=FORGED)
    assert weights(stored) == [[("checkout-blue", 100), ("checkout-green", 0)]]
    assert ours(stored)[HOLD_ANNOTATION] == "alice: 5xx"
    assert ours(stored)[CAUSE_ANNOTATION] == before


@pytest.mark.parametrize("every", TARGETS)
def test_a_new_object_has_none(shop: Shop, every: Kind) -> None:
    """A route that is deleted and created anew brings no cause along, out of Git, a backup or a forger's hand."""
    stored = shop.create(shop.manifest(every, spec_of(every), annotations={**MANAGED, CAUSE_ANNOTATION: FORGED}))
    assert ours(stored) == MANAGED


@pytest.mark.parametrize("every", TARGETS)
def test_what_is_not_sluices_yet_gets_none(shop: Shop, every: Kind) -> None:
    """Nor can it be put there in time for the operator to find it when it takes the object over."""
    shop.create(shop.manifest(every, spec_of(every)))
    assert ours(shop.merge(every, {"metadata": {"annotations": {CAUSE_ANNOTATION: FORGED, "note": "kept"}}})) == {}
    assert shop.get(every)["metadata"]["annotations"]["note"] == "kept"
