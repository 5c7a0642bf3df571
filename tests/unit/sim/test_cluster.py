"""The cluster in memory: an API server's rules, and what only a fake can do."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from sluice.api.names import Kind
from sluice.errors import Conflict, Forbidden, NotFound, NotLeader, Rejected, Unavailable
from sluice.ports import Obj
from sluice.sim.clock import VirtualClock, run
from sluice.sim.cluster import Call, FakeCluster
from sluice.sim.patches import merged

SWITCH: Obj = {"metadata": {"name": "stop"}, "spec": {"engaged": False}}


def cluster() -> FakeCluster:
    """A fresh cluster with the namespace shop."""
    return FakeCluster(VirtualClock(), namespaces=("shop",))


def made(write: Callable[[FakeCluster], Coroutine[Any, Any, Any]]) -> Obj:
    """The switch `stop` after creating it and one more write."""

    async def main() -> Obj:
        target = cluster()
        await target.create(Kind.KILL_SWITCH, "shop", SWITCH)
        await write(target)
        return await target.get(Kind.KILL_SWITCH, "shop", "stop")

    return run(main())


def test_a_new_object_gets_what_the_server_adds() -> None:
    """Identity, times and versions come from the server."""
    found = made(lambda target: target.list(Kind.KILL_SWITCH))
    meta = found["metadata"]
    assert (meta["generation"], meta["creationTimestamp"], meta["namespace"]) == (1, "2026-03-02T09:00:00Z", "shop")
    assert found["kind"] == "KillSwitch"
    assert found["apiVersion"] == "sluice.dev/v1alpha1"
    assert meta["uid"]


@pytest.mark.parametrize(
    "subresource, body, generation, state",
    [
        pytest.param("", {"spec": {"engaged": True}}, 2, None, id="spec"),
        pytest.param("", {"metadata": {"labels": {"a": "b"}}}, 1, None, id="labels"),
        pytest.param("", {"status": {"state": "Engaged"}}, 1, None, id="status-by-the-object"),
        pytest.param("status", {"status": {"state": "Engaged"}}, 1, "Engaged", id="status"),
        pytest.param("status", {"spec": {"engaged": True}}, 1, None, id="spec-by-the-status"),
    ],
)
def test_spec_and_status_are_apart(subresource: str, body: Obj, generation: int, state: str | None) -> None:
    """Each endpoint changes its own part; only the spec makes a generation."""
    found = made(lambda target: target.patch_merge(Kind.KILL_SWITCH, "shop", "stop", body, subresource=subresource))
    assert found["metadata"]["generation"] == generation
    assert found["spec"]["engaged"] is (generation == 2)
    assert found.get("status", {}).get("state") == state


def test_a_write_that_changes_nothing_is_no_write() -> None:
    """No new resourceVersion, no event."""

    async def main() -> None:
        target = cluster()
        first = await target.create(Kind.KILL_SWITCH, "shop", SWITCH)
        events: list[str] = []
        target.subscribe(Kind.KILL_SWITCH, lambda event, _: events.append(event))
        again = await target.patch_merge(Kind.KILL_SWITCH, "shop", "stop", {"spec": {"engaged": False}})
        await asyncio.sleep(1)
        assert again == first
        assert events == ["ADDED"]

    run(main())


def test_resource_version_is_a_precondition() -> None:
    """The second of two writers that read the same version is told."""

    async def main() -> None:
        target = cluster()
        first = await target.create(Kind.KILL_SWITCH, "shop", SWITCH)
        body = {"metadata": {"resourceVersion": first["metadata"]["resourceVersion"]}, "spec": {"engaged": True}}
        await target.patch_merge(Kind.KILL_SWITCH, "shop", "stop", body)
        with pytest.raises(Conflict, match="shop/stop has been modified"):
            await target.patch_merge(Kind.KILL_SWITCH, "shop", "stop", body)

    run(main())


@pytest.mark.parametrize(
    "operation, error",
    [
        pytest.param({"op": "test", "path": "/metadata/uid", "value": "other"}, Conflict, id="test"),
        pytest.param({"op": "test", "path": "/spec/none/such", "value": 1}, Conflict, id="test-of-nothing"),
        pytest.param({"op": "replace", "path": "/spec/none/such", "value": 1}, Conflict, id="replace-nothing"),
        pytest.param({"op": "replace", "path": "/spec", "value": 7}, Rejected, id="nonsense"),
        pytest.param({"op": "replace", "path": "/metadata/name", "value": "x"}, Rejected, id="name"),
    ],
)
def test_json_patches_that_fail(operation: Obj, error: type[Exception]) -> None:
    """What does not fit the object is a conflict, what means nothing is refused; neither changes anything."""

    async def main() -> None:
        target = cluster()
        before = await target.create(Kind.KILL_SWITCH, "shop", SWITCH)
        with pytest.raises(error):
            await target.patch_json(
                Kind.KILL_SWITCH, "shop", "stop", [{"op": "add", "path": "/spec/reason", "value": "no"}, operation]
            )
        assert await target.get(Kind.KILL_SWITCH, "shop", "stop") == before

    run(main())


def test_finalizers_delay_the_end() -> None:
    """Delete marks; removing the last finalizer removes; new ones are refused meanwhile."""

    async def main() -> None:
        target = cluster()
        created = await target.create(
            Kind.KILL_SWITCH, "shop", {**SWITCH, "metadata": {"name": "stop", "finalizers": ["sluice.dev/x"]}}
        )
        events: list[str] = []
        target.subscribe(Kind.KILL_SWITCH, lambda event, _: events.append(event))
        await target.delete(Kind.KILL_SWITCH, "shop", "stop", uid=created["metadata"]["uid"])
        marked = await target.get(Kind.KILL_SWITCH, "shop", "stop")
        assert "deletionTimestamp" in marked["metadata"]
        with pytest.raises(Rejected, match="finalizers"):
            await target.patch_merge(
                Kind.KILL_SWITCH, "shop", "stop", {"metadata": {"finalizers": ["sluice.dev/x", "b/c"]}}
            )
        await target.patch_merge(Kind.KILL_SWITCH, "shop", "stop", {"metadata": {"finalizers": None}})
        with pytest.raises(NotFound):
            await target.get(Kind.KILL_SWITCH, "shop", "stop")
        await asyncio.sleep(0)
        assert events == ["ADDED", "MODIFIED", "DELETED"]

    run(main())


def test_delete_minds_the_uid_and_not_the_absence() -> None:
    """Another object of the same name survives; a missing one is fine."""

    async def main() -> None:
        target = cluster()
        await target.create(Kind.KILL_SWITCH, "shop", SWITCH)
        with pytest.raises(Conflict):
            await target.delete(Kind.KILL_SWITCH, "shop", "stop", uid="of another life")
        await target.delete(Kind.KILL_SWITCH, "shop", "never-was", uid="any")

    run(main())


@pytest.mark.parametrize(
    "kind, body, message",
    [
        pytest.param(Kind.ROLLOUT, {"metadata": {"name": "x"}, "spec": {"workload": 3}}, "workload", id="rollout"),
        pytest.param(Kind.ROLLOUT_ACTION, {"metadata": {"name": "x"}}, "spec", id="no-spec"),
        pytest.param(Kind.KILL_SWITCH, {"spec": {}}, "name", id="no-name"),
    ],
)
def test_what_the_models_refuse_is_rejected(kind: Kind, body: Obj, message: str) -> None:
    """With the model's words."""

    async def main() -> None:
        with pytest.raises(Rejected, match=message):
            await cluster().create(kind, "shop", body)

    run(main())


