"""Taking clusters of a fleet back by hand: which go, what the run makes of it, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sluice.api.action import Verb
from sluice.api.fleet import ClusterPhase, OnFailure
from sluice.api.killswitch import Effect
from sluice.api.outcome import Outcome
from sluice.api.rollout import Phase
from unit.decide.fleet.obedient import Fleet, healthy
from unit.decide.fleet.pretended import DIVERT

OLD, NEW = "v1", "v2"
CAREFUL = {"batches": [{"name": "pilot", "clusters": ["c1"]}, {"name": "rest", "soak": "1h", "maxFailures": 2}]}


def completed() -> Fleet:
    """A fleet that went from v1 to v2."""
    return healthy().release(NEW).settle()


def in_second_batch() -> Fleet:
    """A run in which c1 completed, and c2 and c3 are done and soak; two of them may fail."""
    return healthy().release(NEW, **CAREFUL).until("batch rest soaks")


def refusal(fleet: Fleet, **fields: object) -> str:
    """Why a rollback is refused; the fleet stays as it is."""
    before = fleet.serves()
    answer = fleet.tell(Verb.ROLLBACK, **fields)
    assert not answer.done
    assert fleet.settle().serves() == before
    return answer.message


# ------------------------------------------------------------------ in mid-run


def test_a_cluster_goes_back_and_the_run_goes_on() -> None:
    """What may fail, may be taken back: the others of its batch stay where they are, and the record says who did it."""
    fleet = in_second_batch()
    answer = fleet.tell(Verb.ROLLBACK, clusters=["c3"], reason="slow disk")
    assert (answer.done, answer.message) == (True, "c3 returns to v1, and counts as failed")
    fleet.step()
    assert fleet.status.fleet is not None
    assert fleet.status.fleet.revision is not None
    assert fleet.status.fleet.revision.outcome is None
    assert fleet.phases() == {
        "c1": ClusterPhase.COMPLETED,
        "c2": ClusterPhase.DONE,
        "c3": ClusterPhase.RETURNED,
        "c4": ClusterPhase.DONE,
    }
    [failure] = fleet.runs[-1].status.failures
    assert (failure.name, failure.reason, failure.message) == ("c3", "RolledBack", "rolled back by alice: slow disk")
    assert [(each.name, each.message) for each in fleet.status.fleet.clusters] == [("c3", failure.message)]


def test_a_cluster_that_completed_goes_back_in_mid_run() -> None:
    """Also from an earlier batch; that one tolerates no failure, so the run ends and both batches return."""
    fleet = in_second_batch()
    assert fleet.tell(Verb.ROLLBACK, clusters=["c1"]).done
    assert "1 of 1 clusters of batch pilot failed, 0 may: c1: rolled back by alice; the batch returns" in (
        fleet.status.message
    )
    assert set(fleet.settle().serves().values()) == {OLD}
    assert set(fleet.phases().values()) == {ClusterPhase.RETURNED}


def test_a_batch_goes_back_and_the_failure_policy_judges() -> None:
    """More than may: with Hold the run stays where it is until somebody decides, and those that were named are back."""
    batches = [{"name": "pilot", "clusters": ["c1"]}, {"name": "rest", "soak": "1h"}]
    fleet = healthy().release(NEW, batches=batches, onFailure=OnFailure.HOLD).until("batch rest soaks")
    assert fleet.tell(Verb.ROLLBACK, batch="rest").message == "c2, c3, c4 return to v1, and count as failed"
    fleet.settle()
    assert fleet.status.phase is Phase.PAUSED
    assert "all waits: sluice abort checkout -n shop" in fleet.status.message
    assert fleet.serves() == {"c1": NEW, "c2": OLD, "c3": OLD, "c4": OLD}


def test_the_fleet_goes_back_in_mid_run() -> None:
    """Completed clusters too; the run is aborted, and not tried again by itself."""
    fleet = in_second_batch()
    answer = fleet.tell(Verb.ROLLBACK, reason="wrong prices")
    assert answer.message == "4 clusters return to v1"
    assert fleet.status.message.startswith("rolled back by alice: wrong prices; 4 clusters return to v1")
    fleet.settle()
    assert (fleet.status.phase, set(fleet.serves().values())) == (Phase.ABORTED, {OLD})
    assert fleet.runs[-1].status.outcome is Outcome.ABORTED


# ------------------------------------------------------------------ when the run is over


def test_a_cluster_goes_back_after_the_run() -> None:
    """The others keep what they have; the Rollout is Healthy and says who has something else."""
    fleet = completed()
    assert fleet.tell(Verb.ROLLBACK, clusters=["c2"]).message == "c2 returns to v1"
    fleet.settle()
    assert fleet.serves() == {"c1": NEW, "c2": OLD, "c3": NEW, "c4": NEW}
    assert fleet.status.phase is Phase.HEALTHY
    assert fleet.status.message == "v2 serves in 3 of 4 clusters; c2 has another revision"
    assert fleet.status.fleet is not None
    assert [each.name for each in fleet.status.fleet.clusters] == ["c2"]


def test_a_cluster_that_went_back_takes_part_in_the_next_run() -> None:
    """It was taken back from one revision, not from all."""
    fleet = completed()
    fleet.tell(Verb.ROLLBACK, clusters=["c2"])
    assert set(fleet.settle().release("v3").settle().serves().values()) == {"v3"}


def test_a_cluster_that_went_back_returns_to_what_it_had() -> None:
    """Not to what the fleet had, from which it was taken back: when the next run comes to nothing, too."""
    fleet = completed()
    fleet.tell(Verb.ROLLBACK, clusters=["c2"])
    fleet.settle().release("v3", **CAREFUL).until("batch rest soaks").tell(Verb.ABORT)
    assert fleet.settle().serves() == {"c1": "v3", "c2": OLD, "c3": NEW, "c4": NEW}
    assert fleet.phases()["c2"] is ClusterPhase.RETURNED


def test_the_fleet_goes_back_after_the_run() -> None:
    """What was stable before is stable again, the revision is not tried again by itself, and retry tries it."""
    fleet = completed()
    fleet.deaf = {"c4"}
    assert fleet.tell(Verb.ROLLBACK).message == "4 clusters return to v1"
    fleet.settle()
    assert (fleet.status.phase, fleet.serves()["c1"]) == (Phase.ABORTED, OLD)
    assert "1 cluster is on its way back; try again: sluice retry" in fleet.status.message
    fleet.deaf = set()
    assert set(fleet.settle().serves().values()) == {OLD}
    assert fleet.runs[-1].status.outcome is Outcome.ABORTED
    assert fleet.tell(Verb.RETRY).done
    assert set(fleet.settle().serves().values()) == {NEW}
    assert fleet.runs[-1].spec.stable_spec == fleet.runs[0].spec.spec


def test_a_retry_after_the_fleet_went_back_can_go_back_again() -> None:
    """Also where the FleetRun that once brought the stable version is gone, beyond the limit."""
    fleet = completed()
    fleet.tell(Verb.ROLLBACK)
    fleet.settle()
    fleet.runs = fleet.runs[-1:]
    fleet.release(NEW, **CAREFUL).tell(Verb.RETRY)
    fleet.until("batch rest soaks")
    assert fleet.tell(Verb.ROLLBACK).done
    assert set(fleet.settle().serves().values()) == {OLD}


def test_a_cluster_that_joined_since_goes_back_with_the_fleet() -> None:
    """It is in no run's record, but has the revision that nobody shall have any more."""
    fleet = completed()
    fleet.names += ("c5",)
    assert fleet.settle().serves()["c5"] == NEW
    fleet.tell(Verb.ROLLBACK)
    assert fleet.settle().serves()["c5"] == OLD


