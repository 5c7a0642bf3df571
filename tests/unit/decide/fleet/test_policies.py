"""RolloutPolicies over fleets: whom they hold, and that nobody goes past them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sluice.api.action import Verb
from sluice.api.member import AllowedNamespaces
from sluice.api.policy import RolloutPolicySpec
from sluice.decide.fleet.model import MemberView
from sluice.decide.policyview import PolicyView
from unit.decide.fleet.pretended import MINUTE, NOW, REST, SECOND, Pretended, installed

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


# ---------------------------------------------------------------------------------------------- who joins

FREEZE: dict[str, Any] = {"windows": [{"name": "sale", "kind": "Deny", "schedule": "0 8 2 * *", "duration": "4h"}]}


def joined(hub: Pretended, *policies: PolicyView) -> Pretended:
    """The same with 1.0 asked for again, and a cluster more."""
    hub.ask("1.0")
    hub.policies = policies
    hub.go()
    hub.members["z"] = MemberView("z", {})
    hub.go(8, each=SECOND)
    return hub


def has_nothing(hub: Pretended, name: str) -> bool:
    """Whether a cluster has no part, and is to have none, whatever it was told before."""
    return name not in hub.legs and name in hub.told and hub.told[name].spec is None


def test_a_cluster_that_joins_gets_what_is_stable_where_nothing_holds() -> None:
    """Turns are for runs, and it is none."""
    hub = joined(installed("ab", REST), policy(maxConcurrent=1))
    assert hub.serves("z") == hub.runs[0].spec.hash
    assert hub.status.message == "1.0 serves in 3 of 3 clusters"


def test_a_cluster_does_not_join_in_a_freeze() -> None:
    """Its own engine would take it from whatever serves there to what is stable, past the policy; it says why not."""
    hub = joined(installed("ab", REST), policy(**FREEZE))
    assert has_nothing(hub, "z")
    assert hub.status.phase == "Healthy"
    assert hub.status.message == (
        "1.0 serves in 2 of 2 clusters; z joins when exposure may grow: held by RolloutPolicy prod: the freeze sale "
        "lasts until 2026-03-02 12:00 UTC"
    )
    assert hub.plan.wake_at == NOW.replace(hour=12)
    hub.now = NOW.replace(hour=12)
    hub.go()
    assert hub.serves("z") == hub.runs[0].spec.hash


def test_a_policy_that_cannot_be_read_keeps_a_cluster_out() -> None:
    """As it keeps everything else from growing."""
    hub = joined(installed("ab", REST), PolicyView("prod", None, "spec.windows: no"))
    assert has_nothing(hub, "z")
    assert "z joins when exposure may grow: RolloutPolicy prod cannot be read" in hub.status.message


def test_where_people_approve_a_cluster_joins_with_the_next_run() -> None:
    """Nobody approved what came before its coming for it; it waits in the run as the others do, and is told nothing."""
    hub = joined(installed("ab", REST), policy(approval={"group": GROUP}))
    assert has_nothing(hub, "z")
    assert hub.status.message.endswith("z joins with the next run, for RolloutPolicy prod wants approval")
    hub.ask("2.0")
    hub.go()
    assert "waits for approval by 1 of release-managers" in hub.status.message
    assert has_nothing(hub, "z")
    approved(hub, "policy/prod")
    assert (hub.outcome, {hub.serves(name) for name in "abz"}) == ("Completed", {hub.runs[1].spec.hash})


def test_a_cluster_that_comes_back_before_it_had_anything_is_not_sent_back_to_what_is_stable() -> None:
    """It refused while people were asked: to take it back would be to bring it there for the first time."""
    hub = joined(installed("ab", {**REST, "maxFailures": 1}), policy(approval={"group": GROUP}))
    hub.ask("2.0")
    hub.go()
    refuse(hub, "z")
    hub.go(3, each=SECOND)
    hub.members["z"] = MemberView("z", {})
    hub.go(8, each=SECOND)
    assert has_nothing(hub, "z")


def test_a_cluster_that_never_heard_of_its_run_is_not_sent_back_either() -> None:
    """It moved with the others, could not be reached, and the run was aborted: there is nothing to take back."""
    hub = joined(installed("ab", REST), policy(approval={"group": GROUP}))
    hub.ask("2.0")
    hub.go()
    hub.lose("z")
    approved(hub, "policy/prod")
    assert hub.up_to("z") == 1
    hub.act(Verb.ABORT, revision=2)
    hub.go()
    hub.find("z")
    hub.go(8, each=SECOND)
    assert (hub.outcome, has_nothing(hub, "z")) == ("Aborted", True)


def test_a_cluster_that_left_and_comes_again_is_told_of() -> None:
    """It is in the record of the last run, and got nothing of it."""
    hub = joined(installed("ab", {**REST, "maxFailures": 1}), policy(approval={"group": GROUP}))
    hub.ask("2.0")
    hub.go()
    leave(hub, "z")
    approved(hub, "policy/prod")
    assert hub.outcome == "Completed"
    hub.members["z"] = MemberView("z", {})
    hub.go()
    assert hub.status.message == (
        "2.0 serves in 2 of 3 clusters; z joins with the next run, for RolloutPolicy prod wants approval"
    )


def test_a_cluster_that_lost_its_part_gets_it_back() -> None:
    """It had what is stable: to see to that is no growth, whatever the policies say."""
    hub = joined(installed("ab", REST), policy(approval={"group": GROUP}, **FREEZE))
    del hub.legs["a"]
    hub.told.clear()
    hub.go()
    assert hub.serves("a") == hub.runs[0].spec.hash


def test_a_first_version_goes_where_nothing_is_stable_anywhere() -> None:
    """A freeze holds the run itself; there is nothing that a cluster could join."""
    hub = Pretended("ab", REST)
    hub.policies = (policy(**FREEZE),)
    hub.go()
    assert (hub.told, hub.status.message.startswith("revision 1.0 waits: held by")) == ({}, True)
    hub.policies = ()
    hub.go()
    assert hub.outcome == "Completed"


def test_a_cluster_on_its_way_is_not_told_as_serving() -> None:
    """It joined, and is well, but what is stable in the fleet is not yet what is stable there."""
    hub = joined(installed("ab", REST))
    hub.legs["z"] = replace(hub.legs["z"], stable_hash="", order="1", under_way=True, hash=hub.runs[0].spec.hash)
    hub.deaf = {"z"}
    hub.go()
    assert hub.status.message == "1.0 serves in 2 of 3 clusters"
