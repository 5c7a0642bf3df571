"""Nobody borrows rights: who writes a Rollout could do themselves what it makes Sluice do."""

from collections.abc import Callable
from typing import Any

import pytest

from contract.crds.people import MERGE, As, allow, refused
from contract.crds.resources import collection
from contract.policies import rollout
from testbed import Cluster

pytestmark = pytest.mark.cluster


# ------------------------------------------------------------------ routes and Services


def test_a_rollout_moves_only_routes_its_author_may_patch(
    user: Callable[..., As], installed: Cluster, namespace: str
) -> None:
    """Writing a Rollout gives nobody a say over routes: each is checked, by kind and name, up to the eighth."""
    carol = user("carol", "sluice-editor")
    routes = [{"kind": "GRPCRoute" if number == 8 else "HTTPRoute", "name": f"r{number}"} for number in range(1, 9)]
    refused(carol.create(rollout("r", routes=routes)), 403, f"carol may not move HTTPRoute r1 in {namespace}")
    allow(installed, namespace, "http", "patch", "httproutes.gateway.networking.k8s.io")
    refused(carol.create(rollout("r", routes=routes)), 403, f"carol may not move GRPCRoute r8 in {namespace}")
    assert carol.create(rollout("r", routes=routes[:7]))[0] == 201
    answer = carol.patch("Rollout", "r", traffic={"routes": routes})
    refused(answer, 403, f"carol may not move GRPCRoute r8 in {namespace}")
    allow(installed, namespace, "grpc", "patch", "grpcroutes.gateway.networking.k8s.io", "r8")
    assert carol.patch("Rollout", "r", traffic={"routes": routes})[0] == 200


def test_a_rollout_switches_only_services_its_author_may_patch(
    user: Callable[..., As], installed: Cluster, namespace: str
) -> None:
    """The same for Services, the preview included."""
    carol, service = user("carol", "sluice-editor"), {"active": "a", "preview": "a-preview"}
    refused(carol.create(rollout("s", service=service)), 403, f"carol may not switch services/a in {namespace}")
    allow(installed, namespace, "active", "patch", "services", "a")
    refused(carol.create(rollout("s", service=service)), 403, f"carol may not switch services/a-preview in {namespace}")
    allow(installed, namespace, "preview", "patch", "services", "a-preview")
    assert carol.create(rollout("s", service=service))[0] == 201


def test_a_stable_service_is_switched_only_for_who_may_patch_it(
    user: Callable[..., As], installed: Cluster, namespace: str
) -> None:
    """The same for the Service that follows the stable slot."""
    carol, body = user("carol", "sluice-editor"), rollout("s", service={"active": "a"}, stableService="a-inside")
    allow(installed, namespace, "active", "patch", "services", "a")
    refused(carol.create(body), 403, f"carol may not switch services/a-inside in {namespace}", "it needs patch on it")
    allow(installed, namespace, "inside", "patch", "services", "a-inside")
    assert carol.create(body)[0] == 201


# ------------------------------------------------------------------ pods

TEMPLATE = {"template": {"spec": {"containers": [{"name": "shop", "image": "shop:1"}]}}, "replicas": 3}
REFERENCE = {"workloadRef": {"name": "shop"}, "replicas": 3}
DEPLOYMENTS, SLOTS = "deployments.apps", ("s-blue", "s-green")


def running(workload: dict[str, object]) -> dict[str, Any]:
    """A Rollout `s` with this workload, behind the Service `a`."""
    body = rollout("s", service={"active": "a"})
    body["spec"]["workload"] = workload
    return body


