"""Services and Deployments: nobody else sends a Service to other pods, or changes what runs in a slot."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from contract.pins.shop import MANAGED, NAME, WRITERS, Json, Shop, Writer, ours
from sluice.api.names import OWNER_ANNOTATION, REVISION_ANNOTATION, Kind
from sluice.decide.release import release
from testbed import TestbedError

pytestmark = pytest.mark.cluster

SLOT_LABELS = {"app.kubernetes.io/managed-by": "sluice", "sluice.dev/rollout": NAME, "sluice.dev/slot": "blue"}
SELECTOR = {"sluice.dev/rollout": NAME, "sluice.dev/slot": "blue"}
SERVICE: Json = {"selector": SELECTOR, "ports": [{"port": 80}]}
DEPLOYMENT: Json = {
    "replicas": 3,
    "selector": {"matchLabels": SELECTOR},
    "template": {
        "metadata": {"labels": SELECTOR},
        "spec": {"containers": [{"name": "app", "image": "shop/checkout:1.0"}]},
    },
}


def deployment(**changes: Any) -> Json:
    """The spec with other fields; None takes one away."""
    merged = {**copy.deepcopy(DEPLOYMENT), **changes}
    return {key: value for key, value in merged.items() if value is not None}


def with_image(image: str) -> Json:
    """The template with another image."""
    template: Json = copy.deepcopy(DEPLOYMENT["template"])
    template["spec"]["containers"][0]["image"] = image
    return template


@pytest.fixture
def service(shop: Shop) -> Json:
    """A Service that a Rollout switches or keeps."""
    return shop.create(shop.manifest(Kind.SERVICE, SERVICE, annotations=MANAGED))


@pytest.fixture
def slot(shop: Shop) -> Json:
    """A slot's Deployment, with a revision that its controller has seen."""
    notes = {**MANAGED, REVISION_ANNOTATION: "abc"}
    shop.create(shop.manifest(Kind.DEPLOYMENT, DEPLOYMENT, labels=SLOT_LABELS, annotations=notes))
    return observed(shop)


@pytest.fixture
def adopted(shop: Shop) -> Json:
    """A Deployment that a workloadRef names."""
    shop.create(shop.manifest(Kind.DEPLOYMENT, DEPLOYMENT, annotations=MANAGED))
    return observed(shop)


def observed(shop: Shop) -> Json:
    """The Deployment, once its controller has seen what is stored now and made all of its pods."""

    def seen() -> Json | None:
        found = shop.get(Kind.DEPLOYMENT)
        status = found.get("status", {})
        caught_up = status.get("observedGeneration") == found["metadata"]["generation"]
        return found if caught_up and status.get("updatedReplicas", 0) == found["spec"]["replicas"] else None

    found: Json | None = shop.hub.wait(seen, 20, "the Deployment's controller to have seen it")
    assert found
    return found


# ------------------------------------------------------------------ Services


