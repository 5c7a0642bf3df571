"""The kubeconfig of a member cluster: parsed strictly, or refused with every reason and what to do.

It may hold a server, CA data, and a token or client certificate data. All else that a kubeconfig can hold would run a
program, read a file or reach another machine in the operator's place, or verify less: it is refused wherever it stands,
also in entries that the current context does not use, so that no later edit of one word brings it into force.

Nothing here keeps, shows or quotes a credential.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from sluice.api.addresses import literal, member_refusal
from sluice.api.conditions import Reason
from sluice.errors import InvalidSpec

MAX_CHARACTERS = 128 * 1024
_TOKEN_CHARACTERS = 16 * 1024
_SHOWN = 5  # refusals in one message

_SERVER = re.compile(
    r"https://(?P<host>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9]([-A-Za-z0-9.]{0,251}[A-Za-z0-9])?)(:(?P<port>[0-9]{1,5}))?"
    r"(?P<path>(/[-A-Za-z0-9_.~]+)*)/?"
)
_TOKEN = re.compile(r"[\x21-\x7e]+")
_INSTEAD = "make a ServiceAccount token for Sluice: `sluice clusters add` does it"
_INLINE = (
    "put the file's content here in base64, under the same name with -data (`kubectl config view --raw --flatten`)"
)
_REFUSED_OF_CLUSTERS = {
    "certificate-authority": f"the operator reads no files: {_INLINE}",
    "insecure-skip-tls-verify": "whoever is in between could take the token: give certificate-authority-data instead",
    "proxy-url": "the operator connects directly: give an address that it can reach",
    "tls-server-name": "use a server name that the certificate has",
}
_REFUSED_OF_USERS = {
    "exec": f"the operator runs no programs: {_INSTEAD}",
    "auth-provider": f"the operator runs no auth providers: {_INSTEAD}",
    "client-certificate": f"the operator reads no files: {_INLINE}",
    "client-key": f"the operator reads no files: {_INLINE}",
    "tokenFile": "the operator reads no files: put the token itself here, as `token`",
    "as": "the operator impersonates nobody: give an account of its own the rights",
    "as-uid": "the operator impersonates nobody: give an account of its own the rights",
    "as-groups": "the operator impersonates nobody: give an account of its own the rights",
    "as-user-extra": "the operator impersonates nobody: give an account of its own the rights",
    "username": f"passwords are not supported: {_INSTEAD}",
    "password": f"passwords are not supported: {_INSTEAD}",
}
_KEPT_OF_CLUSTERS = frozenset({"server", "certificate-authority-data", "extensions"})
_KEPT_OF_USERS = frozenset({"token", "client-certificate-data", "client-key-data", "extensions"})


@dataclass(frozen=True, slots=True)
class Kubeconfig:
    """What is left of it.

    Attributes:
        server: base URL, without a trailing slash.
        host: its host, and port where one is given; fit to be shown.
        authorities: PEM; "" for the system's.
        token: "" where a client certificate is used.
        certificate: PEM; "" where a token is used.
        key: PEM; likewise.
    """

    server: str
    host: str
    authorities: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    certificate: str = field(default="", repr=False)
    key: str = field(default="", repr=False)


class _Loader(yaml.SafeLoader):
    """Plain YAML. Aliases are refused: merged into each other, a kilobyte of them can stand for gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise _refused(["it holds YAML aliases (*name): write each value out"])
        return super().compose_node(parent, index)


def parse_kubeconfig(text: str) -> Kubeconfig:
    """Parse a kubeconfig as far as Sluice takes one. Pure.

    Raises:
        InvalidSpec: it is none, or holds what is refused; the message names each thing, and what to do instead.
    """
    config = _load(text)
    entries = {kind: list(_entries(config, kind)) for kind in ("clusters", "users", "contexts")}
    refusals = [
        *_refusals(entries["clusters"], "cluster", _REFUSED_OF_CLUSTERS, _KEPT_OF_CLUSTERS),
        *_refusals(entries["users"], "user", _REFUSED_OF_USERS, _KEPT_OF_USERS),
    ]
    if refusals:
        raise _refused(refusals)
    context = _current(config, entries["contexts"])
    cluster = _named(entries["clusters"], "cluster", context.get("cluster"))
    user = _named(entries["users"], "user", context.get("user"))
    server, host = _server(cluster.get("server"))
    token, certificate, key = _credentials(user)
    authorities = _pem(cluster, "certificate-authority-data", "CERTIFICATE")
    return Kubeconfig(server, host, authorities, token, certificate, key)


