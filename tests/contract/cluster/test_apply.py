"""What server-side apply promises: what Sluice names is as Sluice says, and all else is left to others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from contract.cluster.worlds import World, slot_service
from sluice.adapters.kube.client import KubeCluster
from sluice.api.names import FIELD_MANAGER, Kind
from sluice.errors import Conflict, NotFound, NotLeader, Rejected
from sluice.ports import Obj

DEPLOYMENT, SERVICE = Kind.DEPLOYMENT, Kind.SERVICE
NAME = "checkout-green"


def service(slot: str = "green", **metadata: Any) -> Obj:
    """A slot's Service, without a name."""
    return {"metadata": metadata, "spec": slot_service("", slot)["spec"]}


def deployment(replicas: int = 2, *, image: str = "checkout:1", **metadata: Any) -> Obj:
    """A slot's Deployment, without a name."""
    labels = {"app": "checkout", "slot": "green"}
    pods = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": image}]}}
    return {
        "metadata": metadata,
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": pods},
    }


async def apply(world: World, kind: Kind, body: Obj, *, dry_run: bool = False) -> Obj:
    """Apply under the name that all tests use."""
    return await world.cluster.apply(kind, world.namespace, NAME, body, dry_run=dry_run)


async def read(world: World, kind: Kind) -> Obj:
    """What is stored."""
    return await world.cluster.get(kind, world.namespace, NAME)


async def is_absent(world: World, kind: Kind) -> bool:
    """Whether nothing is stored."""
    try:
        await read(world, kind)
    except NotFound:
        return True
    return False


def image_of(obj: Obj) -> str:
    """The image of a Deployment's only container."""
    [container] = obj["spec"]["template"]["spec"]["containers"]
    return str(container["image"])


async def test_what_is_not_there_is_made(world: World) -> None:
    """An apply makes the object, under the name and in the namespace it was asked for, as our manager's Apply."""
    made = await apply(world, SERVICE, service(labels={"team": "payments"}))
    assert (made["kind"], made["apiVersion"]) == ("Service", "v1")
    assert (made["metadata"]["name"], made["metadata"]["namespace"]) == (NAME, world.namespace)
    assert made["metadata"]["uid"]
    found = await read(world, SERVICE)
    assert found["spec"]["selector"] == {"app": "checkout", "slot": "green"}
    assert found["metadata"]["labels"] == {"team": "payments"}
    writers = {(entry["manager"], entry["operation"]) for entry in found["metadata"]["managedFields"]}
    assert writers == {(FIELD_MANAGER, "Apply")}


async def test_what_is_there_is_changed(world: World) -> None:
    """A second apply changes what differs: the same object, a new version, and a new generation for a new spec."""
    made = await apply(world, DEPLOYMENT, deployment())
    changed = await apply(world, DEPLOYMENT, deployment(5, image="checkout:2", uid=made["metadata"]["uid"]))
    assert changed["metadata"]["uid"] == made["metadata"]["uid"]
    assert changed["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]
    assert (made["metadata"]["generation"], changed["metadata"]["generation"]) == (1, 2)
    found = await read(world, DEPLOYMENT)
    assert (found["spec"]["replicas"], image_of(found)) == (5, "checkout:2")


async def test_annotations_of_a_deployment_make_a_generation(world: World) -> None:
    """A label is a new version of the object only; an annotation of a Deployment counts as a change of its spec."""
    made = await apply(world, DEPLOYMENT, deployment())
    labelled = await apply(world, DEPLOYMENT, deployment(labels={"team": "payments"}))
    noted = await apply(world, DEPLOYMENT, deployment(annotations={"sluice.dev/applied": "a.1"}))
    assert [obj["metadata"]["generation"] for obj in (made, labelled, noted)] == [1, 1, 2]
    assert noted["metadata"]["annotations"]["sluice.dev/applied"] == "a.1"


async def test_what_is_left_out_is_removed(world: World) -> None:
    """Fields that were ours and are not named any more are gone, in metadata and in the spec."""
    body = deployment(labels={"team": "payments", "tier": "web"}, annotations={"note": "x"})
    body["spec"]["minReadySeconds"] = 7
    body["spec"]["template"]["spec"]["containers"].append({"name": "proxy", "image": "proxy:1"})
    await apply(world, DEPLOYMENT, body)
    found = await apply(world, DEPLOYMENT, deployment(labels={"team": "payments"}))
    assert found["metadata"]["labels"] == {"team": "payments"}
    assert "note" not in found["metadata"].get("annotations", {})
    assert not found["spec"].get("minReadySeconds")
    assert image_of(found) == "checkout:1"


@pytest.mark.parametrize(
    "operations",
    [
        [{"op": "replace", "path": "/spec/replicas", "value": 9}],
        [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "evil:1"}],
    ],
    ids=["replicas", "image"],
)
async def test_what_others_changed_is_put_back(world: World, operations: Sequence[Obj]) -> None:
    """Force: a field that somebody else wrote since is as we say again, and that is no Conflict."""
    await apply(world, DEPLOYMENT, deployment())
    foreign = await world.foreign_patch(DEPLOYMENT, NAME, operations)
    assert foreign["metadata"]["generation"] == 2
    found = await apply(world, DEPLOYMENT, deployment(uid=foreign["metadata"]["uid"]))
    assert (found["spec"]["replicas"], image_of(found)) == (2, "checkout:1")
    assert found["metadata"]["generation"] == 3


async def test_what_others_added_stays(world: World) -> None:
    """Fields that we never named are others': a label, and a field of the pod template too."""
    await apply(world, DEPLOYMENT, deployment(labels={"team": "payments"}))
    operations: list[Obj] = [
        {"op": "add", "path": "/metadata/labels/cost-centre", "value": "7"},
        {"op": "add", "path": "/spec/template/spec/hostNetwork", "value": True},
    ]
    await world.foreign_patch(DEPLOYMENT, NAME, operations)
    found = await apply(world, DEPLOYMENT, deployment(3, labels={"team": "shop"}))
    assert found["metadata"]["labels"] == {"team": "shop", "cost-centre": "7"}
    assert found["spec"]["template"]["spec"]["hostNetwork"] is True
    assert found["spec"]["replicas"] == 3


async def test_an_apply_of_what_is_there_changes_nothing(world: World) -> None:
    """Same content, same version and generation: nobody is woken by it."""
    made = await apply(world, SERVICE, service(labels={"team": "payments"}))
    again = await apply(world, SERVICE, service(labels={"team": "payments"}, uid=made["metadata"]["uid"]))
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    made = await apply(world, DEPLOYMENT, deployment(labels={"team": "payments"}))
    again = await apply(world, DEPLOYMENT, deployment(labels={"team": "payments"}, uid=made["metadata"]["uid"]))
    assert again["metadata"]["generation"] == made["metadata"]["generation"]


@pytest.mark.parametrize("kind", [SERVICE, DEPLOYMENT])
async def test_another_object_of_that_name_is_a_conflict(world: World, kind: Kind) -> None:
    """The uid of the object that was seen is a precondition: one that was deleted and made anew is left alone."""
    body = service if kind is SERVICE else deployment
    stale = "01234567-89ab-cdef-0123-456789abcdef"
    with pytest.raises(Conflict, match=NAME):
        await apply(world, kind, body(uid=stale))
    assert await is_absent(world, kind)
    await apply(world, kind, body())
    with pytest.raises(Conflict, match=NAME):
        await apply(world, kind, body(uid=stale, labels={"a": "b"}))
    assert "labels" not in (await read(world, kind))["metadata"]


