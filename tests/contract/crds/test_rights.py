"""Roles of manifests/base: the operator can do its work and nothing else; people get what their role says."""

from collections.abc import Callable
from functools import partial

import pytest

from contract.crds.resources import collection
from contract.crds.rights import may
from contract.policies import action, rollout, switch
from testbed import Cluster

pytestmark = pytest.mark.cluster

OPERATOR = "system:serviceaccount:sluice-system:sluice"
MERGE = "application/merge-patch+json"

NEEDED = {
    "rollouts.sluice.dev": "list watch patch",
    "rollouts.sluice.dev/status": "patch",
    "rolloutruns.sluice.dev": "list watch create delete",
    "rolloutruns.sluice.dev/status": "patch",
    "rolloutactions.sluice.dev": "list watch delete",
    "rolloutactions.sluice.dev/status": "patch",
    "killswitches.sluice.dev": "list watch patch",
    "killswitches.sluice.dev/status": "patch",
    "clusterkillswitches.sluice.dev": "list watch patch",
    "clusterkillswitches.sluice.dev/status": "patch",
    "analysistemplates.sluice.dev": "list watch",
    "clusteranalysistemplates.sluice.dev": "list watch",
    "rolloutpolicies.sluice.dev": "list watch",
    "rolloutpolicies.sluice.dev/status": "patch",
    "memberclusters.sluice.dev": "list watch",
    "memberclusters.sluice.dev/status": "patch",
    "fleetruns.sluice.dev": "list watch create delete",
    "fleetruns.sluice.dev/status": "patch",
    "memberrollouts.sluice.dev": "list watch create patch delete",
    "memberrollouts.sluice.dev/status": "patch",
    "memberrolloutruns.sluice.dev": "list watch create delete",
    "memberrolloutruns.sluice.dev/status": "patch",
    "httproutes.gateway.networking.k8s.io": "list watch patch",
    "grpcroutes.gateway.networking.k8s.io": "list watch patch",
    "services": "list watch create patch delete",
    "deployments.apps": "list watch create patch delete",
    "pods": "list watch patch",
    "poddisruptionbudgets.policy": "list watch",
    "endpointslices.discovery.k8s.io": "list watch",
    "namespaces": "list watch",
    "events": "get create patch",
}
NEVER = {
    "secrets": "get list watch create",
    "configmaps": "get",
    "pods": "create update delete",
    "pods/exec": "create",
    "pods/eviction": "create",
    "pods/log": "get",
    "services": "update deletecollection",
    "namespaces": "patch delete",
    "deployments.apps": "update deletecollection",
    "replicasets.apps": "get create patch delete",
    "statefulsets.apps": "get create patch delete",
    "poddisruptionbudgets.policy": "create patch delete",
    "httproutes.gateway.networking.k8s.io": "create update delete",
    "rollouts.sluice.dev": "create update delete promote abort",
    "rolloutruns.sluice.dev": "patch update",
    "fleetruns.sluice.dev": "patch update",
    "memberrollouts.sluice.dev": "update deletecollection",
    "memberrolloutruns.sluice.dev": "patch update",
    "killswitches.sluice.dev": "create update delete release",
    "clusterkillswitches.sluice.dev": "create update delete release",
    "memberclusters.sluice.dev": "create update patch delete",
    "rolloutpolicies.sluice.dev": "create update patch delete",
    "auditsegments.sluice.dev": "get list create update patch delete",
    "leases.coordination.k8s.io": "get create patch",
    "customresourcedefinitions.apiextensions.k8s.io": "get patch",
    "validatingadmissionpolicies.admissionregistration.k8s.io": "patch delete",
    "clusterroles.rbac.authorization.k8s.io": "bind escalate create",
    "users": "impersonate",
}


def pairs(table: dict[str, str]) -> list[tuple[str, str]]:
    """Resource and verb, one by one."""
    return [(resource, verb) for resource, verbs in table.items() for verb in verbs.split()]


def test_the_operator_may_do_its_work_everywhere(installed: Cluster) -> None:
    """Every call that the operator makes is covered, in any namespace."""
    assert [pair for pair in pairs(NEEDED) if not may(installed, OPERATOR, pair[1], pair[0], namespace="shop")] == []


def test_the_operator_may_do_nothing_else(installed: Cluster) -> None:
    """Who takes over the operator cannot read Secrets, enter pods, release switches or change policies."""
    assert [pair for pair in pairs(NEVER) if may(installed, OPERATOR, pair[1], pair[0], namespace="shop")] == []


def test_the_operator_has_its_lease_and_secrets_at_home_only(installed: Cluster) -> None:
    """In its own namespace it holds the Lease, and reads the Secrets of ClusterAnalysisTemplates and members."""
    home = "sluice-system"
    for verb in ("get", "list", "watch", "patch"):
        assert may(installed, OPERATOR, verb, "leases.coordination.k8s.io", namespace=home, name="sluice")
        assert not may(installed, OPERATOR, verb, "leases.coordination.k8s.io", namespace=home, name="another")
    assert may(installed, OPERATOR, "create", "leases.coordination.k8s.io", namespace=home)
    assert not may(installed, OPERATOR, "delete", "leases.coordination.k8s.io", namespace=home, name="sluice")
    for verb in ("get", "list", "watch"):
        assert may(installed, OPERATOR, verb, "secrets", namespace=home)
        assert not may(installed, OPERATOR, verb, "secrets", namespace="shop")
    for verb in ("create", "patch", "delete"):
        assert not may(installed, OPERATOR, verb, "secrets", namespace=home)


