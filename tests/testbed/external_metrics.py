"""The API external.metrics.k8s.io of a cluster, with values that a test sets: what a HorizontalPodAutoscaler asks."""

from __future__ import annotations

import json
import ssl
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

import yaml

from testbed.cluster import Cluster

Json = dict[str, Any]
_GROUP = "external.metrics.k8s.io"
_VERSION = f"{_GROUP}/v1beta1"
_NAMESPACE = "testbed-metrics"
_APISERVICE = f"/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.{_GROUP}"
_START_SECONDS = 30.0


class ExternalMetrics:
    """Serves the API for the length of a ``with``.

    An API that is registered and does not answer keeps namespaces from ending, so it is taken back at the end.

    Args:
        cluster: whose API server passes requests on to it, and whose controller manager asks.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._values: dict[tuple[str, str], float] = {}
        self._server = _Server(self._values)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cluster.folder / "apiserver.crt", cluster.folder / "apiserver.key")
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def set(self, namespace: str, metric: str, value: float) -> None:
        """From now on the metric has this value in this namespace; before, it is absent."""
        self._values[namespace, metric] = value

    def __enter__(self) -> ExternalMetrics:
        self._thread.start()
        self._cluster.apply(yaml.safe_dump_all(_registration(self._server.server_port)))
        self._cluster.wait(self._available, _START_SECONDS, f"the API {_VERSION}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cluster.request("DELETE", _APISERVICE)
        self._server.shutdown()
        self._server.server_close()

    def _available(self) -> bool:
        conditions = self._cluster.get(_APISERVICE).get("status", {}).get("conditions", ())
        return any(each["type"] == "Available" and each["status"] == "True" for each in conditions)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, values: dict[tuple[str, str], float]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.values = values


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        """Discovery, or the values of one metric: ``/apis/<group>/v1beta1/namespaces/<namespace>/<metric>``."""
        parts = self.path.partition("?")[0].strip("/").split("/")
        match parts:
            case ["apis", group, "v1beta1"] if group == _GROUP:
                self._answer(
                    200, {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": _VERSION, "resources": []}
                )
            case ["apis", group, "v1beta1", "namespaces", namespace, metric] if group == _GROUP:
                self._answer(200, _values_of(metric, self.server.values.get((namespace, metric))))
            case _:
                self._answer(404, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404})

    def _answer(self, code: int, body: Json) -> None:
        payload = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


def _values_of(metric: str, value: float | None) -> Json:
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    items = [{"metricName": metric, "metricLabels": {}, "timestamp": at, "value": f"{round((value or 0) * 1000)}m"}]
    return {"kind": "ExternalMetricValueList", "apiVersion": _VERSION, "items": items if value is not None else []}


def _registration(port: int) -> list[Json]:
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _NAMESPACE}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "external-metrics", "namespace": _NAMESPACE},
            "spec": {"type": "ExternalName", "externalName": "localhost"},
        },
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": f"v1beta1.{_GROUP}"},
            "spec": {
                "group": _GROUP,
                "version": "v1beta1",
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
                "insecureSkipTLSVerify": True,
                "service": {"name": "external-metrics", "namespace": _NAMESPACE, "port": port},
            },
        },
    ]
