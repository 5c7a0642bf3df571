"""What can be done with any cluster of which one is the administrator, whoever started it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from testbed.client import ApiClient
from testbed.errors import TestbedError
from testbed.waiting import wait_for

T = TypeVar("T")


@dataclass(frozen=True)
class Place:
    """A cluster's name (for messages and files), the folder for its files, and the kubectl to use with it."""

    name: str
    folder: Path
    kubectl: Path


class Access:
    """An administrator's access to a cluster.

    Args:
        place: what is not the cluster's own.
        server: ``https://127.0.0.1:<port>``.
        ca_file: path of the CA that signed the server's certificate.
        admin_token: a bearer token with every right.

    Attributes:
        kubeconfig: path of the administrator's kubeconfig; holds the CA, so clients verify the server.
    """

    def __init__(self, place: Place, server: str, ca_file: Path, admin_token: str) -> None:
        self.name = place.name
        self.folder = place.folder
        self.server = server
        self.ca_file = ca_file
        self.admin_token = admin_token
        self.client = ApiClient(server, str(ca_file), admin_token)
        self.kubeconfig = self.kubeconfig_for_token(admin_token, place.folder / "kubeconfig")
        self._kubectl = place.kubectl

    def kubectl(
        self,
        *args: str,
        input: str | None = None,  # noqa: A002 - as subprocess.run calls it
        check: bool = True,
    ) -> str:
        """Run kubectl as the administrator and return its standard output.

        Raises:
            TestbedError: it failed and ``check`` is true; the message carries its standard error. With ``check=False``
                the standard error is appended to the output instead.
        """
        command = [str(self._kubectl), "--kubeconfig", str(self.kubeconfig), *args]
        environment = {**os.environ, "KUBECACHEDIR": str(self.folder / "kubectl-cache")}
        done = subprocess.run(command, input=input, env=environment, capture_output=True, text=True, check=False)
        if done.returncode and check:
            raise TestbedError(
                f"`kubectl {' '.join(args)}` on cluster {self.name} ended with code {done.returncode}: "
                f"{done.stderr.strip()}"
            )
        return done.stdout if check else done.stdout + done.stderr

    def apply(self, manifest: str | Path, server_side: bool = False, namespace: str | None = None) -> str:
        """``kubectl apply`` of YAML text, or of a file or folder given as a ``Path``."""
        source = ("-f", str(manifest)) if isinstance(manifest, Path) else ("-f", "-")
        text = None if isinstance(manifest, Path) else manifest
        options = (
            *(("--server-side", "--force-conflicts") if server_side else ()),
            *(("-n", namespace) if namespace else ()),
        )
        return self.kubectl("apply", *options, *source, input=text)

    def get(self, path: str) -> Any:
        """GET an API path, for example ``/api/v1/namespaces/default``.

        Raises:
            ApiError: the status is 400 or more (404 where the object is absent).
            ApiUnreachableError: the API server is stopped.
        """
        return self.client.get(path)

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        content_type: str = "application/json",
        token: str | None = None,
    ) -> tuple[int, Any]:
        """One request as the administrator, or as the bearer of ``token`` ("" for nobody): status and decoded JSON.

        Merge patches: ``content_type="application/merge-patch+json"``.
        """
        return self.client.request(method, path, body, content_type, token)

    def token_for(self, namespace: str, serviceaccount: str, seconds: int = 3600) -> str:
        """A token of an existing service account, from the TokenRequest API.

        Args:
            namespace: of the account.
            serviceaccount: its name.
            seconds: validity; the API server grants no less than 600.
        """
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{serviceaccount}/token"
        answer = self.client.checked("POST", path, {"spec": {"expirationSeconds": seconds}})
        return str(answer["status"]["token"])

    def user_token(self, user: str) -> str:
        """The token of one of the users that the cluster was started with."""
        return f"{user}-token"

    def kubeconfig_for_token(self, token: str, path: Path, namespace: str = "default", *, server: str = "") -> Path:
        """Write a kubeconfig (for its owner only) that bears ``token`` and verifies the server; returns ``path``.

        Args:
            token: a bearer token.
            path: where to.
            namespace: of requests that name none.
            server: where to find the API, where that is not the cluster's own address; see :class:`FaultyApi`.
        """
        return self.write_kubeconfig(path, {"token": token}, namespace, server)

    def wait(self, predicate: Callable[[], T], timeout: float, what: str) -> T:
        """See :func:`testbed.wait_for`."""
        return wait_for(predicate, timeout, f"{what} on cluster {self.name}")

    def write_kubeconfig(self, path: Path, user: Mapping[str, str], namespace: str, server: str = "") -> Path:
        """Write a kubeconfig (for its owner only) with these fields of a user, and return ``path``."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": self.name,
                    "cluster": {
                        "server": server or self.server,
                        "certificate-authority-data": encoded(self.ca_file),
                    },
                }
            ],
            "users": [{"name": self.name, "user": dict(user)}],
            "contexts": [
                {"name": self.name, "context": {"cluster": self.name, "user": self.name, "namespace": namespace}}
            ],
            "current-context": self.name,
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(config, indent=1))  # JSON is YAML
        return path


def token_rows(users: Mapping[str, Sequence[str]]) -> str:
    """Lines of a static token file: each user (to groups) bears ``<user>-token``."""
    return "".join(f'{user}-token,{user},{user},"{",".join(groups)}"\n' for user, groups in users.items())


def encoded(path: Path) -> str:
    """A file in base64, as kubeconfigs hold it."""
    return base64.b64encode(path.read_bytes()).decode()
