"""Paths of objects on an API server."""

import pytest

from sluice.adapters.kube.resources import RESOURCES, collection_path, describe, object_path
from sluice.api.names import Kind


def test_every_kind_has_a_place() -> None:
    """No kind is forgotten."""
    assert set(RESOURCES) == set(Kind)


@pytest.mark.parametrize(
    "kind, namespace, name, path",
    [
        (Kind.SERVICE, "shop", "web", "/api/v1/namespaces/shop/services/web"),
        (Kind.ROLLOUT, "shop", "web", "/apis/sluice.dev/v1alpha1/namespaces/shop/rollouts/web"),
        (Kind.CLUSTER_KILL_SWITCH, "", "stop", "/apis/sluice.dev/v1alpha1/clusterkillswitches/stop"),
        (Kind.NAMESPACE, "", "shop", "/api/v1/namespaces/shop"),
        (
            Kind.SERVICE,
            "../kube-system",
            "x/../../y?z",
            "/api/v1/namespaces/..%2Fkube-system/services/x%2F..%2F..%2Fy%3Fz",
        ),
    ],
)
def test_object_paths(kind: Kind, namespace: str, name: str, path: str) -> None:
    """Each kind's path, with names that cannot point elsewhere."""
    assert object_path(kind, namespace, name) == path


@pytest.mark.parametrize("namespace, name", [("", "web"), ("shop", "")])
def test_an_object_needs_its_names(namespace: str, name: str) -> None:
    """A path that would be a whole collection's is refused: a DELETE of it would delete everything."""
    with pytest.raises(ValueError, match="needs a name"):
        object_path(Kind.SERVICE, namespace, name)


def test_a_collection_of_all_namespaces() -> None:
    """Without a namespace the path is that of all."""
    assert collection_path(Kind.SERVICE) == "/api/v1/services"
    assert collection_path(Kind.CLUSTER_KILL_SWITCH, "ignored").endswith("/clusterkillswitches")


def test_objects_are_named_for_people() -> None:
    """With the namespace, where there is one."""
    assert describe(Kind.SERVICE, "shop", "web") == "Service shop/web"
    assert describe(Kind.NAMESPACE, "", "shop") == "Namespace shop"
