"""Which addresses may be asked, and which machines they may lead to.

Two checks: of the address as written, before anything is sent (`AllowList.target`), and of every IP address that its
host resolves to, at the moment of connecting (`Target.refusal`). The address checked is the one connected to.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NoReturn
from urllib.parse import urlsplit

from sluice.api.addresses import IPAddress, literal, plain, special_kind

_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,252})")
_PATH = re.compile(r"(?:/[A-Za-z0-9_~:@!$&'()*+,;=.-]+)*")
_PRINTABLE = re.compile(r"[\x21-\x7e]{1,2048}")
_PORTS = {"http": 80, "https": 443}


class AddressRefused(Exception):
    """The address may not be asked. Useless to retry; the message is fit for a user."""


@dataclass(frozen=True, slots=True)
class Target:
    """An address that passed the first check.

    Attributes:
        base: canonical URL without a trailing slash; the only form that is ever used.
        listed: whether the operator's configuration names it.
        is_default: whether it is the operator's own Prometheus.
        denied: (IP address, port) pairs that are never connected to.
    """

    base: str
    scheme: str
    host: str
    port: int
    path: str
    listed: bool = False
    is_default: bool = False
    denied: frozenset[tuple[str, int]] = field(default=frozenset(), repr=False)

    def refusal(self, address: str) -> str | None:
        """Why this IP address may not be connected to, or None.

        Loopback and link-local addresses can be reached only where the configuration names just them: a listed name
        that resolves to one does not.
        """
        found = plain(ipaddress.ip_address(address.partition("%")[0]))
        if (str(found), self.port) in self.denied:
            return "an API server's address"
        kind = special_kind(found)
        if kind is None or (self.listed and self._names(found)):
            return None
        return kind

    def _names(self, address: IPAddress) -> bool:
        if self.host == "localhost":
            return address.is_loopback
        own = literal(self.host)
        return own is not None and plain(own) == address


class AllowList:
    """The addresses that may be asked.

    Args:
        default: the operator's own Prometheus, if it has one.
        allowed: what objects in namespaces may name beside it: URL prefixes, `https://thanos.example:443/team-a`.
        denied: (IP address, port) pairs that nobody may reach, such as the API server's.

    Raises:
        AddressRefused: one of them is not an address.
    """

    def __init__(
        self, default: str | None, allowed: Iterable[str] = (), denied: Iterable[tuple[str, int]] = ()
    ) -> None:
        self._denied = frozenset((str(plain(ipaddress.ip_address(host))), port) for host, port in denied)
        self._default = self._parse(default, is_default=True) if default else None
        self._allowed = tuple(self._parse(prefix) for prefix in allowed)

    def target(self, address: str | None, *, namespaced: bool) -> Target:
        """Check an address as written.

        Args:
            address: base URL; None for the operator's own.
            namespaced: whether an object in a namespace names it; those may only reach what the configuration lists.

        Raises:
            AddressRefused: it is none, or may not be asked.
        """
        if address is None:
            if self._default is None:
                raise AddressRefused(
                    "the operator has no Prometheus of its own: configure its address, or name one in the metric"
                )
            return self._default
        found = self._parse(address, listed=False)
        if self._default is not None and found.base == self._default.base:
            return self._default
        listed = any(_covers(prefix, found) for prefix in (*filter(None, (self._default,)), *self._allowed))
        if namespaced and not listed:
            raise AddressRefused(
                f"{found.base} is not on the operator's allow-list; have it added (--allow-address), or leave the "
                "address out to ask the operator's own Prometheus"
            )
        return self._parse(address, listed=listed)

    def _parse(self, address: str, *, listed: bool = True, is_default: bool = False) -> Target:
        scheme, host, port, path = _split(address)
        shown = f"[{host}]" if ":" in host else host
        base = f"{scheme}://{shown}:{port}{path}"
        return Target(base, scheme, host, port, path, listed, is_default, self._denied)


def _split(address: str) -> tuple[str, str, int, str]:
    """Scheme, host, port and path. Strict, so that no two parsers can read the address differently."""
    if not _PRINTABLE.fullmatch(address) or "\\" in address or "%" in address:
        _refuse("it holds characters that an address cannot have")
    try:
        parts = urlsplit(address)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        _refuse("it is not a URL")
    if parts.scheme not in _PORTS:
        _refuse("it must begin with http:// or https://")
    if "@" in parts.netloc:
        _refuse("it holds credentials; put them into a Secret and name that in secretRef")
    if "?" in address or "#" in address:
        _refuse("it must be a base URL, without query or fragment")
    if not _HOST.fullmatch(host) and literal(host) is None:
        _refuse("its host is not a name or an IP address")
    path = parts.path.rstrip("/")
    if not _PATH.fullmatch(path) or any(segment in {".", ".."} for segment in path.split("/")):
        _refuse("its path is not plain")
    return parts.scheme, host, port or _PORTS[parts.scheme], path


def _refuse(why: str) -> NoReturn:
    raise AddressRefused(f"the metric's address cannot be used: {why}")


def _covers(prefix: Target, target: Target) -> bool:
    same = (prefix.scheme, prefix.host, prefix.port) == (target.scheme, target.host, target.port)
    return same and (target.path == prefix.path or target.path.startswith(prefix.path + "/"))
