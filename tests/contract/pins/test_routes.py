"""Routes: whoever writes one, each slot keeps its share, and the rest of the write stands."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from contract.pins.shop import MANAGED, NAME, PINS, WRITERS, Json, Shop, Writer, backend, both, ours, weights
from sluice.api.names import OWNER_ANNOTATION, WEIGHTS_ANNOTATION, Kind
from testbed import TestbedError

pytestmark = pytest.mark.cluster

PINNED = [("checkout-blue", 90), ("checkout-green", 10)]
BLUE, GREEN = PINNED
HOSTS = {"hostnames": ["shop.example.com"]}


@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.__name__)
@pytest.mark.parametrize("green", [0, 100, None], ids=["as it was", "all of it", "without weights"])
def test_nobodys_apply_moves_the_share(shop: Shop, kind: Kind, writer: Writer, green: int | None) -> None:
    """A sync that brings Git's weights, others or none leaves 90 to 10, and our annotations; its hostname is taken."""
    moved = shop.managed_route(kind)
    blue = None if green is None else 100 - green
    manifest = shop.route(kind, both(blue, green))
    manifest["spec"] |= HOSTS
    writer(shop.hub, manifest)
    stored = shop.get(kind)
    assert weights(stored) == [PINNED]
    assert ours(stored) == ours(moved)
    assert ours(stored)[WEIGHTS_ANNOTATION] == PINS
    assert stored["spec"]["hostnames"] == ["shop.example.com"]


def test_the_operator_moves_it(shop: Shop, kind: Kind) -> None:
    """What the operator writes stands; afterwards that is what others' updates are put back to."""
    shop.managed_route(kind)
    assert weights(shop.shift(kind, 5000)) == [[("checkout-blue", 50), ("checkout-green", 50)]]
    stored = shop.merge(kind, {"spec": {"rules": [{"backendRefs": both(100, 0)}]}})
    assert weights(stored) == [[("checkout-blue", 50), ("checkout-green", 50)]]


def test_the_operator_is_its_service_account(shop: Shop) -> None:
    """The account that manifests/base installs, with the rights it has there, moves a route."""
    shop.managed_route(Kind.HTTP_ROUTE)
    token = shop.hub.token_for("sluice-system", "sluice")
    path = f"/apis/gateway.networking.k8s.io/v1/namespaces/{shop.namespace}/httproutes/{NAME}"
    patch = [{"op": "add", "path": "/spec/rules/0/backendRefs/1/weight", "value": 20}]
    status, answer = shop.hub.request("PATCH", path, patch, "application/json-patch+json", token)
    assert (status, weights(answer)) == (200, [[BLUE, ("checkout-green", 20)]])


@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.__name__)
def test_a_sync_of_what_git_has_is_no_change(shop: Shop, kind: Kind, writer: Writer) -> None:
    """No new generation: controllers of the gateway have nothing to do, and acceptance stays what it was."""
    moved = shop.managed_route(kind)
    writer(shop.hub, shop.route(kind, both(100, 0)))
    assert shop.get(kind)["metadata"]["generation"] == moved["metadata"]["generation"]


def test_kubectl_sees_no_drift(shop: Shop, kind: Kind) -> None:
    """A server-side diff of Git's manifest finds nothing to do: the weights are not Git's to write."""
    shop.managed_route(kind)
    arguments = ("diff", "--server-side", "--force-conflicts", "--field-manager=kubectl-client-side-apply", "-f", "-")
    assert shop.hub.kubectl(*arguments, input=json.dumps(shop.route(kind, both(100, 0)))) == ""


def test_weights_follow_names(shop: Shop, kind: Kind) -> None:
    """Backends and rules in another order keep what belongs to their names."""
    shop.managed_route(kind, both(100, 0), [backend("static")])
    turned = [backend("checkout-green", 100), backend("checkout-blue", 0)]
    stored = shop.merge(kind, shop.route(kind, [backend("static", 3)], turned))
    assert weights(stored) == [[("static", 3)], [GREEN, BLUE]]


def test_a_new_rule_gets_the_share(shop: Shop, kind: Kind) -> None:
    """A rule that somebody adds for both Services begins with the share of the others."""
    shop.managed_route(kind)
    stored = shop.merge(kind, shop.route(kind, both(None, None), both(100, 0), both(0, 0)))
    assert weights(stored) == [PINNED, PINNED, PINNED]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param([backend("checkout-green", 7)], id="one slot alone, such as a preview by header"),
        pytest.param([backend("checkout-blue", 3), backend("static", 4)], id="one slot beside another Service"),
        pytest.param([backend("static", 5), backend("checkout-blue-old", 1)], id="other Services"),
        pytest.param(
            [backend("checkout-blue", 1), backend("checkout-green", 1, namespace="o")], id="another namespace"
        ),
        pytest.param(
            [
                backend("checkout-blue", 1),
                backend("checkout-green", 1, group="multicluster.x-k8s.io", kind="ServiceImport"),
            ],
            id="another kind",
        ),
        pytest.param([backend("checkout-blue", 1), backend("checkout-green", 1, kind="Pool")], id="not a Service"),
        pytest.param([], id="no backends"),
    ],
)
def test_other_rules_are_their_writers(shop: Shop, kind: Kind, other: list[Json]) -> None:
    """A rule that does not name both Services, of this namespace, has the weights that its writer gives it."""
    shop.managed_route(kind)
    stored = shop.merge(kind, shop.route(kind, both(100, 0), other))
    assert weights(stored) == [PINNED, [(b["name"], b["weight"]) for b in other]]


