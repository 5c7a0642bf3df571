"""Approvals over fleets: before a batch, and at a step for the clusters that move; and what on-call does there."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from sluice.api.action import Verb
from sluice.api.conditions import condition_of
from sluice.api.fleet import ClusterPhase
from unit.decide.fleet.obedient import Fleet, given, healthy

GROUP = "release-managers"
APPROVAL: dict[str, Any] = {"group": GROUP, "quorum": 2}
PILOT: dict[str, Any] = {"name": "pilot", "clusters": ["c1"]}
GATED: list[dict[str, Any]] = [PILOT, {"name": "rest", "approval": APPROVAL}]
HOUR = timedelta(hours=1)


def approve(fleet: Fleet, actor: str, point: str, *groups: str) -> tuple[bool, str]:
    """What a person's approval is answered."""
    answer = fleet.tell(Verb.APPROVE, actor=actor, point=point, actor_groups=groups or (GROUP,))
    return answer.done, answer.message


def moving(fleet: Fleet) -> list[str]:
    """The clusters that have traffic on the new revision, or may."""
    return [name for name, phase in fleet.phases().items() if phase is not ClusterPhase.WAITING]


def test_a_batch_waits_for_approval() -> None:
    """None of its clusters moves before enough people of the group have approved; the message says what to type."""
    fleet = healthy().release("v2", batches=GATED).settle()
    assert moving(fleet) == ["c1"]
    paused = condition_of(fleet.status.conditions, "Paused")
    assert paused is not None
    assert (fleet.status.phase, paused.reason) == ("Paused", "WaitsForApproval")
    assert fleet.status.fleet is not None
    assert fleet.status.fleet.batch is not None
    assert fleet.status.fleet.batch.stage == "Approving"
    assert "waits for approval by 2 of release-managers: nobody yet: sluice approve checkout -n shop" in (
        fleet.status.message
    )
    assert approve(fleet, "bob", "batch/rest") == (
        True,
        "approved batch/rest: 1 of 2 (bob); which person asked for the run is not known, so self-approval "
        "could not be ruled out",
    )
    assert moving(fleet.settle()) == ["c1"]
    assert approve(fleet, "bob", "batch/rest")[0] is False
    assert approve(fleet, "mallory", "batch/rest", "others")[0] is False
    assert approve(fleet, "carol", "batch/rest")[0] is True
    fleet.settle()
    assert fleet.status.phase == "Healthy"
    assert set(fleet.serves().values()) == {"v2"}


def test_an_approval_is_for_one_batch() -> None:
    """Of another one, or of the batch that comes next, it does not count."""
    batches = [
        PILOT,
        {"name": "wave", "clusters": ["c2"], "approval": APPROVAL},
        {"name": "rest", "approval": APPROVAL},
    ]
    fleet = healthy().release("v2", batches=batches).settle()
    done, why = approve(fleet, "bob", "batch/rest")
    assert (done, "what waits for approval now is batch/wave" in why) == (False, True)
    for who in ("bob", "carol"):
        assert approve(fleet, who, "batch/wave")[0]
    fleet.settle()
    assert moving(fleet) == ["c1", "c2"]
    assert [(each.point, each.approvals) for each in fleet.status.approvals] == [("batch/rest", ())]


def test_approval_comes_after_the_pause() -> None:
    """Who approves looks at what is true when the batch begins, and no promotion leaves it."""
    fleet = healthy().release("v2", batches=[PILOT, {"name": "rest", "pause": {}, "approval": APPROVAL}]).settle()
    assert "sluice promote" in fleet.status.message
    assert approve(fleet, "bob", "batch/rest")[0] is False
    assert fleet.tell(Verb.PROMOTE).done
    fleet.settle()
    assert "waits for approval by 2" in fleet.status.message
    answer = fleet.tell(Verb.PROMOTE)
    assert (answer.done, "which no promotion replaces; nothing was skipped" in answer.message) == (False, True)
    assert moving(fleet.settle()) == ["c1"]


def stepped(*steps: dict[str, Any], **batch: Any) -> Fleet:
    """A fleet of one batch that goes to v2 by these steps, until it waits."""
    fleet = healthy().release("v2", batches=[{"name": "all", **batch}])
    fleet.spec["strategy"] = {"canary": {"steps": list(steps)}}
    return fleet.settle()


