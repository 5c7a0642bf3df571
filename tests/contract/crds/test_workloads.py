"""What a Rollout runs, as the API server sees it: fields that go together, scaling, templates kept as written."""

from typing import Any

import pytest

from contract.crds.resources import collection
from contract.crds.rights import may
from contract.policies import rollout
from testbed import Cluster

pytestmark = pytest.mark.cluster

MERGE = "application/merge-patch+json"
STRICT = "?fieldValidation=Strict"
AUTOSCALER = "system:serviceaccount:kube-system:horizontal-pod-autoscaler"
CONTAINER: dict[str, Any] = {
    "name": "shop",
    "image": "registry.example:5000/shop:1.2",
    "ports": [{"containerPort": 80}],
}


def written(cluster: Cluster, namespace: str, **workload: object) -> str:
    """Create a Rollout with this workload, and return its path."""
    body = rollout("shop")
    body["spec"]["workload"] = workload
    path = collection("Rollout", namespace)
    cluster.client.checked("POST", path + STRICT, body)
    return f"{path}/shop"


@pytest.mark.parametrize(
    "field, value",
    [
        ("replicas", 1),
        ("minReadySeconds", 0),
        ("ports", []),
        ("scaleDownDelay", "10m"),
        ("drain", "10s"),
        ("stableMetadata", {}),
        ("candidateMetadata", {}),
    ],
)
def test_what_is_for_pods_is_refused_with_services(
    installed: Cluster, namespace: str, field: str, value: object
) -> None:
    """No field is accepted and ignored: where others run the pods, how to run them is refused, each field of it."""
    body = rollout("shop")
    body["spec"]["workload"][field] = value
    status, answer = installed.request("POST", collection("Rollout", namespace), body)
    assert status == 422
    assert "with workload.services others run the pods: leave out" in answer["message"]
    assert field in answer["message"]


def test_services_need_none_of_it(installed: Cluster, namespace: str) -> None:
    """What was written before Sluice ran pods is stored as it was: no default creeps into a workload of services."""
    given = {"services": {"blue": "a-blue", "green": "a-green"}, "active": "green"}
    assert installed.get(written(installed, namespace, **given))["spec"]["workload"] == given


def test_a_template_is_kept_as_it_was_written(installed: Cluster, namespace: str) -> None:
    """Every field of a pod template is stored, known to Sluice or not, and nothing is added."""
    template = {
        "metadata": {"labels": {"app": "shop"}, "annotations": {"note": "x"}, "creationTimestamp": None},
        "spec": {
            "containers": [{**CONTAINER, "env": [{"name": "A", "value": "1"}], "tomorrow": {"deep": [1, True, "x"]}}],
            "initContainers": [{"name": "init", "image": "init:1"}],
            "nodeSelector": {"disk": "ssd"},
        },
    }
    kept = installed.get(written(installed, namespace, template=template))["spec"]["workload"]
    assert kept == {"template": template}


def test_kubectl_scales(installed: Cluster, namespace: str) -> None:
    """`kubectl scale` sets the capacity for all of the traffic, also where the spec gave none."""
    path = written(installed, namespace, template={"spec": {"containers": [CONTAINER]}})
    for number in (5, 0):
        installed.kubectl("-n", namespace, "scale", "rollouts.sluice.dev/shop", f"--replicas={number}")
        assert installed.get(path)["spec"]["workload"]["replicas"] == number


def test_an_autoscaler_reads_and_sets_the_scale(installed: Cluster, namespace: str) -> None:
    """The scale subresource tells what an autoscaler asks for: pods wanted, pods there, and how to select them."""
    path = written(installed, namespace, template={"spec": {"containers": [CONTAINER]}}, replicas=3)
    assert installed.get(f"{path}/scale")["spec"] == {"replicas": 3}
    status = {"replicas": 4, "selector": "sluice.dev/rollout=shop"}
    installed.client.checked("PATCH", f"{path}/status", {"status": status}, MERGE)
    scale = installed.get(f"{path}/scale")
    assert scale["status"] == status
    installed.client.checked("PUT", f"{path}/scale", {**scale, "spec": {"replicas": 8}})
    kept = installed.get(path)
    assert (kept["spec"]["workload"]["replicas"], kept["status"]) == (8, status)
    for verb in ("get", "update"):
        assert may(installed, AUTOSCALER, verb, "rollouts.sluice.dev/scale", namespace=namespace)


def test_services_are_not_scaled(installed: Cluster, namespace: str) -> None:
    """A Rollout of services refuses to be scaled, and says that others run the pods."""
    path = written(installed, namespace, services={"blue": "a-blue", "green": "a-green"}, active="green")
    status, answer = installed.request("PATCH", f"{path}/scale", {"spec": {"replicas": 5}}, MERGE)
    assert status == 422
    assert "with workload.services others run the pods: leave out replicas" in answer["message"]