def test_a_fleet_that_was_aborted_takes_back_who_had_completed() -> None:
    """An abort lets them keep it; this doesn't, and leaves the outcome as it was."""
    fleet = in_second_batch()
    fleet.tell(Verb.ABORT)
    assert fleet.settle().serves()["c1"] == NEW
    assert fleet.tell(Verb.ROLLBACK).message == "1 cluster returns to v1"
    assert fleet.settle().serves()["c1"] == OLD
    assert fleet.status.fleet is not None
    assert fleet.status.fleet.revision is not None
    assert fleet.status.fleet.revision.reason == "AbortedByAction"
    assert fleet.status.fleet.revision.message.endswith("keeps it; rolled back by alice; 1 cluster returns to v1")


# ------------------------------------------------------------------ refused


def test_a_first_revision_has_nothing_before_it() -> None:
    """There is no spec to send back."""
    told = refusal(healthy(), clusters=["c1"])
    assert told == "revision 1 is the first that the fleet has: there is nothing before it"


def test_undo_names_what_goes_back() -> None:
    """A fleet has another word for it."""
    answer = completed().tell(Verb.UNDO)
    assert not answer.done
    assert answer.message.endswith("nothing was done; to go back: sluice rollback checkout -n shop --fleet")


@pytest.mark.parametrize(
    "fields, told",
    [
        ({"clusters": ["c9"]}, "c9 took no part in revision 2; who did: sluice status checkout -n shop --clusters"),
        ({"clusters": ["c1", "c9"]}, "c9 took no part in revision 2"),
        ({"batch": "wav"}, "revision 2 has no batch wav; its batches are pilot, wave, rest"),
        ({"batch": "pilot", "revision": 1}, "it is for revision 1, but the current one is 2"),
        ({"revision": None}, "Rollback needs spec.revision; the current revision is 2"),
    ],
)
def test_what_is_not_there_cannot_go_back(fields: dict[str, object], told: str) -> None:
    """With what there is instead; nobody goes back where one of several is unknown."""
    assert told in refusal(completed(), **fields)


