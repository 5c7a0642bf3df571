"""Ed25519 keys in PEM files: one that signs the audit, and those that check it.

The one module that loads `cryptography`. Import it where a key was given.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from sluice.api.rollout import AuditSignature
from sluice.decide.signatures import Check, Statement
from sluice.errors import InvalidSpec, Unavailable

MAKE = "openssl genpkey -algorithm ed25519 -out audit-key.pem"
HALVE = "openssl pkey -in audit-key.pem -pubout -out audit-key.pub.pem"
_MAX_BYTES = 64 * 1024
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----.*?-----END \1-----", re.DOTALL)


def key_id(key: Ed25519PublicKey) -> str:
    """SHA-256 of the key in DER: `openssl pkey -pubin -in FILE -outform DER | sha256sum`."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


class SigningKey:
    """Implements `ports.AuditSigner`.

    Args:
        key: the one to sign with.
        trusted: those before it, whose signatures it takes on.

    Attributes:
        key_id: of the one to sign with.
    """

    def __init__(self, key: Ed25519PrivateKey, *trusted: Ed25519PublicKey) -> None:
        self._key = key
        self.key_id = key_id(key.public_key())
        self._checks = {key_id(each): checker(each) for each in (key.public_key(), *trusted)}

    @classmethod
    def load(cls, path: Path) -> SigningKey:
        """Read one private key, and any number of public ones.

        Raises:
            InvalidSpec: the file holds something else.
            Unavailable: it can't be read.
        """
        blocks = _blocks(path)
        private = [block for name, block in blocks if name.endswith("PRIVATE KEY")]
        if len(private) != 1:
            held = f"{len(private)} private keys" if private else "no private key"
            raise InvalidSpec("InvalidKey", f"{path} holds {held}, and one is to sign: {MAKE}")
        try:
            key = load_pem_private_key(private[0], password=None)
        except TypeError:
            raise InvalidSpec(
                "InvalidKey", f"{path} is encrypted, and nobody is there to ask: give it as it is"
            ) from None
        except (ValueError, UnsupportedAlgorithm):
            raise InvalidSpec(
                "InvalidKey", f"{path} holds a private key that can't be read. Make one: {MAKE}"
            ) from None
        if not isinstance(key, Ed25519PrivateKey):
            raise InvalidSpec("InvalidKey", f"{path} holds no Ed25519 key, but another kind. Make one: {MAKE}")
        return cls(key, *(_public(path, block) for name, block in blocks if not name.endswith("PRIVATE KEY")))

    def sign(self, statement: Statement) -> AuditSignature:
        """Sign; less than a tenth of a millisecond."""
        value = base64.b64encode(self._key.sign(statement.text)).decode()
        return AuditSignature(key_id=self.key_id, since=statement.since, value=value)

    def knows(self, statement: Statement, signature: AuditSignature) -> bool:
        """Check, by the key that the signature names; some tenths of a millisecond."""
        check = self._checks.get(signature.key_id)
        return check is not None and check(statement.text, signature.value)


def load_public_keys(path: Path) -> Mapping[str, Check]:
    """Read public keys, one or several, by their id.

    Raises:
        InvalidSpec: the file holds something else.
        Unavailable: it can't be read.
    """
    blocks = _blocks(path)
    if any(name.endswith("PRIVATE KEY") for name, _ in blocks):
        raise InvalidSpec(
            "InvalidKey",
            f"{path} holds a private key, which belongs to the operator alone. Give its public half: {HALVE}",
        )
    if not blocks:
        raise InvalidSpec("InvalidKey", f"{path} holds no public key in PEM. From the private one: {HALVE}")
    keys = [_public(path, block) for _, block in blocks]
    return {key_id(key): checker(key) for key in keys}


def checker(key: Ed25519PublicKey) -> Check:
    """What says whether a text is signed by this key."""

    def is_signed(text: bytes, value: str) -> bool:
        try:
            key.verify(base64.b64decode(value, validate=True), text)
        except (InvalidSignature, binascii.Error, ValueError):
            return False
        return True

    return is_signed


def _blocks(path: Path) -> list[tuple[str, bytes]]:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise Unavailable(f"{path} can't be read: {error.strerror}") from error
    if len(content) > _MAX_BYTES:
        raise InvalidSpec("InvalidKey", f"{path} is larger than {_MAX_BYTES // 1024} KiB: it is no file of keys")
    return [(match.group(1).decode(), match.group(0)) for match in _BLOCK.finditer(content)]


def _public(path: Path, block: bytes) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(block)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise InvalidSpec(
            "InvalidKey", f"{path} holds something that is no public Ed25519 key. From the private one: {HALVE}"
        )
    return key