def test_a_git_sync_without_replicas_leaves_the_autoscalers(installed: Cluster, namespace: str) -> None:
    """A manifest that leaves replicas out can be applied again and again: what an autoscaler set stays."""
    path = written(installed, namespace, template={"spec": {"containers": [CONTAINER]}}, replicas=3)
    installed.kubectl("-n", namespace, "scale", "rollouts.sluice.dev/shop", "--replicas=9")
    body = rollout("shop")
    body["spec"]["workload"] = {"template": {"spec": {"containers": [{**CONTAINER, "image": "shop:2"}]}}}
    applied = f"{path}?fieldManager=git&force=true"
    kept = installed.client.checked("PATCH", applied, body, "application/apply-patch+yaml")["spec"]["workload"]
    assert (kept["replicas"], kept["template"]["spec"]["containers"][0]["image"]) == (9, "shop:2")


THEIRS: dict[str, Any] = {"services": {"blue": "a-blue", "green": "a-green"}, "active": "green"}
TEMPLATE: dict[str, Any] = {"template": {"spec": {"containers": [CONTAINER]}}, "replicas": 2}
SOURCE: dict[str, Any] = {"workloadRef": {"name": "legacy"}, "replicas": 2}


def turned(cluster: Cluster, namespace: str, given: dict[str, Any], then: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """What the API server says where a Rollout with one workload shall have another one."""
    path = written(cluster, namespace, **given)
    return cluster.request("PATCH", path, {"spec": {"workload": {**dict.fromkeys(given), **then}}}, MERGE)


@pytest.mark.parametrize("given, then", [(THEIRS, TEMPLATE), (THEIRS, SOURCE), (TEMPLATE, THEIRS), (SOURCE, THEIRS)])
def test_whose_pods_they_are_does_not_change(
    installed: Cluster, namespace: str, given: dict[str, Any], then: dict[str, Any]
) -> None:
    """What serves from somebody's own Services is in none of Sluice's slots, and the other way round."""
    status, answer = turned(installed, namespace, given, then)
    assert status == 422
    assert "a Rollout keeps to workload.services, or to workload.template and workload.workloadRef" in answer["message"]


@pytest.mark.parametrize(
    "given, then", [(TEMPLATE, SOURCE), (SOURCE, TEMPLATE), (THEIRS, {**THEIRS, "active": "blue"})]
)
def test_everything_else_about_what_runs_may_change(
    installed: Cluster, namespace: str, given: dict[str, Any], then: dict[str, Any]
) -> None:
    """A template may come to stand in a Deployment, or in the Rollout: the slots, and what is in them, are the same."""
    assert turned(installed, namespace, given, then)[0] == 200


@pytest.mark.parametrize("field", ["template", "stableTemplate"])
def test_a_runs_templates_are_immutable(installed: Cluster, namespace: str, field: str) -> None:
    """What a run brings in, and what it goes back to, stays what it was when the run began, deep down too."""
    template = {"spec": {"containers": [CONTAINER]}}
    run = {"rollout": "shop", "revision": 1, "hash": "b", "stableHash": "a", "fromSlot": "blue", "toSlot": "green"}
    what = {"services": {"blue": "shop-blue", "green": "shop-green"}, "traffic": {}, "steps": []}
    spec = {**run, **what, "template": template, "stableTemplate": template}
    body = {"apiVersion": "sluice.dev/v1alpha1", "kind": "RolloutRun", "metadata": {"name": "shop-1"}, "spec": spec}
    path = collection("RolloutRun", namespace)
    installed.client.checked("POST", path + STRICT, body)
    for changed in ({"spec": {"containers": [{**CONTAINER, "image": "shop:2"}]}}, {"metadata": {"labels": {"a": "b"}}}):
        status, answer = installed.request("PATCH", f"{path}/shop-1", {"spec": {field: changed}}, MERGE)
        assert status == 422
        assert "a RolloutRun's spec is immutable" in answer["message"]
    assert installed.get(f"{path}/shop-1")["spec"][field] == template


def test_a_restart_needs_no_revision(installed: Cluster, namespace: str) -> None:
    """Restart lets nothing more through, so that nobody has to look up the run."""
    body = {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "RolloutAction",
        "metadata": {"name": "restart-shop"},
        "spec": {"rollout": "shop", "action": "Restart"},
    }
    assert installed.request("POST", collection("RolloutAction", namespace), body)[0] == 201
