"""What every Cluster promises: the rules of an API server that the engine builds upon."""

from __future__ import annotations

import pytest

from contract.cluster.worlds import World, route, slot_service
from sluice.api.names import FIELD_MANAGER, Kind
from sluice.errors import Conflict, NotFound, NotLeader, Rejected
from sluice.ports import Lane, Obj

ROUTE = Kind.HTTP_ROUTE


async def make_route(world: World) -> Obj:
    """An HTTPRoute, stored."""
    return await world.cluster.create(ROUTE, world.namespace, route(ROUTE))


async def test_created_objects_are_found(world: World) -> None:
    """What was created is read back with an identity, its kind, and the field manager that wrote it."""
    made = await make_route(world)
    found = await world.cluster.get(ROUTE, world.namespace, "checkout")
    assert found["metadata"]["uid"] == made["metadata"]["uid"]
    assert (found["kind"], found["apiVersion"]) == ("HTTPRoute", "gateway.networking.k8s.io/v1")
    assert found["metadata"]["generation"] == 1
    assert found["metadata"]["namespace"] == world.namespace
    assert FIELD_MANAGER in {entry["manager"] for entry in found["metadata"]["managedFields"]}


async def test_a_taken_name_is_a_conflict(world: World) -> None:
    """Creating under a name that is taken is a Conflict, so that a repeated create is seen for what it is."""
    await make_route(world)
    with pytest.raises(Conflict, match="checkout"):
        await make_route(world)


async def test_list_keeps_to_the_namespace(world: World) -> None:
    """A list holds one namespace's objects, or those of all, and each says what it is."""
    for name in ("checkout-blue", "checkout-green"):
        await world.cluster.create(Kind.SERVICE, world.namespace, slot_service(name, "x"))
    await world.cluster.create(Kind.SERVICE, "default", slot_service(f"other-{world.namespace}", "x"))
    own = await world.cluster.list(Kind.SERVICE, world.namespace)
    everywhere = await world.cluster.list(Kind.SERVICE)
    assert {obj["metadata"]["name"] for obj in own} == {"checkout-blue", "checkout-green"}
    assert f"other-{world.namespace}" in {obj["metadata"]["name"] for obj in everywhere}
    assert {obj["kind"] for obj in everywhere} == {"Service"}


async def test_what_is_not_there_is_not_found(world: World) -> None:
    """Reading or patching an object that does not exist is NotFound, naming it."""
    with pytest.raises(NotFound, match="nothing"):
        await world.cluster.get(ROUTE, world.namespace, "nothing")
    with pytest.raises(NotFound):
        await world.cluster.patch_merge(ROUTE, world.namespace, "nothing", {"metadata": {"labels": {"a": "b"}}})
    with pytest.raises(NotFound):
        await world.cluster.patch_json(
            ROUTE, world.namespace, "nothing", [{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}]
        )


async def test_delete_needs_the_uid(world: World) -> None:
    """Another object under the same name is not deleted; one that is gone already is no error."""
    made = await make_route(world)
    with pytest.raises(Conflict):
        await world.cluster.delete(ROUTE, world.namespace, "checkout", uid="somebody-else")
    await world.cluster.delete(ROUTE, world.namespace, "checkout", uid=made["metadata"]["uid"])
    await world.cluster.delete(ROUTE, world.namespace, "checkout", uid=made["metadata"]["uid"])
    with pytest.raises(NotFound):
        await world.cluster.get(ROUTE, world.namespace, "checkout")


async def test_stale_merge_patch_is_a_conflict(world: World) -> None:
    """A resourceVersion in a merge patch is a precondition; without it the patch goes through."""
    made = await make_route(world)
    stale = made["metadata"]["resourceVersion"]
    await world.cluster.patch_merge(ROUTE, world.namespace, "checkout", {"metadata": {"labels": {"a": "1"}}})
    with pytest.raises(Conflict):
        await world.cluster.patch_merge(
            ROUTE, world.namespace, "checkout", {"metadata": {"resourceVersion": stale, "labels": {"a": "2"}}}
        )
    found = await world.cluster.get(ROUTE, world.namespace, "checkout")
    assert found["metadata"]["labels"]["a"] == "1"


@pytest.mark.parametrize(
    "operations",
    [
        [{"op": "test", "path": "/metadata/uid", "value": "somebody-else"}],
        [{"op": "test", "path": "/metadata/resourceVersion", "value": "1"}],
        [{"op": "test", "path": "/spec/rules/7/backendRefs/0/name", "value": "checkout-blue"}],
        [{"op": "test", "path": "/spec/rules/0/backendRefs/0/name", "value": "checkout-green"}],
        [{"op": "add", "path": "/spec/nothing/here", "value": 1}],
    ],
    ids=["uid", "resourceVersion", "rule is gone", "backends swapped", "path is gone"],
)
@pytest.mark.parametrize("lane", list(Lane))
async def test_json_patch_that_does_not_fit_is_a_conflict(world: World, operations: list[Obj], lane: Lane) -> None:
    """A JSON Patch whose test fails, or whose path is not there, is a Conflict, and nothing of it is written."""
    await make_route(world)
    weight = {"op": "add", "path": "/spec/rules/0/backendRefs/0/weight", "value": 1}
    with pytest.raises(Conflict):
        await world.cluster.patch_json(ROUTE, world.namespace, "checkout", [*operations, weight], lane=lane)
    found = await world.cluster.get(ROUTE, world.namespace, "checkout")
    assert found["spec"]["rules"][0]["backendRefs"][0]["weight"] == 100


