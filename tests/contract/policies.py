"""Waiting until the admission policies of manifests/policies are in force: some seconds after they are applied."""

from typing import Any

from testbed.access import Access

GROUP = "/apis/sluice.dev/v1alpha1"
PROBES = "policy-probes"
DEADLINE_SECONDS = 120.0


def switch(name: str, **spec: object) -> dict[str, Any]:
    """A KillSwitch."""
    return {"apiVersion": "sluice.dev/v1alpha1", "kind": "KillSwitch", "metadata": {"name": name}, "spec": spec}


def rollout(name: str, **traffic: object) -> dict[str, Any]:
    """A Rollout that switches all at once."""
    return {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": name},
        "spec": {
            "workload": {"services": {"blue": "a-blue", "green": "a-green"}, "active": "green"},
            "traffic": traffic or {"routes": [{"name": "a"}]},
            "strategy": {"blueGreen": {}},
        },
    }


def action(verb: str, target: str = "checkout", **spec: object) -> dict[str, Any]:
    """A RolloutAction with a name of the server's choice."""
    return {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "RolloutAction",
        "metadata": {"generateName": "act-"},
        "spec": {"rollout": target, "action": verb, **spec},
    }


def _is_annotated(cluster: Access, where: str, body: object, annotation: str) -> bool:
    """Whether the API server puts an annotation on what is created."""
    answer = cluster.client.checked("POST", f"{where}?dryRun=All", body)
    return annotation in answer["metadata"].get("annotations", {})


def wait_for_policies(cluster: Access, *, stamps: bool = True) -> None:
    """Ask, with dry runs, for what each policy stamps or refuses, until it does.

    Args:
        cluster: where they were applied.
        stamps: whether those that stamp and pin are among them, as they are on no server before 1.36.

    Raises:
        NotReadyError: one is not in force after two minutes.
    """
    cluster.apply(
        f"""
apiVersion: v1
kind: Namespace
metadata: {{name: {PROBES}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: prober, namespace: {PROBES}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: sluice-editor}}
subjects: [{{kind: User, name: mallory}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: policy-prober}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: sluice-cluster-registrar}}
subjects: [{{kind: User, name: mallory}}]
"""
    )
    path = f"{GROUP}/namespaces/{PROBES}"
    mallory = cluster.user_token("mallory")
    secret = {"query": "up", "address": "http://p:9090", "secretRef": {"name": "s"}}
    template = {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "AnalysisTemplate",
        "metadata": {"name": "probe"},
        "spec": {"metrics": [{"name": "m", "prometheus": secret, "threshold": {"max": 1}}]},
    }

    def stamped(where: str, body: object, field: str) -> bool:
        return field in cluster.client.checked("POST", f"{path}/{where}?dryRun=All", body)["spec"]

    def borrows_no_cluster() -> bool:
        member = {
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "MemberCluster",
            "metadata": {"name": "probe"},
            "spec": {"kubeconfigSecretRef": {"name": "probe"}},
        }
        status, answer = cluster.request("POST", f"{GROUP}/memberclusters?dryRun=All", member, token=mallory)
        return status >= 400 and "through a MemberCluster" in answer["message"]

    def released() -> bool:
        if cluster.request("GET", f"{path}/killswitches/engaged")[0] == 404:
            cluster.client.checked("POST", f"{path}/killswitches", {**engaged, "metadata": {"name": "engaged"}})
        return refused("DELETE", "killswitches/engaged", None, "is engaged")

    def forges_no_trip() -> bool:
        released()
        forged = {"status": {"trippedBy": {"metric": "m", "at": "2026-01-01T00:00:00Z"}}}
        where, merge = f"{path}/killswitches/engaged/status?dryRun=All", "application/merge-patch+json"
        status, answer = cluster.request("PATCH", where, forged, merge)
        return status >= 400 and "status.trippedBy" in answer["message"]

    def refused(method: str, where: str, body: object, sentence: str, token: str | None = None) -> bool:
        status, answer = cluster.request(method, f"{path}/{where}?dryRun=All", body, token=token)
        return status >= 400 and sentence in answer["message"]

    def pinned() -> bool:
        service = f"/api/v1/namespaces/{PROBES}/services/pinned"
        if cluster.request("GET", service)[0] == 404:
            cluster.client.checked("POST", f"/api/v1/namespaces/{PROBES}/services", managed)
        foreign = {"spec": {"selector": {"app": "foreign"}}}
        merge = "application/merge-patch+json"
        after = cluster.client.checked("PATCH", f"{service}?dryRun=All", foreign, merge)
        return bool(after["spec"]["selector"] == managed["spec"]["selector"])

    managed: dict[str, Any] = {
        "metadata": {"name": "pinned", "annotations": {"sluice.dev/rollout": "a/b/c"}},
        "spec": {"selector": {"app": "probe"}, "ports": [{"port": 80}]},
    }
    engaged = switch("probe", engaged=True, reason="probe")
    approval = action("Approve", revision=1, point="step-1")
    forged_switch = switch("forged", engaged=True, reason="probe", engagedBy="nobody")
    forged_rollout = rollout("forged")
    forged_rollout["metadata"]["annotations"] = {"sluice.dev/requester": "nobody"}
    stamping = {
        "engagedBy": lambda: stamped("killswitches", engaged, "engagedBy"),
        "actor": lambda: stamped("rolloutactions", action("Pause"), "actor"),
        "actorGroups": lambda: stamped("rolloutactions", approval, "actorGroups"),
        "requester": lambda: _is_annotated(cluster, f"{path}/rollouts", rollout("r"), "sluice.dev/requester"),
        "pins": pinned,
    }
    in_place_of_stamps = {
        "engagedBy": lambda: refused("POST", "killswitches", forged_switch, "spec.engagedBy tells"),
        "requester": lambda: refused("POST", "rollouts", forged_rollout, "leave them out"),
    }
    probes = {
        **(stamping if stamps else in_place_of_stamps),
        "release": released,
        "verbs": lambda: refused("POST", "rolloutactions", action("Pause"), "may not pause", mallory),
        "borrowed rights": lambda: refused("POST", "rollouts", rollout("r"), "may not move", mallory),
        "borrowed secrets": lambda: refused("POST", "analysistemplates", template, "may not use a secretRef", mallory),
        "borrowed secrets of switches": lambda: refused(
            "POST", "killswitches", switch("s", autoTrip=template["spec"]), "may not use a secretRef", mallory
        ),
        "tripped by": forges_no_trip,
        "borrowed clusters": borrows_no_cluster,
    }
    for what, probe in probes.items():
        cluster.wait(probe, DEADLINE_SECONDS, f"the policy on {what} to be in force")
