"""Steers the process that is every pod: how each version answers, and what extra metrics it shows."""

from __future__ import annotations

import http.client
import json
import sys
import threading
from typing import Any

from testbed import netns
from testbed.cluster import Cluster
from testbed.errors import TestbedError
from testbed.processes import Child, free_port, session
from testbed.waiting import wait_for

_START_SECONDS = 60.0


class Pods:
    """The one pod process of this Python process; get it with :func:`pods`."""

    def __init__(self) -> None:
        netns.require()
        self._port = free_port()
        self._child: Child = session().spawn(
            "pods", [sys.executable, "-m", "testbed.pod_server", str(self._port)], env=netns.environment()
        )
        wait_for(self._answers, _START_SECONDS, "the pod process")

    @property
    def address(self) -> str:
        """Where its orders go: ``http://127.0.0.1:<port>``."""
        return f"http://127.0.0.1:{self._port}"

    def add_cluster(self, cluster: Cluster) -> None:
        """From now on the cluster's pods answer."""
        self._order(
            "/clusters",
            name=cluster.name,
            server=cluster.server,
            ca_file=str(cluster.ca_file),
            token=cluster.admin_token,
        )

    def remove_cluster(self, cluster: Cluster) -> None:
        """The cluster's pods are gone."""
        self._order("/clusters/remove", name=cluster.name)

    def behaviour(self, namespace: str, version: str, *, error_rate: float = 0.0, latency_ms: float = 0.0) -> None:
        """Set how the pods of a version answer, from the next request on, in all clusters; not said means healthy.

        Args:
            namespace: of the pods.
            version: the pods' label ``version``, or else the tag of their image.
            error_rate: share of requests answered with HTTP 500, 0 to 1; spread evenly.
            latency_ms: milliseconds added to each answer.
        """
        self._order(
            "/behaviour", namespace=namespace, version=version, error_rate=error_rate, latency_seconds=latency_ms / 1000
        )

    def gauges(self, namespace: str, version: str, /, **values: float) -> None:
        """Set extra metrics that the pods of a version show: ``gauges("shop", "v2", hallucination_ratio=0.2)``.

        A value that only rises serves as a counter.
        """
        self._order(
            "/gauges",
            namespace=namespace,
            version=version,
            gauges={name: float(value) for name, value in values.items()},
        )

    def state(self) -> dict[str, dict[str, Any]]:
        """Pods by address: ``{"10.244.0.1": {"namespace", "version", "serving", "codes": {"200": n, "500": n}}}``."""
        state: dict[str, dict[str, Any]] = self._order("/pods")
        return state

    def _answers(self) -> bool:
        self._child.check()
        try:
            self._order("/pods")
        except OSError:
            return False
        return True

    def _order(self, path: str, **order: Any) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            connection.request("POST", path, body=json.dumps(order))
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise TestbedError(f"The pod process refused {path} {order}: {answer.decode()}")
        return json.loads(answer)


_pods: Pods | None = None
_lock = threading.Lock()


def pods() -> Pods:
    """The pod process, started at the first call.

    Raises:
        TestbedError: this is not a network namespace made by ``python -m testbed run``.
    """
    global _pods  # noqa: PLW0603 - there is one in a process, and it is made when first needed
    with _lock:
        if _pods is None:
            _pods = Pods()
        return _pods


def behaviour(namespace: str, version: str, *, error_rate: float = 0.0, latency_ms: float = 0.0) -> None:
    """See :meth:`Pods.behaviour`."""
    pods().behaviour(namespace, version, error_rate=error_rate, latency_ms=latency_ms)


def gauges(namespace: str, version: str, /, **values: float) -> None:
    """See :meth:`Pods.gauges`."""
    pods().gauges(namespace, version, **values)
