"""What members get of a Rollout's spec."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.api.fleet import FleetRunSpec, RunBatch
from sluice.decide.fleet.parts import back

TEMPLATE = {"template": {"spec": {"containers": [{"name": "app", "image": "checkout:1"}]}}}
SERVICES = {"services": {"blue": "checkout-blue", "green": "checkout-green"}, "active": "blue"}


def run(workload: dict[str, Any]) -> FleetRunSpec:
    """A run from a spec with this workload."""
    return FleetRunSpec(
        rollout="checkout",
        rollout_uid="uid",
        revision=2,
        hash="new",
        batches=(RunBatch(name="all", clusters=("a",), max_concurrency=1, max_failures=0),),
        spec={},
        stable_spec={"workload": workload, "strategy": {"canary": {"steps": [{"setWeight": 5}]}}, "analysis": {}},
    )


@pytest.mark.parametrize("workload, size", [(TEMPLATE, {"canarySize": {"full": True}}), (SERVICES, {})])
def test_the_way_back_is_straight(workload: dict[str, Any], size: dict[str, Any]) -> None:
    """In one step and unmeasured, with all pods first where they are Sluice's: of others' the CRD takes no size."""
    spec = back(run(workload), {})
    assert spec == {"workload": workload, "strategy": {"canary": {"steps": [{"setWeight": "100%"}], **size}}}
