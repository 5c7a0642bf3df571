"""What a route's status says of its current generation."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.adapters.traffic.acceptance import assess_acceptance
from sluice.decide.model import Acceptance

ACCEPTED, PENDING, REFUSED = Acceptance.ACCEPTED, Acceptance.PENDING, Acceptance.REFUSED
GENERATION = 7


def condition(kind: str, status: str, generation: int = GENERATION, message: str = "") -> dict[str, Any]:
    """A condition."""
    return {"type": kind, "status": status, "observedGeneration": generation, "message": message}


GOOD = [condition("Accepted", "True"), condition("ResolvedRefs", "True")]


def report(*conditions: dict[str, Any], **parent: Any) -> dict[str, Any]:
    """What a controller says for a parent; `gw` unless named."""
    return {"parentRef": {"name": "gw", **parent}, "controllerName": "example.com/gw", "conditions": list(conditions)}


def route(reports: Any, parents: Any = ({"name": "gw"},)) -> dict[str, Any]:
    """A route of generation 7 in namespace shop."""
    return {
        "metadata": {"namespace": "shop", "generation": GENERATION},
        "spec": {"parentRefs": list(parents)},
        "status": {"parents": reports},
    }


@pytest.mark.parametrize(
    "reports, expected",
    [
        pytest.param([report(*GOOD)], ACCEPTED, id="taken"),
        pytest.param([], PENDING, id="no word yet"),
        pytest.param([report(GOOD[0])], PENDING, id="half a word"),
        pytest.param([report(condition("Accepted", "True", 6), GOOD[1])], PENDING, id="an older generation"),
        pytest.param([report(condition("Accepted", "Unknown"), GOOD[1])], PENDING, id="unknown"),
        pytest.param([report(condition("Accepted", "False", 6), GOOD[1])], PENDING, id="an older refusal"),
        pytest.param([report(condition("Accepted", "False"), GOOD[1])], REFUSED, id="refused"),
        pytest.param([report(GOOD[0], condition("ResolvedRefs", "False"))], REFUSED, id="no such backend"),
        pytest.param([report(*GOOD, condition("PartiallyInvalid", "True"))], REFUSED, id="some rules are dropped"),
        pytest.param([report(*GOOD, condition("PartiallyInvalid", "False"))], ACCEPTED, id="no rule is dropped"),
        pytest.param(
            [report(*GOOD, namespace="shop", group="gateway.networking.k8s.io", kind="Gateway")],
            ACCEPTED,
            id="defaults",
        ),
        pytest.param([report(*GOOD, namespace="other")], PENDING, id="a gateway of another namespace"),
        pytest.param([report(*GOOD, sectionName="https")], PENDING, id="another listener"),
        pytest.param(
            [report(condition("Accepted", "True", 3)), report(*GOOD)], ACCEPTED, id="a controller that is gone"
        ),
        pytest.param([report(*GOOD), report(condition("Accepted", "False"))], REFUSED, id="one of two refuses"),
    ],
)
def test_one_parent(reports: Any, expected: Acceptance) -> None:
    """Only what is said of the current generation by the parent's controller counts."""
    assert assess_acceptance(route(reports))[0] is expected


@pytest.mark.parametrize(
    "second, expected",
    [(report(*GOOD, name="internal"), ACCEPTED), (report(name="internal"), PENDING)],
)
def test_every_parent_counts(second: Any, expected: Acceptance) -> None:
    """A route of two gateways is accepted when both took it."""
    parents = ({"name": "gw"}, {"name": "internal"})
    assert assess_acceptance(route([report(*GOOD), second], parents))[0] is expected


def test_a_refusal_quotes_the_controller() -> None:
    """On one line, of bounded length, naming controller, parent and condition."""
    verdict, message = assess_acceptance(
        route([report(condition("Accepted", "False", message="no\nlistener " + "x" * 900))])
    )
    assert verdict is REFUSED
    assert message.startswith("example.com/gw for gw: Accepted is False: no listener x")
    assert len(message) <= 300


def test_a_route_without_parents_serves_nobody() -> None:
    """There is nothing to wait for."""
    assert assess_acceptance(route([], parents=()))[0] is REFUSED


@pytest.mark.parametrize("status", [None, [], "x", [None, 7], [{"parentRef": None, "conditions": [None, "x", {}]}]])
def test_nonsense_is_no_acceptance(status: Any) -> None:
    """A status that means nothing is PENDING, not an error."""
    assert assess_acceptance(route(status))[0] is PENDING
