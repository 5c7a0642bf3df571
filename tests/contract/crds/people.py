"""People of the tests: who they are is told by tokens, what they may do by roles in a namespace."""

from typing import Any

from contract.crds.resources import collection
from contract.crds.rights import await_right
from testbed import ApiClient, Cluster

MERGE = "application/merge-patch+json"
RBAC = "rbac.authorization.k8s.io"
Answer = tuple[int, dict[str, Any]]


class As:
    """One user's requests in one namespace. Answers are status and body.

    Args:
        cluster: where.
        namespace: whose objects.
        user: of the cluster's static users; "" where the credentials are others.
        token: a bearer token in place of that user's.
        client: with a client certificate, in place of a token.
    """

    def __init__(
        self, cluster: Cluster, namespace: str, user: str = "", *, token: str = "", client: ApiClient | None = None
    ) -> None:
        self.cluster, self.namespace = cluster, namespace
        self.token = token or (cluster.user_token(user) if user else "")
        self._client = client or cluster.client

    def _path(self, kind: str, name: str = "") -> str:
        return collection(kind, self.namespace) + (f"/{name}" if name else "")

    def create(self, body: dict[str, Any]) -> Answer:
        """POST an object."""
        return self._client.request("POST", self._path(body["kind"]), body, token=self.token)

    def patch(self, kind: str, name: str, **spec: object) -> Answer:
        """Merge-patch a spec."""
        return self._client.request("PATCH", self._path(kind, name), {"spec": spec}, MERGE, token=self.token)

    def delete(self, kind: str, name: str) -> Answer:
        """DELETE an object."""
        return self._client.request("DELETE", self._path(kind, name), token=self.token)


def refused(answer: Answer, status: int, *parts: str) -> None:
    """Assert that a request was refused with this status and a message that holds these parts."""
    assert answer[0] == status, answer
    for part in parts:
        assert part in answer[1]["message"], answer[1]["message"]


def allow(
    cluster: Cluster, namespace: str, name: str, verb: str, resource: str, *names: str, user: str = "carol"
) -> None:
    """Give a user one right in a namespace, for all objects or for those named, by a role of this name.

    Also to what the server does not serve, such as routes: kubectl would refuse to make such a role.
    """
    plural, _, group = resource.partition(".")
    group, _, subresource = group.partition("/")
    what = f"{plural}/{subresource}" if subresource else plural
    only = {"resourceNames": names} if names else {}
    rule = {"apiGroups": [group], "resources": [what], "verbs": [verb], **only}
    binding = {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": name},
        "subjects": [{"kind": "User", "apiGroup": RBAC, "name": user}],
    }
    path = f"/apis/{RBAC}/v1/namespaces/{namespace}"
    cluster.client.checked("POST", f"{path}/roles", {"metadata": {"name": name}, "rules": [rule]})
    cluster.client.checked("POST", f"{path}/rolebindings", binding)
    for one in names or ("",):
        await_right(cluster, user, verb, resource, namespace=namespace, name=one)
