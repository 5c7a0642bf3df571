"""Who the operator is to a member cluster: what its kubeconfig holds, in memory and nowhere else."""

from __future__ import annotations

import os
import re
import ssl

from sluice.api.conditions import Reason
from sluice.api.kubeconfig import Kubeconfig
from sluice.errors import InvalidSpec

_TELLING_CHARACTERS = 8  # the beginning of a token by which it is recognised, also where it was cut short


class MemberIdentity:
    """Implements `transport.Identity`. It does not change: another kubeconfig is another identity.

    Raises:
        InvalidSpec: the certificates or the key mean nothing to TLS.
    """

    proxy: str | None = None

    def __init__(self, kubeconfig: Kubeconfig) -> None:
        self.server = kubeconfig.server
        self.tls: ssl.SSLContext | None = _tls_context(kubeconfig)
        self._token = kubeconfig.token

    async def authorization(self) -> str | None:
        """The value of the Authorization header."""
        return f"Bearer {self._token}" if self._token else None

    def reject(self) -> None:
        """Nothing to read anew: a new kubeconfig comes with its Secret."""

    def conceal(self, text: str) -> str:
        """A text without the token, which a server may quote."""
        if not self._token:
            return text
        return re.sub(re.escape(self._token[:_TELLING_CHARACTERS]) + r"\S*", "[token]", text)


def _tls_context(kubeconfig: Kubeconfig) -> ssl.SSLContext:
    try:
        if kubeconfig.authorities:
            context = ssl.SSLContext(
                ssl.PROTOCOL_TLS_CLIENT
            )  # only the cluster's authority, not the system's beside it
            context.load_verify_locations(cadata=kubeconfig.authorities)
        else:
            context = ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if kubeconfig.certificate:
            _load_certificate(context, kubeconfig)
    except (OSError, ValueError) as error:  # SSLError is an OSError; its words name no content
        raise InvalidSpec(
            Reason.KUBECONFIG_REFUSED,
            "the kubeconfig is refused: its certificates, or its key, mean nothing to TLS "
            f"({getattr(error, 'reason', None) or type(error).__name__}): write them anew",
        ) from None
    return context


def _load_certificate(context: ssl.SSLContext, kubeconfig: Kubeconfig) -> None:
    """TLS reads certificate and key from a file only; this one is in memory and has no name."""
    with os.fdopen(os.memfd_create("member", os.MFD_CLOEXEC), "wb") as file:
        file.write(f"{kubeconfig.certificate}\n{kubeconfig.key}".encode())
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{file.fileno()}", password=lambda: b"")