@pytest.mark.cluster
async def test_content_that_is_refused_is_rejected(world: World) -> None:
    """What validation refuses is Rejected, not a Conflict: trying again would not help."""
    if world.fake is not None:
        pytest.skip("the sim has no CRD schemas")
    await make_route(world)
    path = "/spec/rules/0/backendRefs/0/weight"
    for value in (-1, "many", 2_000_000):
        with pytest.raises(Rejected):
            await world.cluster.patch_json(
                ROUTE, world.namespace, "checkout", [{"op": "add", "path": path, "value": value}]
            )


async def test_generation_counts_the_spec_only(world: World) -> None:
    """Generation goes up with the spec, and with nothing else; resourceVersion with everything."""
    made = await make_route(world)
    labelled = await world.cluster.patch_merge(
        ROUTE, world.namespace, "checkout", {"metadata": {"labels": {"a": "1"}, "annotations": {"b": "2"}}}
    )
    shifted = await world.cluster.patch_json(
        ROUTE, world.namespace, "checkout", [{"op": "add", "path": "/spec/rules/0/backendRefs/0/weight", "value": 90}]
    )
    generations = [obj["metadata"]["generation"] for obj in (made, labelled, shifted)]
    versions = {obj["metadata"]["resourceVersion"] for obj in (made, labelled, shifted)}
    assert generations == [1, 1, 2]
    assert len(versions) == 3


async def test_a_patch_that_changes_nothing_leaves_the_version(world: World) -> None:
    """Writing what is there already makes no new version, so nobody is woken by it."""
    made = await make_route(world)
    again = await world.cluster.patch_merge(
        ROUTE, world.namespace, "checkout", {"metadata": {"labels": {"app": "checkout"}}}
    )
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


async def test_status_is_written_apart(world: World) -> None:
    """A write of the object leaves its status, a write of the status leaves all else; the generation stays."""
    await make_route(world)
    accepted = {
        "type": "Accepted",
        "status": "True",
        "reason": "Accepted",
        "message": "",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    }
    parent = {"parentRef": {"name": "gw"}, "controllerName": "example.com/gw", "conditions": [accepted]}
    status = {"parents": [parent]}
    body = {"status": status, "spec": {"hostnames": ["evil.example.com"]}}
    told = await world.cluster.patch_merge(ROUTE, world.namespace, "checkout", body, subresource="status")
    assert told["status"]["parents"][0]["controllerName"] == "example.com/gw"
    assert told["spec"]["hostnames"] == ["shop.example.com"]
    assert told["metadata"]["generation"] == 1
    kept = await world.cluster.patch_merge(
        ROUTE, world.namespace, "checkout", {"status": {"parents": []}, "metadata": {"labels": {"x": "y"}}}
    )
    assert kept["status"]["parents"][0]["controllerName"] == "example.com/gw"


async def test_a_dry_run_of_a_merge_patch_stores_nothing(world: World) -> None:
    """Its answer is the object as it would be, and what would be refused is; what is stored stays as it was."""
    made = await make_route(world)
    change = {"spec": {"hostnames": ["other.example"]}}
    told = await world.cluster.patch_merge(ROUTE, world.namespace, "checkout", change, dry_run=True)
    assert told["spec"]["hostnames"] == ["other.example"]
    assert told["metadata"]["generation"] == made["metadata"]["generation"] + 1
    assert await world.cluster.get(ROUTE, world.namespace, "checkout") == made
    with pytest.raises(Rejected):
        await world.cluster.patch_merge(
            ROUTE, world.namespace, "checkout", {"metadata": {"labels": {"a": "no label!"}}}, dry_run=True
        )


async def test_merge_patch_removes_by_null(world: World) -> None:
    """A null in a merge patch removes an annotation; the others stay."""
    await make_route(world)
    await world.cluster.patch_merge(ROUTE, world.namespace, "checkout", {"metadata": {"annotations": {"a": "1"}}})
    found = await world.cluster.patch_merge(
        ROUTE, world.namespace, "checkout", {"metadata": {"annotations": {"a": None}}}
    )
    assert found["metadata"]["annotations"] == {"team": "payments"}


@pytest.mark.parametrize("lane", list(Lane))
async def test_a_guard_drops_the_write(world: World, lane: Lane) -> None:
    """What the guard raises reaches the caller, and nothing is written."""
    made = await make_route(world)

    def refuse() -> None:
        raise NotLeader("not any more")

    with pytest.raises(NotLeader):
        await world.cluster.patch_json(
            ROUTE,
            world.namespace,
            "checkout",
            [{"op": "add", "path": "/metadata/labels/a", "value": "1"}],
            lane=lane,
            guard=refuse,
        )
    found = await world.cluster.get(ROUTE, world.namespace, "checkout")
    assert found["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
