"""IP addresses that no request of the operator's may lead to, however they are written. Pure."""

from __future__ import annotations

import ipaddress
from typing import TypeAlias

IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# Where clouds serve a machine's own credentials, outside of the link-local range.
_METADATA = frozenset(
    ipaddress.ip_address(address)
    for address in ("fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16", "192.0.0.192")
)


def literal(host: str) -> IPAddress | None:
    """The address that a host is, where it is one and not a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def plain(address: IPAddress) -> IPAddress:
    """The IPv4 address inside of an IPv6 one that stands for it.

    >>> str(plain(ipaddress.ip_address("::ffff:169.254.169.254")))
    '169.254.169.254'
    """
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return address.ipv4_mapped or address.sixtofour or address
    return address


def special_kind(address: IPAddress) -> str | None:
    """What a `plain` address is, in words, where it is no ordinary machine's; None where it is."""
    kinds = (
        (address.is_loopback, "a loopback address"),
        (address.is_link_local, "a link-local address"),
        (address.is_multicast, "a multicast address"),
        (address.is_unspecified or (address.version == 4 and int(address) >> 24 == 0), "an unspecified address"),
        (address.version == 4 and address.is_reserved, "a reserved address"),
    )
    return next((name for found, name in kinds if found), None)


def member_refusal(address: str) -> str | None:
    """Why the API server of a member cluster cannot be at this IP address, in words; None where it can.

    Loopback is allowed: a tunnel's end is often there, and TLS tells who answers. Where clouds serve credentials is
    not.

    >>> member_refusal("169.254.169.254")
    'a link-local address'
    >>> member_refusal("fd00:ec2::254")
    "a cloud's metadata address"
    >>> member_refusal("127.0.0.1")
    """
    found = plain(ipaddress.ip_address(address.partition("%")[0]))
    if found in _METADATA:
        return "a cloud's metadata address"
    kind = special_kind(found)
    return None if found.is_loopback else kind
