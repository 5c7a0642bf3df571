"""Traffic and metrics are real: shares, errors, deaths and outages show where they would in production."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from testbed import DataPlane, Load, Testbed, apps, behaviour, gauges, sample, standard_error, wait_for
from testbed.selftest.conftest import SHOP

pytestmark = pytest.mark.e2e

_ROUTE = "/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes/checkout"
_COUNTS = 'sum by (version, code) (http_requests_total{namespace="shop"})'


def _set_weights(testbed: Testbed, blue: int, green: int) -> None:
    weights = {"checkout-blue": blue, "checkout-green": green}
    rules = apps.weighted_route("shop", "checkout", SHOP, weights)["spec"]["rules"]
    testbed.hub.client.checked("PATCH", _ROUTE, {"spec": {"rules": rules}}, "application/merge-patch+json")
    testbed.data_plane.wait_weights(SHOP, weights)


@pytest.fixture(autouse=True)
def _all_on_blue(testbed: Testbed, plane: DataPlane) -> Iterator[None]:
    yield
    behaviour("shop", "v2")
    _set_weights(testbed, 100, 0)


def _pods(testbed: Testbed, slot: str) -> list[dict[str, str]]:
    items = testbed.hub.get(f"/api/v1/namespaces/shop/pods?labelSelector=slot%3D{slot}")["items"]
    return [{"name": item["metadata"]["name"], "address": item["status"]["podIP"]} for item in items]


def test_weights_decide_the_shares(testbed: Testbed, plane: DataPlane) -> None:
    """Of 10,000 requests at 90 to 10, the canary's share is within five standard errors."""
    _set_weights(testbed, 90, 10)
    counts = sample(SHOP, 10_000, plane.envoy_address)
    assert counts.total() == 10_000
    assert set(counts) == {"v1", "v2"}
    assert counts["v2"] / 10_000 == pytest.approx(0.1, abs=5 * standard_error(0.1, 10_000))


def test_no_request_reaches_a_version_after_its_weight_is_zero(testbed: Testbed, plane: DataPlane) -> None:
    """Once the weights have converged, the canary sees nothing more, and no request failed on the way."""
    _set_weights(testbed, 50, 50)
    with Load(SHOP, 500, plane.envoy_address) as load:
        wait_for(lambda: load.snapshot().first("v2"), 60, "a request to the canary")
        _set_weights(testbed, 100, 0)
        converged = time.time()
        wait_for(lambda: len(load.snapshot().sent_since(converged)) > 500, 60, "500 more requests")
        requests = load.stop()
    assert not requests.failed()
    assert len(requests.sent_since(converged).of("v2")) == 0


def test_errors_show_in_prometheus(testbed: Testbed, plane: DataPlane) -> None:
    """An error rate set for one version is what Prometheus counts for it, and for it alone."""
    behaviour("shop", "v2", error_rate=0.25)
    gauges("shop", "v2", hallucination_ratio=0.2)
    before = _scraped(plane)
    _set_weights(testbed, 50, 50)
    answered = sample(SHOP, 2000, plane.envoy_address)
    after = _scraped(plane)
    assert after.total() - before.total() == 2000
    assert after["v2", "500"] - before["v2", "500"] == pytest.approx(answered["v2"] * 0.25, abs=1)
    assert after["v1", "500"] == before["v1", "500"]
    assert {found["metric"]["version"] for found in plane.query("hallucination_ratio")} == {"v2"}


def _scraped(plane: DataPlane) -> Counter[tuple[str, str]]:
    """Answers by version and code, once Prometheus has seen all that the pods have given."""
    shop = [pod for pod in plane.pods.state().values() if pod["namespace"] == "shop"]
    answered = sum(sum(pod["codes"].values()) for pod in shop)
    wait_for(lambda: _counts(plane).total() == answered, 20, f"Prometheus to have seen {answered} requests")
    return _counts(plane)


def _counts(plane: DataPlane) -> Counter[tuple[str, str]]:
    found = plane.query(_COUNTS)
    return Counter({(row["metric"]["version"], row["metric"]["code"]): int(row["value"][1]) for row in found})


def test_a_deleted_pod_resets(testbed: Testbed, plane: DataPlane) -> None:
    """A pod serves through its grace; once it is gone, a connection to its address is reset."""
    pod = _pods(testbed, "green")[0]
    with socket.create_connection((pod["address"], 9000), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        testbed.hub.kubectl("delete", "pod", "-n", "shop", pod["name"], "--wait=true")
        with pytest.raises(ConnectionResetError):
            connection.recv(4096)
    with (
        pytest.raises(ConnectionResetError),
        socket.create_connection((pod["address"], 9000), timeout=10) as connection,
    ):
        connection.recv(4096)


def test_an_unready_pod_gets_no_traffic(testbed: Testbed, plane: DataPlane) -> None:
    """The annotation takes a running pod out of its Service, and without it the pod comes back."""
    pods = [pod["name"] for pod in _pods(testbed, "blue")]
    plane.wait_endpoints("shop", "checkout-blue", len(pods))
    testbed.hub.kubectl("annotate", "pod", "-n", "shop", pods[0], "testbed/ready=never")
    plane.wait_endpoints("shop", "checkout-blue", len(pods) - 1)
    testbed.hub.kubectl("annotate", "pod", "-n", "shop", pods[0], "testbed/ready-")
    plane.wait_endpoints("shop", "checkout-blue", len(pods))


def test_prometheus_keeps_its_data_over_an_outage(plane: DataPlane) -> None:
    """While it is stopped, queries fail; started again, it knows what it knew before."""
    wait_for(lambda: plane.query("up"), 20, "a first scrape")
    stopped = time.time()
    plane.stop_prometheus()
    with pytest.raises(OSError, match="refused"):
        plane.query("up")
    plane.start_prometheus()
    assert plane.query(f"count_over_time(up[1h] @ {stopped:.3f})")


def test_a_grpc_route_is_accepted(testbed: Testbed, plane: DataPlane) -> None:
    """Contour takes a GRPCRoute with weights, as it takes an HTTPRoute."""
    testbed.hub.apply(apps.two_slots("rpc", "pay", "pay.example", route="GRPCRoute"))
    plane.wait_weights("pay.example", {"pay-blue": 100})
