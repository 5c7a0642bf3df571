"""Client certificates and tokens, made with a cluster's own keys: of whomever, and good for as long as a test wants."""

from __future__ import annotations

import itertools
import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from testbed.builder import binary

ISSUER = "https://kubernetes.default.svc"  # the API server's, and what its tokens are for
YEAR_SECONDS = 365 * 24 * 3600
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Certificate:
    """Paths of a client certificate and its key, in PEM."""

    certificate: Path
    key: Path


def make_authority(folder: Path) -> Path:
    """Make the keys of a cluster that there is none of, in a folder, and return the folder."""
    subprocess.run([binary("testbed-certs"), "cluster", folder], check=True)
    return folder


def make_certificate(folder: Path, user: str, groups: Sequence[str], seconds: int = YEAR_SECONDS) -> Certificate:
    """Sign a client certificate with a cluster's authority.

    Args:
        folder: the cluster's, with its keys.
        user: the common name.
        groups: the organizations.
        seconds: how long it is good; below 0: it expired so long ago.
    """
    prefix = folder / f"client-{next(_numbers)}"
    subprocess.run([binary("testbed-certs"), "client", folder, prefix, str(seconds), user, *groups], check=True)
    return Certificate(Path(f"{prefix}.crt"), Path(f"{prefix}.key"))


def sign_token(folder: Path, namespace: str, serviceaccount: str, uid: str, seconds: int) -> str:
    """A service account's token as the TokenRequest API makes them, which grants none that is good for less than 600 s.

    Args:
        folder: the cluster's, with its keys.
        namespace: of the account.
        serviceaccount: its name.
        uid: its UID.
        seconds: how long it is good; below 0: it expired so long ago. The API server lets pass a minute.
    """
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": [ISSUER],
        "sub": f"system:serviceaccount:{namespace}:{serviceaccount}",
        "iat": now + min(seconds, 0) - 600,
        "nbf": now + min(seconds, 0) - 600,
        "exp": now + seconds,
        "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": serviceaccount, "uid": uid}},
    }
    command = [str(binary("testbed-certs")), "token", str(folder)]
    done = subprocess.run(command, input=json.dumps(claims), stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout
