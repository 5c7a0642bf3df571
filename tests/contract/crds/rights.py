"""Asking the API server who may do what, and waiting until a binding is in force, which takes it some milliseconds."""

from collections.abc import Sequence

from testbed import Cluster

# A right of each role that none of the others gives.
RIGHT_OF = {
    "sluice-viewer": ("watch", "rollouts.sluice.dev"),
    "sluice-editor": ("delete", "rollouts.sluice.dev"),
    "sluice-operator-verbs": ("promote", "rollouts.sluice.dev"),
    "sluice-approver": ("approve", "rollouts.sluice.dev"),
    "sluice-voucher": ("vouch", "rollouts.sluice.dev"),
    "sluice-releaser": ("release", "killswitches.sluice.dev"),
    "sluice-cluster-registrar": ("create", "memberclusters.sluice.dev"),
}


def may(
    cluster: Cluster,
    user: str,
    verb: str,
    resource: str,
    *,
    namespace: str = "",
    name: str = "",
    groups: Sequence[str] = (),
) -> bool:
    """Whether a user in these groups may.

    Args:
        cluster: where.
        user: who.
        verb: what.
        resource: to what, such as `secrets` or `rollouts.sluice.dev/status`.
        namespace: "" for all.
        name: "" for all.
        groups: the user's.
    """
    plural, _, group = resource.partition(".")
    group, _, subresource = group.partition("/")
    asked = {
        "verb": verb,
        "group": group,
        "resource": plural,
        "subresource": subresource,
        "namespace": namespace,
        "name": name,
    }
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "groups": list(groups), "resourceAttributes": asked},
    }
    answer = cluster.client.checked("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    return bool(answer["status"]["allowed"])


def await_right(
    cluster: Cluster,
    user: str,
    verb: str,
    resource: str,
    *,
    namespace: str = "",
    name: str = "",
    groups: Sequence[str] = (),
) -> None:
    """Wait until a user in these groups may."""
    cluster.wait(
        lambda: may(cluster, user, verb, resource, namespace=namespace, name=name, groups=groups),
        60,
        f"{user} may {verb} {resource}",
    )
