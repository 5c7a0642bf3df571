"""A member's own Prometheus: asked where a metric names no other, and sent no Secret that it may not have."""

from __future__ import annotations

import asyncio

from sluice.adapters.metrics.at import AtAddress
from sluice.decide.model import Reading, ReadingKind

MEMBERS = "http://member:9090"


class Asked:
    """Notes what it was asked for: address, namespace, Secret."""

    def __init__(self) -> None:
        self.calls: list[tuple[str | None, str, str | None]] = []

    async def query(self, query: str, *, address: str | None, namespace: str, secret: str | None) -> Reading:
        """Answer."""
        assert query == "up"
        self.calls.append((address, namespace, secret))
        return Reading(ReadingKind.VALUE, 1.0)


def asked(*, address: str | None, secret: str | None) -> tuple[str | None, str, str | None]:
    """What becomes of a question of a metric in the namespace shop."""
    inner = Asked()
    asyncio.run(AtAddress(inner, MEMBERS).query("up", address=address, namespace="shop", secret=secret))
    return inner.calls[0]


def test_a_metric_without_an_address_asks_the_member() -> None:
    """Not as its namespace: the address is the registrar's choice, which no allow-list for namespaces holds back."""
    assert asked(address=None, secret=None) == (MEMBERS, "", None)


def test_a_secret_stays_its_namespaces() -> None:
    """It is read there, never in the operator's namespace, and the allow-list says whether it may go to the member."""
    assert asked(address=None, secret="login") == (MEMBERS, "shop", "login")


def test_an_address_of_the_metrics_own() -> None:
    """It is asked as if there were no other."""
    assert asked(address="http://thanos:9090", secret="login") == ("http://thanos:9090", "shop", "login")