def test_a_run_cannot_be_edited() -> None:
    """As the CRDs have it, the specs of RolloutRun and RolloutAction are immutable."""

    async def main() -> None:
        target = cluster()
        spec = {"rollout": "checkout", "action": "Pause"}
        await target.create(Kind.ROLLOUT_ACTION, "shop", {"metadata": {"generateName": "pause-"}, "spec": spec})
        (action,) = await target.list(Kind.ROLLOUT_ACTION, "shop")
        with pytest.raises(Rejected, match="immutable"):
            await target.patch_merge(
                Kind.ROLLOUT_ACTION, "shop", action["metadata"]["name"], {"spec": {"action": "Promote"}}
            )

    run(main())


def test_namespaces_begin_and_end() -> None:
    """Nothing is created in a namespace that is missing or ending; it goes when its last object does."""

    async def main() -> None:
        target = cluster()
        with pytest.raises(NotFound, match="elsewhere"):
            await target.create(Kind.KILL_SWITCH, "elsewhere", SWITCH)
        await target.create(Kind.KILL_SWITCH, "shop", {"metadata": {"name": "a", "finalizers": ["x/y"]}, "spec": {}})
        await target.create(Kind.KILL_SWITCH, "shop", SWITCH)
        home = await target.get(Kind.NAMESPACE, "", "shop")
        await target.delete(Kind.NAMESPACE, "", "shop", uid=home["metadata"]["uid"])
        assert [obj["metadata"]["name"] for obj in await target.list(Kind.KILL_SWITCH, "shop")] == ["a"]
        with pytest.raises(Forbidden):
            await target.create(Kind.KILL_SWITCH, "shop", SWITCH)
        await target.patch_merge(Kind.KILL_SWITCH, "shop", "a", {"metadata": {"finalizers": []}})
        with pytest.raises(NotFound):
            await target.get(Kind.NAMESPACE, "", "shop")

    run(main())


