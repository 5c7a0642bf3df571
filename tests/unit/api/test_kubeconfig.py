"""What a member's kubeconfig may hold, and what is refused, in which words."""

from __future__ import annotations

import base64
import copy
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sluice.api.kubeconfig import MAX_CHARACTERS, Kubeconfig, parse_kubeconfig, render_kubeconfig
from sluice.errors import InvalidSpec

SECRET = "s3cr3t-of-the-member"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY-----\n"


def encoded(text: str) -> str:
    """Base64."""
    return base64.b64encode(text.encode()).decode()


def config(cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None, **top: Any) -> dict[str, Any]:
    """A good kubeconfig, with these fields besides."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "c",
                "cluster": {"server": "https://10.0.0.7:6443", "certificate-authority-data": encoded(CERTIFICATE)}
                | (cluster or {}),
            }
        ],
        "users": [{"name": "u", "user": {"token": SECRET} if user is None else user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "n"}}],
        "current-context": "x",
    } | top


def refusal_of(content: object) -> InvalidSpec:
    """How it is refused."""
    text = content if isinstance(content, str) else yaml.safe_dump(content)
    with pytest.raises(InvalidSpec) as caught:
        parse_kubeconfig(text)
    assert SECRET not in str(caught.value)
    return caught.value


def test_a_token_and_an_authority() -> None:
    """The usual one: where, whom to trust, and who we are; its repr shows no credential."""
    found = parse_kubeconfig(yaml.safe_dump(config()))
    assert found == Kubeconfig("https://10.0.0.7:6443", "10.0.0.7:6443", CERTIFICATE, SECRET)
    assert SECRET not in repr(found)


def test_a_client_certificate() -> None:
    """The other way to say who we are."""
    user = {"client-certificate-data": encoded(CERTIFICATE), "client-key-data": encoded(KEY)}
    found = parse_kubeconfig(yaml.safe_dump(config(user=user)))
    assert (found.token, found.certificate, found.key) == ("", CERTIFICATE, KEY)
    assert "BEGIN" not in repr(found)


@pytest.mark.parametrize(
    "server, canonical, host",
    [
        ("https://api.eu.example", "https://api.eu.example", "api.eu.example"),
        ("https://API.EU.example:443/", "https://api.eu.example:443", "api.eu.example:443"),
        ("https://rancher.example/k8s/clusters/c-1", "https://rancher.example/k8s/clusters/c-1", "rancher.example"),
        ("https://[2001:db8::1]:6443", "https://[2001:db8::1]:6443", "[2001:db8::1]:6443"),
        ("https://127.0.0.1:6443", "https://127.0.0.1:6443", "127.0.0.1:6443"),
    ],
)
def test_servers(server: str, canonical: str, host: str) -> None:
    """Names and addresses, with a port and a plain path; the path is not shown."""
    found = parse_kubeconfig(yaml.safe_dump(config({"server": server})))
    assert (found.server, found.host) == (canonical, host)


@pytest.mark.parametrize(
    "field, value, advice",
    [
        ("exec", {"command": "aws"}, "runs no programs"),
        ("auth-provider", {"name": "gcp"}, "runs no auth providers"),
        ("client-certificate", "/c.pem", "--flatten"),
        ("client-key", "/k.pem", "--flatten"),
        ("tokenFile", "/token", "put the token itself here"),
        ("as", "system:admin", "impersonates nobody"),
        ("as-uid", "1", "impersonates nobody"),
        ("as-groups", ["system:masters"], "impersonates nobody"),
        ("as-user-extra", {"a": ["b"]}, "impersonates nobody"),
        ("username", "admin", "sluice clusters add"),
        ("password", SECRET, "sluice clusters add"),
        ("something-new", "x", "does not know it"),
    ],
)
@pytest.mark.parametrize("is_used", [True, False])
def test_what_a_user_may_not_have(field: str, value: Any, advice: str, is_used: bool) -> None:
    """Each is named, with what to do, also in an entry that the current context does not use."""
    content = config()
    bad = {"name": "bad", "user": {"token": SECRET, field: value}}
    content["users"] = [*([] if is_used else content["users"]), bad]
    content["contexts"][0]["context"]["user"] = "bad" if is_used else "u"
    refused = refusal_of(content)
    assert refused.reason == "KubeconfigRefused"
    assert f"users[{0 if is_used else 1}].user.{field} is not allowed" in str(refused)
    assert advice in str(refused)


@pytest.mark.parametrize(
    "field, value, advice",
    [
        ("certificate-authority", "/ca.pem", "--flatten"),
        ("insecure-skip-tls-verify", True, "could take the token"),
        ("proxy-url", "http://proxy:3128", "connects directly"),
        ("tls-server-name", "kubernetes", "server name that the certificate has"),
    ],
)
def test_what_a_cluster_may_not_have(field: str, value: Any, advice: str) -> None:
    """Likewise."""
    told = str(refusal_of(config({field: value})))
    assert f"clusters[0].cluster.{field} is not allowed" in told
    assert advice in told


def test_everything_refused_is_told_at_once() -> None:
    """One look is enough to mend it: several refusals come in one message."""
    told = str(refusal_of(config({"proxy-url": "http://p"}, {"exec": {}, "username": "a", "password": SECRET})))
    assert [word in told for word in ("proxy-url", "exec", "username", "password")] == [True] * 4


def test_what_is_off_is_not_there() -> None:
    """`insecure-skip-tls-verify: false` and an empty proxy change nothing, and are no reason to refuse."""
    found = parse_kubeconfig(yaml.safe_dump(config({"insecure-skip-tls-verify": False, "proxy-url": ""})))
    assert found.token == SECRET


SEVERAL = [{"name": name, "context": {"cluster": "c", "user": "u"}} for name in ("x", "y")]


@pytest.mark.parametrize(
    "content, told",
    [
        (config({"server": "http://10.0.0.7"}), "begins with http://"),
        (config({"server": "https://user:pw@10.0.0.7"}), "none that Sluice takes"),
        (config({"server": "https://10.0.0.7/a/../b"}), "none that Sluice takes"),
        (config({"server": "https://10.0.0.7?x=1"}), "none that Sluice takes"),
        (config({"server": "https://10.0.0.7:99999"}), "none that Sluice takes"),
        (config({"server": "https://[api]:6443"}), "none that Sluice takes"),
        (config({"server": "https://[1:2]:6443"}), "no IP address"),
        (config({"server": ""}), "has no server"),
        (config({"server": 7}), "has no server"),
        (config({"certificate-authority-data": "%%%"}), "certificate-authority-data is not base64"),
        (config({"certificate-authority-data": encoded("hello")}), "holds no PEM certificate"),
        (config(user={}), "the user has no credentials"),
        (config(user={"token": "two words"}), "the token is none"),
        (config(user={"token": 7}), "the token is none"),
        (config(user={"token": "x" * 20_000}), "the token is none"),
        (config(user={"client-certificate-data": encoded(CERTIFICATE)}), "go together"),
        (
            config(
                user={"token": "t", "client-certificate-data": encoded(CERTIFICATE), "client-key-data": encoded(KEY)}
            ),
            "leave one of them out",
        ),
        (
            config(
                user={
                    "client-certificate-data": encoded(CERTIFICATE),
                    "client-key-data": encoded(KEY.replace("EC PRIVATE", "ENCRYPTED PRIVATE")),
                }
            ),
            "is encrypted",
        ),
        (config(contexts=SEVERAL) | {"current-context": ""}, "several contexts and no current-context"),
        (config(contexts=[]), "no context"),
        (config() | {"current-context": "z"}, "the context that is named is not there (z)"),
        (config(users=[]), "the user that is named is not there (u)"),
        (config(users=[{"name": "u", "user": {"token": word}} for word in "ab"]), "several users have one name (u)"),
        (config(clusters="c"), "clusters is no list"),
        (config(clusters=["c"]), "clusters[0] has no name"),
        ("", "empty"),
        ("[]", "no YAML object"),
        ("a: [", "is not YAML at line"),
        ("a: &a [1]\nb: *a", "YAML aliases"),
        ("[" * 20_000, "not YAML"),
        ("x" * (MAX_CHARACTERS + 1), "larger than 128 KiB"),
    ],
)
def test_what_means_nothing(content: Any, told: str) -> None:
    """Everything else that cannot be used is told in a sentence of its own."""
    assert told in str(refusal_of(content))


def test_one_context_needs_no_current_one() -> None:
    """There is only one that can be meant."""
    assert parse_kubeconfig(yaml.safe_dump(config() | {"current-context": ""})).token == SECRET


@pytest.mark.parametrize(
    "host, what",
    [
        ("169.254.169.254", "a link-local address"),
        ("[fe80::1]", "a link-local address"),
        ("[::ffff:169.254.169.254]", "a link-local address"),
        ("[64:ff9b::a9fe:a9fe]", "a link-local address"),
        ("[fd00:ec2::254]", "a cloud's metadata address"),
        ("168.63.129.16", "a cloud's metadata address"),
        ("0.0.0.0", "an unspecified address"),  # noqa: S104 - refused
        ("224.0.0.1", "a multicast address"),
    ],
)
def test_where_no_member_can_be(host: str, what: str) -> None:
    """Addresses at which clouds hand out credentials, however they are written, and those of no machine."""
    refused = refusal_of(config({"server": f"https://{host}:6443"}))
    assert refused.reason == "AddressRefused"
    assert what in str(refused)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=12,
)
PATHS = st.sampled_from(
    [
        ("clusters",),
        ("users",),
        ("contexts",),
        ("current-context",),
        ("clusters", 0),
        ("clusters", 0, "name"),
        ("clusters", 0, "cluster"),
        ("clusters", 0, "cluster", "server"),
        ("clusters", 0, "cluster", "certificate-authority-data"),
        ("users", 0, "user"),
        ("users", 0, "user", "token"),
        ("users", 0, "user", "client-key-data"),
        ("contexts", 0, "context"),
        ("contexts", 0, "context", "user"),
    ]
)


@given(path=PATHS, value=JSON)
def test_any_value_anywhere_is_taken_or_refused(path: tuple[Any, ...], value: Any) -> None:
    """Whatever stands in any place, it is parsed, or refused in words that show no credential: nothing else happens."""
    content = copy.deepcopy(config())
    *way, last = path
    inner: Any = content
    for key in way:
        inner = inner[key]
    inner[last] = value
    _taken_or_refused(yaml.safe_dump(content))


@given(st.text(max_size=300))
def test_any_text_is_taken_or_refused(text: str) -> None:
    """So it is with text that is no kubeconfig at all."""
    _taken_or_refused(text)


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_any_server_is_taken_or_refused(server: str) -> None:
    """Whatever is taken is https, has a host, and holds nothing that a URL could be split at differently."""
    try:
        found = parse_kubeconfig(yaml.safe_dump(config({"server": f"https://{server}"})))
    except InvalidSpec:
        return
    assert found.server.startswith(f"https://{found.host}")
    assert not set("@?#\\ %\n") & set(found.server)


def _taken_or_refused(text: str) -> None:
    told = ""
    try:
        assert parse_kubeconfig(text).server.startswith("https://")
    except InvalidSpec as refused:
        told = str(refused)
    assert SECRET not in told
    assert told.isprintable()
    assert len(told) < 2000


@pytest.mark.parametrize(
    "kubeconfig",
    [
        Kubeconfig("https://a.example", "a.example", CERTIFICATE, "t"),
        Kubeconfig("https://a.example:1", "a.example:1", "", "", CERTIFICATE, KEY),
    ],
)
def test_what_is_written_is_read_back(kubeconfig: Kubeconfig) -> None:
    """What `sluice clusters add` puts into the Secret is what the operator takes out of it."""
    assert parse_kubeconfig(render_kubeconfig("pilot", kubeconfig)) == kubeconfig
