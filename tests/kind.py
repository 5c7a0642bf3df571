"""A kind cluster with the same face as the testbed's: `Access`. For `--target=kind`; needs Docker, kind and kubectl.

It has an API server, controllers and nodes, but none of the testbed's data plane: no Gateway API, no Envoy, no
Prometheus, and no images of the sample app. Tests that need one say so by `needs("data-plane")`.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from testbed import TestbedError
from testbed.access import Access, Place, token_rows
from testbed.processes import session

_INSIDE = "/etc/sluice-tests"  # where the node sees the folder with the tokens
_ADMIN = "sluice-tests"
_TOKEN_SECONDS = 86_400


class KindUnavailable(TestbedError):
    """There can be no kind cluster on this machine; the message says what is missing."""


class KindCluster(Access):
    """A cluster made by pytest-kind. Make it with :meth:`start`."""

    def __init__(self, place: Place, kubeconfig: Path, engine: Any) -> None:
        self._engine = engine
        server, ca = _address(kubeconfig)
        ca_file = place.folder / "ca.crt"
        ca_file.write_bytes(ca)
        super().__init__(place, server, ca_file, _admin_token(place.kubectl, kubeconfig))

    @classmethod
    def start(
        cls,
        name: str,
        users: Mapping[str, Sequence[str]] | None = None,
        *,
        image: str | None = None,
        kind: str | None = None,
        kubectl: str | None = None,
    ) -> KindCluster:
        """Create a cluster, and wait until it serves.

        Args:
            name: of the cluster; a cluster of that name must not exist.
            users: user name to groups; each gets the token ``<name>-token``.
            image: of the node, `kindest/node:...`; kind's own by default.
            kind: path of kind, if not on the PATH.
            kubectl: likewise.

        Raises:
            KindUnavailable: Docker, kind or kubectl is missing; nothing was started.
            TestbedError: kind failed, or has a cluster of that name.
        """
        tools = {"kind": _tool("kind", kind), "kubectl": _tool("kubectl", kubectl)}
        _require_docker()
        folder = session().folder / "kind" / name
        folder.mkdir(parents=True)
        (folder / "tokens.csv").write_text(token_rows(users or {}))
        config = folder / "kind.yaml"
        config.write_text(yaml.safe_dump(config_of(folder)))
        engine = _engine(name, folder / "kind.kubeconfig", image, tools)
        if name in _run(tools["kind"], "get", "clusters").split():
            raise TestbedError(f"kind has a cluster named {name} already. Delete it: kind delete cluster --name {name}")
        try:
            engine.create(config)
        except subprocess.CalledProcessError as error:
            raise TestbedError(f"`kind create cluster --name {name}` ended with code {error.returncode}.") from error
        engine.api.session.close()
        return cls(Place(name, folder, tools["kubectl"]), engine.kubeconfig_path, engine)

    def stop(self) -> None:
        """Delete the cluster."""
        self.client.close()
        self._engine.delete()


def config_of(folder: Path) -> dict[str, Any]:
    """Kind's configuration: one node, whose API server knows the tokens in a folder of this machine."""
    flag, file = "token-auth-file", f"{_INSIDE}/tokens.csv"
    volumes = [{"name": "tokens", "hostPath": _INSIDE, "mountPath": _INSIDE, "readOnly": True, "pathType": "Directory"}]
    # kubeadm changed the form of arguments; kind applies the patch whose version is that of the node's kubeadm.
    arguments = {"v1beta3": {flag: file}, "v1beta4": [{"name": flag, "value": file}]}
    patches = [
        {
            "apiVersion": f"kubeadm.k8s.io/{version}",
            "kind": "ClusterConfiguration",
            "apiServer": {"extraArgs": form, "extraVolumes": volumes},
        }
        for version, form in arguments.items()
    ]
    node = {
        "role": "control-plane",
        "extraMounts": [{"hostPath": str(folder), "containerPath": _INSIDE, "readOnly": True}],
        "kubeadmConfigPatches": [yaml.safe_dump(patch) for patch in patches],
    }
    return {"kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4", "nodes": [node]}


def _engine(name: str, kubeconfig: Path, image: str | None, tools: Mapping[str, Path]) -> Any:
    # Only here: importing it takes a while. Paths are absolute, or it would download kind and kubectl by itself.
    from pytest_kind import KindCluster as Engine

    return Engine(name, kubeconfig, image=image, kind_path=tools["kind"], kubectl_path=tools["kubectl"])


def _tool(name: str, path: str | None) -> Path:
    found = shutil.which(path or name)
    if found is None:
        raise KindUnavailable(
            f"{path or name} was not found: install {name}, or name it by its option (pytest --help)."
        )
    return Path(found).resolve()


def _require_docker() -> None:
    docker = shutil.which("docker")
    if docker is None:
        raise KindUnavailable("docker was not found: kind makes its nodes of containers. Without it, run `make e2e`.")
    done = subprocess.run([docker, "info"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise KindUnavailable(f"Docker does not answer: {(done.stderr or done.stdout).strip()[:300]}")


def _address(kubeconfig: Path) -> tuple[str, bytes]:
    cluster = yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]
    return cluster["server"], base64.b64decode(cluster["certificate-authority-data"])


def _admin_token(kubectl: Path, kubeconfig: Path) -> str:
    """A bearer token with every right: kind's own kubeconfig has a client certificate instead."""
    arguments = ("--kubeconfig", str(kubeconfig), "-n", "kube-system")
    _run(kubectl, *arguments, "create", "serviceaccount", _ADMIN)
    account = f"--serviceaccount=kube-system:{_ADMIN}"
    _run(kubectl, *arguments, "create", "clusterrolebinding", _ADMIN, "--clusterrole=cluster-admin", account)
    return _run(kubectl, *arguments, "create", "token", _ADMIN, f"--duration={_TOKEN_SECONDS}s").strip()


def _run(program: Path, *arguments: str) -> str:
    done = subprocess.run([program, *arguments], capture_output=True, text=True, env=os.environ, check=False)
    if done.returncode:
        raise TestbedError(
            f"`{program.name} {' '.join(arguments)}` ended with code {done.returncode}: {done.stderr.strip()}"
        )
    return done.stdout