@pytest.mark.parametrize("workload", [TEMPLATE, REFERENCE], ids=["template", "workloadRef"])
def test_pods_are_run_only_for_who_may_run_them(
    user: Callable[..., As], installed: Cluster, namespace: str, workload: dict[str, object]
) -> None:
    """Who writes a template, or names a Deployment's, may make and change Deployments and Services of both slots."""
    carol, body = user("carol", "sluice-editor"), running(workload)
    allow(installed, namespace, "a", "patch", "services", "a")
    may_not = f"carol may not run pods in {namespace} through a Rollout: it needs create on deployments and on services"
    refused(carol.create(body), 403, may_not)
    allow(installed, namespace, "make-deployments", "create", DEPLOYMENTS)
    refused(carol.create(body), 403, may_not)
    allow(installed, namespace, "make-services", "create", "services")
    refused(carol.create(body), 403, f"carol may not change deployments/s-blue and -green in {namespace}")
    allow(installed, namespace, "deployments", "update", DEPLOYMENTS, *SLOTS)
    refused(carol.create(body), 403, f"carol may not change services/s-blue and -green in {namespace}")
    allow(installed, namespace, "services", "update", "services", *SLOTS)
    if "workloadRef" in workload:
        refused(carol.create(body), 403, f"carol may not take over deployments/shop in {namespace}")
        allow(installed, namespace, "shop", "update", DEPLOYMENTS, "shop")
    assert carol.create(body)[0] == 201


@pytest.fixture
def theirs(installed: Cluster, namespace: str) -> str:
    """The path of a Rollout with a template that somebody else wrote."""
    installed.client.checked("POST", collection("Rollout", namespace), running(TEMPLATE))
    return f"{collection('Rollout', namespace)}/s"


@pytest.mark.parametrize(
    "changes",
    [
        {"workload": {"template": {"spec": {"containers": [{"name": "shop", "image": "shop:2"}]}}}},
        {"workload": {"replicas": 4, "drain": "20s"}},
        {"workload": {"replicas": 4}, "paused": True},
        {"traffic": {"service": {"active": "a"}, "stableService": "b"}},
        {"rollbackWindow": {"revisions": 1}},
    ],
    ids=["image", "with-drain", "with-paused", "traffic", "new-field"],
)
def test_a_change_of_what_runs_takes_the_same(
    user: Callable[..., As], theirs: str, namespace: str, changes: dict[str, object]
) -> None:
    """Nobody gets their image run, or moves what runs, by editing somebody else's Rollout."""
    answer = user("carol", "sluice-editor").patch("Rollout", "s", **changes)
    refused(answer, 403, f"carol may not run pods in {namespace} through a Rollout")


def test_taking_a_field_away_takes_the_same(
    user: Callable[..., As], installed: Cluster, theirs: str, namespace: str
) -> None:
    """A field that is left out is a change like any other, beside the workload and in it."""
    installed.client.checked("PATCH", theirs, {"spec": {"analysis": ANALYSIS, "workload": {"drain": "5s"}}}, MERGE)
    carol = user("carol", "sluice-editor")
    for changes in ({"analysis": None}, {"workload": {"drain": None}}):
        refused(carol.patch("Rollout", "s", **changes), 403, f"carol may not run pods in {namespace}")


def test_a_template_never_takes_the_place_of_services(
    user: Callable[..., As], installed: Cluster, namespace: str
) -> None:
    """A Rollout that moved only traffic does not become one that runs pods, for nobody."""
    installed.client.checked("POST", collection("Rollout", namespace), rollout("s", service={"active": "a"}))
    allow(installed, namespace, "a", "patch", "services", "a")
    answer = user("carol", "sluice-editor").patch(
        "Rollout", "s", workload={**TEMPLATE, "services": None, "active": None}
    )
    refused(answer, 422, "a Rollout keeps to workload.services")


def test_scaling_takes_no_such_rights(user: Callable[..., As], installed: Cluster, theirs: str, namespace: str) -> None:
    """Who may edit a Rollout sets its replicas, there or by the scale subresource; so does who may do only that."""
    carol = user("carol", "sluice-editor")
    assert carol.patch("Rollout", "s", workload={"replicas": 4})[0] == 200
    assert carol.patch("Rollout", "s/scale", replicas=5)[0] == 200
    assert carol.patch("Rollout", "s", workload={"replicas": None})[0] == 200
    allow(installed, namespace, "autoscaler", "patch", "rollouts.sluice.dev/scale", user="dave")
    dave = As(installed, namespace, "dave")
    assert dave.patch("Rollout", "s/scale", replicas=6)[0] == 200
    refused(dave.patch("Rollout", "s", workload={"replicas": 7}), 403, 'User "dave" cannot patch resource "rollouts"')
    assert installed.get(theirs)["spec"]["workload"]["replicas"] == 6