def test_naming_a_slot_twice_gives_it_no_more(shop: Shop, kind: Kind) -> None:
    """A second backend of the same Service gets nothing: the first has the share."""
    shop.managed_route(kind)
    stored = shop.merge(kind, shop.route(kind, [*both(1, 1), backend("checkout-green", 80)]))
    assert weights(stored) == [[*PINNED, ("checkout-green", 0)]]


def test_a_third_service_passes(shop: Shop, kind: Kind) -> None:
    """It takes a share of both, which admission does not refuse: the operator reports it (RouteUnsuitable)."""
    shop.managed_route(kind)
    stored = shop.merge(kind, shop.route(kind, [*both(100, 0), backend("old", 25)]))
    assert weights(stored) == [[*PINNED, ("old", 25)]]


def test_everything_else_of_a_write_stands(shop: Shop, kind: Kind) -> None:
    """Filters, matches, ports, parents, labels and foreign annotations are as the writer has them."""
    shop.managed_route(kind, both(100, 0), [backend("static")])
    header = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x-via", "value": "gw"}]}}
    rule = {
        "filters": [header],
        "matches": [{"headers": [{"type": "Exact", "name": "x-tenant", "value": "acme"}]}],
        "backendRefs": [{**backend("checkout-blue", 100), "port": 8080}, backend("checkout-green", 0)],
    }
    manifest = shop.manifest(
        kind,
        {"parentRefs": [{"name": "gw"}], "rules": [rule]},
        labels={"app": "checkout"},
        annotations={"team": "payments"},
    )
    stored = shop.merge(kind, manifest)
    [kept] = stored["spec"]["rules"]
    assert weights(stored) == [PINNED]
    assert kept["filters"] == [header]
    assert kept["matches"][0]["headers"] == rule["matches"][0]["headers"]  # type: ignore[index]
    assert [b["port"] for b in kept["backendRefs"]] == [8080, 80]
    assert stored["spec"]["parentRefs"][0]["name"] == "gw"
    assert stored["metadata"]["labels"] == {"app": "checkout"}
    assert stored["metadata"]["annotations"]["team"] == "payments"


NOTES = "/metadata/annotations"


@pytest.mark.parametrize(
    "operation",
    [
        pytest.param({"op": "remove", "path": f"{NOTES}/sluice.dev~1weights"}, id="pins removed"),
        pytest.param({"op": "remove", "path": f"{NOTES}/sluice.dev~1rollout"}, id="owner removed"),
        pytest.param({"op": "remove", "path": NOTES}, id="all removed"),
        pytest.param({"op": "add", "path": NOTES, "value": {}}, id="none left"),
        pytest.param(
            {"op": "add", "path": f"{NOTES}/sluice.dev~1weights", "value": "checkout-blue=0,checkout-green=100"},
            id="pins changed",
        ),
        pytest.param({"op": "add", "path": f"{NOTES}/sluice.dev~1rollout", "value": "a/b/c"}, id="owner changed"),
        pytest.param({"op": "add", "path": f"{NOTES}/sluice.dev~1new", "value": "x"}, id="another one added"),
        pytest.param({"op": "add", "path": f"{NOTES}/sluice.dev~1hold", "value": "  "}, id="a hold that says nothing"),
    ],
)
def test_pins_are_not_others_to_write(shop: Shop, kind: Kind, operation: Json) -> None:
    """Sluice's annotations stay as they are, also where the weights are changed in the same write."""
    moved = shop.managed_route(kind)
    weight = {"op": "add", "path": "/spec/rules/0/backendRefs/1/weight", "value": 100}
    stored = shop.patch(kind, operation, weight)
    assert weights(stored) == [PINNED]
    assert {key: value for key, value in ours(stored).items() if value.strip()} == ours(moved)


