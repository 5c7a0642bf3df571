"""MemberClusters made of ClusterProfiles, the inventory of SIG Multicluster: which there shall be, and which no more.

A profile gives a member its name and its labels; how to reach it comes from a Secret (`decide.lending`). What people
registered themselves is theirs: a name that is taken stays as it is. Tolerant of any content. Pure.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from sluice.api.member import NAME_CHARACTERS
from sluice.api.names import APPLIED_ANNOTATION, GROUP, PROFILE_ANNOTATION, PROFILE_LABEL
from sluice.api.units import JSON
from sluice.decide.lending import SecretKey
from sluice.decide.metadata import annotation_of, labels_of, mapping, metadata_of, sequence

_NAME = re.compile(rf"[a-z0-9]([-a-z0-9]{{0,{NAME_CHARACTERS - 2}}}[a-z0-9])?")
_DIGEST_CHARACTERS = 8

_WORD = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_LABEL_KEY = re.compile(rf"([a-z0-9]([-a-z0-9.]{{0,251}}[a-z0-9])?/)?{_WORD}")
_LABEL_VALUE = re.compile(rf"({_WORD})?")
# By these, tools know what is theirs to delete: copied, they would take a MemberCluster for something of their own.
_OF_OTHERS = frozenset({"app.kubernetes.io/instance", "app.kubernetes.io/managed-by"})
_DOMAINS_OF_OTHERS = (GROUP, "argoproj.io", "fluxcd.io")


@dataclass(frozen=True, slots=True)
class Profile:
    """A ClusterProfile, as far as it is used.

    Attributes:
        namespace: its own.
        name: its own.
        labels: for the MemberCluster: those of its properties that can be labels, and over them its own labels.
        access: how to reach the cluster, by the name of an access provider: the fields of a kubeconfig's cluster.
    """

    namespace: str
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    access: Mapping[str, JSON] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """As a MemberCluster names it."""
        return f"{self.namespace}/{self.name}"

    @property
    def member(self) -> str:
        """The name of its MemberCluster."""
        return member_name(self.name)


@dataclass(frozen=True, slots=True)
class Making:
    """A MemberCluster to apply. `uid` and `resource_version` are those of the one that is there; "" for none."""

    name: str
    body: JSON
    uid: str = ""
    resource_version: str = ""


@dataclass(frozen=True, slots=True)
class Orphan:
    """A MemberCluster of ours whose profile is gone."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What there is to do. `taken`: names that profiles would give, and that somebody else's MemberCluster has."""

    makings: tuple[Making, ...] = ()
    orphans: tuple[Orphan, ...] = ()
    taken: tuple[str, ...] = ()


def parse_profile(obj: JSON) -> Profile:
    """Read a ClusterProfile."""
    metadata, status = metadata_of(obj), mapping(obj.get("status"))
    properties = ((each.get("name"), each.get("value")) for each in map(mapping, sequence(status.get("properties"))))
    # The second is what the first was called before v0.1.0 of the API; managers may write either.
    listed = [*sequence(status.get("credentialProviders")), *sequence(status.get("accessProviders"))]
    return Profile(
        namespace=str(metadata.get("namespace") or ""),
        name=str(metadata.get("name") or ""),
        labels={**dict(_usable(properties)), **dict(_usable(labels_of(obj).items()))},
        access={str(each.get("name")): mapping(each.get("cluster")) for each in map(mapping, listed)},
    )


def member_name(profile: str) -> str:
    """The name of a profile's MemberCluster: its own where a MemberCluster can have it.

    >>> member_name("pilot"), member_name("eu.west.1")
    ('pilot', 'eu-west-1-b5d0ef1c')
    """
    if _NAME.fullmatch(profile):
        return profile
    digest = hashlib.sha256(profile.encode()).hexdigest()[:_DIGEST_CHARACTERS]
    words = re.sub(r"[^a-z0-9]+", "-", profile.lower())[: NAME_CHARACTERS - _DIGEST_CHARACTERS - 1].strip("-")
    return f"{words}-{digest}".lstrip("-")


def profile_of(member: JSON) -> str:
    """What a MemberCluster was made of, `<namespace>/<name>`; "" where it is not the operator's, or no longer."""
    key = annotation_of(member, PROFILE_ANNOTATION) if PROFILE_LABEL in labels_of(member) else ""
    return key if member_name(key.partition("/")[2]) == metadata_of(member).get("name") else ""


def plan_members(
    namespace: str, profiles: Iterable[Profile], members: Mapping[str, JSON], bodies: Mapping[str, JSON]
) -> Plan:
    """What makes the MemberClusters what the profiles say.

    Args:
        namespace: where profiles are taken from.
        profiles: all of them.
        members: every MemberCluster, by name.
        bodies: what is ours of each profile's MemberCluster, by the profile's name.
    """
    makings, taken, named = [], [], dict[str, str]()
    made_of = {name: profile_of(member) for name, member in members.items()}
    for profile in sorted(profiles, key=lambda each: each.name):
        name = profile.member
        known = members.get(name)
        if name in named or (known is not None and made_of[name] != profile.key):
            taken.append(name)
            continue
        named[name] = profile.key
        body = bodies[profile.name]
        if known is None:
            makings.append(Making(name, body))
        elif "deletionTimestamp" not in metadata_of(known) and not _is_as(known, body):
            metadata = metadata_of(known)
            makings.append(Making(name, body, str(metadata["uid"]), str(metadata["resourceVersion"])))
    orphans = (
        Orphan(name, str(metadata_of(members[name])["uid"]))
        for name, key in sorted(made_of.items())
        if key.partition("/")[0] == namespace and named.get(name) != key and _may_go(members[name])
    )
    return Plan(tuple(makings), tuple(orphans), tuple(taken))


def member_body(profile: Profile, reference: SecretKey) -> JSON:
    """What is ours of a profile's MemberCluster; the weight and the Prometheus are for people to set.

    Args:
        profile: it is made of.
        reference: where its kubeconfig is.
    """
    labels = {**profile.labels, PROFILE_LABEL: profile.member}
    spec = {"kubeconfigSecretRef": {"name": reference.name, "key": reference.key}}
    said = json.dumps([labels, spec], sort_keys=True, separators=(",", ":"))
    annotations = {
        PROFILE_ANNOTATION: profile.key,
        APPLIED_ANNOTATION: hashlib.sha256(said.encode()).hexdigest()[:16],  # tells that a label was taken away, too
    }
    return {"metadata": {"labels": labels, "annotations": annotations}, "spec": spec}


def _is_as(member: JSON, body: JSON) -> bool:
    labels, reference = labels_of(member), mapping(mapping(member.get("spec")).get("kubeconfigSecretRef"))
    return (
        annotation_of(member, APPLIED_ANNOTATION) == annotation_of(body, APPLIED_ANNOTATION)
        and all(labels.get(key) == value for key, value in labels_of(body).items())
        and reference == body["spec"]["kubeconfigSecretRef"]
    )


def _may_go(member: JSON) -> bool:
    metadata = metadata_of(member)
    return not metadata.get("ownerReferences") and "deletionTimestamp" not in metadata


def _usable(labels: Iterable[tuple[object, object]]) -> Iterator[tuple[str, str]]:
    for key, value in labels:
        if not isinstance(key, str) or not isinstance(value, str) or not _LABEL_KEY.fullmatch(key):
            continue
        domain = key.rpartition("/")[0]
        is_theirs = any(domain == each or domain.endswith(f".{each}") for each in _DOMAINS_OF_OTHERS)
        if _LABEL_VALUE.fullmatch(value) and key not in _OF_OTHERS and not is_theirs:
            yield key, value
