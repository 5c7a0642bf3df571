"""Namespaces of the tests' own, on the API server with Sluice in it."""

import itertools
from collections.abc import Callable

import pytest

from contract.crds.people import As
from contract.crds.rights import RIGHT_OF, await_right
from testbed import Cluster

_NUMBERS = itertools.count(1)


@pytest.fixture
def namespace(installed: Cluster) -> str:
    """A fresh namespace. It stays, for the control plane ends with the session."""
    name = f"crds-{next(_NUMBERS)}"
    installed.kubectl("create", "namespace", name)
    return name


@pytest.fixture(scope="session")
def shop(installed: Cluster) -> str:
    """The namespace that the samples are in."""
    installed.apply("{apiVersion: v1, kind: Namespace, metadata: {name: shop}}")
    return "shop"


@pytest.fixture
def grant(installed: Cluster, namespace: str) -> Callable[..., None]:
    """Bind ClusterRoles to a user in the test's namespace: `grant("alice", "sluice-editor", "sluice-releaser")`."""

    def bind(user: str, *roles: str) -> None:
        for role in roles:
            installed.kubectl(
                "-n", namespace, "create", "rolebinding", f"{user}-{role}", f"--clusterrole={role}", f"--user={user}"
            )
            await_right(installed, user, *RIGHT_OF[role], namespace=namespace)

    return bind


@pytest.fixture
def user(installed: Cluster, namespace: str, grant: Callable[..., None]) -> Callable[..., As]:
    """Give a user roles in the namespace and act in their name: `user("alice", "sluice-editor")`."""

    def make(name: str, *roles: str) -> As:
        grant(name, *roles)
        return As(installed, namespace, name)

    return make
