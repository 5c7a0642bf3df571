"""Copies of another server's objects, and metrics that let everything pass."""

from __future__ import annotations

import pytest

from sluice.api.analysis import Threshold
from sluice.api.names import Kind
from sluice.decide.thresholds import compare
from sluice.sim import manifests
from sluice.sim.clock import VirtualClock
from sluice.sim.cluster import FakeCluster
from sluice.sim.rehearsal.metrics import good_value


def test_a_copy_is_the_object_itself() -> None:
    """Its uid, generation and status are kept; what is made later has no uid of that server's."""
    home, away = (FakeCluster(VirtualClock(), namespaces=("shop",)) for _ in range(2))
    for number in range(5):
        home.seed(Kind.SERVICE, manifests.service("shop", f"s{number}", {}))
    there = home.seed(Kind.HTTP_ROUTE, manifests.route("shop", "checkout") | {"status": {"parents": []}})
    copy = away.store.restore(Kind.HTTP_ROUTE, there)
    assert {**copy["metadata"], "resourceVersion": ""} == {**there["metadata"], "resourceVersion": ""}
    assert (copy["spec"], copy["status"]) == (there["spec"], there["status"])
    made = away.seed(Kind.SERVICE, manifests.service("shop", "new", {}))
    uids = {obj["metadata"]["uid"] for kind in Kind for obj in home.store.all(kind)}
    assert made["metadata"]["uid"] not in uids


@pytest.mark.parametrize(
    "threshold",
    [
        Threshold(max=0.01),
        Threshold(min=0.99),
        Threshold(max=-3),
        Threshold(min=-5, max=-3),
        Threshold(min=-5),
        Threshold(min=2, max=3),
        Threshold(max_ratio=1.2),
        Threshold(max=0.1, max_increase=0.01, min_ratio=0.9),
    ],
)
def test_a_good_value_is_good(threshold: Threshold) -> None:
    """Against itself as the baseline, too."""
    value = good_value(threshold)
    assert compare("it", value, threshold, value).passed
