"""What manifests/ renders and installs."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

import sluice
from contract.crds.resources import collection
from contract.policies import action, rollout, switch
from testbed import Cluster

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[3]
BASE = str(ROOT / "manifests" / "base")
BEFORE_1_36 = str(ROOT / "manifests" / "before-1.36")


@pytest.fixture(scope="session")
def older() -> Iterator[Cluster]:
    """A control plane with what manifests/before-1.36 installs: nothing stamps who did it, nothing is pinned."""
    cluster = Cluster.start("older", controllers=False, users={"mallory": []})
    cluster.kubectl("apply", "--server-side", "-k", BEFORE_1_36)
    for role in ("sluice-operator-verbs", "sluice-approver"):
        cluster.kubectl("create", "clusterrolebinding", role, f"--clusterrole={role}", "--user=mallory")
    forged = (
        switch("probe", engaged=True, reason="5xx", engagedBy="alice"),
        {**action("Pause", actor="alice"), "metadata": {"name": "probe"}},
    )
    for body in forged:  # each has a policy of its own, which becomes active when it does
        refused = partial(as_mallory, cluster, body, dry_run=True)
        cluster.wait(lambda refused=refused: refused()[0] == 422, 120, f"the policy on {body['kind']}")  # type: ignore[misc]
    cluster.wait(lambda: as_administrator(cluster, asked_by("alice"))[0] == 422, 120, "the policy on requesters")
    yield cluster
    cluster.stop()


def as_mallory(cluster: Cluster, body: dict[str, Any], *, dry_run: bool = False) -> tuple[int, Any]:
    """Create an object in the namespace default."""
    path = collection(body["kind"], "default") + ("?dryRun=All" if dry_run else "")
    return cluster.request("POST", path, body, token=cluster.user_token("mallory"))


def as_administrator(cluster: Cluster, body: dict[str, Any]) -> tuple[int, Any]:
    """What would come of creating an object in the namespace default, by who may do everything."""
    return cluster.request("POST", collection(body["kind"], "default") + "?dryRun=All", body)


def test_without_stamps_engaging_still_works(older: Cluster) -> None:
    """On a server without MutatingAdmissionPolicy a switch engages, without a name; actions work too."""
    status, body = as_mallory(older, switch("anonymous", engaged=True, reason="5xx"))
    assert (status, body["spec"].get("engagedBy")) == (201, None)
    assert as_mallory(older, switch("nameless", engaged=True, force=True, reason="5xx"))[0] == 201
    status, body = as_mallory(older, action("Pause"))
    assert (status, body["spec"].get("actor")) == (201, None)


def test_without_stamps_nobody_takes_anothers_name(older: Cluster) -> None:
    """There one may leave the name out or write one's own, never another's, and not change it afterwards."""
    assert as_mallory(older, switch("own", engaged=True, reason="5xx", engagedBy="mallory"))[0] == 201
    own = switch("hard", engaged=True, reason="5xx", engagedBy="mallory", force=True, forcedBy="mallory")
    assert as_mallory(older, own)[0] == 201
    for forged in (
        switch("forged", engaged=True, reason="5xx", engagedBy="alice"),
        switch("forged", engaged=True, reason="5xx", force=True, forcedBy="alice"),
        action("Pause", actor="alice"),
    ):
        status, answer = as_mallory(older, forged)
        assert status == 422
        assert "leave it out (you are mallory)" in answer["message"]
    path = f"{collection('KillSwitch', 'default')}/own"
    change = {"spec": {"engagedBy": None}}
    status, answer = older.request("PATCH", path, change, "application/merge-patch+json", older.user_token("mallory"))
    assert status == 422
    assert "spec.engagedBy tells who engaged the switch" in answer["message"]


def asked_by(requester: str | None, changed_by: str | None = None) -> dict[str, Any]:
    """A Rollout that says who asked for it, and moves no route."""
    names = {"sluice.dev/requester": requester, "sluice.dev/changed-by": changed_by}
    body = rollout("probe", service={"active": "a"})
    return {**body, "metadata": {"name": "probe", "annotations": {key: name for key, name in names.items() if name}}}


def test_without_stamps_nobody_asks_or_approves_as_another(older: Cluster) -> None:
    """There, too: neither another's name nor another's group; what is left out stays unknown, and so counts nowhere."""
    status, body = as_administrator(older, asked_by(None))
    assert (status, body["metadata"].get("annotations")) == (201, None), body
    for forged in (asked_by("alice"), asked_by(None, "alice")):
        status, answer = as_administrator(older, forged)
        assert (status, "the API server writes them: leave them out" in answer["message"]) == (422, True), answer
    approval: dict[str, Any] = {"revision": 1, "point": "step-2"}
    own: dict[str, Any] = {"actor": "mallory", "actorGroups": ["system:authenticated"]}
    assert as_mallory(older, action("Approve", **approval, **own))[0] == 201
    status, body = as_mallory(older, action("Approve", **approval))
    assert (status, body["spec"].get("actor"), body["spec"].get("actorGroups")) == (201, None, None)
    status, answer = as_mallory(older, action("Approve", **approval, actorGroups=["release-managers"]))
    assert (status, "spec.actorGroups tells in which groups" in answer["message"]) == (422, True), answer


def rendered(cluster: Cluster, folder: str) -> list[dict[str, Any]]:
    """The objects that kustomize makes of a folder."""
    return [body for body in yaml.safe_load_all(cluster.kubectl("kustomize", folder)) if body]


def test_the_operators_pods_are_restricted(installed: Cluster) -> None:
    """The pod passes Pod Security's `restricted`, runs this version, and has nothing writable but /tmp."""
    [deployment] = [body for body in rendered(installed, BASE) if body["kind"] == "Deployment"]
    template = deployment["spec"]["template"]
    metadata = {"name": "p", **template["metadata"]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
    status, answer = installed.request("POST", "/api/v1/namespaces/sluice-system/pods?dryRun=All", pod)
    assert status == 201, answer
    [container] = template["spec"]["containers"]
    assert container["image"] == f"sluice-operator:{sluice.__version__}"
    assert container["args"] == ["run"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp"]
    assert deployment["spec"]["replicas"] == 2


def test_every_crd_and_policy_is_installed(installed: Cluster) -> None:
    """Kustomize finds every file: none is forgotten in a list of resources."""
    kinds = [body["kind"] for body in rendered(installed, BASE)]
    assert kinds.count("CustomResourceDefinition") == 13
    assert kinds.count("ValidatingAdmissionPolicy") == kinds.count("ValidatingAdmissionPolicyBinding") == 10
    assert kinds.count("MutatingAdmissionPolicy") == kinds.count("MutatingAdmissionPolicyBinding") == 5


def test_before_1_36_is_the_same_without_stamps_and_pins(installed: Cluster) -> None:
    """The overlay takes away the mutating policies and nothing else."""

    def names(folder: str) -> set[tuple[str, str]]:
        return {(body["kind"], body["metadata"]["name"]) for body in rendered(installed, folder)}

    taken = names(BASE) - names(BEFORE_1_36)
    assert {kind for kind, _ in taken} == {"MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"}
    assert names(BEFORE_1_36) < names(BASE)
    assert not {kind for kind, _ in names(BEFORE_1_36)} & {kind for kind, _ in taken}


def settled(cluster: Cluster) -> bool:
    """Whether the Deployment's status is as it stays: it would be a difference if it changed between two readings."""
    deployment = cluster.get("/apis/apps/v1/namespaces/sluice-system/deployments/sluice")
    status = deployment.get("status", {})
    seen = status.get("observedGeneration") == deployment["metadata"]["generation"]
    return seen and status.get("unavailableReplicas") == deployment["spec"]["replicas"]


def test_applying_again_changes_nothing(installed: Cluster) -> None:
    """A second apply of everything is accepted: upgrades and GitOps do it all the time."""
    assert installed.kubectl("apply", "--server-side", "-k", BASE)
    installed.wait(partial(settled, installed), 60, "the operator's Deployment to be looked at")
    assert installed.kubectl("diff", "--server-side", "-k", BASE) == ""
