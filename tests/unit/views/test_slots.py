"""The two slots of a Rollout whose pods Sluice runs."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sluice.views.detail import rollout_detail
from sluice.views.rows import rollout_row
from sluice.views.slots import SlotLine, known_revisions, revisions_of_run

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
PODS = {"hash": "bbbb", "replicas": 2, "pods": 2, "ready": 1}


def rollout(**status: Any) -> dict[str, Any]:
    """A Rollout with a template; 1.4.0 is stable in blue, 1.5.0 in green is at 25 %."""
    under_way = {
        "stable": {"slot": "blue", "hash": "aaaa", "version": "1.4.0", "number": 6},
        "revision": {"number": 7, "hash": "bbbb", "slot": "green", "version": "1.5.0"},
        "weight": "25%",
        "slots": {"blue": {"hash": "aaaa", "replicas": 6, "pods": 6, "ready": 6}, "green": PODS},
    }
    return {
        "metadata": {"namespace": "shop", "name": "checkout"},
        "spec": {"workload": {"template": {}, "replicas": 6}, "strategy": {"canary": {}}},
        "status": under_way | status,
    }


def green(**status: Any) -> SlotLine:
    """The green slot of such a Rollout."""
    return rollout_detail(rollout(**status), now=NOW).slots[1]


def test_a_slot_tells_of_its_pods() -> None:
    """How many are ready of how many asked for, under which Service, and what run brought them."""
    slot = green()
    assert (slot.ready, slot.asked, slot.service, slot.revision) == ("1", "2", "checkout-green", "7")
    assert (slot.idle, slot.restarted, slot.repairs) == ("", "", "")


def test_a_slot_tells_what_happened_to_it() -> None:
    """Since when it has no traffic, when its pods were asked to be replaced, how often others changed it."""
    at = (NOW - timedelta(minutes=5)).isoformat()
    slot = green(slots={"green": PODS | {"idleSince": at, "restartedAt": at, "repairs": 3}})
    assert (slot.idle, slot.restarted, slot.repairs) == ("5m", "5m", "3")


@pytest.mark.parametrize(
    "outcome, role", [(None, "candidate"), ("Aborted", "rejected"), ("Killed", "rejected"), ("Superseded", "old")]
)
def test_the_role_of_the_slot_that_is_not_stable(outcome: str | None, role: str) -> None:
    """What a run left behind is old, or rejected where it is kept for a look."""
    assert green(revision={"number": 7, "slot": "green", "hash": "bbbb", "outcome": outcome}).role == role


def test_an_old_slot_is_known_by_what_is_in_it() -> None:
    """Not by the last run: an aborted one may have left the slot of the one before untouched."""
    history = [{"number": 5, "hash": "bbbb", "version": "1.3.0", "outcome": "Completed"}]
    slot = green(revision={"number": 7, "slot": "blue", "hash": "aaaa", "outcome": "Completed"}, history=history)
    assert (slot.role, slot.version, slot.revision) == ("old", "1.3.0", "5")


def test_a_slot_that_was_never_used_is_idle() -> None:
    """A first version has no second slot yet."""
    slot = green(revision=None, slots={"blue": PODS})
    assert (slot.role, slot.version, slot.ready, slot.asked) == ("idle", "", "", "")


def test_what_was_adopted_came_by_no_run() -> None:
    """Number 0 is nobody's revision."""
    known = known_revisions(rollout(stable={"slot": "blue", "hash": "aaaa", "version": "1.4.0", "number": 0}))
    assert (known["aaaa"].number, known["aaaa"].version) == ("", "1.4.0")


def test_a_run_knows_both_its_revisions() -> None:
    """Also the one that the status forgets."""
    known = revisions_of_run({"spec": {"revision": 1, "hash": "bb", "version": "2", "stableHash": "aa"}})
    assert {key: (one.number, one.version) for key, one in known.items()} == {"bb": ("1", "2"), "aa": ("", "")}


@pytest.mark.parametrize(
    "slots, pods",
    [
        ({"blue": {"replicas": 6, "ready": 6}, "green": PODS}, "7/8"),
        ({"blue": {"replicas": 6}}, "0/6"),
        ({"blue": {"replicas": "six"}}, "?"),
        (["blue"], "?"),
        ({}, ""),
    ],
)
def test_a_row_counts_the_pods_of_both_slots(slots: Any, pods: str) -> None:
    """Ready of asked for; what makes no sense is not counted."""
    assert rollout_row(rollout(slots=slots), NOW).pods == pods


@pytest.mark.parametrize(
    "workload, replicas",
    [({"template": {}, "replicas": 4}, "4"), ({"template": {}}, "1"), ({"services": {}}, ""), ({}, "")],
)
def test_a_row_tells_for_how_many_the_traffic_asks(workload: dict[str, Any], replicas: str) -> None:
    """Without a number it is one; where others run the pods it is nobody's business."""
    obj = rollout()
    obj["spec"]["workload"] = workload
    assert rollout_row(obj, NOW).replicas == replicas
