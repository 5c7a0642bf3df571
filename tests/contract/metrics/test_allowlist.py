"""Which addresses may be asked: as written, and as resolved."""

import socket
from typing import Any

import pytest

from contract.metrics.conftest import MakeProvider
from contract.metrics.fake_prometheus import FakePrometheus
from sluice.adapters.metrics.allowlist import AddressRefused, AllowList
from sluice.decide.model import ReadingKind

OWN = "http://prometheus.monitoring:9090"
THANOS = "https://thanos.example/team-a"


@pytest.fixture
def addresses() -> AllowList:
    """The operator's own Prometheus and one more."""
    return AllowList(OWN, [THANOS, "http://127.0.0.1:9091", "http://localhost:9092", "http://192.0.2.1"])


@pytest.mark.parametrize(
    "address, base",
    [
        (None, OWN),
        (OWN, OWN),
        (OWN + "/", OWN),
        ("HTTP://Prometheus.Monitoring.:9090", OWN),
        (OWN + "/sub", OWN + "/sub"),
        (THANOS, "https://thanos.example:443/team-a"),
        ("https://thanos.example:443/team-a/x/", "https://thanos.example:443/team-a/x"),
    ],
)
def test_listed_addresses(addresses: AllowList, address: str | None, base: str) -> None:
    """The operator's own and what is listed, with anything below, in one canonical form."""
    assert addresses.target(address, namespaced=True).base == base


@pytest.mark.parametrize(
    "address",
    [
        "http://other:9090",
        "https://prometheus.monitoring:9090",
        "http://prometheus.monitoring",
        "https://thanos.example",
        "https://thanos.example/team-abc",
        "https://thanos.example.evil/team-a",
    ],
)
def test_other_addresses_are_for_cluster_kinds_only(addresses: AllowList, address: str) -> None:
    """An object in a namespace may not name them; what cluster administrators write may."""
    with pytest.raises(AddressRefused, match="is not on the operator's allow-list"):
        addresses.target(address, namespaced=True)
    assert not addresses.target(address, namespaced=False).listed


@pytest.mark.parametrize(
    "address, told",
    [
        ("prometheus:9090", "must begin with http"),
        ("file:///etc/passwd", "must begin with http"),
        ("ftp://prometheus", "must begin with http"),
        ("http://user:password@prometheus.monitoring:9090", "holds credentials"),
        ("http://prometheus.monitoring:9090@evil", "holds credentials"),
        ("http://@prometheus.monitoring:9090", "holds credentials"),
        ("http://prometheus.monitoring:9090?x=1", "without query or fragment"),
        ("http://prometheus.monitoring:9090/#", "without query or fragment"),
        ("http://prometheus.monitoring:9090\\@evil", "characters"),
        ("http://prometheus.monitoring:9090 ", "characters"),
        ("http://prometheus.monitoring:9090\r\nX: 1", "characters"),
        ("http://promethéus:9090", "characters"),
        ("http://%65vil:9090", "characters"),
        ("http://prometheus.monitoring:99999", "is not a URL"),
        ("http://[::1", "is not a URL"),
        ("http://", "host is not a name"),
        ("http://a*b", "host is not a name"),
        ("http://prometheus.monitoring:9090/../x", "path is not plain"),
        ("http://prometheus.monitoring:9090/x/./y", "path is not plain"),
        ("http://prometheus.monitoring:9090//x", "path is not plain"),
        ("", "characters"),
        ("http://" + "a" * 3000, "characters"),
    ],
)
@pytest.mark.parametrize("namespaced", [True, False])
def test_addresses_are_read_strictly(addresses: AllowList, address: str, told: str, namespaced: bool) -> None:
    """What two parsers could read differently is refused, for anybody, without repeating it (and its password)."""
    with pytest.raises(AddressRefused, match=told) as caught:
        addresses.target(address, namespaced=namespaced)
    assert "password@" not in str(caught.value)


def test_a_bad_configuration_is_refused_at_the_start() -> None:
    """Not at the first question."""
    with pytest.raises(AddressRefused):
        AllowList("prometheus:9090")
    with pytest.raises(AddressRefused):
        AllowList(None, ["thanos"])


def test_no_prometheus_at_all() -> None:
    """The message says what to do."""
    with pytest.raises(AddressRefused, match="configure its address, or name one in the metric"):
        AllowList(None).target(None, namespaced=True)


