"""Credentials for the cluster of a ClusterProfile: which Secret has them, and what they come to."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from sluice.api.kubeconfig import parse_kubeconfig
from sluice.api.units import JSON
from sluice.decide.lending import SecretKey, kubeconfig_in, missing, reference_for, secrets_by_profile
from sluice.errors import InvalidSpec

CLUSTER = {"server": "https://pilot.example:6443"}


def secret(profile: str = "pilot", /, *, namespace: str = "", **data: str) -> JSON:
    """A Secret for a profile."""
    labels = {"x-k8s.io/cluster-profile": profile}
    if namespace:
        labels["x-k8s.io/cluster-profile-namespace"] = namespace
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"metadata": {"labels": labels}, "data": encoded}


def text(lent: JSON, key: str, access: dict[str, Any] | None = None, providers: tuple[str, ...] = ()) -> str:
    """What it comes to."""
    return kubeconfig_in(lent, key, access or {}, providers, "Secret sluice-system/lent")


def test_a_secret_is_for_the_profile_that_its_label_names() -> None:
    """In any namespace, unless it says in which."""
    secrets = {
        "a": secret(),
        "b": secret("other"),
        "c": secret(namespace="fleet"),
        "d": secret(namespace="elsewhere"),
    }
    assert secrets_by_profile("fleet", secrets)["pilot"] == ["a", "c"]


@pytest.mark.parametrize(
    "data, key",
    [
        ({"Config": "1", "token": "2"}, "Config"),
        ({"config": "1"}, "config"),
        ({"kubeconfig": "1", "token": "2"}, "kubeconfig"),
        ({"token": "2", "ca.crt": "3"}, "token"),
        ({}, "Config"),
    ],
)
def test_the_key_is_the_keps_or_what_managers_made_of_it(data: dict[str, str], key: str) -> None:
    """A whole kubeconfig is preferred to a token; where nothing fits, the message will name the KEP's."""
    assert reference_for("pilot", ["lent"], {"lent": secret(**data)}) == SecretKey("lent", key)


def test_without_a_secret_or_with_several_the_usual_one_is_named() -> None:
    """That which `sluice clusters add` makes, so that it can lend credentials to a discovered member too."""
    usual = SecretKey("member-pilot", "kubeconfig")
    assert reference_for("pilot", [], {}) == usual
    assert reference_for("pilot", ["a", "b"], {"a": secret(Config="1"), "b": secret(Config="2")}) == usual


def test_a_kubeconfig_is_given_as_it_is() -> None:
    """Whether it may be used is decided where all kubeconfigs are read."""
    assert text(secret(Config="exec: anything"), "Config") == "exec: anything"


def test_a_token_goes_where_the_named_access_provider_says() -> None:
    """The server and the CA of the first that the operator was told to follow, and the profile has."""
    authority = base64.b64encode(b"-----BEGIN CERTIFICATE-----\n").decode()
    access = {
        "gateway": {"server": "https://elsewhere.example"},
        "secretreader": {
            **CLUSTER,
            "certificate-authority-data": authority,
            "disable-compression": True,
            "extensions": [{"name": "client.authentication.k8s.io/exec", "extension": {"clusterName": "pilot"}}],
        },
    }
    read = parse_kubeconfig(text(secret(token="t0ken\n"), "token", access, ("absent", "secretreader", "gateway")))
    assert (read.server, read.token) == ("https://pilot.example:6443", "t0ken")
    assert read.authorities.startswith("-----BEGIN CERTIFICATE-----")


@pytest.mark.parametrize(
    "more, told",
    [
        ({"insecure-skip-tls-verify": True}, "insecure-skip-tls-verify is not allowed"),
        ({"proxy-url": "http://proxy:8080"}, "proxy-url is not allowed"),
        ({"tls-server-name": "other"}, "tls-server-name is not allowed"),
        ({"certificate-authority": "/etc/ca"}, "certificate-authority is not allowed"),
        ({"server": "http://pilot.example"}, "begins with http://"),
        ({"server": "https://169.254.169.254"}, "where no member cluster can be"),
        ({"server": None}, "has no server"),
        ({"server": {"a": ["b"]}}, "has no server"),
    ],
)
def test_an_address_is_held_to_the_rules_of_a_kubeconfig(more: dict[str, Any], told: str) -> None:
    """Whoever writes profiles gains no proxy, no unverified TLS, no file and no metadata address by it."""
    composed = text(secret(token="t"), "token", {"p": {**CLUSTER, **more}}, ("p",))
    with pytest.raises(InvalidSpec, match=told):
        parse_kubeconfig(composed)


@pytest.mark.parametrize(
    "access, providers, told",
    [
        ({"p": CLUSTER}, (), "start it with --access-provider"),
        ({"p": CLUSTER}, ("q", "r"), "no address by access provider q or r"),
        ({}, ("p",), "no address by access provider p"),
    ],
)
def test_a_token_goes_nowhere_that_was_not_agreed_to(
    access: dict[str, Any], providers: tuple[str, ...], told: str
) -> None:
    """By default an address in a profile gets no token at all; the message says what would help."""
    with pytest.raises(InvalidSpec, match=told) as error:
        text(secret(token="s3cr3t"), "token", access, providers)
    assert error.value.reason == "SecretMissing"
    assert "s3cr3t" not in str(error.value)


def test_a_key_that_is_not_there_or_no_text_is_told() -> None:
    """With the key that the KEP has, and nothing of the content."""
    with pytest.raises(InvalidSpec, match="has no key Config: put a kubeconfig under Config"):
        text(secret(other="x"), "Config")
    with pytest.raises(InvalidSpec, match="it is no text"):
        text({"data": {"Config": base64.b64encode(b"\xff\xfe").decode()}}, "Config")


def test_what_is_missing_is_told_with_what_to_create() -> None:
    """Both ways to give credentials, by label and key; or which Secrets are in each other's way."""
    told = missing("sluice-system", "pilot", "pilot", [])
    assert "create one with the label x-k8s.io/cluster-profile=pilot and a kubeconfig under the key Config" in told
    assert "Secret member-pilot with the label sluice.dev/member-cluster=pilot" in told
    told = missing("sluice-system", "pilot", "pilot", ["a", "b"])
    assert told.startswith("2 Secrets in sluice-system carry the label x-k8s.io/cluster-profile=pilot (a, b)")