def render_kubeconfig(name: str, kubeconfig: Kubeconfig) -> str:
    """A kubeconfig that `parse_kubeconfig` reads back as the same. Pure. It holds the credentials."""
    cluster = {"server": kubeconfig.server, "certificate-authority-data": _encoded(kubeconfig.authorities)}
    user = {
        "token": kubeconfig.token,
        "client-certificate-data": _encoded(kubeconfig.certificate),
        "client-key-data": _encoded(kubeconfig.key),
    }
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {key: value for key, value in cluster.items() if value}}],
        "users": [{"name": name, "user": {key: value for key, value in user.items() if value}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
    text: str = yaml.safe_dump(config, sort_keys=False)
    return text


def _load(text: str) -> dict[str, Any]:
    if len(text) > MAX_CHARACTERS:
        raise _refused(
            [f"it is larger than {MAX_CHARACTERS // 1024} KiB: leave only what this one cluster needs in it"]
        )
    try:
        config = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        # The error's own words would quote the text, which holds credentials.
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark is not None else ""
        raise _refused(
            [f"it is not YAML{where}: write it anew (`kubectl config view --raw --flatten --minify`)"]
        ) from None
    if not isinstance(config, dict):
        raise _refused(["it is empty, or no YAML object: give a kubeconfig with clusters, users and contexts"])
    return config


def _entries(config: dict[str, Any], kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and content of each entry of a list; entries that are none are refused."""
    listed = config.get(kind)
    if not isinstance(listed, list | None):
        raise _refused([f"{kind} is no list"])
    for number, entry in enumerate(listed or ()):
        content = entry.get(kind.removesuffix("s")) if isinstance(entry, dict) else None
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or not isinstance(content, dict):
            raise _refused([f"{kind}[{number}] has no name, or no {kind.removesuffix('s')}"])
        yield name, content


def _refusals(
    entries: list[tuple[str, dict[str, Any]]], what: str, refused: dict[str, str], kept: frozenset[str]
) -> Iterator[str]:
    for number, (_, content) in enumerate(entries):
        for key, value in content.items():
            if key in kept or value in (None, "", False):
                continue
            named = _shown(key)
            advice = refused.get(str(key), "remove it: Sluice does not know it")
            yield f"{what}s[{number}].{what}.{named} is not allowed: {advice}"


def _current(config: dict[str, Any], contexts: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    current = config.get("current-context") or ""
    if not contexts:
        raise _refused(["it has no context: add one that names its cluster and its user"])
    if not current and len(contexts) > 1:
        raise _refused(["it has several contexts and no current-context: say which with current-context"])
    return _named(contexts, "context", current) if current else contexts[0][1]


def _named(entries: list[tuple[str, dict[str, Any]]], what: str, name: object) -> dict[str, Any]:
    found = [content for own, content in entries if own == name]
    if len(found) == 1:
        return found[0]
    problem = f"several {what}s have one name" if found else f"the {what} that is named is not there"
    raise _refused([f"{problem} ({_shown(name)}): the current context needs exactly one"])


def _server(value: object) -> tuple[str, str]:
    if not isinstance(value, str) or not value:
        raise _refused(["the cluster has no server: give its https:// address"])
    if value.lower().startswith("http:"):
        raise _refused(["the server's address begins with http://: a token would travel unprotected; use https://"])
    found = _SERVER.fullmatch(value)
    if found is None or int(found["port"] or 443) not in range(1, 65536) or "/../" in f"{found['path']}/":
        raise _refused(
            ["the server's address is none that Sluice takes: https://, a host, a port, a plain path, no more"]
        )
    bare = found["host"].strip("[]")
    is_address = literal(bare) is not None
    if found["host"].startswith("[") and not is_address:
        raise _refused(["the server's host is no IP address, though it is in brackets"])
    refusal = member_refusal(bare) if is_address else None
    if refusal is not None:
        raise InvalidSpec(Reason.ADDRESS_REFUSED, f"the server's address is {refusal}, where no member cluster can be")
    host = found["host"].lower() + (f":{found['port']}" if found["port"] else "")
    return f"https://{host}{found['path']}", host


def _credentials(user: dict[str, Any]) -> tuple[str, str, str]:
    token = user.get("token") or ""
    certificate = _pem(user, "client-certificate-data", "CERTIFICATE")
    key = _pem(user, "client-key-data", "PRIVATE KEY")
    if not isinstance(token, str) or (token and not _TOKEN.fullmatch(token.strip())) or len(token) > _TOKEN_CHARACTERS:
        raise _refused(["the token is none: it has to be one word of printable ASCII"])
    if token and (certificate or key):
        raise _refused(["the user has a token and a client certificate: leave one of them out"])
    if bool(certificate) != bool(key):
        raise _refused(["client-certificate-data and client-key-data go together: give both, or a token"])
    if not token and not certificate:
        raise _refused([f"the user has no credentials: {_INSTEAD}"])
    return token.strip(), certificate, key


def _pem(content: dict[str, Any], key: str, kind: str) -> str:
    """The PEM text under a key of base64; "" where there is none."""
    value = content.get(key) or ""
    try:
        text = base64.b64decode("".join(str(value).split()), validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        raise _refused([f"{key} is not base64: {_INLINE}"]) from None
    if text and not re.search(rf"-----BEGIN [A-Z ]*{kind}-----", text):
        raise _refused([f"{key} holds no PEM {kind.lower()}: {_INLINE}"])
    if kind == "PRIVATE KEY" and "ENCRYPTED" in text:
        raise _refused([f"{key} is encrypted, and nobody is there to type its passphrase: decrypt it"])
    return text


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _shown(value: object) -> str:
    """A name out of the kubeconfig, fit for a message."""
    text = value if isinstance(value, str) else ""
    return text if re.fullmatch(r"[-A-Za-z0-9_.:@/]{1,63}", text) else "a name that cannot be shown"


def _refused(refusals: list[str]) -> InvalidSpec:
    more = f"; and {len(refusals) - _SHOWN} more" if len(refusals) > _SHOWN else ""
    return InvalidSpec(Reason.KUBECONFIG_REFUSED, f"the kubeconfig is refused: {'; '.join(refusals[:_SHOWN])}{more}")
