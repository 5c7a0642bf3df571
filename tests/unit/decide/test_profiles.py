"""MemberClusters out of ClusterProfiles: names, labels, whose is whose, and what is done about it."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.api.names import PROFILE_ANNOTATION, PROFILE_LABEL
from sluice.api.units import JSON
from sluice.decide.lending import SecretKey
from sluice.decide.profiles import Plan, Profile, member_body, member_name, parse_profile, plan_members, profile_of

NAMESPACE = "fleet"


def profile(name: str = "pilot", **fields: Any) -> JSON:
    """A ClusterProfile as the API server has it."""
    metadata = {"name": name, "namespace": NAMESPACE, "labels": fields.pop("labels", {})}
    return {"metadata": metadata, "spec": {"clusterManager": {"name": "ours"}}, "status": fields}


def plan(*profiles: JSON, members: tuple[JSON, ...] = (), secret: str = "member-pilot") -> Plan:
    """Decide, with one Secret for each."""
    parsed = [parse_profile(each) for each in profiles]
    bodies = {each.name: member_body(each, SecretKey(secret, "kubeconfig")) for each in parsed}
    return plan_members(NAMESPACE, parsed, {each["metadata"]["name"]: each for each in members}, bodies)


def made(*profiles: JSON, **fields: Any) -> tuple[JSON, ...]:
    """The MemberClusters that come of profiles, as the API server stores them."""
    return tuple(
        {
            **making.body,
            "metadata": {
                **making.body["metadata"],
                "name": making.name,
                "uid": f"uid-{making.name}",
                "resourceVersion": "7",
                **fields,
            },
        }
        for making in plan(*profiles).makings
    )


def test_labels_are_the_profiles_own_and_its_properties() -> None:
    """What selectors go by: region and cluster set of the properties, and over them what people set."""
    read = parse_profile(
        profile(
            labels={"env": "prod", "location": "here"},
            properties=[
                {"name": "topology.kubernetes.io/region", "value": "eu-west-1"},
                {"name": "clusterset.k8s.io", "value": "blue"},
                {"name": "location", "value": "apac"},
            ],
        )
    )
    assert read.labels == {
        "env": "prod",
        "location": "here",
        "topology.kubernetes.io/region": "eu-west-1",
        "clusterset.k8s.io": "blue",
    }


@pytest.mark.parametrize(
    "key, value",
    [
        ("a b", "1"),
        ("", "1"),
        ("x" * 64, "1"),
        ("UPPER.domain/x", "1"),
        ("a/b/c", "1"),
        ("ok", "two words"),
        ("ok", "x" * 64),
        ("ok", '{"json": true}'),
        ("ok", 7),
        (["no", "text"], "1"),
        (None, None),
        ("sluice.dev/rollout", "mine"),
        ("deep.sluice.dev/x", "mine"),
        ("app.kubernetes.io/instance", "argo"),
        ("app.kubernetes.io/managed-by", "Helm"),
        ("argocd.argoproj.io/instance", "fleet"),
        ("kustomize.toolkit.fluxcd.io/name", "fleet"),
    ],
)
def test_what_is_no_label_or_anothers_is_left_out(key: object, value: object) -> None:
    """No property makes a MemberCluster that the API server refuses, or that Argo CD, Flux or Helm would delete."""
    assert parse_profile(profile(properties=[{"name": key, "value": value}])).labels == {}


@pytest.mark.parametrize("status", [None, [], {"properties": {}, "accessProviders": "x"}, {"properties": [None, 3]}])
def test_any_content_is_read(status: object) -> None:
    """A profile that means nothing gives a member without labels or address, and no error."""
    read = parse_profile({**profile(), "status": status})
    assert (read.name, dict(read.labels), dict(read.access)) == ("pilot", {}, {})


def test_addresses_are_read_from_both_fields() -> None:
    """`accessProviders` is the field, and wins; `credentialProviders` is how managers of early versions call it."""
    read = parse_profile(
        profile(
            credentialProviders=[
                {"name": "a", "cluster": {"server": "https://old"}},
                {"name": "b", "cluster": {"server": "https://b"}},
            ],
            accessProviders=[{"name": "a", "cluster": {"server": "https://new"}}],
        )
    )
    assert read.access == {"a": {"server": "https://new"}, "b": {"server": "https://b"}}


@pytest.mark.parametrize("name", ["pilot", "a", "x" * 63, "eu.west.1", "x" * 64, "x." * 100 + "y", "-", "a-"])
def test_every_name_gives_one_that_a_member_can_have(name: str) -> None:
    """At most 63 characters of a-z, 0-9 and '-'; other names are told apart by a digest of them."""
    given = member_name(name)
    assert 1 <= len(given) <= 63
    assert set(given) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert not given.startswith("-")
    assert not given.endswith("-")
    assert given != member_name(name + ".z")


def test_a_profile_makes_a_member() -> None:
    """With its labels, the mark of where it comes from, and the Secret; nothing is said of weight and Prometheus."""
    (making,) = plan(profile(labels={"env": "prod"}), secret="lent").makings
    assert (making.name, making.uid) == ("pilot", "")
    assert making.body["metadata"]["labels"] == {"env": "prod", PROFILE_LABEL: "pilot"}
    assert making.body["metadata"]["annotations"][PROFILE_ANNOTATION] == "fleet/pilot"
    assert making.body["spec"] == {"kubeconfigSecretRef": {"name": "lent", "key": "kubeconfig"}}


def test_what_is_as_it_should_be_is_left_alone() -> None:
    """Nothing to do; labels that others added, and their weight, are no difference."""
    (member,) = made(profile(labels={"env": "prod"}))
    member["metadata"]["labels"]["team"] = "payments"
    member["spec"]["weight"] = 20
    assert plan(profile(labels={"env": "prod"}), members=(member,)) == Plan()


def test_what_differs_is_made_anew() -> None:
    """A label changed, one was taken away, another Secret: each time, upon that very version of the object."""
    members = made(profile(labels={"env": "prod", "old": "1"}))
    for changed in (profile(labels={"env": "test", "old": "1"}), profile(labels={"env": "prod"})):
        (making,) = plan(changed, members=members).makings
        assert (making.uid, making.resource_version) == ("uid-pilot", "7")
    assert plan(profile(labels={"env": "prod", "old": "1"}), members=members, secret="other").makings
    members[0]["metadata"]["labels"]["env"] = "edited"
    assert plan(profile(labels={"env": "prod", "old": "1"}), members=members).makings


def test_a_member_made_by_hand_is_never_touched() -> None:
    """Nor one that was let go by taking off the label: it is told of, not changed, and stays without its profile."""
    by_hand: JSON = {"metadata": {"name": "pilot", "uid": "u", "resourceVersion": "1"}, "spec": {}}
    (let_go,) = made(profile())
    del let_go["metadata"]["labels"][PROFILE_LABEL]
    for member in (by_hand, let_go):
        assert profile_of(member) == ""
        assert plan(profile(), members=(member,)) == Plan(taken=("pilot",))
        assert plan(members=(member,)) == Plan()


def test_a_member_of_another_namespaces_profile_is_not_ours() -> None:
    """The namespace was changed in the settings: what was made of the other stays as it is."""
    (member,) = made(profile())
    member["metadata"]["annotations"][PROFILE_ANNOTATION] = "elsewhere/pilot"
    assert plan(profile(), members=(member,)) == Plan(taken=("pilot",))
    assert plan(members=(member,)) == Plan()


def test_without_its_profile_a_member_is_an_orphan() -> None:
    """Unless somebody else owns it too, or it is being deleted already."""
    assert [orphan.name for orphan in plan(members=made(profile())).orphans] == ["pilot"]
    assert plan(members=made(profile(), ownerReferences=[{"kind": "Fleet"}])) == Plan()
    assert plan(members=made(profile(), deletionTimestamp="2026-03-02T09:00:00Z")) == Plan()


def test_two_profiles_never_share_a_member() -> None:
    """The name that one gets by its digest may be another's own: the first has it, and keeps it."""
    taken = Profile(NAMESPACE, member_name("eu.west"))
    other = Profile(NAMESPACE, "eu.west")
    bodies = {each.name: member_body(each, SecretKey("s", "k")) for each in (taken, other)}
    assert taken.member == other.member
    found = plan_members(NAMESPACE, [taken, other], {}, bodies)
    assert [making.name for making in found.makings] == [taken.member]
    assert found.taken == (taken.member,)
