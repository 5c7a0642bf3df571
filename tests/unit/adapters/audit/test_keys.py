"""Keys for the audit: whatever else a file holds is told in a sentence, and never what it holds."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from sluice.adapters.audit.keys import SigningKey, load_public_keys
from sluice.decide.signatures import Statement
from sluice.errors import InvalidSpec, SluiceError, Unavailable
from unit.decide.signing import owner, private_key, public_keys, signing_key

STATEMENT = Statement(owner(), 1, 8, "ab")
Private = ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def private_pem(key: Private, encryption: KeySerializationEncryption | None = None) -> bytes:
    """As openssl writes it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


def public_pem(key: Private) -> bytes:
    """As openssl writes it."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


ONE, TWO = private_key("one"), private_key("two")
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
P256 = ec.generate_private_key(ec.SECP256R1())


def test_a_key_and_those_before_it(tmp_path: Path) -> None:
    """One file: the private key signs, and the public ones in it are known; text around them is let be."""
    file = tmp_path / "key.pem"
    file.write_bytes(b"# since 2027\n" + public_pem(TWO) + b"\n" + private_pem(ONE))
    key = SigningKey.load(file)
    assert key.sign(STATEMENT) == signing_key("one").sign(STATEMENT)
    assert key.knows(STATEMENT, signing_key("one").sign(STATEMENT))
    assert key.knows(STATEMENT, signing_key("two").sign(STATEMENT))
    assert not key.knows(STATEMENT, signing_key("three").sign(STATEMENT))


def test_public_keys_check(tmp_path: Path) -> None:
    """Several in one file; each by the SHA-256 of its DER."""
    file = tmp_path / "keys.pem"
    file.write_bytes(public_pem(ONE) + public_pem(TWO))
    keys = load_public_keys(file)
    assert keys.keys() == public_keys("one", "two").keys()
    signature = signing_key("two").sign(STATEMENT)
    assert keys[signature.key_id](STATEMENT.text, signature.value)
    assert not keys[signing_key("one").key_id](STATEMENT.text, signature.value)
    der = TWO.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert signature.key_id == hashlib.sha256(der).hexdigest()


@pytest.mark.parametrize(
    "content, sentence",
    [
        (b"", "holds no private key, and one is to sign: openssl genpkey -algorithm ed25519"),
        (b"\x00\xff" * 99, "holds no private key"),
        (public_pem(ONE), "holds no private key"),
        (private_pem(ONE) + private_pem(TWO), "holds 2 private keys"),
        (private_pem(RSA), "holds no Ed25519 key, but another kind. Make one: openssl genpkey"),
        (private_pem(P256), "holds no Ed25519 key, but another kind"),
        (private_pem(ONE, BestAvailableEncryption(b"word")), "is encrypted, and nobody is there to ask"),
        (private_pem(ONE).replace(b"MC4", b"AAA"), "holds a private key that can't be read. Make one:"),
        (private_pem(ONE) + public_pem(RSA), "holds something that is no public Ed25519 key"),
        (private_pem(ONE) + b"x" * 70_000, "is larger than 64 KiB"),
    ],
    ids=["empty", "binary", "public", "two", "rsa", "p256", "encrypted", "broken", "rsa beside", "large"],
)
def test_what_cannot_sign(content: bytes, sentence: str, tmp_path: Path) -> None:
    """Says what to do, and repeats nothing of the file."""
    file = tmp_path / "key.pem"
    file.write_bytes(content)
    with pytest.raises(InvalidSpec) as told:
        SigningKey.load(file)
    assert f"{file} {sentence}" in str(told.value)
    assert told.value.__cause__ is None
    for secret in (private_pem(ONE), private_pem(RSA)):
        assert secret.splitlines()[1].decode() not in str(told.value)


@pytest.mark.parametrize(
    "content, sentence",
    [
        (
            private_pem(ONE),
            "holds a private key, which belongs to the operator alone. Give its public half: openssl pkey",
        ),
        (public_pem(TWO) + private_pem(ONE), "holds a private key"),
        (b"nothing", "holds no public key in PEM. From the private one: openssl pkey"),
        (public_pem(RSA), "holds something that is no public Ed25519 key"),
    ],
    ids=["private", "both", "none", "rsa"],
)
def test_what_cannot_check(content: bytes, sentence: str, tmp_path: Path) -> None:
    """A private key least of all: who checks need not, and should not, have it."""
    file = tmp_path / "key.pem"
    file.write_bytes(content)
    with pytest.raises(InvalidSpec) as told:
        load_public_keys(file)
    assert f"{file} {sentence}" in str(told.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Which one, and why it can't be read."""
    for path in (tmp_path / "none.pem", tmp_path):
        for load in (SigningKey.load, load_public_keys):
            with pytest.raises(Unavailable, match=f"{path} can't be read: "):
                load(path)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed here")
def test_the_commands_of_the_documents(tmp_path: Path) -> None:
    """Keys as `openssl` makes them, and their id as it tells it."""

    def openssl(*arguments: str) -> bytes:
        return subprocess.run(["openssl", *arguments], cwd=tmp_path, check=True, capture_output=True).stdout

    openssl("genpkey", "-algorithm", "ed25519", "-out", "audit-key.pem")
    openssl("pkey", "-in", "audit-key.pem", "-pubout", "-out", "audit-key.pub.pem")
    key, public = SigningKey.load(tmp_path / "audit-key.pem"), load_public_keys(tmp_path / "audit-key.pub.pem")
    signature = key.sign(STATEMENT)
    assert public[signature.key_id](STATEMENT.text, signature.value)
    der = openssl("pkey", "-pubin", "-in", "audit-key.pub.pem", "-outform", "DER")
    assert hashlib.sha256(der).hexdigest() == signature.key_id
    with pytest.raises(SluiceError, match="holds a private key"):
        load_public_keys(tmp_path / "audit-key.pem")
