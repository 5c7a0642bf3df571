"""What people see in `kubectl describe rollout` and `kubectl get events` of a run over a fleet."""

from __future__ import annotations

from sluice.api.action import Verb
from sluice.decide.model import Note
from unit.decide.fleet.pretended import LAST, MINUTE, PILOT, REST, SECOND, Pretended, installed


def told(hub: Pretended, *, passes: int) -> list[tuple[str, str]]:
    """Reasons and messages of the Events of so many passes."""
    notes: list[Note] = []
    for _ in range(passes):
        hub.look()
        hub.carry()
        notes += hub.plan.notes
        hub.now += 15 * SECOND
    return [(str(note.reason), note.message) for note in notes]


def test_a_run_is_told_from_beginning_to_end() -> None:
    """Each batch begins, is done and has soaked, once each; then the run is over."""
    hub = installed("abc", {**PILOT, "soak": "1m"}, REST)
    assert told(hub, passes=40) == [
        ("RunStarted", "revision 2 (2.0) begins: 3 clusters in 2 batches"),
        ("BatchStarted", "batch pilot begins: 1 cluster"),
        ("BatchDone", "batch pilot: 1 of 1 clusters has all of its traffic on it; soaks for 1m"),
        ("Soaked", "batch pilot has soaked for 1m"),
        ("BatchStarted", "batch rest begins: 2 clusters"),
        ("BatchDone", "batch rest: 2 of 2 clusters have all of their traffic on it"),
        ("Completed", "revision 2 (2.0) serves"),
    ]


def test_a_batch_that_is_done_without_those_that_failed_says_so() -> None:
    """The count is of those that have it."""
    hub = installed("abc", {**REST, "maxFailures": 1})
    hub.reach("rest", 1)
    hub.fail("b")
    reasons = told(hub, passes=20)
    assert ("ClusterFailed", "b: errors is 0.2") in reasons
    assert ("BatchDone", "batch rest: 2 of 3 clusters have all of their traffic on it") in reasons


def test_clusters_that_are_away_and_back_are_told_once() -> None:
    """Of those that the run waits for: when they went, and when they came; nothing in between."""
    hub = installed("abcdef", PILOT, REST)
    hub.reach("rest", 1)
    hub.look()
    hub.lose("c", "d", "e", "f")
    assert told(hub, passes=8) == [("ClusterLost", "c, d, e and 1 more do not answer")]
    hub.find("c")
    assert told(hub, passes=4) == [("ClusterBack", "c answers again")]
    hub.find("d", "e", "f")
    assert told(hub, passes=1)[0] == ("ClusterBack", "d, e, f answer again")


def test_who_is_away_while_its_batch_soaks_is_told_and_shown() -> None:
    """It has all of its traffic on the revision, and holds the soak: people are to see who."""
    hub = installed("abc", {**PILOT, "size": 2, "soak": "10m"}, REST)
    hub.reach("pilot", LAST)
    told(hub, passes=4)
    hub.lose("b")
    assert told(hub, passes=4) == [("ClusterLost", "b does not answer")]
    assert [(each.name, each.phase) for each in hub.fleet.clusters] == [("b", "Done")]
    hub.find("b")
    assert told(hub, passes=2) == [("ClusterBack", "b answers again")]
    assert hub.fleet.clusters == ()


def test_what_people_do_is_told() -> None:
    """A rollback, by whom and what it does; and that the run is over by it."""
    hub = installed("abc", PILOT, REST)
    hub.reach("rest", 1)
    hub.act(Verb.ROLLBACK, revision=2)
    reasons = [reason for reason, _ in told(hub, passes=1)]
    assert reasons == ["RolledBack", "ActionDone"]
    hub.wait(MINUTE)