def test_a_step_waits_for_approval_in_all_clusters_at_once() -> None:
    """The hub asks, once for all of them; members go no further than the step."""
    fleet = stepped({"setWeight": 10}, {"approval": APPROVAL}, {"setWeight": 50})
    assert {leg.step for leg in fleet.legs.values()} == {2}
    assert [each.point for each in fleet.status.approvals] == ["batch/all/step-2"]
    assert fleet.tell(Verb.PROMOTE).done is False
    for who in ("bob", "carol"):
        assert approve(fleet, who, "batch/all/step-2")[0]
    fleet.settle()
    assert set(fleet.serves().values()) == {"v2"}


def test_each_wave_is_approved() -> None:
    """Clusters that go later wait at the step anew, and what was said of the others does not count for them."""
    fleet = stepped({"setWeight": 10}, {"approval": {"group": GROUP}}, {"setWeight": 50}, maxConcurrency=2)
    assert [each.point for each in fleet.status.approvals] == ["batch/all/step-2"]
    assert approve(fleet, "bob", "batch/all/step-2")[0]
    fleet.settle()
    assert [each.point for each in fleet.status.approvals] == ["batch/all/step-2/from-3"]
    assert approve(fleet, "bob", "batch/all/step-2")[0] is False
    assert approve(fleet, "bob", "batch/all/step-2/from-3")[0]
    assert set(fleet.settle().serves().values()) == {"v2"}


def test_a_last_step_is_not_skipped() -> None:
    """Also where nothing comes after it: the clusters keep the version before until people have approved."""
    fleet = stepped({"setWeight": 100}, {"approval": {"group": GROUP}})
    assert set(fleet.phases().values()) == {ClusterPhase.MOVING}
    assert "waits for approval by 1 of release-managers" in fleet.status.message
    assert approve(fleet, "bob", "batch/all/step-2")[0]
    fleet.step()
    assert set(fleet.phases().values()) == {ClusterPhase.DONE}


def test_reject_ends_the_run_over_the_fleet() -> None:
    """Clusters that were on the way return; the reason is its own."""
    fleet = healthy().release("v2", batches=GATED).settle()
    answer = fleet.tell(Verb.REJECT, reason="refunds untested")
    assert answer.done, answer.message
    assert fleet.status.fleet is not None
    assert fleet.status.fleet.revision is not None
    assert (fleet.status.fleet.revision.outcome, fleet.status.fleet.revision.reason) == ("Aborted", "RejectedByAction")
    assert "rejected by alice: refunds untested" in fleet.status.fleet.revision.message
    assert fleet.status.approvals == ()


def test_hold_and_extend_over_a_fleet() -> None:
    """A hold freezes the run and lets go by itself; a soak gets longer."""
    fleet = healthy().release("v2", batches=[{**PILOT, "soak": "10s"}, {"name": "rest"}]).until("soaks")
    answer = fleet.tell(Verb.EXTEND, reason="night batch", duration=timedelta(seconds=20))
    assert (answer.done, answer.message) == (True, "the soak of batch pilot lasts 20s longer")
    assert "soaks for 10s, and 20s more" in fleet.status.message
    answer = fleet.tell(Verb.HOLD, reason="incident", duration=timedelta(seconds=15))
    assert answer.done, answer.message
    assert "held by alice: incident; goes on at" in fleet.status.message
    began = fleet.now
    fleet.until("rest")
    assert (fleet.now - began).total_seconds() > 30
    assert set(fleet.settle().serves().values()) == {"v2"}


def test_what_clusters_wait_for_themselves_is_not_lengthened_from_here() -> None:
    """A pause among the steps is each cluster's own: the answer says what to do instead."""
    fleet = healthy().release("v2")
    fleet.until("step 1")
    answer = fleet.tell(Verb.EXTEND, reason="night batch", duration=HOUR)
    assert (answer.done, "sluice hold checkout -n shop" in answer.message) == (False, True)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_spec_with_approvals_comes_to_members(version: str) -> None:
    """What a batch asks for is the hub's, and of no part of it."""
    assert "approval" not in str(given(version)["fleet"])
    fleet = healthy().release("v2", batches=GATED).settle()
    assert all("fleet" not in (told.spec or {}) for told in fleet.directives.values())
