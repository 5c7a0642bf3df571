"""Credentials for a Prometheus, from a Secret. Never in a message, a log line or a repr."""

from __future__ import annotations

import base64
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from requests import PreparedRequest
from requests.auth import AuthBase

from sluice.adapters.metrics.flights import Flights

SecretLoader: TypeAlias = Callable[[str, str], Awaitable[Mapping[str, bytes]]]
"""Reads a Secret's data, decoded: (namespace, name), namespace "" for the operator's own. Raises a SluiceError."""

KEEP_SECONDS = 30.0
_TOKEN = re.compile(rb"[\x21-\x7e]+")


class CredentialsUnusable(Exception):
    """The Secret does not hold what it must. Useless to retry until it changes; the message is fit for a user."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What to show to the server, and whom to trust. Equal when their contents are."""

    authorization: bytes | None = field(default=None, repr=False)
    ca: bytes | None = field(default=None, repr=False)

    @property
    def auth(self) -> AuthBase | None:
        """The same in the form that requests takes."""
        return _Header(self.authorization) if self.authorization is not None else None


NOBODY = Credentials()


class Keyring:
    """Secrets read a short while ago. `forget` one that the server refused, for it may have been rotated."""

    def __init__(self, load: SecretLoader) -> None:
        self._load = load
        self._read: Flights[Credentials] = Flights(KEEP_SECONDS)

    async def get(self, namespace: str, name: str) -> Credentials:
        """The credentials in a Secret.

        Raises:
            CredentialsUnusable: it lacks keys, or they are malformed.
            SluiceError: it cannot be read.
        """

        async def read() -> Credentials:
            return parse(await self._load(namespace, name), f"Secret {namespace + '/' if namespace else ''}{name}")

        return await self._read.share((namespace, name), read)

    def forget(self, namespace: str, name: str) -> None:
        """Read it again next time."""
        self._read.forget((namespace, name))

    async def close(self) -> None:
        """Stop reading."""
        await self._read.close()


def parse(data: Mapping[str, bytes], where: str) -> Credentials:
    """Turn a Secret's data into credentials.

    Args:
        data: `token` (outer white space is dropped), or `username` and `password`; `ca.crt` beside them or alone.
        where: for the message.

    Raises:
        CredentialsUnusable: none of these, or not in a usable form.
    """
    ca = data.get("ca.crt")
    if ca is not None and b"-----BEGIN CERTIFICATE-----" not in ca:
        raise CredentialsUnusable(f"{where}: ca.crt is not a certificate in PEM form")
    token = data.get("token", b"").strip()
    if token:
        if not _TOKEN.fullmatch(token):
            raise CredentialsUnusable(f"{where}: token has characters that no HTTP header can carry")
        return Credentials(b"Bearer " + token, ca)
    username, password = data.get("username"), data.get("password")
    if username is not None and password is not None:
        if b":" in username:
            raise CredentialsUnusable(f"{where}: username has a colon, which HTTP cannot carry")
        return Credentials(b"Basic " + base64.b64encode(username + b":" + password), ca)
    if ca is None:
        raise CredentialsUnusable(f"{where} needs the key token, or username and password, or at least ca.crt")
    return Credentials(ca=ca)


class _Header(AuthBase):
    def __init__(self, authorization: bytes) -> None:
        self._authorization = authorization

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        request.headers["Authorization"] = self._authorization.decode("ascii")
        return request