# ------------------------------------------------------------------ Secrets

METRIC = {
    "name": "m",
    "prometheus": {"query": "up", "address": "http://prometheus:9090", "secretRef": {"name": "s"}},
    "threshold": {"max": 1},
}
ANALYSIS = {"metrics": [METRIC]}
CANARY = {"strategy": {"canary": {"steps": [{"setWeight": 10}]}}}


@pytest.mark.parametrize(
    "changes",
    [
        {"analysis": ANALYSIS},
        {"strategy": {"canary": {"steps": [{"setWeight": 10}, {"pause": {}}, {"analysis": ANALYSIS}]}}},
        {"fleet": {"batches": [{"name": "pilots", "steps": [{"setWeight": 10}, {"analysis": ANALYSIS}]}]}, **CANARY},
        {"fleet": {"batches": [{"name": "pilots", "size": 1}, {"name": "rest", "analysis": ANALYSIS}]}, **CANARY},
        {"fleet": {"batches": [{"name": "pilots"}], "analysis": ANALYSIS}, **CANARY},
        {"strategy": {"blueGreen": {"prePromotion": ANALYSIS}}},
        {"strategy": {"blueGreen": {"postPromotion": ANALYSIS}}},
    ],
    ids=["background", "step", "batch", "whole-batch", "whole-fleet", "prePromotion", "postPromotion"],
)
def test_a_secret_takes_the_right_to_read_it(
    user: Callable[..., As], installed: Cluster, namespace: str, changes: dict[str, object]
) -> None:
    """Wherever a metric names a Secret, the Rollout's author must be able to read Secrets."""
    carol = user("carol", "sluice-editor")
    body = rollout("with-secret", service={"active": "a"})
    body["spec"].update(changes)
    if "canary" in body["spec"]["strategy"]:
        body["spec"]["traffic"] = {"routes": [{"name": "a"}]}
    allow(installed, namespace, "services", "patch", "services")
    allow(installed, namespace, "routes", "patch", "httproutes.gateway.networking.k8s.io")
    refused(carol.create(body), 403, f"carol may not use a secretRef in {namespace}: it needs get on secrets")
    allow(installed, namespace, "secrets", "get", "secrets")
    assert carol.create(body)[0] == 201


def test_a_templates_secret_takes_the_right_to_read_it(
    user: Callable[..., As], installed: Cluster, namespace: str
) -> None:
    """Also in a template; one without a Secret takes no such right."""
    carol = user("carol", "sluice-editor")
    body = {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "AnalysisTemplate",
        "metadata": {"name": "t"},
        "spec": {"metrics": [METRIC]},
    }
    refused(
        carol.create(body),
        403,
        f"a secretRef in analysistemplates: it needs get on secrets in {namespace}",
    )
    allow(installed, namespace, "secrets", "get", "secrets")
    assert carol.create(body)[0] == 201
    plain = {**METRIC, "prometheus": {"query": "up"}}
    dave = user("dave", "sluice-editor")
    assert dave.create({**body, "metadata": {"name": "plain"}, "spec": {"metrics": [plain]}})[0] == 201


def test_metadata_of_a_rollout_takes_no_such_rights(
    user: Callable[..., As], installed: Cluster, namespace: str
) -> None:
    """Labels, and the operator's finalizer, change no spec: nothing is asked."""
    installed.client.checked("POST", collection("Rollout", namespace), rollout("mine"))
    carol, body = user("carol", "sluice-editor"), {"metadata": {"labels": {"team": "search"}}}
    path = f"{collection('Rollout', namespace)}/mine"
    assert installed.request("PATCH", path, body, MERGE, token=carol.token)[0] == 200
    refused(carol.patch("Rollout", "mine", paused=True), 403, "carol may not move HTTPRoute a")
