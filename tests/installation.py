"""Sluice on a testbed cluster as a user would have it: manifests/base applied, the operator run as its ServiceAccount.

The operator is an ordinary process here (the testbed has no container runtime); its rights are those of the manifests.
"""

from __future__ import annotations

import re
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Sequence
from pathlib import Path

from contract.policies import PROBES, wait_for_policies
from sluice.api.names import Kind
from sluice.decide.sharding import ALL, shard_of
from testbed.access import Access
from testbed.processes import Child, session

ROOT = Path(__file__).parents[1]
NAMESPACE = "sluice-system"
KINDS = len(list((ROOT / "crds").glob("*.yaml")))
_SHARD = re.compile(r'^sluice_shard\{shard="(\d+)"\} 1\.0$', re.MULTILINE)
PROBERS = ("mallory",)  # users that `install` needs on the cluster


def install(cluster: Access) -> None:
    """Apply manifests/base and wait until all of it is in force: CRDs served, policies active."""
    cluster.kubectl("apply", "--server-side", "-k", str(ROOT / "manifests" / "base"))
    wait_in_force(cluster)


def wait_in_force(cluster: Access) -> None:
    """Wait until all that was installed is in force: CRDs served, policies active."""
    cluster.wait(lambda: cluster.request("GET", f"/api/v1/namespaces/{PROBES}")[0] == 404, 120, f"no {PROBES}")
    cluster.kubectl(
        "wait", "--for=condition=Established", "crd", "-l", "app.kubernetes.io/part-of=sluice", "--timeout=120s"
    )
    cluster.wait(lambda: _kinds(cluster) == KINDS, 120, "discovery of Sluice's kinds")
    wait_for_policies(cluster)
    _tidy(cluster)


def _tidy(cluster: Access) -> None:
    """Take away what the probing left behind: an engaged switch alarms who lists them."""
    release = '{"spec":{"engaged":false,"releaseReason":"it was a probe"}}'
    cluster.kubectl("patch", "killswitch", "engaged", "-n", PROBES, "--type", "merge", "-p", release)
    cluster.kubectl("delete", "namespace", PROBES, "--wait=false")
    cluster.kubectl("delete", "clusterrolebinding", "policy-prober")


def _kinds(cluster: Access) -> int:
    return len(cluster.kubectl("api-resources", "--api-group=sluice.dev", "--no-headers").splitlines())


def share_all(operators: Iterable[Operator]) -> bool:
    """Whether each of some replicas holds shards, and all of them together hold all."""
    held = [operator.shards() for operator in operators]
    return all(held) and frozenset[int]().union(*held) == ALL


class Operator:
    """One replica of the operator.

    Args:
        cluster: where `install` was called.
        prometheus_url: its own Prometheus, or None.
        arguments: further ones of `sluice run`.
        name: tells several replicas apart.
        server: where it finds the API, where that is not the cluster's own address.
        namespace: its own, with its ServiceAccount.

    Attributes:
        arguments: of the next start.
    """

    def __init__(
        self,
        cluster: Access,
        prometheus_url: str | None = None,
        arguments: Sequence[str] = (),
        name: str = "operator",
        *,
        server: str = "",
        namespace: str = NAMESPACE,
    ) -> None:
        self.cluster = cluster
        self._server = server
        self._namespace = namespace
        self.name = name
        self.arguments = [*(["--prometheus-url", prometheus_url] if prometheus_url else []), *arguments]
        self._starts = 0
        self._child: Child | None = None

    def start(self, *, ready: bool = True) -> Operator:
        """Start it, and (ready) wait until it says so."""
        self._starts += 1
        kubeconfig = session().folder / f"{self.cluster.name}-{self.name}.kubeconfig"
        token = self.cluster.token_for(self._namespace, "sluice", 6 * 3600)
        self.cluster.kubeconfig_for_token(token, kubeconfig, server=self._server)
        self._child = session().spawn(
            f"{self.cluster.name}-{self.name}-{self._starts}",
            [
                *(sys.executable, "-m", "sluice", "run"),
                *("--kubeconfig", kubeconfig, "--namespace", self._namespace, "--http-port", "0"),
                *("--identity", f"{self.name}-{self._starts}"),
                *self.arguments,
            ],
        )
        if ready:
            self.cluster.wait(self.ready, 120, f"{self.name} to be ready")
        return self

    @property
    def pid(self) -> int:
        """Of the running process."""
        return self._running().pid

    @property
    def log(self) -> str:
        """What it logged since it was started last."""
        return self._running().log.read_text(errors="replace")

    def running(self) -> bool:
        """Whether it was started, and has not ended."""
        return self._child is not None and self._child.running()

    def ready(self) -> bool:
        """Whether /readyz answers 200."""
        self._running().check()
        return self.http("/readyz").strip() == "ok"

    def shards(self) -> frozenset[int]:
        """Those that it holds."""
        return frozenset(int(shard) for shard in _SHARD.findall(self.http("/metrics")))

    def works(self) -> bool:
        """Whether it holds any shards."""
        return bool(self.shards())

    def masters(self, namespace: str, name: str, kind: Kind = Kind.ROLLOUT) -> bool:
        """Whether a Rollout, or an object of another kind, is its own to act on."""
        return shard_of(kind, namespace, name) in self.shards()

    def http(self, path: str) -> str:
        """The body of a GET from its HTTP port, whatever the status; "" before it listens."""
        found = re.search(r'"port": (\d+)', self.log)
        if found is None:
            return ""
        try:
            answer = urllib.request.urlopen(f"http://127.0.0.1:{found[1]}{path}", timeout=30)
        except urllib.error.HTTPError as error:
            answer = error  # an answer as well, and one that has to be closed
        with answer:
            return str(answer.read().decode())

    def kill(self) -> None:
        """SIGKILL: nothing is handed over."""
        child = self._running()
        child.popen.send_signal(signal.SIGKILL)
        child.popen.wait(60)

    def stop(self) -> None:
        """SIGTERM, and wait."""
        self._running().stop(graceful=True)

    def _running(self) -> Child:
        if self._child is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._child