def test_what_callers_get_is_theirs() -> None:
    """Changing an answer or an event changes nothing stored."""

    async def main() -> None:
        target = cluster()
        created = await target.create(Kind.KILL_SWITCH, "shop", SWITCH)
        target.subscribe(Kind.KILL_SWITCH, lambda _, obj: obj.clear())
        created["spec"]["engaged"] = True
        await asyncio.sleep(0)
        assert (await target.get(Kind.KILL_SWITCH, "shop", "stop"))["spec"] == {"engaged": False}

    run(main())


def test_events_come_late_but_in_order() -> None:
    """A slow or interrupted watch delivers everything, in order."""

    async def main() -> None:
        target = cluster()
        seen: list[str] = []
        watch = target.subscribe(
            Kind.KILL_SWITCH, lambda event, obj: seen.append(f"{event} {obj['spec']}"), delay_seconds=2
        )
        await target.create(Kind.KILL_SWITCH, "shop", SWITCH)
        await asyncio.sleep(1)
        assert seen == []
        await asyncio.sleep(1)
        assert seen == ["ADDED {'engaged': False}"]
        watch.hold()
        await target.patch_merge(Kind.KILL_SWITCH, "shop", "stop", {"spec": {"engaged": True}})
        await target.patch_merge(Kind.KILL_SWITCH, "shop", "stop", {"spec": {"engaged": False}})
        await asyncio.sleep(60)
        assert len(seen) == 1
        watch.release()
        await asyncio.sleep(2)
        assert seen[1:] == ["MODIFIED {'engaged': True}", "MODIFIED {'engaged': False}"]
        watch.close()
        await target.delete(
            Kind.KILL_SWITCH, "shop", "stop", uid=(await target.list(Kind.KILL_SWITCH))[0]["metadata"]["uid"]
        )
        await asyncio.sleep(60)
        assert len(seen) == 3

    run(main())


@pytest.mark.parametrize("phase, engaged", [("before", False), ("after", True)])
def test_a_fault_before_loses_the_write_and_after_only_the_answer(phase: str, engaged: bool) -> None:
    """Both look alike to the caller."""

    def fault(call: Call) -> None:
        if call.writes and call.phase == phase:
            raise Unavailable("connection reset")

    async def main() -> None:
        target = cluster()
        await target.create(Kind.KILL_SWITCH, "shop", SWITCH)
        target.faults.append(fault)
        with pytest.raises(Unavailable):
            await target.patch_merge(Kind.KILL_SWITCH, "shop", "stop", {"spec": {"engaged": True}})
        assert (await target.get(Kind.KILL_SWITCH, "shop", "stop"))["spec"]["engaged"] is engaged

    run(main())


def test_latency_passes_around_the_effect() -> None:
    """Half before, half after; a fault may add to it."""

    async def main() -> list[float]:
        clock = VirtualClock()
        target = FakeCluster(clock, namespaces=("shop",))
        target.latency_seconds = 2
        target.faults.append(lambda call: 5.0 if call.phase == "before" else None)
        at: list[float] = []
        target.on_change.append(lambda _: at.append(clock.monotonic()))
        await target.create(Kind.KILL_SWITCH, "shop", SWITCH)
        return [*at, clock.monotonic()]

    assert run(main()) == [6, 7]


def test_a_guard_is_asked_after_every_wait_but_the_network() -> None:
    """What it raises reaches the caller, and nothing is written."""

    async def main() -> None:
        clock = VirtualClock()
        target = FakeCluster(clock, namespaces=("shop",))
        before = await target.create(Kind.KILL_SWITCH, "shop", SWITCH)
        target.latency_seconds = 2
        target.faults.append(lambda call: 5.0)
        asked_at: list[float] = []

        def guard() -> None:
            asked_at.append(clock.monotonic())
            raise NotLeader("the Lease is lost")

        with pytest.raises(NotLeader):
            await target.patch_json(
                Kind.KILL_SWITCH,
                "shop",
                "stop",
                [{"op": "replace", "path": "/spec/engaged", "value": True}],
                guard=guard,
            )
        assert asked_at == [5]
        assert target.store.get(Kind.KILL_SWITCH, "shop", "stop") == before

    run(main())


def test_managers_are_told_apart() -> None:
    """Whoever changes a field owns it from then on, and nobody else does."""

    async def main() -> None:
        target = cluster()
        await target.create(Kind.KILL_SWITCH, "shop", SWITCH)
        person = target.as_manager("kubectl-patch")
        found = await person.patch_merge(Kind.KILL_SWITCH, "shop", "stop", {"spec": {"engaged": True}})
        writers = [entry["manager"] for entry in found["metadata"]["managedFields"] if "f:spec" in entry["fieldsV1"]]
        assert writers == ["kubectl-patch"]

    run(main())


@pytest.mark.parametrize(
    "target, patch, expected",
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patches_follow_the_standard(target: Obj, patch: Obj, expected: Obj) -> None:
    """Examples of RFC 7386, appendix A."""
    assert merged(target, patch) == expected