def test_who_has_nothing_of_it_cannot_go_back() -> None:
    """Each with the reason; and where others can, they do."""
    fleet = healthy().release(NEW, maxFailures=3).until("batch wave (2 of 3), 0 of 2 clusters done; step 2")
    fleet.deaf = {"c3"}
    assert refusal_at_once(fleet, clusters=["c4"]) == "there is nothing to take back: c4 has not begun"
    assert fleet.tell(Verb.ROLLBACK, clusters=["c2", "c4"]).message == (
        "c2 returns to v1, and counts as failed; c4 has not begun"
    )
    assert "c2 is back already" in refusal_at_once(fleet, clusters=["c2"])
    assert (
        fleet.tell(Verb.ROLLBACK, batch="wave").message == "c3 returns to v1, and counts as failed; c2 is back already"
    )
    assert fleet.tell(Verb.ROLLBACK, batch="wave").message == "c3 is on the way back already"


def refusal_at_once(fleet: Fleet, **fields: object) -> str:
    """Why a rollback is refused, of a run that goes on."""
    answer = fleet.tell(Verb.ROLLBACK, **fields)
    assert not answer.done
    return answer.message


def test_a_paused_fleet_that_is_complete_is_not_moved() -> None:
    """As undo: what moves a completed revision waits until nothing holds the Rollout."""
    fleet = completed()
    fleet.spec["paused"] = True
    assert refusal(fleet) == "spec.paused is true; goes on when it is false; then ask again"


# ------------------------------------------------------------------ crashes


@pytest.mark.parametrize("fields", [{"clusters": ["c3"]}, {"batch": "rest"}, {}])
@pytest.mark.parametrize("over", [False, True])
def test_a_crash_between_the_record_and_the_status(fields: dict[str, object], over: bool) -> None:
    """The record is written first. Whoever dies then is followed by one who comes to the same end, and tells of it."""
    quiet, torn = (completed() if over else in_second_batch() for _ in range(2))
    if over and fields.get("batch"):
        fields = {"batch": "wave"}
    assert quiet.tell(Verb.ROLLBACK, **fields).done
    assert torn.crash_after_the_record(Verb.ROLLBACK, **fields).done
    for _ in range(10):
        torn.step()
        quiet.step()
    assert torn.serves() == quiet.serves()
    assert torn.phases() == quiet.phases()
    assert [entry.action for entry in torn.status.audit.entries].count("Rollback") == 1
    assert torn.status.fleet is not None
    assert quiet.status.fleet is not None
    assert torn.status.fleet.stable == quiet.status.fleet.stable
    assert torn.status.phase is quiet.status.phase


def test_a_crash_between_the_record_and_the_status_of_a_rollback_by_a_switch() -> None:
    """Of a run that was complete: what was stable before is stable again, and who engaged the switch is told."""
    quiet, torn = completed(), completed()
    for fleet in (quiet, torn):
        fleet.switches = (replace(DIVERT, effect=Effect.ROLLBACK, actor="carol"),)
    torn.crash()
    for _ in range(10):
        torn.step()
        quiet.step()
    assert (torn.phases(), torn.status.message) == (quiet.phases(), quiet.status.message)
    assert torn.status.fleet is not None
    assert quiet.status.fleet is not None
    assert torn.status.fleet.stable == quiet.status.fleet.stable
    told = [[entry.actor for entry in each.status.audit.entries if entry.action == "return"] for each in (quiet, torn)]
    assert told == [["carol"], ["carol"]]