def test_the_operator_cannot_take_back_what_it_sealed(installed: Cluster) -> None:
    """In its own namespace it creates AuditSegments and reads them by name; to change or delete one is an admin's."""
    home, segments = "sluice-system", "auditsegments.sluice.dev"
    assert [verb for verb in ("get", "create") if not may(installed, OPERATOR, verb, segments, namespace=home)] == []
    for verb in ("update", "patch", "delete", "deletecollection"):
        assert not may(installed, OPERATOR, verb, segments, namespace=home)


def test_a_namespace_opts_in_to_its_secrets(installed: Cluster, namespace: str) -> None:
    """One RoleBinding lets the operator read the Secrets of that namespace, and of no other."""
    installed.kubectl(
        *("-n", namespace, "create", "rolebinding", "sluice-secrets"),
        *("--clusterrole=sluice-secret-reader", "--serviceaccount=sluice-system:sluice"),
    )
    installed.wait(lambda: may(installed, OPERATOR, "get", "secrets", namespace=namespace), 60, "the binding")
    assert not may(installed, OPERATOR, "get", "secrets", namespace="default")


def test_the_operator_passes_the_policies(installed: Cluster, namespace: str) -> None:
    """Finalizer, statuses, deleting answered actions: no policy for people stands in the operator's way."""
    token = installed.token_for("sluice-system", "sluice")

    def write(method: str, kind: str, tail: str, body: object = None, how: str = MERGE) -> int:
        answered, answer = installed.request(method, f"{collection(kind, namespace)}{tail}", body, how, token=token)
        assert answered < 300, answer
        return answered

    installed.client.checked("POST", collection("Rollout", namespace), rollout("r"))
    installed.client.checked("POST", collection("KillSwitch", namespace), switch("s", engaged=True, reason="5xx"))
    told = installed.client.checked("POST", collection("RolloutAction", namespace), action("Pause"))["metadata"]["name"]
    finalizer = [{"op": "add", "path": "/metadata/finalizers", "value": ["sluice.dev/return-to-stable"]}]
    write("PATCH", "Rollout", "/r", finalizer, "application/json-patch+json")
    write("PATCH", "Rollout", "/r/status", {"status": {"phase": "Killed"}})
    write("PATCH", "KillSwitch", "/s/status", {"status": {"state": "Engaged"}})
    write("PATCH", "RolloutAction", f"/{told}/status", {"status": {"phase": "Done"}})
    write("DELETE", "RolloutAction", f"/{told}")


def test_built_in_roles_include_ours(installed: Cluster, namespace: str) -> None:
    """Who may view or edit a namespace may view or edit its Rollouts, but decides about no run and releases nothing."""
    installed.kubectl("-n", namespace, "create", "rolebinding", "v", "--clusterrole=view", "--user=viewer")
    installed.kubectl("-n", namespace, "create", "rolebinding", "e", "--clusterrole=edit", "--user=editor")

    def can(user: str, verb: str, resource: str) -> bool:
        return may(installed, user, verb, resource, namespace=namespace)

    installed.wait(lambda: can("viewer", "list", "rollouts.sluice.dev"), 60, "aggregation into view")
    for verb, resource in (("create", "rollouts"), ("list", "killswitches"), ("patch", "killswitches")):
        right = partial(can, "editor", verb, f"{resource}.sluice.dev")
        installed.wait(right, 60, f"aggregation of {verb} {resource} into edit")
    assert not can("viewer", "patch", "rollouts.sluice.dev")
    assert not can("editor", "promote", "rollouts.sluice.dev")
    assert not can("editor", "release", "killswitches.sluice.dev")
    assert not can("editor", "patch", "rolloutruns.sluice.dev")
    for kind in ("memberrollouts", "memberrolloutruns", "fleetruns"):
        assert not can("editor", "create", f"{kind}.sluice.dev")
        assert not can("editor", "delete", f"{kind}.sluice.dev")
    for kind in ("rollouts", "rolloutruns", "rolloutactions", "killswitches"):
        assert not can("editor", "patch", f"{kind}.sluice.dev/status")


@pytest.mark.parametrize(
    "role, may_do, may_not",
    [
        (
            "sluice-viewer",
            "list:rollouts list:rolloutruns list:memberclusters",
            "patch:killswitches create:rolloutactions",
        ),
        (
            "sluice-editor",
            "create:rollouts patch:rollouts/scale create:rolloutactions",
            "promote:rollouts release:killswitches create:memberclusters",
        ),
        (
            "sluice-operator-verbs",
            "promote:rollouts restart:rollouts patch:killswitches",
            "patch:rollouts patch:rollouts/scale",
        ),
        ("sluice-releaser", "release:killswitches patch:killswitches", "promote:rollouts delete:killswitches"),
        (
            "sluice-cluster-registrar",
            "create:memberclusters patch:memberclusters delete:memberclusters",
            "patch:memberclusters/status patch:rollouts",
        ),
    ],
)
def test_roles_of_people(
    installed: Cluster, namespace: str, grant: Callable[..., None], *, role: str, may_do: str, may_not: str
) -> None:
    """Each role gives its rights and not its neighbour's."""
    grant("dave", role)

    def allowed(right: str) -> bool:
        verb, _, plural = right.partition(":")
        plural, _, subresource = plural.partition("/")
        return may(installed, "dave", verb, f"{plural}.sluice.dev/{subresource}", namespace=namespace)

    assert [right for right in may_do.split() if not allowed(right)] == []
    assert [right for right in may_not.split() if allowed(right)] == []
