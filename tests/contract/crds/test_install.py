"""What manifests/ renders and installs."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

import sluice
from testbed import Cluster

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[3]
BASE = str(ROOT / "manifests" / "base")
BEFORE_1_36 = str(ROOT / "manifests" / "before-1.36")


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