async def test_what_shall_be_new_takes_nothing_over(world: World) -> None:
    """With a resourceVersion that no object has, an apply makes an object, and is a Conflict where there is one."""
    made = await apply(world, SERVICE, service(resourceVersion="1"))
    with pytest.raises(Conflict, match=NAME):
        await apply(world, SERVICE, service("blue", resourceVersion="1"))
    assert (await read(world, SERVICE))["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    with pytest.raises(Conflict, match=NAME):
        await apply(world, SERVICE, service("blue", resourceVersion="1"), dry_run=True)


async def test_a_dry_run_stores_nothing(world: World) -> None:
    """It answers what would be stored: neither an object is made, nor one changed."""
    tried = await apply(world, DEPLOYMENT, deployment(4), dry_run=True)
    assert tried["spec"]["replicas"] == 4
    assert await is_absent(world, DEPLOYMENT)
    await apply(world, DEPLOYMENT, deployment())
    tried = await apply(world, DEPLOYMENT, deployment(4), dry_run=True)
    assert tried["spec"]["replicas"] == 4
    found = await read(world, DEPLOYMENT)
    assert (found["spec"]["replicas"], found["metadata"]["generation"]) == (2, 1)


async def test_a_dry_run_meets_the_same_conflicts(world: World) -> None:
    """The uid counts there too."""
    with pytest.raises(Conflict, match=NAME):
        await apply(world, SERVICE, service(uid="01234567-89ab-cdef-0123-456789abcdef"), dry_run=True)


@pytest.mark.parametrize("dry_run", [False, True])
async def test_pods_that_the_selector_does_not_match_are_rejected(world: World, dry_run: bool) -> None:
    """A Deployment whose template lacks the selector's labels is refused, tried or meant, and nothing is stored."""
    body = deployment()
    body["spec"]["template"]["metadata"] = {"labels": {"app": "other"}}
    with pytest.raises(Rejected, match=NAME):
        await apply(world, DEPLOYMENT, body, dry_run=dry_run)
    assert await is_absent(world, DEPLOYMENT)


@pytest.mark.cluster
@pytest.mark.parametrize(
    "container, says",
    [
        ({"ports": [{"containerPort": 70_000}]}, "containerPort"),
        ({"imagee": "typo"}, "imagee"),
        ({"ports": "none"}, "ports"),
        ({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}, "duplicate entries"),
    ],
    ids=["out of range", "unknown field", "wrong type", "twice"],
)
@pytest.mark.parametrize("dry_run", [False, True])
async def test_a_template_that_means_nothing_is_rejected(
    world: World, container: Obj, says: str, dry_run: bool
) -> None:
    """Refused for good, with the field's name: what the schema does not know too, for which the server answers 500."""
    if world.fake is not None:
        pytest.skip("the sim knows no pod templates")
    await apply(world, DEPLOYMENT, deployment())
    body = deployment()
    body["spec"]["template"]["spec"]["containers"][0].update(container)
    with pytest.raises(Rejected, match=says):
        await apply(world, DEPLOYMENT, body, dry_run=dry_run)
    assert "env" not in (await read(world, DEPLOYMENT))["spec"]["template"]["spec"]["containers"][0]


@pytest.mark.parametrize("dry_run", [False, True])
async def test_a_namespace_that_is_gone_is_not_found(world: World, dry_run: bool) -> None:
    """Nothing can be made there."""
    with pytest.raises(NotFound):
        await world.cluster.apply(SERVICE, "nowhere-at-all", NAME, service(), dry_run=dry_run)


@pytest.mark.cluster
@pytest.mark.parametrize("dry_run", [False, True])
async def test_only_the_leader_applies(world: World, dry_run: bool) -> None:
    """A process that lost the Lease sends nothing, not even a dry run."""
    if world.transport is None:
        pytest.skip("the sim's leadership is the engine's")

    class Lost:
        def check(self) -> None:
            raise NotLeader("the Lease is lost")

    cluster = KubeCluster(world.transport, Lost())
    with pytest.raises(NotLeader):
        await cluster.apply(SERVICE, world.namespace, NAME, service(), dry_run=dry_run)
    assert await is_absent(world, SERVICE)


async def test_a_service_that_leads_out_of_the_cluster_is_led_back(world: World) -> None:
    """By its type alone; once that is left out again, it stays so."""
    await apply(world, SERVICE, service())
    operations = (("replace", "type", "ExternalName"), ("add", "externalName", "elsewhere.example"))
    astray = [{"op": op, "path": f"/spec/{field}", "value": value} for op, field, value in operations]
    assert (await world.foreign_patch(SERVICE, NAME, astray))["spec"]["type"] == "ExternalName"
    back = service()
    back["spec"]["type"] = "ClusterIP"
    await apply(world, SERVICE, back)
    await apply(world, SERVICE, service())
    found = await read(world, SERVICE)
    assert found["spec"]["selector"] == {"app": "checkout", "slot": "green"}
    assert found["spec"].get("type", "ClusterIP") == "ClusterIP"
