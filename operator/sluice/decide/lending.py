"""Credentials for the cluster of a ClusterProfile, out of a Secret that a cluster manager, or a person, put there.

KEP-4322 has it so ("push model"): a Secret with the label `x-k8s.io/cluster-profile: <name>`, a kubeconfig under
`Config`. A Secret may hold a token alone, as those of the access provider `secretreader` do: the server and its CA are
then those that the profile tells. Programs, by which profiles are meant to be reached else (KEP-5339), are never run.
Pure.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sluice.api.conditions import Reason
from sluice.api.member import SECRET_KEY
from sluice.api.names import MEMBER_LABEL, PROFILE_NAMESPACE_LABEL, PROFILE_SECRET_LABEL
from sluice.api.units import JSON
from sluice.decide.metadata import labels_of, mapping
from sluice.errors import InvalidSpec

PUSHED_KEY = "Config"
TOKEN_KEY = "token"  # noqa: S105 - the name of a key, not a secret
# The KEP's, as early managers wrote it, our own, and the token: the first that is there counts.
_KEYS = (PUSHED_KEY, "config", SECRET_KEY, TOKEN_KEY)
_UNUSED_OF_CLUSTERS = frozenset({"extensions", "disable-compression"})
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class SecretKey:
    """Where a kubeconfig is: a Secret in the operator's namespace, and its key."""

    name: str
    key: str


def profile_meant(namespace: str, secret: JSON) -> str:
    """The profile that a Secret is meant for; "" for none in this namespace."""
    labels = labels_of(secret)
    is_here = labels.get(PROFILE_NAMESPACE_LABEL) in (None, "", namespace)
    return str(labels.get(PROFILE_SECRET_LABEL) or "") if is_here else ""


def secrets_by_profile(namespace: str, secrets: Mapping[str, JSON]) -> dict[str, list[str]]:
    """The names of the Secrets that are meant for each profile."""
    found: dict[str, list[str]] = {}
    for name, secret in sorted(secrets.items()):
        found.setdefault(profile_meant(namespace, secret), []).append(name)
    return found


def reference_for(member: str, found: Sequence[str], secrets: Mapping[str, JSON]) -> SecretKey:
    """Where the MemberCluster shall say that its kubeconfig is.

    Args:
        member: its name.
        found: the Secrets that are meant for its profile.
        secrets: all of them, by name.

    Returns:
        The one that was found. Where there is none, or which one is not clear, that which `sluice clusters add` makes.
    """
    if len(found) != 1:
        return SecretKey(f"member-{member}", SECRET_KEY)
    return SecretKey(found[0], _key_of(secrets[found[0]]) or PUSHED_KEY)


def kubeconfig_in(secret: JSON, key: str, access: Mapping[str, JSON], providers: Sequence[str], where: str) -> str:
    """The kubeconfig that a Secret comes to.

    Args:
        secret: with the credentials.
        key: of the Secret, one of those that `reference_for` gives.
        access: what the profile tells of the cluster, by access provider.
        providers: those that the operator may follow, the first that the profile has is taken.
        where: the Secret's name, for messages.

    Raises:
        InvalidSpec: there is none; the message says what is missing, and where.
    """
    value = mapping(secret.get("data")).get(key)
    if value is None:
        keys = ", ".join(_KEYS[:-1])
        raise InvalidSpec(
            Reason.SECRET_MISSING, f"{where} has no key {key}: put a kubeconfig under {PUSHED_KEY} (or one of {keys})"
        )
    try:
        text = base64.b64decode(str(value), validate=True).decode()
    except (binascii.Error, ValueError):
        raise InvalidSpec(Reason.KUBECONFIG_REFUSED, f"{where}, key {key}: it is no text") from None
    return text if key != TOKEN_KEY else _composed(text.strip(), access, providers, where)


def missing(namespace: str, profile: str, member: str, found: Sequence[str]) -> str:
    """What to say where no credentials are there for a profile: what to create, and where.

    Args:
        namespace: the operator's own, where Secrets are.
        profile: its name.
        member: the name of the MemberCluster.
        found: the Secrets that are meant for it.
    """
    if len(found) > 1:
        shown = ", ".join(found[:_SHOWN])
        return (
            f"{len(found)} Secrets in {namespace} carry the label {PROFILE_SECRET_LABEL}={profile} ({shown}): leave it "
            "on the one that is meant for Sluice"
        )
    if found:
        return f"Secret {namespace}/{found[0]} is there, and the MemberCluster is about to name it"
    return (
        f"no Secret in {namespace} has credentials for ClusterProfile {profile}: create one with the label "
        f"{PROFILE_SECRET_LABEL}={profile} and a kubeconfig under the key {PUSHED_KEY}; or Secret member-{member} with "
        f"the label {MEMBER_LABEL}={member} and a kubeconfig under the key {SECRET_KEY}"
    )


def _key_of(secret: JSON) -> str:
    data = mapping(secret.get("data"))
    return next((key for key in _KEYS if key in data), "")


def _composed(token: str, access: Mapping[str, JSON], providers: Sequence[str], where: str) -> str:
    """A kubeconfig of a profile's cluster and a token; `api.kubeconfig` is to refuse what it does not take."""
    if not providers:
        raise InvalidSpec(
            Reason.SECRET_MISSING,
            f"{where} has a token only, and the operator takes addresses from no access provider: put a kubeconfig "
            f"under {PUSHED_KEY}, or start it with --access-provider",
        )
    name = next((name for name in providers if name in access), None)
    if name is None:
        raise InvalidSpec(
            Reason.SECRET_MISSING,
            f"{where} has a token only, and the ClusterProfile tells no address by access provider "
            f"{' or '.join(providers)}: put a kubeconfig under {PUSHED_KEY}, or have status.accessProviders filled",
        )
    cluster = {key: value for key, value in access[name].items() if key not in _UNUSED_OF_CLUSTERS}
    config = {
        "clusters": [{"name": "profile", "cluster": cluster}],
        "users": [{"name": "profile", "user": {"token": token}}],
        "contexts": [{"name": "profile", "context": {"cluster": "profile", "user": "profile"}}],
        "current-context": "profile",
    }
    return json.dumps(config)  # which is YAML, too
