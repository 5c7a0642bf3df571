"""Keys of a test's own, and what is signed with them."""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sluice.adapters.audit.keys import SigningKey, checker
from sluice.api.audit import AuditedRollout
from sluice.decide.signatures import Check


def private_key(name: str) -> Ed25519PrivateKey:
    """The same one each time."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())


def signing_key(name: str, *trusted: str) -> SigningKey:
    """As an operator has it."""
    return SigningKey(private_key(name), *(private_key(each).public_key() for each in trusted))


def public_keys(*names: str) -> dict[str, Check]:
    """As who checks has them."""
    return {signing_key(name).key_id: checker(private_key(name).public_key()) for name in names}


def owner(uid: str = "u", name: str = "checkout") -> AuditedRollout:
    """A Rollout of the namespace shop."""
    return AuditedRollout(namespace="shop", name=name, uid=uid)
