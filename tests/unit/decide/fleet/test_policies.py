"""RolloutPolicies over fleets: whom they hold, and that nobody goes past them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sluice.api.action import Verb
from sluice.api.member import AllowedNamespaces
from sluice.api.policy import RolloutPolicySpec
from sluice.decide.policyview import PolicyView
from unit.decide.fleet.pretended import MINUTE, REST, Pretended, installed

GROUP = "release-managers"
ALL: dict[str, Any] = {"name": "all", "maxFailures": 2}
PILOT: dict[str, Any] = {"name": "pilot", "clusters": ["a"], "maxFailures": 1}
NOBODY = AllowedNamespaces.parse({"from": "Selector", "selector": {"matchLabels": {"shared": "true"}}}, "test")


def policy(name: str = "prod", **spec: Any) -> PolicyView:
    """A policy that covers the Rollout."""
    return PolicyView(name, RolloutPolicySpec.parse(spec, "spec"))


def approved(hub: Pretended, point: str) -> None:
    """Somebody of the group approves, and nothing is left to be done."""
    hub.act(Verb.APPROVE, revision=2, actor="carol", point=point, actor_groups=(GROUP,))
    hub.go()


def leave(hub: Pretended, name: str) -> None:
    """A cluster is no member any more."""
    del hub.members[name]


def refuse(hub: Pretended, name: str) -> None:
    """A cluster takes no Rollouts of this namespace any more."""
    hub.members[name] = replace(hub.members[name], allows=NOBODY)


@pytest.mark.parametrize("part", [leave, refuse])
@pytest.mark.parametrize("batches, gone", [((ALL,), "c"), ((ALL,), "a"), ((PILOT, REST), "a")])
def test_a_cluster_that_parts_before_it_moved_approves_nothing(
    part: Callable[[Pretended, str], None], batches: tuple[dict[str, Any], ...], gone: str
) -> None:
    """Nothing is exposed yet, so people are asked as before; also where nobody is left of the first batch."""
    hub = installed("abc", *batches)
    hub.policies = (policy(approval={"group": GROUP}),)
    hub.go()
    assert "RolloutPolicy prod waits for approval by 1 of release-managers" in hub.status.message
    part(hub, gone)
    hub.go(8, each=MINUTE)
    assert "RolloutPolicy prod waits for approval by 1 of release-managers" in hub.status.message
    left = [name for name in "abc" if name != gone]
    assert {hub.serves(name) for name in left} == {hub.runs[0].spec.hash}
    assert [each.point for each in hub.status.approvals] == ["policy/prod"]
    approved(hub, "policy/prod")
    assert {hub.serves(name) for name in left} == {hub.runs[1].spec.hash}


def test_a_new_name_for_what_serves_is_stable_from_then_on() -> None:
    """Who wants that version to be stable for a week does not get the week of the one before."""
    hub = installed("ab", REST)
    hub.ask("1.0")
    hub.wait(MINUTE)
    assert hub.fleet.stable is not None
    before = hub.fleet.stable.since
    hub.given["workload"]["version"] = "2.0"
    hub.go(8, each=MINUTE)
    assert (hub.fleet.stable.version, hub.fleet.stable.number) == ("2.0", 1)
    assert before is not None
    assert hub.fleet.stable.since == hub.now - 8 * MINUTE > before


@pytest.mark.parametrize(
    "fields, said",
    [
        ({"fleet": {"batches": [{"name": "pilot", "clusters": ["z"]}, REST]}}, "spec.fleet.batches names z"),
        ({"fleet": {"batches": [{"name": "pilot", "clusters": ["a"]}]}}, "no batch takes b"),
        ({"fleet": {"selector": {"matchLabels": {"env": "prod"}}}}, "spec.fleet.selector matches no MemberCluster"),
        ({"analysis": {"templates": [{"name": "errors"}]}}, "errors"),
    ],
)
def test_who_cannot_begin_anyhow_does_not_stand_in_line(fields: dict[str, Any], said: str) -> None:
    """What is wrong is told at once; others get the turn that it could not take, and once it is mended it asks."""
    hub = installed("ab", REST)
    hub.policies = (policy(maxConcurrent=1, minInterval="10m"),)
    hub.ask("2.0", **fields)
    hub.go()
    assert (hub.status.phase, hub.status.queued) == ("Degraded", None)
    assert said in hub.status.message
    hub.ask("2.0", fleet={"batches": [REST], "selector": {}}, analysis=None)
    hub.look()
    assert "waits for its turn by RolloutPolicy prod" in hub.status.message
    assert hub.status.queued is not None
