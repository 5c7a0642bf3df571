"""What `sluice clusters add` makes in a member, and in the hub for it. Pure; credentials are in Secrets only."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from sluice.api.member import SECRET_KEY
from sluice.api.names import GROUP, MEMBER_LABEL, Kind
from sluice.decide.rendering import MANAGED_BY_LABEL
from sluice.decide.rights import role_rules
from sluice.ops.outcome import Target
from sluice.ports import Obj

NAMESPACE = "sluice-system"
ACCOUNT = "sluice-member"
TOKEN_TYPE = "kubernetes.io/service-account-token"  # noqa: S105 - a type, not a secret
_ACCOUNT_ANNOTATION = "kubernetes.io/service-account.name"
_RBAC = "rbac.authorization.k8s.io"

ACCOUNT_TARGET = Target(Kind.SERVICE_ACCOUNT, NAMESPACE, ACCOUNT)
ROLE_TARGET = Target(Kind.CLUSTER_ROLE, "", ACCOUNT)
BINDING_TARGET = Target(Kind.CLUSTER_ROLE_BINDING, "", ACCOUNT)
DEFINITION_TARGETS = tuple(
    Target(Kind.CUSTOM_RESOURCE_DEFINITION, "", f"{plural}.{GROUP}")
    for plural in ("memberrollouts", "memberrolloutruns")
)


def account() -> Obj:
    """The account that the hub's operator is in the member. No pod of the member gets its token by itself."""
    return {"automountServiceAccountToken": False}


def role() -> Obj:
    """What it may do."""
    return {"rules": role_rules()}


def binding() -> Obj:
    """That it may."""
    return {
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": ACCOUNT},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE}],
    }


def definition(stored: Mapping[str, Any]) -> Obj:
    """A kind's definition as another cluster is to have it: without what is this one's own, as is its Helm release."""
    labels = {
        name: value for name, value in (stored["metadata"].get("labels") or {}).items() if name != MANAGED_BY_LABEL
    }
    return {**({"metadata": {"labels": labels}} if labels else {}), "spec": stored["spec"]}


def is_established(stored: Mapping[str, Any]) -> bool:
    """Whether its kind is served."""
    conditions = (stored.get("status") or {}).get("conditions") or ()
    return any(each.get("type") == "Established" and each.get("status") == "True" for each in conditions)


def token_secret() -> Obj:
    """A Secret that the member's token controller fills; the token is good for as long as the Secret is there."""
    metadata = {"generateName": f"{ACCOUNT}-token-", "annotations": {_ACCOUNT_ANNOTATION: ACCOUNT}}
    return {"metadata": metadata, "type": TOKEN_TYPE}


def is_token_secret(secret: Mapping[str, Any]) -> bool:
    """Whether a Secret holds a token of the account."""
    annotations = secret["metadata"].get("annotations") or {}
    return secret.get("type") == TOKEN_TYPE and annotations.get(_ACCOUNT_ANNOTATION) == ACCOUNT


def token_in(secret: Mapping[str, Any]) -> str:
    """The token in such a Secret; "" while there is none yet."""
    return base64.b64decode(str((secret.get("data") or {}).get("token") or "")).decode()


def secret_name(member: str) -> str:
    """The Secret in the hub that holds a member's kubeconfig."""
    return f"member-{member}"


def hub_secret(member: str, kubeconfig: str) -> Obj:
    """The Secret with the kubeconfig, with the label by which the operator finds it."""
    data = {SECRET_KEY: base64.b64encode(kubeconfig.encode()).decode()}
    return {"metadata": {"labels": {MEMBER_LABEL: member}}, "type": "Opaque", "data": data}


def member_cluster(
    member: str,
    labels: Mapping[str, str],
    weight: int | None = None,
    prometheus: str | None = None,
    namespaces: Sequence[str] = (),
) -> Obj:
    """The MemberCluster. What is None, or empty, is left to who set it, or to the default."""
    spec: Obj = {"kubeconfigSecretRef": {"name": secret_name(member)}}
    if weight is not None:
        spec["weight"] = weight
    if prometheus is not None:
        spec["prometheus"] = {"address": prometheus}
    if namespaces:
        spec["allowedNamespaces"] = {"names": list(dict.fromkeys(namespaces))}
    return {"metadata": {"labels": dict(labels)}, "spec": spec}
