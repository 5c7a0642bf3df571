"""What turns a cluster's objects into traffic and metrics: scheduler, kwok, Contour, Envoy, pods, Prometheus."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from testbed import builder, netns
from testbed.apps import GATEWAY
from testbed.builder import binary
from testbed.cluster import Cluster
from testbed.errors import NotReadyError, TestbedError
from testbed.nodes import Nodes
from testbed.pods import Pods, pods
from testbed.processes import Child, free_port, session
from testbed.scraping import prometheus_config
from testbed.waiting import wait_for

_START_SECONDS = 120.0


class DataPlane:
    """The data plane of one cluster. Make it with :meth:`start`, in a namespace made by ``python -m testbed run``.

    Attributes:
        envoy_address: ``127.0.0.1:8080`` for the first cluster, ``127.0.0.2:8080`` for the second, ...
        prometheus_url: ``http://127.0.0.1:<port>``; stays the same over a stop and start.
        pods: how each version answers; shared by all clusters.
    """

    def __init__(self, cluster: Cluster) -> None:
        netns.require()
        self.cluster = cluster
        self.pods: Pods = pods()
        self._host = f"127.0.0.{1 + cluster.index}"
        self.envoy_address = f"{self._host}:8080"
        self._prometheus_port = free_port()
        self.prometheus_url = f"http://127.0.0.1:{self._prometheus_port}"
        self._federated: dict[str, str] = {}
        self._folder = cluster.folder / "dataplane"
        self._folder.mkdir()
        # A socket's path is limited to 108 characters.
        self._admin = session().folder / f"envoy-{cluster.index}.sock"
        self._children: dict[str, Child] = {}
        self._nodes: Nodes | None = None
        self._xds_port = free_port()
        self._contour: list[object] = []  # its command line

    @classmethod
    def start(cls, cluster: Cluster) -> DataPlane:
        """Start it and wait until Envoy is configured and Prometheus serves.

        Envoy listens from the first accepted route on; before, connections are refused.

        Raises:
            TestbedError: outside a namespace of the testbed, a binary is missing, or a process ended.
        """
        plane = cls(cluster)
        plane.pods.add_cluster(cluster)
        with ThreadPoolExecutor() as pool:
            for part in [
                pool.submit(plane._start_nodes),
                pool.submit(plane._start_gateway),
                pool.submit(plane.start_prometheus),
            ]:
                part.result()
        return plane

    def stop(self) -> None:
        """End its processes; the cluster goes on."""
        self.pods.remove_cluster(self.cluster)
        if self._nodes is not None:
            self._nodes.stop()
        for child in self._children.values():
            child.stop()

    def start_prometheus(self) -> None:
        """Start Prometheus on its port, with the data it had, and wait until it answers queries."""
        config = self._write("prometheus.yaml", yaml.safe_dump(prometheus_config(self.cluster, self._federated)))
        arguments = [
            binary("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={self._folder}/prometheus",
            "--log.level=warn",
            f"--web.listen-address=127.0.0.1:{self._prometheus_port}",
            "--scrape.discovery-reload-interval=200ms",
        ]
        child = self._spawn("prometheus", arguments)
        wait_for(lambda: child.check() and self._prometheus_ready(), _START_SECONDS, f"Prometheus (log: {child.log})")

    def stop_prometheus(self) -> None:
        """End Prometheus; its port then refuses connections, its data stay."""
        if child := self._children.get("prometheus"):
            child.stop(graceful=True)

    def federate(self, urls: Mapping[str, str]) -> None:
        """Have Prometheus collect, each second, what those of other clusters know of pods, with a label ``cluster``.

        It starts anew for that, with the data it had.

        Args:
            urls: of the other Prometheuses, by what ``cluster`` shall say; none ends it.
        """
        self._federated = dict(urls)
        self.stop_prometheus()
        self.start_prometheus()

    def query(self, promql: str) -> list[dict[str, Any]]:
        """The result of an instant query, as Prometheus gives it: ``[{"metric": {...}, "value": [time, "1"]}]``.

        Raises:
            OSError: Prometheus is stopped, or refuses the query (``urllib.error.HTTPError``).
        """
        url = f"{self.prometheus_url}/api/v1/query?{urllib.parse.urlencode({'query': promql})}"
        with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310 - always http to this machine
            result: list[dict[str, Any]] = json.load(response)["data"]["result"]
            return result

    def routes(self, host: str) -> list[dict[str, Any]]:
        """The routes that Envoy has now for a host, in its own terms, the most specific match first."""
        dump = json.loads(self._envoy_admin("/config_dump?resource=dynamic_route_configs"))
        for config in dump.get("configs", ()):
            for virtual_host in config["route_config"].get("virtual_hosts", ()):
                if any(domain.partition(":")[0] == host for domain in virtual_host["domains"]):
                    return list(virtual_host.get("routes", ()))
        return []

    def weights(self, host: str) -> dict[str, int]:
        """The weights that Envoy uses now on a host's least specific route: Service name to weight.

        Services of weight 0 are left out, and a Service alone has 100. Empty where Envoy has no route for the host, or
        answers it without a backend.
        """
        routes = self.routes(host)
        return _route_weights(routes[-1]) if routes else {}

    def follows(self, host: str, weights: dict[str, int]) -> bool:
        """Whether Envoy uses exactly these weights for the host now; those of 0 may be left out."""
        return self.weights(host) == _as_envoy_has_them(weights)

    def wait_weights(self, host: str, weights: dict[str, int], timeout: float = 60.0) -> None:
        """Wait until Envoy uses exactly these weights for the host; requests sent after it returns follow them.

        Args:
            host: the route's hostname.
            weights: Service name to weight; those of 0 may be left out.
            timeout: seconds; a patch of the route takes up to one on a quiet machine.

        Raises:
            NotReadyError: it did not; the message shows the last weights.
        """
        try:
            wait_for(lambda: self.follows(host, weights), timeout, f"Envoy's weights for {host}", interval=0.02)
        except TestbedError as error:
            raise type(error)(
                f"Waited {timeout:g} s for Envoy's weights for {host} to be {_as_envoy_has_them(weights)}; "
                f"they are {self.weights(host)}."
            ) from error

    def wait_endpoints(self, namespace: str, service: str, count: int, timeout: float = 60.0) -> None:
        """Wait until Envoy has exactly ``count`` endpoints for a Service's port 80.

        Raises:
            NotReadyError: it did not.
        """
        last: set[str] = set()

        def converged() -> bool:
            nonlocal last
            for name in ("contour", "envoy"):
                self._check(name)
            if self._nodes is not None:
                self._nodes.check()
            last = self.endpoints(namespace, service)
            return len(last) == count

        try:
            wait_for(converged, timeout, f"{count} endpoints of {namespace}/{service} in Envoy")
        except NotReadyError as error:
            pods = self.cluster.kubectl("-n", namespace, "get", "deployments,pods,endpointslices", check=False)
            raise NotReadyError(
                f"Waited {timeout:g} s for Envoy to have {count} endpoints of {namespace}/{service}; it has "
                f"{sorted(last)}, and the cluster:\n{pods}"
            ) from error

    def endpoints(self, namespace: str, service: str) -> set[str]:
        """The addresses (``ip:port``) that Envoy has now for a Service's port 80."""
        text = self._envoy_admin("/clusters?format=json")
        for found in json.loads(text).get("cluster_statuses", ()):
            if found["name"].startswith(f"{namespace}/{service}/"):
                hosts = [host["address"]["socket_address"] for host in found.get("host_statuses", ())]
                return {f"{host['address']}:{host['port_value']}" for host in hosts}
        return set()

    def _envoy_admin(self, path: str) -> str:
        connection = _UnixConnection(self._admin)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def _start_nodes(self) -> None:
        self._nodes = Nodes.start(self.cluster)

    def _start_gateway(self) -> None:
        paths = [
            path
            for path in (*builder.files("contour", "gateway-api"), *builder.files("contour", "contour"))
            if "kustomization" not in path.name
        ]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda path: self.cluster.kubectl("create", "--validate=false", "-f", str(path)), paths))
        self.cluster.wait(self._crds_served, _START_SECONDS, "the Gateway API's and Contour's CRDs")
        self._start_contour()
        self.cluster.apply(yaml.safe_dump_all(_GATEWAY_OBJECTS))
        self.cluster.wait(self._gateway_programmed, _START_SECONDS, "the Gateway gw to be programmed")
        wait_for(self._envoy_live, _START_SECONDS, "Envoy to have its first configuration")

    def _crds_served(self) -> bool:
        items = self.cluster.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")["items"]
        return all(_has_condition(item, "Established") for item in items)

    def _start_contour(self) -> None:
        http_port, debug, health, admin = (str(free_port()) for _ in range(4))
        configuration = {"gateway": {"gatewayRef": GATEWAY}, "network": {"admin-port": int(admin)}}
        config = self._write("contour.yaml", yaml.safe_dump(configuration))
        self._contour = [
            binary("contour"),
            "serve",
            f"--kubeconfig={self.cluster.kubeconfig}",
            f"--config-path={config}",
            "--insecure",
            "--disable-leader-election",
            "--kubernetes-client-qps=1000",
            "--kubernetes-client-burst=2000",
            "--xds-address=127.0.0.1",
            f"--xds-port={self._xds_port}",
            f"--http-address={self._host}",
            f"--http-port={http_port}",
            f"--health-address={self._host}",
            f"--health-port={health}",
            f"--debug-http-port={debug}",
            f"--stats-address={self._host}",
            f"--envoy-service-http-address={self._host}",
            "--envoy-service-http-port=8080",
        ]
        self._serve_contour()
        bootstrap = self._folder / "envoy.json"
        addresses = ("--xds-address=127.0.0.1", f"--xds-port={self._xds_port}", f"--admin-address={self._admin}")
        command: list[str | Path] = [binary("contour"), "bootstrap", bootstrap, *addresses]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode:
            raise TestbedError(f"`contour bootstrap` ended with code {made.returncode}: {made.stderr.strip()}")
        envoy = [
            "-c",
            bootstrap,
            "--service-cluster",
            "contour",
            "--service-node",
            "envoy",
            "--concurrency",
            "1",
            "--log-level",
            "warning",
        ]
        self._spawn("envoy", [binary("envoy"), *envoy, "--disable-hot-restart"])

    def _serve_contour(self) -> None:
        self._spawn("contour", self._contour)
        wait_for(
            lambda: self._check("contour") and _accepts("127.0.0.1", self._xds_port),
            _START_SECONDS,
            "Contour to serve Envoy's configuration",
        )

    def restart_contour(self) -> None:
        """Have Contour follow an API server that was away, and is back, at once.

        By itself each of its watches would look for it every 30 to 60 s only: client-go's reflectors wait so long at
        last (k8s.io/client-go/tools/cache). Envoy goes on meanwhile with what it has.
        """
        self._children["contour"].stop(graceful=True)
        self._serve_contour()

    def _gateway_programmed(self) -> bool:
        self._check("contour")
        path = f"/apis/gateway.networking.k8s.io/v1/namespaces/{GATEWAY['namespace']}/gateways/{GATEWAY['name']}"
        return _has_condition(self.cluster.get(path), "Programmed")

    def _envoy_live(self) -> bool:
        # Not the listener: Contour gives Envoy one with the first route.
        self._check("envoy")
        return self._envoy_admin("/ready").startswith("LIVE")

    def _prometheus_ready(self) -> bool:
        url = f"{self.prometheus_url}/-/ready"
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - always http
            return bool(response.status == 200)
        return False

    def complaints(self, lines: int = 15) -> str:
        """The last that Contour logged of what went wrong, such as a status that it could not write."""
        child = self._children.get("contour")
        logged = child.log.read_text(errors="replace").splitlines() if child is not None else []
        return "\n".join([line for line in logged if "level=info" not in line][-lines:])

    def _check(self, name: str) -> bool:
        return self._children[name].check()

    def _spawn(self, name: str, arguments: list[object]) -> Child:
        child = session().spawn(f"{self.cluster.name}-{name}", arguments)
        self._children[name] = child
        return child

    def _write(self, name: str, text: str) -> Path:
        path = self._folder / name
        path.write_text(text)
        return path


