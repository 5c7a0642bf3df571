"""A real control plane: kube-apiserver and kube-controller-manager, over an etcd that a process's clusters share."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from testbed.access import Access, Place, encoded, token_rows
from testbed.builder import binary
from testbed.client import ApiClient
from testbed.errors import ApiUnreachableError, TestbedError
from testbed.identities import ISSUER, YEAR_SECONDS, make_authority, make_certificate, sign_token
from testbed.processes import Child, free_port, session
from testbed.waiting import wait_for

T = TypeVar("T")

ADMIN_TOKEN = "admin-token"
_START_SECONDS = 90.0
_CONTROLLERS = (
    "deployment,replicaset,replicationcontroller,endpoint,endpointslice,garbagecollector,namespace,serviceaccount,"
    "serviceaccount-token,disruption,horizontalpodautoscaling,job,clusterrole-aggregation"
)
# The defaults (20 requests per second) would be the bottleneck of every test that churns pods.
_CLIENT_LIMITS = ("--kube-api-qps=1000", "--kube-api-burst=2000")
_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}


class _Etcd:
    """The etcd of this process: started with the first cluster, ended with the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: Child | None = None
        self.url = ""

    def start(self) -> str:
        """Returns its client URL; starts it where it does not run."""
        with self._lock:
            if self._child is None or not self._child.running() or self._child.log.parent != session().folder:
                self.url, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
                arguments = [
                    binary("etcd"),
                    "--data-dir",
                    session().folder / "etcd",
                    "--unsafe-no-fsync",
                    "--log-level=warn",
                    f"--listen-client-urls={self.url}",
                    f"--advertise-client-urls={self.url}",
                    f"--listen-peer-urls={peer}",
                    f"--initial-advertise-peer-urls={peer}",
                    f"--initial-cluster=default={peer}",
                    "--quota-backend-bytes=8589934592",
                ]
                self._child = session().spawn("etcd", arguments)
        return self.url

    @property
    def pid(self) -> int:
        """Its process id, for what it costs."""
        if self._child is None:
            raise TestbedError("etcd was not started: start a cluster first.")
        return self._child.pid


_etcd = _Etcd()
_index = itertools.count()


