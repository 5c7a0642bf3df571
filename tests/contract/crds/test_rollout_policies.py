"""Who keeps RolloutPolicies: nobody who has no more than a namespace, however much of that."""

from typing import Any

import pytest

from contract.crds.people import MERGE, As, refused
from contract.crds.resources import collection
from contract.crds.rights import await_right
from contract.policies import rollout
from testbed import Cluster

pytestmark = pytest.mark.cluster


@pytest.fixture
def admin(installed: Cluster, namespace: str) -> As:
    """Somebody who has all of one namespace that can be had there."""
    user = "dave"
    installed.kubectl("-n", namespace, "create", "rolebinding", "all", "--clusterrole=admin", f"--user={user}")
    await_right(installed, user, "create", "rollouts.sluice.dev", namespace=namespace)
    return As(installed, namespace, user)


def test_no_tenant_writes_a_policy(installed: Cluster, namespace: str, admin: As) -> None:
    """The admin of a namespace makes none, changes or deletes none, and gives nobody a turn."""
    body: dict[str, Any] = {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "RolloutPolicy",
        "metadata": {"name": f"of-{namespace}"},
        "spec": {"namespaceSelector": {"matchLabels": {"of": namespace}}, "maxConcurrent": 1},
    }
    where = collection("RolloutPolicy", namespace)
    refused(installed.request("POST", where, body, token=admin.token), 403)
    path = f"{where}/{installed.client.checked('POST', where, body)['metadata']['name']}"
    try:
        refused(installed.request("PATCH", path, {"spec": {"maxConcurrent": 500}}, MERGE, token=admin.token), 403)
        forged = {"status": {"turns": [{"rollout": f"{namespace}/r", "uid": "1", "since": "2026-01-01T00:00:00Z"}]}}
        refused(installed.request("PATCH", f"{path}/status", forged, MERGE, token=admin.token), 403)
        refused(installed.request("DELETE", path, token=admin.token), 403)
    finally:
        installed.client.checked("DELETE", path)


def test_no_tenant_leaves_a_policy_by_its_namespace(installed: Cluster, namespace: str, admin: As) -> None:
    """What a namespaceSelector goes by is not for the namespace's admin to write."""
    labels = {"metadata": {"labels": {"env": "playground"}}}
    refused(installed.request("PATCH", f"/api/v1/namespaces/{namespace}", labels, MERGE, token=admin.token), 403)


def test_no_tenant_forges_since_when_it_waits(installed: Cluster, namespace: str, admin: As) -> None:
    """Neither with the Rollout nor by its status does anybody but the operator say who stands in line."""
    queued = {"queued": {"policy": "prod", "since": "2020-01-01T00:00:00Z"}}
    path = f"{collection('Rollout', namespace)}/r"
    installed.client.checked("POST", collection("Rollout", namespace), {**rollout("r"), "status": queued})
    assert "status" not in installed.get(path)
    refused(installed.request("PATCH", f"{path}/status", {"status": queued}, MERGE, token=admin.token), 403)