_GATEWAY_OBJECTS = (
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": GATEWAY["namespace"]}},
    {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "GatewayClass",
        "metadata": {"name": "contour"},
        "spec": {"controllerName": "projectcontour.io/gateway-controller"},
    },
    {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": dict(GATEWAY),
        "spec": {
            "gatewayClassName": "contour",
            "listeners": [
                {"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}}
            ],
        },
    },
)


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket: Envoy's administration interface."""

    def __init__(self, path: Path) -> None:
        super().__init__("envoy", timeout=10)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _accepts(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


def _has_condition(obj: dict[str, Any], kind: str) -> bool:
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return any(condition["type"] == kind and condition["status"] == "True" for condition in conditions)


def _as_envoy_has_them(weights: dict[str, int]) -> dict[str, int]:
    """Without those of 0; a Service alone has 100."""
    positive = {service: weight for service, weight in weights.items() if weight}
    return dict.fromkeys(positive, 100) if len(positive) == 1 else positive


def _route_weights(route: dict[str, Any]) -> dict[str, int]:
    action = route.get("route", {})
    if "cluster" in action:
        return {_service(action["cluster"]): 100}
    clusters = action.get("weighted_clusters", {}).get("clusters", ())
    return {_service(found["name"]): found["weight"] for found in clusters if found.get("weight")}


def _service(cluster_name: str) -> str:
    """The Service of an Envoy cluster ``<namespace>/<service>/<port>/<hash>``."""
    return cluster_name.split("/")[1]