class Cluster(Access):
    """One Kubernetes cluster of the testbed. Make it with :meth:`start`.

    Its name is unique in the process, and its prefix in etcd; its ``server`` stays the same over :meth:`stop_apiserver`
    and :meth:`start_apiserver`.

    Attributes:
        index: 0 for the first cluster of the process; decides its pod addresses and Envoy's address.
        audit_log: one JSON object per finished request and per opened watch, without bodies; None if not asked for.
    """

    def __init__(
        self, name: str, users: Mapping[str, Sequence[str]], audit: bool | Path = False, emulates: str = ""
    ) -> None:
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name):
            raise TestbedError(f"{name!r} cannot name a cluster: use small letters, digits and `-`, as in `member-1`.")
        self.index = next(_index)
        self.port = free_port()
        folder = session().folder / "clusters" / f"{self.index}-{name}"
        folder.mkdir(parents=True)
        make_authority(folder)
        super().__init__(
            Place(name, folder, binary("kubectl")), f"https://127.0.0.1:{self.port}", folder / "ca.crt", ADMIN_TOKEN
        )
        self.audit_log = self.folder / "audit.log" if audit else None
        self._audit = audit
        self._emulates = emulates
        self._clients: list[ApiClient] = []
        self._apiserver: Child | None = None
        self._controllers: Child | None = None
        (folder / "tokens.csv").write_text(f"{ADMIN_TOKEN},admin,admin,system:masters\n{token_rows(users)}")

    @classmethod
    def start(
        cls,
        name: str,
        controllers: bool | str = True,
        users: Mapping[str, Sequence[str]] | None = None,
        *,
        audit: bool | Path = False,
        emulates: str = "",
    ) -> Cluster:
        """Start a cluster and wait until it serves.

        Args:
            name: small letters, digits and ``-``; unique among the process's clusters.
            controllers: whether a controller manager runs, or which controllers it runs, with commas between them; a
                member that only keeps objects needs none, one that hands out token Secrets ``serviceaccount-token``.
            users: user name to groups; each gets the token ``<name>-token`` (see :meth:`user_token`).
            audit: whether the API server keeps :attr:`audit_log`; by a policy of one's own, or of every request.
            emulates: an older version, such as ``1.33``, the oldest that it can be: its APIs, features and CEL are that
                version's, though its ``gitVersion`` is not.

        Raises:
            TestbedError: a binary is not built, or a process ended; the message carries its log.
        """
        cluster = cls(name, users or {}, audit, emulates)
        cluster.start_apiserver()
        if controllers:
            cluster.start_controllers(controllers if isinstance(controllers, str) else _CONTROLLERS)
        return cluster

    @property
    def etcd_url(self) -> str:
        """Of the etcd behind it, which asks nobody for credentials."""
        return _etcd.start()

    @property
    def etcd_prefix(self) -> str:
        """Of all that this cluster stores there."""
        return f"/{self.index}-{self.name}"

    def start_apiserver(self) -> None:
        """Start the API server on the cluster's port, with the data it had, and wait until it serves."""
        folder = self.folder
        arguments = [
            binary("kube-apiserver"),
            f"--etcd-servers={_etcd.start()}",
            f"--etcd-prefix={self.etcd_prefix}",
            f"--secure-port={self.port}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--cert-dir={folder}",
            f"--tls-cert-file={folder}/apiserver.crt",
            f"--tls-private-key-file={folder}/apiserver.key",
            f"--client-ca-file={folder}/ca.crt",
            f"--token-auth-file={folder}/tokens.csv",
            "--authorization-mode=RBAC",
            f"--service-account-issuer={ISSUER}",
            f"--service-account-key-file={folder}/sa.pub",
            f"--service-account-signing-key-file={folder}/sa.key",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--disable-admission-plugins=ServiceAccount",
            "--endpoint-reconciler-type=none",
            "--shutdown-delay-duration=0s",
        ]
        if self.audit_log is not None:
            policy = folder / "audit-policy.json"
            policy.write_text(self._audit.read_text() if isinstance(self._audit, Path) else json.dumps(_AUDIT_POLICY))
            arguments += [f"--audit-policy-file={policy}", f"--audit-log-path={self.audit_log}"]
        if self._emulates:
            arguments += [f"--emulated-version={self._emulates}"]
        self._apiserver = session().spawn(f"{self.name}-kube-apiserver", arguments)
        wait_for(self._serves, _START_SECONDS, f"the API server of cluster {self.name} (log: {self._apiserver.log})")

    def stop_apiserver(self) -> None:
        """End the API server at once, as a crash would; its port then refuses connections, its data stay."""
        self.client.close()
        if self._apiserver:
            self._apiserver.stop()

    def freeze_apiserver(self) -> None:
        """Let the API server answer nothing, though its port takes connections: the worst of outages."""
        self.client.close()
        os.kill(self.apiserver_pid, signal.SIGSTOP)

    def thaw_apiserver(self) -> None:
        """Let it go on where it was frozen, and wait until it serves."""
        os.kill(self.apiserver_pid, signal.SIGCONT)
        wait_for(self._serves, _START_SECONDS, f"the API server of cluster {self.name} to go on")

    @property
    def apiserver_pid(self) -> int:
        """The process id of the running API server, for what it costs."""
        if self._apiserver is None:
            raise TestbedError(f"The API server of cluster {self.name} was not started.")
        return self._apiserver.pid

    @property
    def etcd_pid(self) -> int:
        """The process id of the etcd that all clusters of this process share, for what it costs."""
        return _etcd.pid

    def start_controllers(self, names: str = _CONTROLLERS) -> None:
        """Start the controller manager; it works as soon as its caches are filled, within a second or two."""
        arguments = [
            binary("kube-controller-manager"),
            f"--kubeconfig={self.kubeconfig}",
            f"--controllers={names}",
            "--leader-elect=false",
            "--secure-port=0",
            f"--service-account-private-key-file={self.folder}/sa.key",
            f"--root-ca-file={self.ca_file}",
            *_CLIENT_LIMITS,
            "--concurrent-deployment-syncs=20",
            "--concurrent-replicaset-syncs=20",
            "--concurrent-service-endpoint-syncs=20",
            "--concurrent-endpoint-syncs=20",
            "--concurrent-namespace-syncs=20",
            "--concurrent-gc-syncs=20",
            "--horizontal-pod-autoscaler-sync-period=1s",
            "--horizontal-pod-autoscaler-downscale-stabilization=0s",
        ]
        self._controllers = session().spawn(f"{self.name}-kube-controller-manager", arguments)

    def stop_controllers(self) -> None:
        """End the controller manager: Deployments and EndpointSlices stay as they are."""
        if self._controllers:
            self._controllers.stop()

    def stop(self) -> None:
        """End the cluster's processes. Its port and its pod addresses are not used again in this process."""
        self.stop_controllers()
        for client in self._clients:
            client.close()
        self.stop_apiserver()

    def client_for_certificate(
        self,
        user: str,
        groups: Sequence[str] = (),
        *,
        seconds: int = YEAR_SECONDS,
        headers: Mapping[str, str] | None = None,
        signed_in: Path | None = None,
    ) -> ApiClient:
        """A client that is ``user`` in ``groups`` by a fresh client certificate; it is closed with the cluster.

        Args:
            user: the certificate's common name.
            groups: its organizations.
            seconds: how long it is good; below 0: it expired so long ago.
            headers: sent with each request, such as ``Impersonate-User``.
            signed_in: the folder of another authority, which the API server does not know.
        """
        made = make_certificate(signed_in or self.folder, user, groups, seconds)
        client = ApiClient(self.server, str(self.ca_file), "", (made.certificate, made.key), headers)
        self._clients.append(client)
        return client

    def kubeconfig_for_certificate(
        self, user: str, groups: Sequence[str], path: Path, *, seconds: int = YEAR_SECONDS
    ) -> Path:
        """Write a kubeconfig that identifies ``user`` in ``groups`` likewise; returns ``path``."""
        made = make_certificate(self.folder, user, groups, seconds)
        data = {"client-certificate-data": encoded(made.certificate), "client-key-data": encoded(made.key)}
        return self.write_kubeconfig(path, data, "default")

    def signed_token(self, namespace: str, serviceaccount: str, seconds: int) -> str:
        """A token of an existing service account, good for ``seconds`` (below 0: expired), signed by its key alone."""
        account = self.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/{serviceaccount}")
        return sign_token(self.folder, namespace, serviceaccount, account["metadata"]["uid"], seconds)

    def _serves(self) -> bool:
        assert self._apiserver
        if not self._apiserver.running():
            self._apiserver.check()
        try:
            ready, _ = self.client.request("GET", "/readyz")
            return ready == 200 and self.client.request("GET", "/api/v1/namespaces/default")[0] == 200
        except ApiUnreachableError:
            return False
