"""Events: counted up rather than repeated, bounded in every way, and never in anybody's way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sluice.adapters.kube.events import MESSAGE_BYTES, QUEUE_LENGTH, EventRecorder, cut, event_name
from sluice.api.names import Kind
from sluice.decide.model import Note
from sluice.errors import Forbidden, NotLeader, Unavailable
from sluice.ports import Obj
from sluice.sim.clock import VirtualClock, run
from sluice.sim.cluster import Call, FakeCluster

ABOUT: Obj = {
    "apiVersion": "sluice.dev/v1alpha1",
    "kind": "Rollout",
    "metadata": {"namespace": "shop", "name": "checkout", "uid": "uid-1"},
}
NOTE = Note(warning=True, reason="MetricFailed", message="error-rate is 3%")


def recording(body: Callable[[FakeCluster, EventRecorder], Awaitable[None]]) -> None:
    """Run with a recorder over a sim's cluster, in virtual time."""

    async def main() -> None:
        clock = VirtualClock()
        cluster = FakeCluster(clock, namespaces=("default", "shop"))
        recorder = EventRecorder(cluster, clock, "sluice-0")
        task = asyncio.create_task(recorder.run())
        await body(cluster, recorder)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(main())


async def events(cluster: FakeCluster, namespace: str = "shop") -> list[Obj]:
    """What is stored, after a while."""
    await asyncio.sleep(60)
    return list(await cluster.list(Kind.EVENT, namespace))


def test_an_event_says_what_happened() -> None:
    """Type, reason, message, object, times and who reports."""

    async def body(cluster: FakeCluster, recorder: EventRecorder) -> None:
        recorder.note(ABOUT, NOTE)
        (event,) = await events(cluster)
        assert event["metadata"]["name"].startswith("checkout.")
        assert (event["type"], event["reason"], event["message"]) == ("Warning", NOTE.reason, NOTE.message)
        assert event["involvedObject"] == {
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "Rollout",
            "namespace": "shop",
            "name": "checkout",
            "uid": "uid-1",
        }
        assert (event["reportingComponent"], event["reportingInstance"], event["count"]) == ("sluice", "sluice-0", 1)

    recording(body)


def test_the_same_again_is_counted_up() -> None:
    """Twice at once and once later are one Event with count 3 and a later lastTimestamp."""

    async def body(cluster: FakeCluster, recorder: EventRecorder) -> None:
        recorder.note(ABOUT, NOTE)
        recorder.note(ABOUT, NOTE)
        (first,) = await events(cluster)
        recorder.note(ABOUT, NOTE)
        (second,) = await events(cluster)
        assert (first["count"], second["count"]) == (2, 3)
        assert second["firstTimestamp"] < second["lastTimestamp"]

    recording(body)


def test_one_from_before_a_restart_is_counted_up() -> None:
    """A new process finds the Event of the one before it, and goes on counting."""

    async def body(cluster: FakeCluster, recorder: EventRecorder) -> None:
        recorder.note(ABOUT, NOTE)
        await events(cluster)
        heir = EventRecorder(cluster, VirtualClock(), "sluice-1")
        task = asyncio.create_task(heir.run())
        heir.note(ABOUT, NOTE)
        (event,) = await events(cluster)
        assert event["count"] == 2
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    recording(body)


def test_one_that_expired_is_made_anew() -> None:
    """Events live for an hour: the next one starts at 1."""

    async def body(cluster: FakeCluster, recorder: EventRecorder) -> None:
        recorder.note(ABOUT, NOTE)
        (event,) = await events(cluster)
        await cluster.delete(Kind.EVENT, "shop", event["metadata"]["name"], uid=event["metadata"]["uid"])
        recorder.note(ABOUT, NOTE)
        (event,) = await events(cluster)
        assert event["count"] == 1

    recording(body)


def test_one_object_cannot_flood() -> None:
    """A burst of 25, then one in five minutes; another object is not held back by it."""

    async def body(cluster: FakeCluster, recorder: EventRecorder) -> None:
        for number in range(100):
            recorder.note(ABOUT, Note(False, "Stepping", f"step {number}"))
        recorder.note({**ABOUT, "metadata": {**ABOUT["metadata"], "name": "cart", "uid": "uid-2"}}, NOTE)
        assert len(await events(cluster)) == 26
        assert recorder.dropped == 75
        await asyncio.sleep(600)
        for number in range(100, 110):
            recorder.note(ABOUT, Note(False, "Stepping", f"step {number}"))
        assert len(await events(cluster)) == 28

    recording(body)


def test_the_queue_is_bounded() -> None:
    """While the API server is away the oldest are dropped, and counted."""

    async def body(cluster: FakeCluster, recorder: EventRecorder) -> None:
        for number in range(QUEUE_LENGTH + 10):
            recorder.note({"metadata": {"namespace": "shop", "name": f"r-{number}"}}, NOTE)
        assert recorder.dropped == 10

    recording(body)


@pytest.mark.parametrize("error", [Forbidden("no"), NotLeader("no"), Unavailable("away")])
def test_a_failure_is_the_recorders_own(error: Exception) -> None:
    """Whatever the API server says, the recorder goes on with the next one."""

    async def body(cluster: FakeCluster, recorder: EventRecorder) -> None:
        def fail(call: Call) -> float | None:
            raise error

        cluster.faults.append(fail)
        recorder.note(ABOUT, NOTE)
        await asyncio.sleep(60)
        assert recorder.dropped == 1
        cluster.faults.clear()
        recorder.note(ABOUT, NOTE)
        assert len(await events(cluster)) == 1

    recording(body)


@pytest.mark.parametrize(
    "about",
    [{}, {"metadata": None}, {"metadata": []}, {"metadata": {"name": 7}}, {"kind": {}, "metadata": {"name": "x"}}],
)
def test_it_never_raises(about: Any) -> None:
    """An object that does not say who it is is no reason to fail."""

    async def body(cluster: FakeCluster, recorder: EventRecorder) -> None:
        recorder.note(about, NOTE)

    recording(body)


def test_cluster_scoped_objects_have_their_events_in_default() -> None:
    """As everywhere in Kubernetes."""

    async def body(cluster: FakeCluster, recorder: EventRecorder) -> None:
        recorder.note({"kind": "ClusterKillSwitch", "metadata": {"name": "stop", "uid": "1"}}, NOTE)
        assert len(await events(cluster, "default")) == 1

    recording(body)


def test_names_and_messages_have_their_length() -> None:
    """A name fits the API's limit, whatever the object's; a message is cut between characters."""
    reference = {"name": "n" * 253, "uid": "1"}
    assert len(event_name(reference, NOTE)) <= 253
    assert event_name(reference, NOTE) != event_name(reference, Note(True, "MetricFailed", "other"))
    assert len(cut("ä" * 2000, MESSAGE_BYTES).encode()) == MESSAGE_BYTES
    assert cut("a\x00b\x1b[31mc", 100) == "a b [31mc"