@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.__name__)
@pytest.mark.parametrize(
    "selector", [SELECTOR, {"app": "checkout"}, None], ids=["as it was", "another", "without a selector"]
)
def test_nobodys_apply_switches_a_service(shop: Shop, service: Json, writer: Writer, selector: Json | None) -> None:
    """It goes on leading to the pods it led to; ports and labels are as the writer has them."""
    spec: Json = {"selector": selector, "ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "b"}]}
    if selector is None and writer.__name__ != "merge_patch":
        del spec["selector"]
    writer(shop.hub, shop.manifest(Kind.SERVICE, spec))
    stored = shop.get(Kind.SERVICE)
    assert stored["spec"]["selector"] == SELECTOR
    assert {port["name"]: port["port"] for port in stored["spec"]["ports"]} == {"a": 80, "b": 81}
    assert ours(stored) == MANAGED


def test_a_service_without_a_selector_keeps_none(shop: Shop) -> None:
    """Where there was none, nobody gives it one."""
    shop.create(shop.manifest(Kind.SERVICE, {"ports": [{"port": 80}]}, annotations=MANAGED))
    assert "selector" not in shop.merge(Kind.SERVICE, {"spec": {"selector": {"app": "x"}}})["spec"]


def test_the_operator_switches_a_service(shop: Shop, service: Json) -> None:
    """Its selector stands."""
    green = {**SELECTOR, "sluice.dev/slot": "green"}
    stored = shop.as_operator(Kind.SERVICE, [{"op": "add", "path": "/spec/selector", "value": green}])
    assert stored["spec"]["selector"] == green


def test_other_services_are_their_writers(shop: Shop) -> None:
    """One that no Rollout moves is switched by whoever may."""
    shop.create(shop.manifest(Kind.SERVICE, SERVICE))
    stored = shop.merge(Kind.SERVICE, {"spec": {"selector": {"sluice.dev/slot": "green"}}})
    assert stored["spec"]["selector"]["sluice.dev/slot"] == "green"


# ------------------------------------------------------------------ slots' Deployments


@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.__name__)
@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(deployment(template=with_image("evil:1")), id="another image"),
        pytest.param(deployment(replicas=0), id="no replicas"),
        pytest.param(deployment(replicas=None), id="without replicas"),
        pytest.param(deployment(paused=True, minReadySeconds=60), id="paused"),
    ],
)
def test_nobodys_apply_changes_a_slot(shop: Shop, slot: Json, writer: Writer, spec: Json) -> None:
    """The whole spec stays, to the byte and the generation: no pod is replaced, started or ended."""
    writer(shop.hub, shop.manifest(Kind.DEPLOYMENT, spec, labels={"app": "checkout"}))
    stored = shop.get(Kind.DEPLOYMENT)
    assert stored["spec"] == slot["spec"]
    assert ours(stored) == ours(slot)
    for label in ("sluice.dev/rollout", "sluice.dev/slot"):
        assert stored["metadata"]["labels"][label] == SLOT_LABELS[label]