@pytest.mark.parametrize(
    "ip, refused",
    [
        ("10.96.0.5", None),
        ("192.168.1.1", None),
        ("2001:db8::1", None),
        ("fd00::1", None),
        ("127.0.0.1", "loopback"),
        ("127.8.8.8", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("64:ff9b::7f00:1", "loopback"),
        ("2002:7f00:1::", "loopback"),
        ("169.254.169.254", "link-local"),
        ("::ffff:169.254.169.254", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("0.0.0.0", "unspecified"),  # noqa: S104 - nothing is bound
        ("0.1.2.3", "unspecified"),
        ("::", "unspecified"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("255.255.255.255", "reserved"),
    ],
)
def test_where_a_name_may_lead(addresses: AllowList, ip: str, refused: str | None) -> None:
    """Even a listed name must not lead to the machine itself, to its neighbours or to cloud metadata."""
    for address in (None, THANOS):
        found = addresses.target(address, namespaced=True).refusal(ip)
        assert (found is None) == (refused is None)
        assert refused is None or refused in (found or "")


@pytest.mark.parametrize(
    "address, ip, allowed",
    [
        ("http://127.0.0.1:9091", "127.0.0.1", True),
        ("http://127.0.0.1:9091", "127.0.0.2", False),
        ("http://localhost:9092", "127.0.0.1", True),
        ("http://localhost:9092", "::1", True),
        ("http://localhost:9092", "169.254.1.1", False),
        ("http://127.0.0.1:9999", "127.0.0.1", False),
    ],
)
def test_loopback_where_it_is_listed(addresses: AllowList, address: str, ip: str, allowed: bool) -> None:
    """A sidecar is reached by listing just it; not listed, not even by cluster kinds."""
    assert (addresses.target(address, namespaced=False).refusal(ip) is None) == allowed


def test_api_servers_are_out_of_reach() -> None:
    """Whatever name leads there, and even if it is listed."""
    addresses = AllowList("http://api:6443", denied=[("10.96.0.1", 6443)])
    target = addresses.target(None, namespaced=False)
    assert target.refusal("10.96.0.1") == "an API server's address"
    assert target.refusal("::ffff:10.96.0.1") == "an API server's address"
    assert target.refusal("10.96.0.2") is None


def resolving(monkeypatch: pytest.MonkeyPatch, **names: list[str]) -> list[str]:
    """Make names (dots written as `_`) lead to addresses. Returns the list of names that get asked."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def resolve(host: str, port: int, *args: Any, **options: Any) -> list[Any]:
        found = names.get(str(host).replace(".", "_"))
        if found is None:
            return real(host, port, *args, **options)
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in found]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return asked


async def test_every_resolved_address_is_checked(
    fake: FakePrometheus, make_provider: MakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bad address among good ones is enough, and nothing is sent anywhere."""
    resolving(monkeypatch, prom_example=["192.0.2.1", "127.0.0.1"])
    port = fake.address.rpartition(":")[2]
    provider = make_provider(f"http://prom.example:{port}")
    reading = await provider.query("up", address=None, namespace="shop", secret=None)
    assert reading.kind is ReadingKind.ERROR
    assert "leads to a loopback address, which metrics cannot come from" in reading.message
    assert fake.asked == []


async def test_the_checked_address_is_the_one_connected_to(
    fake: FakePrometheus, make_provider: MakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name is resolved once for each connection: an answer that changes in between cannot redirect it."""
    asked = resolving(monkeypatch, localhost=["127.0.0.1"])
    provider = make_provider(fake.address.replace("127.0.0.1", "localhost"))
    reading = await provider.query("up", address=None, namespace="shop", secret=None)
    assert reading.value == 1.0
    assert asked == ["localhost"]
    assert fake.asked[0].headers["host"].startswith("localhost:")


async def test_a_refused_address_is_a_reading(make_provider: MakeProvider, fake: FakePrometheus) -> None:
    """The port does not raise for addresses either, and asks nobody."""
    provider = make_provider()
    for address in ("http://user:secret@x", "http://elsewhere:9090"):
        reading = await provider.query("up", address=address, namespace="shop", secret=None)
        assert reading.kind is ReadingKind.ERROR
        assert "secret" not in reading.message.replace("secretRef", "").replace("Secret", "")
    assert fake.asked == []
