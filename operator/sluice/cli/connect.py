"""The real connection, by kubeconfig or the pod's service account. What is heavy is imported when it is used."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sluice.cli.session import Access, Session

if TYPE_CHECKING:
    from sluice.adapters.kube.client import KubeCluster
    from sluice.adapters.kube.credentials import Files
    from sluice.api.names import Kind
    from sluice.cli.mirror import Feed, Mirror
    from sluice.ports import Clock, Obj

_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@asynccontextmanager
async def connect(access: Access) -> AsyncIterator[Session]:
    """Open a connection and close it in the end.

    Raises:
        Permanent: there are no credentials, or they mean nothing.
    """
    from yaml import YAMLError

    from sluice.adapters.clock import SystemClock
    from sluice.adapters.kube.client import AlwaysLeader, KubeCluster
    from sluice.adapters.kube.credentials import load_credentials
    from sluice.adapters.kube.transport import Transport
    from sluice.errors import Permanent

    # What the adapters log is for operators; people at a terminal are told by messages.
    logging.getLogger("sluice").addHandler(logging.NullHandler())
    logging.getLogger("sluice").propagate = False
    kubeconfig = access.kubeconfig or os.environ.get("KUBECONFIG") or None
    try:
        credentials = load_credentials(kubeconfig, access.context)
        namespace = access.namespace or _default_namespace(kubeconfig, access.context)
    except (YAMLError, TypeError, AttributeError, KeyError) as error:  # what a kubeconfig of the wrong shape leads to
        detail = " ".join(str(error).split())
        raise Permanent(
            f"kubeconfig {kubeconfig or '~/.kube/config'} is none: {detail}. Another: --kubeconfig"
        ) from error
    async with Transport(credentials) as transport:
        yield KubeSession(
            KubeCluster(transport, AlwaysLeader(), field_manager="sluice-cli"),
            SystemClock(),
            namespace,
            credentials.server,
            credentials.files,
        )


def pod_namespace() -> str:
    """The namespace of the pod that we run in; "" outside of one."""
    try:
        return _POD_NAMESPACE.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _default_namespace(kubeconfig: str | None, context: str | None) -> str:
    """The namespace of the kubeconfig's context; in a pod, the pod's."""
    from kubernetes.config import ConfigException, list_kube_config_contexts

    if kubeconfig is None and context is None and (of_pod := pod_namespace()):
        return of_pod
    try:
        contexts, active = list_kube_config_contexts(kubeconfig)  # type: ignore[no-untyped-call]  # has no types
    except (ConfigException, OSError, ValueError):
        return "default"
    chosen = active if context is None else next((one for one in contexts if one.get("name") == context), None)
    return str(((chosen or {}).get("context") or {}).get("namespace") or "default")


@dataclass(frozen=True, slots=True)
class KubeSession:
    """A Session over the kube adapter."""

    cluster: KubeCluster
    clock: Clock
    namespace: str
    server: str
    files: Files

    @property
    def authorities(self) -> str:
        """What the kubeconfig's CA file or CA data hold."""
        from sluice.errors import Permanent

        if not self.files.verify:
            raise Permanent(
                f"The kubeconfig for {self.server} says not to verify who answers (insecure-skip-tls-verify). Sluice "
                "does verify: put certificate-authority-data into it."
            )
        return Path(self.files.ca).read_text(encoding="utf-8") if self.files.ca else ""

    def feed(self, kind: Kind, namespace: str, name: str, mirror: Mirror) -> Feed:
        """Watch through the API server's watch."""
        from sluice.adapters.kube.watch import Informer

        selectors = {"fieldSelector": f"metadata.name={name}"} if name else None
        return Informer(
            self.cluster.transport, kind, mirror.on_event, mirror.on_list, namespace=namespace, selectors=selectors
        )

    async def read(self, path: str) -> Obj:
        """Read a path."""
        import orjson

        from sluice.adapters.kube.transport import Request

        answer = orjson.loads(await self.cluster.transport.send(Request("GET", path, f"read {path}", "Discovery")))
        return answer if isinstance(answer, dict) else {}