@pytest.mark.parametrize(
    "arguments",
    [
        ("set", "image", f"deployment/{NAME}", "app=evil:1"),
        ("rollout", "restart", f"deployment/{NAME}"),
        ("rollout", "pause", f"deployment/{NAME}"),
        ("set", "env", f"deployment/{NAME}", "A=B"),
        ("patch", "deployment", NAME, "--type=merge", "-p", '{"spec": {"replicas": 9}}'),
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_kubectl_does_not_change_a_slot(shop: Shop, slot: Json, arguments: tuple[str, ...]) -> None:
    """Neither image nor pods nor generation."""
    shop.kubectl(*arguments)
    stored = shop.get(Kind.DEPLOYMENT)
    assert stored["spec"] == slot["spec"]
    assert stored["metadata"]["generation"] == slot["metadata"]["generation"]


def test_a_slot_stays_a_slot(shop: Shop, slot: Json) -> None:
    """Who takes the labels away that tell slots from other Deployments has not opened it for the next write."""
    shop.patch(Kind.DEPLOYMENT, {"op": "remove", "path": "/metadata/labels"})
    shop.patch(Kind.DEPLOYMENT, {"op": "remove", "path": "/metadata/labels/sluice.dev~1slot"})
    stored = shop.merge(Kind.DEPLOYMENT, {"spec": {"minReadySeconds": 60}})
    assert stored["spec"] == slot["spec"]
    assert stored["metadata"]["labels"] == {key: SLOT_LABELS[key] for key in SELECTOR}


def test_labels_and_annotations_of_a_slot(shop: Shop, slot: Json) -> None:
    """Keys that are not Sluice's are anybody's to write."""
    shop.kubectl("annotate", "deployment", NAME, "team=payments")
    shop.kubectl("label", "deployment", NAME, "tier=web")
    metadata = shop.get(Kind.DEPLOYMENT)["metadata"]
    assert (metadata["annotations"]["team"], metadata["labels"]["tier"]) == ("payments", "web")


def test_the_operator_and_the_controllers_go_on(shop: Shop, slot: Json) -> None:
    """A new template by the operator is rolled out by the real controller, which writes its annotations and status."""
    image = {"op": "add", "path": "/spec/template/spec/containers/0/image", "value": "shop/checkout:2.0"}
    stored = shop.as_operator(Kind.DEPLOYMENT, [image])
    assert stored["spec"]["template"]["spec"]["containers"][0]["image"] == "shop/checkout:2.0"

    def rolled() -> bool:
        found = shop.get(Kind.DEPLOYMENT)
        notes = found["metadata"]["annotations"]
        return bool(
            notes.get("deployment.kubernetes.io/revision") == "2"
            and found["status"].get("observedGeneration") == found["metadata"]["generation"]
            and found["status"].get("updatedReplicas")
        )

    shop.hub.wait(rolled, 20, "the second revision to be rolled out")
    assert shop.get(Kind.DEPLOYMENT)["metadata"]["annotations"][OWNER_ANNOTATION] == MANAGED[OWNER_ANNOTATION]


def test_the_scale_subresource_is_not_seen(shop: Shop, slot: Json) -> None:
    """What an autoscaler or `kubectl scale` writes is in force until the operator mends it: a Scale tells no owner."""
    shop.kubectl("scale", "deployment", NAME, "--replicas=5")
    assert shop.get(Kind.DEPLOYMENT)["spec"]["replicas"] == 5
    stored = shop.as_operator(Kind.DEPLOYMENT, [{"op": "add", "path": "/spec/replicas", "value": 3}])
    assert stored["spec"]["replicas"] == 3


@pytest.mark.parametrize("cascade", ["background", "foreground", "orphan"])
def test_a_slot_can_be_deleted(shop: Shop, slot: Json, cascade: str) -> None:
    """The garbage collector gets its finalizers off, whichever way it was asked."""
    shop.kubectl("delete", "deployment", NAME, f"--cascade={cascade}", "--timeout=30s")
    with pytest.raises(TestbedError, match="NotFound"):
        shop.kubectl("get", "deployment", NAME)


# ------------------------------------------------------------------ Deployments that a workloadRef names


@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.__name__)
@pytest.mark.parametrize("replicas", [9, None], ids=["other replicas", "without replicas"])
def test_git_keeps_the_template_of_an_adopted_deployment(
    shop: Shop, adopted: Json, writer: Writer, replicas: int | None
) -> None:
    """Its template is what shall run next, and Git's to write; how many pods it has is not."""
    spec = deployment(replicas=replicas, template=with_image("shop/checkout:2.0"), minReadySeconds=5)
    writer(shop.hub, shop.manifest(Kind.DEPLOYMENT, spec, labels={"app": "checkout"}))
    stored = shop.get(Kind.DEPLOYMENT)
    assert stored["spec"]["replicas"] == 3
    assert stored["spec"]["minReadySeconds"] == 5
    assert stored["spec"]["template"]["spec"]["containers"][0]["image"] == "shop/checkout:2.0"
    assert ours(stored) == MANAGED


def test_an_adopted_deployment_is_not_made_a_slot(shop: Shop, adopted: Json) -> None:
    """The label that would freeze its spec is not others' to write."""
    stored = shop.merge(Kind.DEPLOYMENT, {"metadata": {"labels": {"sluice.dev/slot": "blue", "tier": "web"}}})
    assert stored["metadata"]["labels"] == {"tier": "web"}


def test_other_deployments_are_their_writers(shop: Shop) -> None:
    """One that no Rollout has anything to do with is changed by whoever may, slot label or not."""
    shop.create(shop.manifest(Kind.DEPLOYMENT, DEPLOYMENT, labels=SLOT_LABELS))
    stored = shop.merge(Kind.DEPLOYMENT, {"metadata": {"labels": None}, "spec": deployment(replicas=9)})
    assert stored["spec"]["replicas"] == 9
    assert "labels" not in stored["metadata"]


def test_a_release_lets_go(shop: Shop, slot: Json) -> None:
    """Once the operator has taken its annotations off, what was a slot is an ordinary Deployment."""
    patch = release(Kind.DEPLOYMENT, NAME, slot["metadata"]["uid"], slot["metadata"]["annotations"])
    assert ours(shop.as_operator(Kind.DEPLOYMENT, patch.operations)) == {}
    assert shop.merge(Kind.DEPLOYMENT, {"spec": {"replicas": 9}})["spec"]["replicas"] == 9