def test_foreign_keys_are_others_to_write(shop: Shop, kind: Kind) -> None:
    """`kubectl label` and `kubectl annotate` work as ever, for keys that only look like Sluice's too."""
    shop.managed_route(kind)
    shop.kubectl("annotate", kind, NAME, "team=payments", "sluice.development/x=1")
    shop.kubectl("label", kind, NAME, "app=checkout", "sluice.dev/platform=ios")
    shop.kubectl("annotate", kind, NAME, "team-")
    stored = shop.get(kind)["metadata"]
    assert stored["labels"] == {"app": "checkout", "sluice.dev/platform": "ios"}
    assert stored["annotations"]["sluice.development/x"] == "1"
    assert "team" not in stored["annotations"]


def test_gateways_report_as_ever(shop: Shop, kind: Kind) -> None:
    """A controller's status is written as it is."""
    shop.managed_route(kind)
    condition = {
        "type": "Accepted",
        "status": "True",
        "reason": "Accepted",
        "message": "",
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    }
    parent = {"controllerName": "example.com/gw", "parentRef": {"name": "gw"}, "conditions": [condition]}
    stored = shop.merge(kind, {"status": {"parents": [parent]}}, subresource="status")
    assert stored["status"]["parents"][0]["conditions"] == [condition]


def test_a_route_can_be_deleted(shop: Shop, kind: Kind) -> None:
    """Pins keep nobody from deleting what is theirs, finalizers of their own included."""
    shop.managed_route(kind)
    shop.merge(kind, {"metadata": {"finalizers": ["example.com/theirs"]}})
    shop.kubectl("delete", kind, NAME, "--wait=false")
    shop.merge(kind, {"metadata": {"finalizers": None}})
    with pytest.raises(TestbedError, match="NotFound"):
        shop.kubectl("get", kind, NAME)


def test_what_nobody_manages_is_nobodys_business(shop: Shop, kind: Kind) -> None:
    """A route without an owner is its writers', whatever annotations it has."""
    shop.create(shop.route(kind, both(100, 0), annotations={WEIGHTS_ANNOTATION: PINS}))
    stored = shop.merge(
        kind, {**shop.route(kind, both(30, 70)), "metadata": {"annotations": {WEIGHTS_ANNOTATION: None}}}
    )
    assert weights(stored) == [[("checkout-blue", 30), ("checkout-green", 70)]]
    assert ours(stored) == {}


@pytest.mark.parametrize(
    "pins",
    [
        None,
        "",
        ",",
        "checkout-green",
        "checkout-green=10",
        "checkout-blue=ninety,checkout-green=10",
        "checkout-blue=-1,checkout-green=10",
        "checkout-blue=99999999999999999999,checkout-green=10",
        "checkout-blue=1.5,checkout-green==",
        "a=b=c,checkout-blue=x,\n=1",
    ],
)
def test_pins_that_mean_nothing_pin_nothing(shop: Shop, pins: str | None) -> None:
    """Whoever creates a route may write nonsense into it: that does not lock it, and the owner stays."""
    notes = MANAGED if pins is None else {**MANAGED, WEIGHTS_ANNOTATION: pins}
    shop.create(shop.route(Kind.HTTP_ROUTE, both(100, 0), annotations=notes))
    stored = shop.merge(Kind.HTTP_ROUTE, shop.route(Kind.HTTP_ROUTE, both(30, 70)))
    assert weights(stored) == [[("checkout-blue", 30), ("checkout-green", 70)]]
    assert ours(stored)[OWNER_ANNOTATION] == MANAGED[OWNER_ANNOTATION]


@pytest.mark.parametrize("held", [False, True])
def test_the_largest_route_is_within_the_servers_budget(shop: Shop, kind: Kind, held: bool) -> None:
    """Sixteen rules of sixteen backends with long names are pinned, not refused for the cost of it."""
    blue, green = "b" * 63, "g" * 63
    rules: list[list[Json]] = [
        [*(backend(f"{'x' * 60}-{n}", 1) for n in range(14)), backend(blue, 0), backend(green, 1)] for _ in range(16)
    ]
    notes: dict[str, Any] = {**MANAGED, WEIGHTS_ANNOTATION: f"{blue}=90,{green}=10"}
    shop.create(shop.route(kind, *rules, annotations=notes | ({"sluice.dev/hold": "alice: 5xx"} if held else {})))
    stored = shop.merge(kind, shop.route(kind, *copy.deepcopy([rule[::-1] for rule in rules])))
    expected = [(green, 1), (blue, 0)] if held else [(green, 10), (blue, 90)]
    assert [rule[:2] for rule in weights(stored)] == [expected] * 16


def test_a_hub_that_is_its_own_member_is_led(shop: Shop, kind: Kind) -> None:
    """What the operator writes with the account that it has in members is not put back in the hub either."""
    shop.managed_route(kind)
    stored = shop.shift(kind, 5000, in_members=True)
    assert weights(stored) == [[("checkout-blue", 50), ("checkout-green", 50)]]
    assert ours(stored)[WEIGHTS_ANNOTATION] == "checkout-blue=50,checkout-green=50"
